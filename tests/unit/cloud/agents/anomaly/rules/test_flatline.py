"""A stuck value is found; what stands still by nature is left alone."""

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.rules.flatline import Flatline, FlatlineWatch
from fieldline_cloud.agents.anomaly.state import Change

S = 1_000_000_000


def flatline(after_s: float = 60, span: float = 0.0) -> FlatlineWatch:
    return Flatline(span, int(after_s * S), 8, 4.0, Severity.WARNING, "sensor_stuck", "bar").watch()


def feed(watch: FlatlineWatch, values: list[float], *, from_s: int = 0, step_s: int = 1) -> list[tuple[int, Change]]:
    """(second, change) of what is said."""
    found = []
    for index, value in enumerate(values):
        second = from_s + index * step_s
        found += [(second, one.change) for one in watch.update(second * S, value) or ()]
    return found


def lively(count: int = 100) -> list[float]:
    noise = random.Random(1)
    return [5.0 + noise.gauss(0, 0.1) for _ in range(count)]


def test_a_lively_tag_that_stops_is_stuck_and_one_that_moves_again_is_not() -> None:
    watch = flatline()
    assert feed(watch, [*lively(), *[5.0] * 100]) == [(160, Change.RAISED)]
    assert feed(watch, [5.1], from_s=200) == [(200, Change.CLEARED)]


def test_the_words_say_where_it_stands_and_how_long() -> None:
    watch = flatline()
    feed(watch, [*lively(), *[5.0] * 60])
    (raised,) = watch.update(160 * S, 5.0) or ()
    assert raised.text == "stands still at 5 bar for 60 s; at most 60 s is usual"


def test_a_switch_a_setpoint_and_a_constant_are_never_stuck() -> None:
    assert feed(flatline(), [0.0, 1.0] * 20 + [1.0] * 1_000) == []
    assert feed(flatline(), [40.0, 42.5, 45.0] + [45.0] * 1_000) == []
    assert feed(flatline(), [7.0] * 1_000) == []


def test_a_coarse_sensor_may_stand_still_for_as_long_as_it_is_used_to() -> None:
    coarse = [float(second // 50) for second in range(1_000)]  # a step each 50 s
    watch = flatline()
    assert feed(watch, coarse) == []
    assert feed(watch, [19.0] * 300, from_s=1_000) == [(1_150, Change.RAISED)]


def test_noise_within_the_span_is_standing_still() -> None:
    dead_wire = [4.0 + 0.001 * (second % 2) for second in range(100)]
    assert feed(flatline(span=0.01), lively() + dead_wire) == [(160, Change.RAISED)]


def test_a_hole_in_the_data_is_no_proof_that_nothing_moved() -> None:
    watch = flatline()
    feed(watch, [*lively(), 5.0])
    assert feed(watch, [5.0] * 30, from_s=1_000) == []
    assert feed(watch, [5.0] * 40, from_s=1_030) != []


def test_a_clock_set_back_counts_from_there() -> None:
    watch = flatline()
    feed(watch, [*lively(), *[5.0] * 50], from_s=10_000)
    watch.set_back(0)
    assert feed(watch, [5.0] * 59, from_s=1) == []
    assert feed(watch, [5.0] * 5, from_s=60) == [(60, Change.RAISED)]


def test_a_restart_keeps_the_alarm_and_what_is_known_of_the_tag() -> None:
    watch = flatline()
    feed(watch, [*lively(), *[5.0] * 100])
    following = flatline()
    following.restore(json.loads(json.dumps(watch.snapshot())))
    assert feed(following, [5.0] * 10, from_s=300) == []
    assert feed(following, [5.1], from_s=310) == [(310, Change.CLEARED)]
    assert feed(following, [5.1] * 80, from_s=311) == [(370, Change.RAISED)]


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(-1e300, 1e300)), max_size=80))
def test_raised_and_cleared_alternate_and_memory_is_bounded(steps: list[tuple[int, float]]) -> None:
    watch, changes, at_ns = flatline(), [], 0
    for wait_s, value in steps:
        at_ns += wait_s * S
        changes += [one.change for one in watch.update(at_ns, value) or ()]
    assert changes == [Change.RAISED, Change.CLEARED] * (len(changes) // 2) + changes[len(changes) // 2 * 2 :]
    assert len(watch.snapshot()["distinct"]) <= 8
