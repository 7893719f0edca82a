"""Range, rate and silence on made-up readings."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.rules.base import Transition
from fieldline_cloud.agents.anomaly.rules.limits import Level, Range, RangeWatch
from fieldline_cloud.agents.anomaly.rules.rate import POINTS_MAX, Rate, RateWatch
from fieldline_cloud.agents.anomaly.rules.stale import Stale, StaleWatch
from fieldline_cloud.agents.anomaly.state import Change

S = 1_000_000_000


def vibration(*, on_delay_s: float = 0, off_delay_s: float = 0) -> RangeWatch:
    levels = (
        Level("lo", 0.1, False, Severity.WARNING),
        Level("hi", 4.5, True, Severity.WARNING),
        Level("hi_hi", 7.1, True, Severity.CRITICAL),
    )
    return RangeWatch(Range(levels, 0.3, int(on_delay_s * S), int(off_delay_s * S), "bearing_wear", "mm/s"))


def rate(per_s: float = 5.0, window_s: float = 3.0, direction: str = "either", on_delay_s: float = 0) -> RateWatch:
    return RateWatch(
        Rate(per_s, int(window_s * S), direction, 0.5, int(on_delay_s * S), 0, Severity.WARNING, "leak", "bar")  # type: ignore[arg-type]  # the direction is one of three words
    )


def feed(watch: RangeWatch, *points: tuple[float, float]) -> list[tuple[str, Change]]:
    found: list[Transition] = []
    for at_s, value in points:
        found += watch.update(int(at_s * S), value) or []
    return [(transition.rule, transition.change) for transition in found]


def test_a_value_on_the_limit_is_not_beyond_it() -> None:
    assert feed(vibration(), (1, 4.5), (2, 0.1)) == []


def test_every_level_is_an_alarm_of_its_own() -> None:
    told = feed(vibration(), (1, 5.0), (2, 8.0), (3, 5.0), (4, 1.0))
    assert told == [
        ("range_hi", Change.RAISED),
        ("range_hi_hi", Change.RAISED),
        ("range_hi_hi", Change.CLEARED),
        ("range_hi", Change.CLEARED),
    ]


def test_one_leap_raises_both_levels() -> None:
    assert feed(vibration(), (1, 9.0)) == [("range_hi", Change.RAISED), ("range_hi_hi", Change.RAISED)]


def test_the_deadband_keeps_an_alarm_that_hovers_at_its_limit() -> None:
    assert feed(vibration(), (1, 4.6), (2, 4.4), (3, 4.6), (4, 4.3)) == [("range_hi", Change.RAISED)]
    assert feed(vibration(), (1, 0.05), (2, 0.2), (3, 0.05)) == [("range_lo", Change.RAISED)]


def test_delays_are_counted_in_the_time_of_the_readings() -> None:
    watch = vibration(on_delay_s=0.5, off_delay_s=2)
    assert feed(watch, (1.0, 5.0), (1.2, 5.0), (1.4, 5.0)) == []
    assert feed(watch, (1.5, 5.0)) == [("range_hi", Change.RAISED)]
    assert feed(watch, (2.0, 1.0), (3.9, 1.0)) == []
    assert feed(watch, (4.0, 1.0)) == [("range_hi", Change.CLEARED)]


def test_a_transition_tells_value_limit_and_unit() -> None:
    (transition,) = vibration().update(7 * S, 5.25) or []
    assert transition.text == "5.25 mm/s is above the hi limit 4.5 mm/s"
    assert (transition.value, transition.limit, transition.at_ns) == (5.25, 4.5, 7 * S)
    assert (transition.severity, transition.cause) == (Severity.WARNING, "bearing_wear")


def test_a_restored_range_neither_repeats_nor_forgets() -> None:
    watch = vibration()
    feed(watch, (1, 5.0))
    restored = vibration()
    restored.restore(watch.snapshot())
    assert feed(restored, (2, 5.0)) == []
    assert feed(restored, (3, 1.0)) == [("range_hi", Change.CLEARED)]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=60))
def test_raised_and_cleared_alternate_for_every_level(values: list[float]) -> None:
    told = feed(vibration(), *enumerate(values, 1))
    for rule in ("range_lo", "range_hi", "range_hi_hi"):
        changes = [change for name, change in told if name == rule]
        assert changes == [Change.RAISED, Change.CLEARED] * (len(changes) // 2) + changes[len(changes) // 2 * 2 :]
        assert changes[:1] in ([], [Change.RAISED])


def test_a_steady_slope_is_measured_exactly() -> None:
    watch = rate(per_s=100.0)
    for step in range(50):
        watch.update(step * S // 10, 20.0 + 0.7 * step / 10)
    assert watch.slope_per_s() == pytest.approx(0.7)


def test_a_slope_over_the_limit_is_raised_and_one_below_clears() -> None:
    watch = rate()
    told = [watch.update(step * S // 10, 0.0) for step in range(40)]
    told += [watch.update((40 + step) * S // 10, step * 0.8) for step in range(40)]
    told += [watch.update((80 + step) * S // 10, 32.0) for step in range(60)]
    changes = [transition.change for found in told for transition in found]
    assert changes == [Change.RAISED, Change.CLEARED]


def test_no_verdict_before_half_a_window_and_three_points() -> None:
    watch = rate()
    assert watch.update(0, 0.0) == ()
    assert watch.update(S // 100, 100.0) == ()
    assert watch.update(2 * S // 100, 200.0) == ()
    assert watch.slope_per_s() is None


def test_noise_alone_does_not_look_like_a_slope() -> None:
    noise = random.Random(5)
    watch = rate(per_s=5.0)
    told = [watch.update(step * S // 10, 50.0 + noise.gauss(0, 1.0)) for step in range(5_000)]
    assert not any(told)


@pytest.mark.parametrize(("direction", "raised"), [("rising", 0), ("falling", 1), ("either", 1)])
def test_only_the_direction_asked_for_counts(direction: str, raised: int) -> None:
    watch = rate(direction=direction)
    told = [watch.update(step * S // 10, -1.0 * step) for step in range(40)]
    assert sum(map(len, told)) == raised


def test_a_tag_slower_than_the_window_is_judged_by_its_last_three_points() -> None:
    watch = rate(per_s=5.0, window_s=3.0)
    told = [watch.update(step * 10 * S, 60.0 * step) for step in range(5)]
    assert [transition.change for found in told for transition in found] == [Change.RAISED]


def test_the_same_moment_again_replaces_the_value() -> None:
    watch = rate(per_s=1000.0)
    for step in range(40):
        watch.update(step * S // 10, 999.0)
        watch.update(step * S // 10, 2.0 * step / 10)
    assert watch.slope_per_s() == pytest.approx(2.0)


def test_one_monstrous_value_leaves_no_trace_once_it_is_out_of_the_window() -> None:
    watch = rate(per_s=5.0)
    for step in range(200):
        watch.update(step * S // 10, 1e300 if step == 20 else 3.0 * step / 10)
    assert watch.slope_per_s() == pytest.approx(3.0)


def test_overflow_gives_no_verdict_rather_than_a_wrong_one() -> None:
    watch = rate(per_s=5.0)
    for step in range(100):
        watch.update(step * S // 10, 1.7e308 if step == 20 else -1.7e308 if step < 30 else 1.0)
    assert watch.slope_per_s() == pytest.approx(0.0)


def test_a_window_holds_a_bounded_number_of_points_and_says_so() -> None:
    watch = rate(window_s=3_000)
    for step in range(POINTS_MAX + 10):
        watch.update(step, 0.0)
    assert watch.shortened == 10


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2 * S), st.floats(-1e6, 1e6)), min_size=10, max_size=80))
def test_running_sums_agree_with_the_formula(steps: list[tuple[int, float]]) -> None:
    watch = rate(per_s=1e9)
    at_ns = 1_760_000_000 * S
    for step_ns, value in steps:
        at_ns += step_ns
        watch.update(at_ns, value)
    points = watch.snapshot()["points"]
    slope = watch.slope_per_s()
    if slope is not None:
        times = [(at - points[0][0]) / S for at, _ in points]
        values = [value for _, value in points]
        middle_t = math.fsum(times) / len(times)
        expected = math.fsum((t - middle_t) * v for t, v in zip(times, values, strict=True))
        expected /= math.fsum((t - middle_t) ** 2 for t in times)
        assert slope == pytest.approx(expected, rel=1e-6, abs=1e-3)


def test_a_restored_rate_goes_on_with_its_window() -> None:
    whole, first = rate(per_s=1000.0), rate(per_s=1000.0)
    points = [(step * S // 10, step * step / 50) for step in range(60)]
    for at_ns, value in points:
        whole.update(at_ns, value)
    for at_ns, value in points[:30]:
        first.update(at_ns, value)
    second = rate(per_s=1000.0)
    second.restore(first.snapshot())
    for at_ns, value in points[30:]:
        second.update(at_ns, value)
    assert second.slope_per_s() == pytest.approx(whole.slope_per_s())


def test_silence_is_raised_once_and_cleared_by_the_next_arrival() -> None:
    watch = StaleWatch(Stale(10 * S, Severity.WARNING, "no_data"))
    assert watch.tick(19 * S, last_ns=10 * S) is None
    raised = watch.tick(20 * S, last_ns=10 * S)
    assert raised is not None
    assert (raised.change, raised.at_ns, raised.text) == (Change.RAISED, 20 * S, "no good value for 10 s")
    assert watch.tick(21 * S, last_ns=10 * S) is None
    cleared = watch.arrived(25 * S)
    assert cleared is not None
    assert (cleared.change, cleared.raised_at_ns) == (Change.CLEARED, 20 * S)
