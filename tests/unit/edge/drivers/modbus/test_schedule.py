from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.modbus.schedule import Schedule

NOW_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000


@given(st.text(max_size=20), st.integers(20, 86_400_000), st.integers(0, 2**62))
def test_moments_are_aligned_to_the_clock(name: str, period_ms: int, now_ns: int) -> None:
    schedule = Schedule(name, period_ms=period_ms)
    due = schedule.next_after(now_ns)
    assert 0 < due.at_ns - now_ns <= schedule.period_ns
    assert (due.at_ns - schedule.phase_ns) % schedule.period_ns == 0
    assert 0 <= schedule.phase_ns < schedule.period_ns


def test_the_same_device_keeps_its_phase_after_a_restart() -> None:
    assert Schedule("s/a/pump-1", period_ms=1000).phase_ns == Schedule("s/a/pump-1", period_ms=1000).phase_ns


def test_a_hundred_devices_are_spread_over_the_period() -> None:
    phases = [Schedule(f"s/a/pump-{i}", period_ms=1000).phase_ns for i in range(100)]
    tenths = [sum(1 for p in phases if p * 10 // SECOND_NS == tenth) for tenth in range(10)]
    assert min(tenths) >= 3
    assert max(tenths) <= 20


def test_waking_a_little_early_does_not_give_the_same_moment_twice() -> None:
    schedule = Schedule("x", period_ms=1000)
    first = schedule.next_after(NOW_NS)
    second = schedule.next_after(first.at_ns - 1000)
    assert second.at_ns == first.at_ns + SECOND_NS
    assert second.missed == 0


def test_moments_that_passed_while_busy_are_counted_as_missed() -> None:
    schedule = Schedule("x", period_ms=1000)
    first = schedule.next_after(NOW_NS)
    late = schedule.next_after(first.at_ns + 3 * SECOND_NS + 1)
    assert late.at_ns == first.at_ns + 4 * SECOND_NS
    assert late.missed == 3


def test_a_clock_set_back_an_hour_does_not_stop_the_polling() -> None:
    schedule = Schedule("x", period_ms=1000)
    first = schedule.next_after(NOW_NS)
    after = schedule.next_after(first.at_ns - 3600 * SECOND_NS)
    assert after.at_ns < first.at_ns - 3598 * SECOND_NS
    assert after.missed == 0


def test_a_clock_set_forward_a_year_does_not_count_a_year_of_misses() -> None:
    schedule = Schedule("x", period_ms=1000)
    first = schedule.next_after(NOW_NS)
    assert schedule.next_after(first.at_ns + 365 * 86_400 * SECOND_NS).missed == 0


def test_late_is_more_than_a_tenth_of_the_period() -> None:
    schedule = Schedule("x", period_ms=1000)
    assert not schedule.is_late(NOW_NS, NOW_NS + SECOND_NS // 10)
    assert schedule.is_late(NOW_NS, NOW_NS + SECOND_NS // 10 + 1)


def test_a_given_phase_is_kept() -> None:
    schedule = Schedule("x", period_ms=1000, phase_ms=250)
    assert schedule.next_after(NOW_NS).at_ns % SECOND_NS == 250_000_000
