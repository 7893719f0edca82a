"""What happens at the spool's bounds, and how fast a backlog may go: pure rules."""

from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.spool.bounds import Pause, WhenFull, older_than_ns, thin_range
from fieldline_edge.spool.rate import Allowance
from fieldline_edge.spool.room import drop_first

YEAR_2026_NS = 1_767_225_600 * 10**9


def test_just_enough_of_the_oldest_is_dropped() -> None:
    rows = [(1, 100), (2, 100), (3, 100)]

    assert drop_first(rows, 150) == [1, 2]
    assert drop_first(rows, 10_000) == [1, 2, 3]
    assert drop_first([], 1) == []


def test_polling_pauses_below_the_bound_and_resumes_only_when_there_is_room_again() -> None:
    pause = Pause(WhenFull.STOP_POLLING)

    assert not pause.look(used_bytes=90, bound_bytes=100)
    assert pause.look(used_bytes=95, bound_bytes=100)
    assert pause.look(used_bytes=90, bound_bytes=100)
    assert not pause.look(used_bytes=80, bound_bytes=100)


def test_other_policies_never_pause() -> None:
    assert not Pause(WhenFull.DROP_OLDEST).look(used_bytes=200, bound_bytes=100)
    assert not Pause(WhenFull.THIN_OUT).look(used_bytes=200, bound_bytes=100)


def test_without_a_bound_by_age_nothing_is_too_old() -> None:
    assert older_than_ns(now_ns=YEAR_2026_NS, age_s_max=None) is None


def test_what_a_clock_stamped_that_was_never_set_is_not_judged_by_age() -> None:
    found = older_than_ns(now_ns=YEAR_2026_NS, age_s_max=3600)

    assert found is not None
    assert found[1] == YEAR_2026_NS - 3600 * 10**9
    assert found[0] > 10**9 * 3600 * 24 * 365 * 49, "1970 is not old, it is unknown"
    assert older_than_ns(now_ns=5 * 10**9, age_s_max=1) is None


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(0, 1000))
def test_only_the_older_half_is_thinned(thinned_up_to: int, oldest: int, more: int) -> None:
    newest = oldest + more

    after, up_to = thin_range(thinned_up_to=thinned_up_to, oldest=oldest, newest=newest)

    assert oldest - 1 <= after
    assert up_to <= (oldest + newest) // 2


def test_thinning_goes_through_the_older_half_and_then_begins_anew() -> None:
    assert thin_range(thinned_up_to=0, oldest=1, newest=100) == (0, 50)
    assert thin_range(thinned_up_to=20, oldest=1, newest=100) == (20, 50)
    assert thin_range(thinned_up_to=50, oldest=1, newest=100) == (0, 50)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 5000)), min_size=1, max_size=50))
def test_the_mean_of_what_passes_stays_within_the_rate(steps: list[tuple[float, int]]) -> None:
    allowance = Allowance(1000)
    now_s = passed = 0.0
    largest = 0
    for pause_s, size in steps:
        now_s += pause_s
        if allowance.wait_s(now_s) == 0:
            allowance.take(size)
            passed += size
            largest = max(largest, size)

    assert passed <= 1000 * (now_s + 1) + largest


def test_after_the_pause_it_names_something_passes() -> None:
    allowance = Allowance(1000)
    assert allowance.wait_s(0.0) == 0
    allowance.take(3000)

    wait_s = allowance.wait_s(0.0)

    assert 2.0 < wait_s < 2.2
    assert allowance.wait_s(wait_s) == 0


def test_without_a_bound_everything_passes_at_once() -> None:
    allowance = Allowance(None)
    allowance.take(10**12)

    assert allowance.wait_s(0.0) == 0


def test_what_comes_in_meanwhile_passes_on_top() -> None:
    allowance = Allowance(1000)
    allowance.wait_s(0.0)
    allowance.take(1500)
    assert allowance.wait_s(0.0) > 0

    allowance.give(600)

    assert allowance.wait_s(0.0) == 0
