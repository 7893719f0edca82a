import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Quality, Reading
from fieldline_edge.processing.deadband import Deadband
from fieldline_edge.processing.door import Door
from fieldline_edge.processing.limiter import Keep, RateLimit
from fieldline_edge.processing.stage import ProcessingStats

S = 1_000_000_000
LONG_NS = 1 << 62


def reading(at_s: float, value: Any, quality: Quality = Quality.GOOD) -> Reading:
    return Reading("t", round(at_s * S), value, quality)


def numbers(values: list[Any]) -> list[Reading]:
    return [reading(at_s, value) for at_s, value in enumerate(values)]


class Out:
    """Where readings come out."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.stats = ProcessingStats()

    def emit(self, one: Reading, now_s: float) -> None:
        self.readings.append(one)

    @property
    def values(self) -> list[Any]:
        return [one.value for one in self.readings]


def deadband(out: Out, bound: float, *, report_s_max: float = 1e9) -> Deadband:
    return Deadband(bound, report_ns_max=round(report_s_max * S), emit=out.emit, stats=out.stats)


def door(out: Out, bound: float, *, report_s_max: float = 1e9, hold_s_max: float = 1e9) -> Door:
    return Door(bound, report_ns_max=round(report_s_max * S), hold_s_max=hold_s_max, emit=out.emit, stats=out.stats)


def limit(out: Out, keep: Keep = Keep.LAST) -> RateLimit:
    return RateLimit(period_ns=10 * S, keep=keep, emit=out.emit, stats=out.stats)


def put_all(stage: Deadband | Door | RateLimit, readings: list[Reading]) -> None:
    for one in readings:
        stage.put(one, one.at_ns / S)


def test_a_deadband_passes_what_moved_by_more_than_the_bound() -> None:
    out = Out()

    put_all(deadband(out, 1.0), numbers([5.0, 5.9, 4.0, 6.1, 6.2, 7.2]))

    assert out.values == [5.0, 6.1, 7.2]
    assert out.stats.deadband == 3


def test_a_deadband_reports_an_unchanged_value_from_time_to_time() -> None:
    out = Out()

    put_all(deadband(out, 1.0, report_s_max=3), numbers([5.0] * 8))

    assert [one.at_ns // S for one in out.readings] == [0, 3, 6]


def test_a_deadband_passes_every_change_of_quality_and_repeats_none() -> None:
    out = Out()
    bad = Quality.BAD_TIMEOUT
    readings = [reading(0, 1.0), reading(1, None, bad), reading(2, None, bad), reading(3, 1.0)]

    put_all(deadband(out, 1.0), readings)

    assert out.readings == [readings[0], readings[1], readings[3]]


@pytest.mark.parametrize("make", [deadband, door])
@pytest.mark.parametrize("value", [True, "RUN", None, math.nan, math.inf, 1 << 1100])
def test_what_cannot_be_compared_by_size_travels_when_it_changes(make: Any, value: Any) -> None:
    out = Out()
    other = "STOP" if value != "STOP" else "RUN"

    put_all(make(out, 100.0), numbers([value, value, other, value]))

    assert [str(one) for one in out.values] == [str(value), other, str(value)]


@pytest.mark.parametrize("make", [deadband, door])
def test_a_clock_that_was_set_back_silences_nothing(make: Any) -> None:
    out = Out()

    put_all(make(out, 1.0), [reading(100, 5.0), reading(3, 5.0), reading(4, 5.0)])

    assert out.readings[:2] == [reading(100, 5.0), reading(3, 5.0)]


VALUES = st.one_of(
    st.floats(-100, 100),
    st.floats(),
    st.integers(-(1 << 63), 1 << 64),
    st.integers(-3, 3),
    st.none(),
    st.booleans(),
)
QUALITIES = st.sampled_from([Quality.GOOD] * 12 + [Quality.UNCERTAIN, Quality.BAD_RANGE])
GAPS_NS = st.one_of(st.just(S), st.integers(1, 10 * S), st.integers(-S, 1 << 50), st.integers(0, 3))


@st.composite
def series(draw: st.DrawFn) -> list[Reading]:
    at_ns = draw(st.integers(-(1 << 60), 1 << 60))
    found = []
    for gap_ns, value, quality in draw(st.lists(st.tuples(GAPS_NS, VALUES, QUALITIES), max_size=40)):
        at_ns += gap_ns
        found.append(Reading("t", at_ns, value, quality))
    return found


def largest(*readings: Reading, bound: float) -> float:
    values: list[Any] = [one.value for one in readings]
    sizes = [abs(value) for value in values if type(value) in (float, int) and math.isfinite(value)]
    return float(max([bound, *sizes]))


def assert_bound_holds(readings: list[Reading], kept: list[Reading], bound: float) -> None:
    places = {id(one): place for place, one in enumerate(readings)}
    assert [places[id(one)] for one in kept] == sorted({places[id(one)] for one in kept}), "in order, nothing twice"
    assert not readings or (kept[0] is readings[0])
    for first, last in pairwise(kept):
        left_out = readings[places[id(first)] + 1 : places[id(last)]]
        start: Any = first.value
        end: Any = last.value
        for one in left_out:
            value: Any = one.value
            assert one.quality is first.quality
            if type(value) not in (float, int) or not math.isfinite(value):
                assert str(value) == str(start)
                continue
            assert last.quality is first.quality
            assert first.at_ns < one.at_ns < last.at_ns
            share = Fraction(one.at_ns - first.at_ns, last.at_ns - first.at_ns)
            line = Fraction(start) + share * (Fraction(end) - Fraction(start))
            inner = readings[places[id(first)] : places[id(last)] + 1]
            slack = 8 * Fraction(largest(*inner, bound=bound)) / 2**53 + Fraction(1e-300)
            assert abs(line - Fraction(value)) <= Fraction(bound) + slack


@given(series(), st.floats(0, 1e6), st.sampled_from([1e9, 5.0]))
def test_no_reading_that_a_door_leaves_out_is_further_from_the_line_than_the_bound(
    readings: list[Reading], bound: float, report_s_max: float
) -> None:
    out = Out()
    subject = door(out, bound, report_s_max=report_s_max)

    put_all(subject, readings)
    subject.flush(0.0)

    assert_bound_holds(readings, out.readings, bound)
    assert len(readings) == len(out.readings) + out.stats.door


@given(st.lists(st.floats(-1e308, 1e308), max_size=30), st.floats(0, 1e308))
def test_the_bound_of_a_door_holds_at_the_ends_of_what_floats_can_say(values: list[float], bound: float) -> None:
    out = Out()
    subject = door(out, bound)

    put_all(subject, numbers(values))
    subject.flush(0.0)

    assert_bound_holds([*_as_put(out, values)], out.readings, bound)


def _as_put(out: Out, values: list[float]) -> list[Reading]:
    """The series with the very objects that came out, so that they can be told apart."""
    kept = {one.at_ns: one for one in out.readings}
    return [kept.get(one.at_ns, one) for one in numbers(values)]


@given(st.lists(st.sampled_from(["t", "x"]), min_size=1, max_size=60), st.data())
def test_holding_back_ends_in_time_and_never_breaks_the_bound(steps: list[str], data: st.DataObject) -> None:
    out = Out()
    subject = door(out, 1.0, hold_s_max=4.0)
    readings: list[Reading] = []
    for now_s, step in enumerate(steps):
        if step == "x":
            readings.append(reading(now_s, data.draw(st.floats(-3, 3))))
            subject.put(readings[-1], now_s)
        if now_s >= subject.due_at_s:
            subject.tick(now_s)
        held = [one for one in readings if one.at_ns > (out.readings[-1].at_ns if out.readings else -1)]
        assert not held or now_s - held[0].at_ns / S < 4.0
    subject.flush(0.0)

    assert_bound_holds(readings, out.readings, 1.0)


def test_a_straight_line_needs_its_two_ends() -> None:
    out = Out()
    subject = door(out, 0.01)

    put_all(subject, numbers([value / 10 for value in range(1000)]))
    subject.flush(0.0)

    assert [one.at_ns // S for one in out.readings] == [0, 999]


def test_a_door_lets_the_newest_reading_out_when_none_follows() -> None:
    out = Out()
    subject = door(out, 1.0, hold_s_max=5)
    subject.put(reading(0, 1.0), 0.0)
    subject.put(reading(1, 1.0), 1.0)
    subject.put(reading(2, 1.0), 2.0)
    assert subject.due_at_s == 6.0

    subject.tick(5.9)
    assert len(out.readings) == 1
    subject.tick(6.0)

    assert out.readings == [reading(0, 1.0), reading(2, 1.0)]
    assert subject.due_at_s == math.inf


def test_a_rate_limit_passes_the_first_at_once_and_then_the_last_of_each_slot() -> None:
    out = Out()

    put_all(limit(out), numbers(list(range(32))))

    assert out.values == [0, 9, 19, 29]
    assert out.stats.rate_limit == 26  # and 30 and 31 are held


def test_a_slot_that_no_reading_ends_is_ended_by_the_clock() -> None:
    out = Out()
    subject = limit(out)
    subject.put(reading(100, 1), 0.0)
    subject.put(reading(103, 2), 3.0)
    assert subject.due_at_s == 10.0

    subject.tick(10.0)
    subject.put(reading(112, 3), 12.0)

    assert out.values == [1, 2]
    assert subject.due_at_s == 20.0


def test_a_rate_limit_can_keep_the_extremes_in_their_order() -> None:
    out = Out()

    put_all(limit(out, Keep.EXTREMES), numbers([5, 4, 9, 1, 3, 3, 3, 3, 3, 3, 7]))

    assert out.values == [5, 9, 1]
    assert out.stats.rate_limit == 7


def test_a_rate_limit_says_when_the_slot_ended_badly() -> None:
    out = Out()

    put_all(limit(out, Keep.EXTREMES), [reading(0, 5), reading(1, 9), reading(2, None, Quality.BAD), reading(11, 1)])

    assert [one.quality for one in out.readings] == [Quality.GOOD, Quality.BAD]


@given(st.lists(st.integers(-20, 20), max_size=60), st.sampled_from(Keep))
def test_a_rate_limit_accounts_for_every_reading(gaps_s: list[int], keep: Keep) -> None:
    out = Out()
    subject = limit(out, keep)
    at_s = 0
    for gap_s in gaps_s:
        at_s += gap_s
        subject.put(reading(at_s, at_s % 7), at_s)
    subject.flush(0.0)

    assert len(gaps_s) == len(out.readings) + out.stats.rate_limit
