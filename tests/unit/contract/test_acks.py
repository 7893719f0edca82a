"""The ack tracker against a list of ticks."""

from hypothesis import given
from hypothesis import strategies as st

from fieldline.client.acks import AckTracker

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 3)),
        st.tuples(st.just("again"), st.integers(0, 60)),
        st.tuples(st.just("done"), st.integers(0, 30)),
        st.tuples(st.just("through"), st.integers(0, 30)),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_cursor_stands_before_the_first_delivery_that_is_not_done(steps: list[tuple[str, int]]) -> None:
    tracker = AckTracker()
    added: list[int] = []
    done: set[int] = set()
    offset = -1

    def cursor() -> int:
        run = -1
        for one in added:
            if one not in done:
                break
            run = one
        return run

    for step, number in steps:
        before = cursor()
        if step == "add":
            offset += number
            added.append(offset)
            assert tracker.add(offset)
        elif step == "again":
            assert not tracker.add(min(number, offset))
        elif added:
            one = added[number % len(added)]
            done |= {one} if step == "done" else {each for each in added if each <= one}
            moved = tracker.done(one) if step == "done" else tracker.done_through(one)
            assert moved == (cursor() > before)
        assert tracker.up_to == cursor()
        assert len(tracker) == len([one for one in added if one > cursor()])
    for one in added:
        tracker.done(one)
    assert len(tracker) == 0
    assert not tracker._done  # nothing is kept of what is over


def test_acks_in_any_order_move_the_cursor_over_unbroken_runs_only() -> None:
    tracker = AckTracker()
    for offset in (3, 7, 9):
        tracker.add(offset)
    assert not tracker.done(9)
    assert not tracker.done(7)
    assert tracker.done(3)
    assert tracker.up_to == 9
    assert not tracker.done(3)
