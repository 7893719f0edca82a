import math
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Quality, Reading
from fieldline_edge.processing.stage import ProcessingStats
from fieldline_edge.processing.window import Function, Stamp, Window, WindowSpec

S = 1_000_000_000
MINUTE_NS = 60 * S
NOON_NS = 1_700_000_040 * S  # a full minute
ALL = tuple(Function)


class Out:
    """What windows come to, by function."""

    def __init__(self, **spec: Any) -> None:
        self.readings: dict[Function, list[Reading]] = {}
        self.stats = ProcessingStats()
        functions = spec.pop("functions", ALL)
        emits = {function: self._emit(function) for function in functions}
        self.window = Window(WindowSpec("p", MINUTE_NS, functions, **spec), emits=emits, stats=self.stats)

    def _emit(self, function: Function) -> Any:
        return lambda one, now_s: self.readings.setdefault(function, []).append(one)

    def put(self, at_s: float, value: Any, quality: Quality = Quality.GOOD) -> None:
        self.window.put(Reading("p", NOON_NS + round(at_s * S), value, quality), at_s)

    def values(self, function: Function) -> list[Any]:
        return [one.value for one in self.readings.get(function, [])]

    @property
    def one(self) -> dict[str, Any]:
        """The values of the only window that is over."""
        assert {len(found) for found in self.readings.values()} == {1}
        return {function.value: found[0].value for function, found in self.readings.items()}


def test_a_window_comes_to_what_its_functions_say() -> None:
    out = Out()

    for at_s, value in ((0, 10.0), (15, 30.0), (45, 20.0), (60, 0.0)):
        out.put(at_s, value)

    assert out.one == {
        "mean": 20.0,
        "time_mean": (10 * 15 + 30 * 30 + 20 * 15) / 60,
        "min": 10.0,
        "max": 30.0,
        "first": 10.0,
        "last": 20.0,
        "count": 3,
        "sum": 60.0,
        "std": pytest.approx(statistics.pstdev([10, 30, 20])),
        "integral": 10 * 15 + 30 * 30 + 20 * 15,
        "good_percent": 100.0,
    }
    mean = out.readings[Function.MEAN][0]
    assert (mean.tag, mean.at_ns, mean.quality) == ("p.mean", NOON_NS, Quality.GOOD)


def test_windows_begin_at_full_minutes_and_may_be_stamped_at_their_end() -> None:
    out = Out(functions=(Function.LAST,), stamp=Stamp.END)

    for at_s in (59.999, 60, 119.999, 120):
        out.put(at_s, at_s)

    ends = [(one.at_ns - NOON_NS) / S for one in out.readings[Function.LAST]]
    assert (ends, out.values(Function.LAST)) == ([60, 120], [59.999, 119.999])


def test_a_window_is_over_when_its_time_has_passed_although_nothing_comes() -> None:
    out = Out(functions=(Function.COUNT,))
    out.put(50, 1.0)
    assert out.window.due_at_s == 60

    out.window.tick(59.9)
    assert out.readings == {}
    out.window.tick(60)

    assert out.values(Function.COUNT) == [1]
    assert out.window.due_at_s == math.inf


def test_the_value_of_the_window_before_lasts_until_the_first_reading() -> None:
    out = Out(functions=(Function.TIME_MEAN, Function.INTEGRAL))

    for at_s, value in ((0, 10.0), (90, 20.0), (120, 0.0)):
        out.put(at_s, value)

    assert out.values(Function.TIME_MEAN) == [10.0, 15.0]
    assert out.values(Function.INTEGRAL) == [600.0, 900.0]


def test_bad_readings_are_left_out_and_lower_the_quality() -> None:
    out = Out(functions=(Function.MEAN, Function.GOOD_PERCENT, Function.COUNT), good_percent_min=80)
    for at_s in range(10):
        out.put(at_s, 5.0) if at_s < 7 else out.put(at_s, None, Quality.BAD_TIMEOUT)

    out.window.flush(0)

    assert out.one == {"mean": 5.0, "good_percent": 70.0, "count": 10}
    assert out.readings[Function.MEAN][0].quality is Quality.UNCERTAIN
    assert out.readings[Function.GOOD_PERCENT][0].quality is Quality.GOOD


def test_a_window_without_a_usable_reading_says_why() -> None:
    out = Out(functions=(Function.MEAN, Function.COUNT))
    out.put(1, None, Quality.BAD_NOT_CONNECTED)
    out.put(2, None, Quality.BAD_TIMEOUT)

    out.window.flush(0)

    assert out.readings[Function.MEAN] == [Reading("p.mean", NOON_NS, None, Quality.BAD_TIMEOUT)]
    assert out.values(Function.COUNT) == [2]


def test_texts_have_a_first_and_a_last_and_no_mean() -> None:
    out = Out(functions=(Function.FIRST, Function.LAST, Function.MEAN, Function.COUNT))
    out.put(1, "RUN")
    out.put(2, "STOP")

    out.window.flush(0)

    assert out.one == {"first": "RUN", "last": "STOP", "mean": None, "count": 2}
    assert out.readings[Function.MEAN][0].quality is Quality.BAD_CALCULATION


def test_the_mean_of_truth_values_is_the_share_of_the_time_they_were_true() -> None:
    out = Out(functions=(Function.TIME_MEAN, Function.MAX))
    out.put(0, False)
    out.put(45, True)

    out.window.flush(0)

    assert out.one == {"time_mean": 0.25, "max": True}


def test_a_late_reading_is_counted_and_in_no_window() -> None:
    out = Out(functions=(Function.COUNT,))

    for at_s in (30, 70, 50, 80, 121):
        out.put(at_s, 1.0)

    assert out.values(Function.COUNT) == [1, 2]
    assert out.stats.late == 1


def test_a_window_that_stays_open_takes_late_readings() -> None:
    out = Out(functions=(Function.COUNT, Function.INTEGRAL), late_ns=30 * S)

    for at_s in (30, 70, 50, 89):
        out.put(at_s, 1.0)
    assert out.window.held == 2
    for at_s in (90, 150):
        out.put(at_s, 1.0)

    assert out.values(Function.COUNT) == [2, 3]
    assert out.values(Function.INTEGRAL) == [30.0, 60.0]
    assert out.stats.late == 0


def test_windows_go_on_where_the_clock_was_set_back_to() -> None:
    out = Out(functions=(Function.COUNT,))

    for at_s in (7200, 7201, 0, 1, 2, 3, 60):
        out.put(at_s, 1.0)

    assert [(one.at_ns - NOON_NS) / S for one in out.readings[Function.COUNT]] == [7200, 0]
    assert out.values(Function.COUNT) == [2, 4]
    assert out.stats.late == 0


def test_an_empty_window_is_reported_where_that_is_wanted() -> None:
    out = Out(functions=(Function.MEAN, Function.COUNT), report_empty=True)
    out.put(10, 1.0)

    for now_s in (60, 120, 180):
        assert out.window.due_at_s == now_s
        out.window.tick(now_s)
    out.put(185, 1.0)
    out.put(310, 1.0)

    assert out.values(Function.COUNT) == [1, 0, 0, 1, 0]
    assert [one.quality.is_bad for one in out.readings[Function.MEAN]] == [False, True, True, False, True]


def test_a_jump_of_years_reports_no_endless_row_of_empty_windows() -> None:
    out = Out(functions=(Function.COUNT,), report_empty=True)

    for at_s in (10, 10**9, 10**9 + 60):
        out.put(at_s, 1.0)

    assert len(out.readings[Function.COUNT]) <= 62


@given(
    st.lists(st.tuples(st.integers(-200, 400), st.floats(-1e9, 1e9) | st.none()), max_size=50),
    st.sampled_from([0, 30 * S, 90 * S]),
)
def test_every_reading_is_in_one_window_or_counted_as_late(steps: list[tuple[int, float | None]], late_ns: int) -> None:
    out = Out(functions=(Function.COUNT, Function.MIN, Function.MEAN, Function.MAX), late_ns=late_ns)
    at_s = 0
    for gap_s, value in steps:
        at_s += gap_s
        out.put(at_s, value, Quality.GOOD if value is not None else Quality.BAD)
        assert out.window.held <= 4
    out.window.flush(0)

    assert sum(out.values(Function.COUNT)) + out.stats.late == len(steps)
    for least, mean, most in zip(
        *(out.values(name) for name in (Function.MIN, Function.MEAN, Function.MAX)), strict=True
    ):
        assert (least is None) == (mean is None)
        assert least is None or least - 1e-6 <= mean <= most + 1e-6
