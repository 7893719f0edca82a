"""Readings and ticks in, alerts out: what counts, what is left out, what survives a restart."""

import json
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.config import load, loads
from fieldline.model import Alert, AlertState, DeviceId, Quality, Reading, Severity, Value
from fieldline.wire.plant import decode_alert, encode_alert
from fieldline_cloud.agents.anomaly.monitor import Monitor
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.tag import TagState
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.settings import PlantSettings
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

RULES = """
kind: anomaly
rules:
  - match: {tag: vibration}
    cause: bearing_wear
    range: {hi: 4.5, hi_hi: 7.1, deadband: 0.3}
  - match: {tag: level}
    cause: leak
    rate: {per_s: 5, window_s: 3, deadband_per_s: 1}
  - match: {tag: serial}
    without: [stale]
  - match: {}
    stale: {after_s: 10}
"""


def monitor(text: str = RULES, *, tags_max: int = 1_000) -> Monitor:
    return Monitor(loads(text, AnomalySettings, name="anomaly.yaml").rule_book(), tags_max=tags_max)


def say(
    watch: Monitor,
    value: Value,
    *,
    at_s: float,
    tag: str = "vibration",
    quality: Quality = Quality.GOOD,
    device: DeviceId = PUMP,
    now_s: float | None = None,
) -> list[tuple[str, AlertState]]:
    at_ns = T0 + int(at_s * SECOND)
    now_ns = at_ns if now_s is None else T0 + int(now_s * SECOND)
    return told(watch.readings(device, [Reading(tag, at_ns, value, quality)], now_ns))


def told(alerts: Iterable[Alert]) -> list[tuple[str, AlertState]]:
    return [(alert.rule, alert.state) for alert in alerts]


def ticks(watch: Monitor, from_s: int, to_s: int, *, live: bool = True) -> list[tuple[str, AlertState]]:
    alerts = []
    for second in range(from_s, to_s + 1):
        alerts += watch.tick(T0 + second * SECOND, live=live)
    return told(alerts)


RAISED, CLEARED = AlertState.RAISED, AlertState.CLEARED


def test_an_alert_carries_evidence_and_clears_under_the_same_id() -> None:
    watch = monitor()
    (raised,) = watch.readings(PUMP, [Reading("vibration", T0, 5.0)], T0)
    (cleared,) = watch.readings(PUMP, [Reading("vibration", T0 + SECOND, 1.0)], T0)
    assert raised.message == "vibration 5 is above the hi limit 4.5"
    assert (raised.cause, raised.severity) == ("bearing_wear", Severity.WARNING)
    assert (raised.evidence[0].value, raised.evidence[0].limit) == (5.0, 4.5)
    assert cleared.id == raised.id
    assert (cleared.state, cleared.cleared_at_ns) == (CLEARED, T0 + SECOND)
    assert watch.raised == ()


@pytest.mark.parametrize(
    ("value", "quality"),
    [
        (9.9, Quality.BAD),
        (9.9, Quality.BAD_TIMEOUT),
        (9.9, Quality.UNCERTAIN_STALE),
        (None, Quality.BAD_EXCEPTION),
        (None, Quality.GOOD),
        (math.nan, Quality.GOOD),
        (math.inf, Quality.GOOD),
        (-math.inf, Quality.GOOD),
        (10**400, Quality.GOOD),
        ("9.9", Quality.GOOD),
        (True, Quality.GOOD),
    ],
)
def test_what_is_not_a_good_number_is_not_judged(value: Any, quality: Quality) -> None:
    watch = monitor()
    assert say(watch, value, at_s=1, quality=quality) == []
    assert say(watch, 5, at_s=2) == [("range_hi", RAISED)]


def test_an_uncertain_value_and_a_whole_number_are_judged() -> None:
    assert say(monitor(), 9, at_s=1) == [("range_hi", RAISED), ("range_hi_hi", RAISED)]
    assert say(monitor(), 5.0, at_s=1, quality=Quality.UNCERTAIN) == [("range_hi", RAISED)]


def test_a_late_reading_is_left_out_and_counted() -> None:
    watch = monitor()
    say(watch, 1.0, at_s=10)
    assert say(watch, 9.0, at_s=9) == []
    assert watch.stats.readings_late == 1
    assert say(watch, 5.0, at_s=10) == [("range_hi", RAISED)]  # the same moment is not late


def test_a_clock_set_back_by_an_hour_does_not_blind_the_watch() -> None:
    watch = monitor()
    say(watch, 1.0, at_s=3_600)
    assert say(watch, 5.0, at_s=0) == [("range_hi", RAISED)]
    assert watch.stats.clocks_set_back == 1


def test_a_time_stamp_from_the_far_future_heals_by_itself() -> None:
    watch = monitor()
    say(watch, 1.0, at_s=0)
    say(watch, 5.0, at_s=10**9)
    assert say(watch, 1.0, at_s=1) == [("range_hi", CLEARED)]
    assert say(watch, 5.0, at_s=2) == [("range_hi", RAISED)]


@pytest.mark.parametrize("at_ns", [-1, -(2**63), 2**63 - 1])
def test_a_time_stamp_from_another_age_is_not_judged(at_ns: int) -> None:
    watch = monitor()
    assert watch.readings(PUMP, [Reading("vibration", at_ns, 9.0)], T0) == []
    assert say(watch, 5.0, at_s=1) == [("range_hi", RAISED)]


def test_a_rate_is_judged_across_frames() -> None:
    watch = monitor()
    found = []
    for step in range(60):
        found += say(watch, float(step * (step > 30)), at_s=step / 10, tag="level")
    assert found == [("rate", RAISED)]


def test_silence_is_noticed_after_its_time_and_ends_with_a_good_value() -> None:
    watch = monitor()
    ticks(watch, 0, 0)
    say(watch, 1.0, at_s=1)
    assert ticks(watch, 1, 10) == []
    assert ticks(watch, 11, 14) == [("stale", RAISED)]
    assert say(watch, None, at_s=15, quality=Quality.BAD_TIMEOUT) == []
    assert say(watch, 1.0, at_s=16) == [("stale", CLEARED)]


@pytest.mark.parametrize(
    ("value", "quality"),
    [(None, Quality.BAD_TIMEOUT), (math.nan, Quality.GOOD), (1.0, Quality.UNCERTAIN_STALE)],
)
def test_values_that_are_no_good_are_silence(value: Value, quality: Quality) -> None:
    watch = monitor()
    found = ticks(watch, 0, 0)
    for second in range(12):
        found += say(watch, value, at_s=second, quality=quality)
        found += ticks(watch, second, second)
    assert found == [("stale", RAISED)]


@pytest.mark.parametrize("value", ["text", True, 3])
def test_any_good_value_breaks_the_silence(value: Value) -> None:
    watch = monitor()
    found = ticks(watch, 0, 0)
    for second in range(30):
        found += say(watch, value, at_s=second, tag="state")
        found += ticks(watch, second, second)
    assert found == []


def test_a_late_reading_breaks_the_silence() -> None:
    watch = monitor()
    found = ticks(watch, 0, 0)
    for second in range(30):
        found += say(watch, 1.0, at_s=50 - second, now_s=second)
        found += ticks(watch, second, second)
    assert found == []


def test_no_tag_is_blamed_while_the_link_is_down_nor_right_after() -> None:
    watch = monitor()
    ticks(watch, 0, 0)
    say(watch, 1.0, at_s=0)
    assert ticks(watch, 1, 60, live=False) == []
    assert ticks(watch, 61, 69) == []
    assert ticks(watch, 70, 75) == [("stale", RAISED)]


def test_no_tag_is_blamed_when_the_agent_itself_stood_still_or_its_clock_leapt() -> None:
    watch = monitor()
    ticks(watch, 0, 0)
    say(watch, 1.0, at_s=0)
    assert ticks(watch, 100, 109) == []
    assert ticks(watch, 50, 59) == []  # an hour hand turned back
    assert ticks(watch, 60, 61) == [("stale", RAISED)]


def test_a_tag_without_the_rule_may_be_silent() -> None:
    watch = monitor()
    ticks(watch, 0, 0)
    say(watch, "A1", at_s=0, tag="serial")
    assert ticks(watch, 1, 60) == []


def test_tags_beyond_the_bound_are_refused_and_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    watch = monitor(tags_max=2)
    for tag in ("a", "b", "c", "d", "c"):
        say(watch, 1.0, at_s=0, tag=tag)
    assert watch.tags == 2
    assert watch.stats.readings_refused == 3
    assert len(caplog.records) == 1


@pytest.mark.parametrize("tag", ["", "t" * 300])
def test_a_tag_no_alert_could_name_is_refused(tag: str) -> None:
    watch = monitor()
    assert say(watch, 9.9, at_s=0, tag=tag) == []
    assert watch.stats.readings_refused == 1


def again(watch: Monitor, text: str = RULES) -> tuple[Monitor, list[Alert]]:
    """The monitor of the next process, from what the first would have saved."""
    saved: list[TagState] = [
        TagState(state.device, state.tag, state.last_at_ns, json.loads(json.dumps(state.rules)))
        for state in watch.take_changes()
    ]
    following = monitor(text)
    return following, following.restore(saved, watch.raised, T0 + 60 * SECOND)


def test_a_restart_neither_repeats_nor_forgets() -> None:
    watch = monitor()
    ticks(watch, 0, 0)
    say(watch, 5.0, at_s=1)
    say(watch, 1.0, at_s=1, tag="other")
    ticks(watch, 1, 12)
    following, cleared = again(watch)
    assert cleared == []
    assert say(following, 5.5, at_s=13, tag="vibration") == [("stale", CLEARED)]
    assert ticks(following, 60, 80) == [("stale", RAISED)]  # vibration; `other` is known to be silent
    assert say(following, 1.0, at_s=81) == [("stale", CLEARED), ("range_hi", CLEARED)]
    assert say(following, 1.0, at_s=82, tag="other") == [("stale", CLEARED)]


def test_an_alert_whose_rule_is_gone_is_cleared_at_the_start() -> None:
    watch = monitor()
    say(watch, 5.0, at_s=1)
    following, (cleared,) = again(watch, "kind: anomaly\nrules:\n  - stale: {after_s: 10}\n")
    assert (cleared.rule, cleared.state) == ("range_hi", CLEARED)
    assert "no longer configured" in cleared.message
    assert following.raised == ()


def test_an_alert_is_cleared_with_the_cause_it_was_raised_with() -> None:
    watch = monitor()
    say(watch, 5.0, at_s=1)
    following, _ = again(watch, RULES.replace("bearing_wear", "imbalance"))
    (cleared,) = following.readings(PUMP, [Reading("vibration", T0 + 9 * SECOND, 1.0)], T0)
    assert cleared.cause == "bearing_wear"


def test_a_quiet_tag_is_saved_once_and_then_costs_nothing() -> None:
    watch = monitor()
    say(watch, 1.0, at_s=0)
    assert len(watch.take_changes()) == 1
    say(watch, 1.1, at_s=1)
    assert watch.take_changes() == []


values = st.one_of(st.none(), st.booleans(), st.text(max_size=5), st.integers(), st.floats())
readings = st.builds(
    Reading,
    tag=st.sampled_from(["vibration", "level", "serial", "x"]),
    at_ns=st.integers(-(2**63), 2**63 - 1) | st.integers(T0, T0 + 100 * SECOND),
    value=values,
    quality=st.sampled_from(Quality),
)


@given(st.lists(st.tuples(readings, st.integers(0, 20), st.booleans()), max_size=60))
def test_no_input_whatever_breaks_the_watch_or_its_bookkeeping(steps: list[tuple[Reading, int, bool]]) -> None:
    watch = monitor()
    standing: set[str] = set()
    now_ns = T0
    for reading, wait_s, live in steps:
        now_ns += wait_s * SECOND // 4
        for alert in watch.readings(PUMP, [reading], now_ns) + watch.tick(now_ns, live=live):
            assert decode_alert(encode_alert(alert)) == alert
            if alert.state is RAISED:
                assert alert.fingerprint not in standing
                standing.add(alert.fingerprint)
            else:
                standing.remove(alert.fingerprint)
    assert {alert.fingerprint for alert in watch.raised} == standing


def demo_alerts(*, healthy: bool, duration_s: int) -> list[Alert]:
    """What the demo configuration says about the demo plant, read every 200 ms."""
    watch = Monitor(load("config/demo/anomaly.yaml", AnomalySettings).rule_book(), tags_max=1_000)
    settings = load("config/demo/plant.yaml", PlantSettings)
    plant = Plant(settings.model_copy(update={"faults": ()}) if healthy else settings)
    alerts: list[Alert] = []
    for step in range(duration_s * 5):
        plant.step(0.2)
        now_ns = T0 + step * SECOND // 5
        for machine in plant.machines.values():
            device = DeviceId("demo", machine.area, machine.name)
            told = [Reading(tag, now_ns, value) for tag, value in machine.values.items()]
            alerts += watch.readings(device, told, now_ns)
        alerts += watch.tick(now_ns, live=True)
    return alerts


def test_a_healthy_demo_plant_raises_nothing() -> None:
    assert demo_alerts(healthy=True, duration_s=300) == []


def test_the_bearing_of_the_demo_plant_is_found_within_seconds_and_nothing_else_is() -> None:
    alerts = demo_alerts(healthy=False, duration_s=60)
    first = alerts[0]
    assert {(str(alert.device), alert.cause) for alert in alerts} == {("demo/hall-a/pump-2", "bearing_wear")}
    assert (first.tag, first.rule) == ("vibration", "range_hi")
    assert first.raised_at_ns < T0 + 17 * SECOND  # the wear begins at 10 s and grows for 6 s
    assert {"range_hi", "range_hi_hi"} <= {alert.rule for alert in alerts}
