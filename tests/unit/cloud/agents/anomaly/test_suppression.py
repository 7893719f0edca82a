"""Suppression by design: while the machine is off, and while it starts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import AlertState, Quality, Reading, Value
from fieldline_cloud.agents.anomaly.monitor import Monitor
from fieldline_cloud.agents.anomaly.suppression import Suppress, Suppression
from tests.unit.cloud.agents.anomaly.test_monitor import again, monitor, say, ticks, told
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

RULES = """
kind: anomaly
rules:
  - match: {tag: flow}
    cause: blockage
    range: {lo: 10, deadband: 1}
    deviation: {setpoint_tag: flow_set, by: 20}
    stale: {after_s: 10}
    suppress_while: {tag: running, equals: false, after_s: 5}
"""
LO = "range_lo"
RAISED, CLEARED, SUPPRESSED = AlertState.RAISED, AlertState.CLEARED, AlertState.SUPPRESSED


def flow(watch: Monitor, value: float, at_s: float) -> list[tuple[str, AlertState]]:
    return say(watch, value, at_s=at_s, tag="flow")


def running(watch: Monitor, value: Value, at_s: float, **kwargs: Any) -> list[tuple[str, AlertState]]:
    return say(watch, value, at_s=at_s, tag="running", **kwargs)


def test_low_flow_of_a_pump_that_is_off_is_put_aside_and_over_when_it_flows_again() -> None:
    watch = monitor(RULES)
    flow(watch, 50, 0)
    running(watch, False, 1)
    assert flow(watch, 0, 2) == [(LO, SUPPRESSED)]
    assert running(watch, True, 3) == []
    assert flow(watch, 5, 4) == []
    assert flow(watch, 50, 5) == [(LO, CLEARED)]
    assert flow(watch, 50, 9) == []


def test_low_flow_that_stays_after_the_start_is_told_again_as_raised() -> None:
    watch = monitor(RULES)
    flow(watch, 50, 0)
    running(watch, False, 1)
    flow(watch, 0, 2)
    running(watch, True, 10)
    assert flow(watch, 0, 14.9) == []
    assert flow(watch, 0, 15) == [(LO, RAISED)]


def test_an_alarm_that_stands_is_put_aside_when_the_pump_stops() -> None:
    watch = monitor(RULES)
    assert flow(watch, 5, 0) == [(LO, RAISED)]
    assert running(watch, False, 1) == [(LO, SUPPRESSED)]
    assert running(watch, False, 2) == []


def test_silence_is_told_also_while_the_pump_is_off() -> None:
    watch = monitor(RULES)
    ticks(watch, 0, 0)
    flow(watch, 50, 0)
    running(watch, False, 1)
    assert ticks(watch, 1, 12) == [("stale", RAISED)]


@pytest.mark.parametrize("off", [False, 0, 0.0])
def test_zero_is_as_good_as_false(off: Value) -> None:
    watch = monitor(RULES)
    flow(watch, 50, 0)
    running(watch, off, 1)
    assert flow(watch, 0, 2) == [(LO, SUPPRESSED)]


@pytest.mark.parametrize(
    ("value", "quality"),
    [(None, Quality.GOOD), (False, Quality.BAD_TIMEOUT), (False, Quality.UNCERTAIN_STALE), ("off", Quality.GOOD)],
)
def test_what_is_no_good_value_of_the_condition_suppresses_nothing(value: Value, quality: Quality) -> None:
    watch = monitor(RULES)
    flow(watch, 50, 0)
    running(watch, value, 1, quality=quality)
    assert flow(watch, 0, 2) == [(LO, RAISED)]


def test_the_order_in_which_tags_appear_makes_no_difference() -> None:
    watch = monitor(RULES)
    running(watch, True, 0)  # nobody listens yet
    flow(watch, 50, 1)
    running(watch, False, 2)
    assert flow(watch, 0, 3) == [(LO, SUPPRESSED)]


def test_another_device_is_no_concern() -> None:
    watch = monitor(RULES)
    flow(watch, 50, 0)
    other = PUMP.__class__("demo", "hall-a", "pump-3")
    say(watch, False, at_s=1, tag="running", device=other)
    assert flow(watch, 0, 2) == [(LO, RAISED)]


def test_a_restart_knows_what_was_suppressed_and_why() -> None:
    watch = monitor(RULES)
    flow(watch, 50, 0)
    running(watch, False, 1)
    flow(watch, 0, 2)
    following, cleared = again(watch, RULES)
    assert cleared == []
    assert flow(following, 0, 3) == []
    running(following, True, 4)
    assert flow(following, 0, 9) == [(LO, RAISED)]


def test_a_restart_in_the_time_of_the_start_goes_on_with_it() -> None:
    watch = monitor(RULES)
    flow(watch, 50, 0)
    running(watch, False, 1)
    flow(watch, 0, 2)
    running(watch, True, 4)
    following, _ = again(watch, RULES)
    assert flow(following, 0, 8) == []
    assert flow(following, 0, 9) == [(LO, RAISED)]


def test_what_was_suppressed_by_a_condition_that_is_configured_no_more_is_told_at_the_start() -> None:
    watch = monitor(RULES)
    flow(watch, 50, 0)
    running(watch, False, 1)
    flow(watch, 0, 2)
    _, alerts = again(watch, RULES.replace("suppress_while", "# suppress_while"))
    assert told(alerts) == [(LO, RAISED)]


def test_the_setpoint_is_heard_whatever_the_order() -> None:
    watch = monitor(RULES)
    flow(watch, 50, 0)
    say(watch, 90.0, at_s=1, tag="flow_set")
    assert flow(watch, 50, 2) == [("deviation", RAISED)]


def test_one_frame_with_condition_and_value_is_judged_in_the_order_of_its_readings() -> None:
    watch = monitor(RULES)
    flow(watch, 50, 0)
    frame = [Reading("running", T0 + SECOND, False), Reading("flow", T0 + 2 * SECOND, 0.0)]
    assert told(watch.readings(PUMP, frame, T0)) == [(LO, SUPPRESSED)]


def test_limits_of_the_condition_are_strict() -> None:
    below = Suppress("speed", None, 5.0, None, 0, frozenset({"range"}))
    above = Suppress("speed", None, None, 5.0, 0, frozenset({"range"}))
    assert [below.holds(value) for value in (4.9, 5.0, 5.1, "x", None)] == [True, False, False, False, False]
    assert [above.holds(value) for value in (4.9, 5.0, 5.1)] == [False, False, True]
    assert below.words == "suppressed while speed is below 5"


def test_a_late_word_of_the_condition_is_left_out_and_a_clock_set_back_is_followed() -> None:
    watch = Suppression(Suppress("running", False, None, None, 0, frozenset({"range"})))
    assert watch.hear(100 * SECOND, value=True) is False
    assert watch.hear(99 * SECOND, value=False) is False
    assert watch.hear(SECOND, value=False) is True
    assert watch.is_on


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["flow", "running"]), st.booleans()), max_size=60))
def test_whatever_happens_the_last_word_is_the_true_state_once_nothing_suppresses(
    steps: list[tuple[int, str, bool]],
) -> None:
    watch = monitor(RULES)
    second, shown = 0, CLEARED
    for wait_s, tag, up in [*steps, (1, "running", True), (6, "flow", False)]:
        second += wait_s
        value: Value = up if tag == "running" else (50.0 if up else 0.0)
        for rule, state in say(watch, value, at_s=second, tag=tag):
            assert rule == LO
            assert state is not shown
            shown = state
    assert shown is RAISED
