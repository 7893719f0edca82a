"""Floods of alarms, area by area: what matters less is held back, and nothing is lost. And the figures on all that."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Alert, AlertState, DeviceId, Severity
from fieldline.wire.plant import decode_alert, encode_alert
from fieldline_cloud.agents.anomaly.alarms.area import AREA_TAG, Area, FloodSpec
from fieldline_cloud.agents.anomaly.alarms.board import AlarmBoard, BoardSpec
from fieldline_cloud.agents.anomaly.alarms.health import alarm_gauges, health
from fieldline_cloud.agents.anomaly.stats import AnomalyStats
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

HALL = DeviceId("demo", "hall-a", AREA_TAG)
ALERT = Alert(PUMP, "t", "range_hi", "wear", Severity.WARNING, AlertState.RAISED, T0, "high")
RAISED, CLEARED, SUPPRESSED = AlertState.RAISED, AlertState.CLEARED, AlertState.SUPPRESSED


def board(spec: BoardSpec | None = None) -> AlarmBoard:
    return AlarmBoard(spec or BoardSpec(), AnomalyStats())


def alert(number: int, second: int, severity: Severity = Severity.WARNING, area: str = "hall-a") -> Alert:
    device = DeviceId("demo", area, f"pump-{number}")
    return replace(ALERT, device=device, severity=severity, raised_at_ns=T0 + second * SECOND)


def begin(alarms: AlarmBoard, given: Alert, *, latch: bool = False) -> list[Alert]:
    return alarms.begin(given, given.raised_at_ns, latch=latch)


def end(alarms: AlarmBoard, given: Alert, second: int) -> list[Alert]:
    return alarms.end(given, T0 + second * SECOND, T0 + second * SECOND)


def told(alerts: list[Alert]) -> list[tuple[str, AlertState]]:
    return [(one.device.device, one.state) for one in alerts]


def flooded() -> AlarmBoard:
    alarms = board()
    for number in range(11):
        begin(alarms, alert(number, number))
    return alarms


def test_more_than_ten_alarms_in_ten_minutes_are_a_flood_with_an_alert_of_its_own() -> None:
    alarms = board()
    first = [told(begin(alarms, alert(number, number))) for number in range(10)]
    last = begin(alarms, alert(10, 10))
    assert first == [[(f"pump-{number}", RAISED)] for number in range(10)]
    assert told(last) == [("pump-10", RAISED), (AREA_TAG, RAISED)]
    assert (last[1].rule, last[1].cause, last[1].evidence[0].value) == ("flood", "alarm_flood", 11.0)
    assert decode_alert(encode_alert(last[1])) == last[1]


def test_a_device_of_many_tags_that_falls_silent_is_one_thing_and_no_flood() -> None:
    alarms = board()
    silent = [replace(alert(1, number), tag=f"t{number}", rule="stale", cause="no_data") for number in range(30)]
    assert {state for one in silent for _, state in told(begin(alarms, one))} == {RAISED}
    assert told(begin(alarms, alert(2, 40))) == [("pump-2", RAISED)]
    assert health(alarms, T0 + 60 * SECOND).areas[0].last_10_min == 2


def test_ten_alarms_over_a_longer_time_are_none() -> None:
    alarms = board()
    said = [one for number in range(40) for one in begin(alarms, alert(number, number * 61))]
    assert {one.rule for one in said} == {"range_hi"}


def test_in_a_flood_what_matters_less_is_held_back_and_what_matters_most_is_told() -> None:
    alarms = flooded()
    assert told(begin(alarms, alert(20, 20))) == [("pump-20", SUPPRESSED)]
    assert told(begin(alarms, alert(21, 21, Severity.CRITICAL))) == [("pump-21", RAISED)]
    assert told(begin(alarms, alert(22, 22, area="hall-b"))) == [("pump-22", RAISED)]


def test_when_the_flood_is_over_what_was_held_back_is_told() -> None:
    alarms = flooded()
    begin(alarms, alert(20, 20))
    begin(alarms, alert(21, 21))
    end(alarms, alert(21, 21), 30)
    assert alarms.tick(T0 + 300 * SECOND, live=True) == []
    assert told(alarms.tick(T0 + 620 * SECOND, live=True)) == [(AREA_TAG, CLEARED), ("pump-20", RAISED)]


def test_a_latched_alarm_that_came_and_went_in_the_flood_waits_to_be_seen() -> None:
    alarms = flooded()
    begin(alarms, alert(20, 20), latch=True)
    assert told(end(alarms, alert(20, 20), 30)) == [("pump-20", AlertState.RETURNED)]


def test_what_was_held_back_and_gets_worse_is_told_at_once() -> None:
    alarms = flooded()
    begin(alarms, alert(20, 20))
    assert told(alarms.worsen(alert(20, 20, Severity.CRITICAL), T0 + 25 * SECOND)) == [("pump-20", RAISED)]


def test_a_restart_in_a_flood_forgets_neither_the_flood_nor_what_it_held_back() -> None:
    alarms = flooded()
    begin(alarms, alert(20, 20))
    following = board()
    for key in alarms.changed:
        following.restore(key, json.loads(json.dumps(alarms.snapshot(key))), T0)
    assert following.release_unflooded(following.records(), T0 + 30 * SECOND) == []
    assert told(begin(following, alert(23, 23))) == [("pump-23", SUPPRESSED)]
    over = told(following.tick(T0 + 700 * SECOND, live=True))
    assert sorted(over, key=str) == sorted([(AREA_TAG, CLEARED), ("pump-20", RAISED), ("pump-23", RAISED)], key=str)


def test_what_a_flood_held_back_elsewhere_is_told_where_the_device_goes() -> None:
    alarms = flooded()
    begin(alarms, alert(20, 20))
    key = (alert(20, 20).device, "t")
    other = board()
    other.restore(key, alarms.snapshot(key), T0)
    assert told(other.release_unflooded(other.records(), T0)) == [("pump-20", RAISED)]


@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["begin", "end"]), st.integers(0, 60)), max_size=120))
def test_nothing_that_stands_is_hidden_once_the_flood_is_over(steps: list[tuple[int, str, int]]) -> None:
    alarms = board(BoardSpec(flood=FloodSpec(raisings=3, over=2)))
    standing: set[str] = set()
    second = 0
    for number, step, wait_s in steps:
        second += wait_s
        name = f"pump-{number}"
        if step == "begin" and name not in standing:
            standing.add(name)
            begin(alarms, alert(number, second))
        elif step == "end" and name in standing:
            standing.remove(name)
            end(alarms, alert(number, second), second)
    for later in (700, 800):  # quiet enough for the flood and for all chatter
        alarms.tick(T0 + (second + later) * SECOND, live=True)
    shown = {one.alert.device.device for one in alarms.records() if one.state is RAISED}
    assert shown == standing


def test_the_figures_say_how_many_how_fast_and_which_are_the_worst() -> None:
    alarms = flooded()
    for second in range(20, 26):
        end(alarms, alert(0, second), second)
        begin(alarms, alert(0, second, Severity.CRITICAL))
    found = health(alarms, T0 + 60 * SECOND)
    (area,) = found.areas
    assert (area.area, area.in_flood, area.last_10_min) == ("demo/hall-a", True, 13)
    assert area.by_severity == {"info": 0, "warning": 11, "critical": 2}
    assert found.chattering == ("demo/hall-a/pump-0:t:range_hi",)
    assert (found.bad_actors[0].alarm, found.bad_actors[0].raisings) == ("demo/hall-a/pump-0:t:range_hi", 7)
    assert found.by_state["raised"] == 12  # and the flood's own
    assert json.loads(json.dumps(found.as_json()))["bad_actors"][0]["raisings"] == 7
    assert health(alarms, T0, area="demo/hall-b").areas == ()


def test_an_alarm_that_stands_for_a_day_is_stale() -> None:
    alarms = board()
    begin(alarms, alert(1, 0))
    day_s = 24 * 3_600
    assert health(alarms, T0 + day_s * SECOND).stale == ()
    assert health(alarms, T0 + (day_s + 1) * SECOND).stale == ("demo/hall-a/pump-1:t:range_hi",)
    alarms.tick(T0 + (day_s + 1) * SECOND, live=True)
    assert alarm_gauges(alarms)["alarms_stale"]() == 1


def test_the_share_of_time_in_flood_and_the_mean_are_over_a_day_at_most() -> None:
    area = Area(HALL, FloodSpec(), T0)
    for second in range(11):
        area.raised(Severity.WARNING, T0 + second * SECOND)
        area.step(T0 + second * SECOND)
    for second in range(20, 6_000, 10):
        area.step(T0 + second * SECOND)
    figures = area.figures(T0 + 6_000 * SECOND)
    assert (figures.peak_10_min, figures.last_10_min, figures.in_flood) == (11, 0, False)
    assert figures.mean_10_min == 1.1
    assert 0.09 < figures.flood_share < 0.11
    assert area.figures(T0 + 2 * 86_400 * SECOND).mean_10_min == 0.0


@given(st.lists(st.integers(-(10**6), 10**6), max_size=200))
def test_a_clock_that_leaps_breaks_no_figure_and_memory_stays_bounded(leaps_s: list[int]) -> None:
    area = Area(HALL, FloodSpec(raisings=3, over=1), T0)
    now_ns = T0
    for leap_s in leaps_s:
        now_ns += leap_s * SECOND
        area.raised(Severity.INFO, now_ns)
        area.step(now_ns)
        figures = area.figures(now_ns)
        assert 0.0 <= figures.flood_share <= 1.0
    kept = area.snapshot()
    assert len(kept["slices"]) <= 61
    assert len(kept["periods"]) <= 144
