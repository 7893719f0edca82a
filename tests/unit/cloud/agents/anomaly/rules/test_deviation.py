"""The distance from a setpoint: of another tag, or a number."""

import json
import math

import pytest

from fieldline.model import Band, Severity, Value
from fieldline_cloud.agents.anomaly.rules.deviation import Deviation, DeviationWatch
from fieldline_cloud.agents.anomaly.state import Change

S = 1_000_000_000


def deviation(setpoint: str | float = "flow_set", *, on_delay_s: int = 0) -> DeviationWatch:
    return Deviation(setpoint, 5.0, 1.0, on_delay_s * S, 0, Severity.WARNING, "control", "l/min").watch()


def said(watch: DeviationWatch, second: int, value: float) -> list[Change]:
    return [one.change for one in watch.update(second * S, value) or ()]


def test_without_a_setpoint_nothing_is_judged() -> None:
    assert deviation().update(0, 1e6) is None


def test_too_far_to_either_side_is_raised_and_clears_inside_the_deadband() -> None:
    for sign in (1, -1):
        watch = deviation(50.0)
        assert said(watch, 1, 50 + sign * 5.0) == []
        assert said(watch, 2, 50 + sign * 5.1) == [Change.RAISED]
        assert said(watch, 3, 50 + sign * 4.5) == []
        assert said(watch, 4, 50 + sign * 4.0) == [Change.CLEARED]


def test_the_words_and_the_band_say_what_was_expected() -> None:
    watch = deviation()
    watch.hear(50)
    (one,) = watch.update(S, 42.0) or ()
    assert one.text == "42 l/min is 8 l/min below its setpoint 50 l/min (flow_set); the limit is 5 l/min"
    assert (one.limit, one.band) == (45.0, Band(45.0, 55.0))


def test_a_new_setpoint_leaves_the_time_to_follow_it() -> None:
    watch = deviation(on_delay_s=10)
    watch.hear(50.0)
    said(watch, 0, 50.0)
    watch.hear(80.0)
    told = [one for second in range(1, 9) for one in said(watch, second, 50.0 + second * 4)]
    assert told == []


@pytest.mark.parametrize("value", ["text", None, math.nan, math.inf, 10**400])
def test_a_setpoint_that_is_no_number_changes_nothing(value: Value) -> None:
    watch = deviation()
    watch.hear(50.0)
    assert not watch.hear(value)
    assert watch.setpoint == 50.0


def test_a_restart_keeps_the_setpoint_it_heard_and_not_the_constant_of_an_older_file() -> None:
    watch, constant = deviation(), deviation(50.0)
    watch.hear(60.0)
    following, changed = deviation(), deviation(70.0)
    following.restore(json.loads(json.dumps(watch.snapshot())))
    changed.restore(json.loads(json.dumps(constant.snapshot())))
    assert (following.setpoint, changed.setpoint) == (60.0, 70.0)
