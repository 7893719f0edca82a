"""The ack tracker: what is handed out, what the hub is told. How it fits the hub is in cloud/hub/test_durable.py."""

from hypothesis import given
from hypothesis import strategies as st

from fieldline.client.acks import AckTracker, Nack, News

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 3)),
        st.tuples(st.just("done"), st.integers(0, 30)),
        st.tuples(st.just("through"), st.integers(0, 30)),
        st.tuples(st.just("collect"), st.just(0)),
        st.tuples(st.just("reconnect"), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_hub_hears_of_everything_that_is_done_and_of_nothing_else(steps: list[tuple[str, int]]) -> None:
    tracker = AckTracker()
    added: list[int] = []
    here: list[int] = []
    done: set[int] = set()
    told: set[int] = set()

    def collect() -> None:
        news = tracker.collect()
        told.update(news.done)
        if news.up_to >= 0:
            told.update(one for one in here if one <= news.up_to)
        assert told == done & (set(here) | told)
        assert not tracker.has_news

    offset = -1
    for step, number in steps:
        if step == "add":
            offset += number
            added.append(offset)
            here.append(offset)
            assert tracker.add(offset)
        elif step == "collect":
            collect()
        elif step == "reconnect":  # the hub has not heard of what was not collected, and delivers it again
            tracker.begin_stream()
            here = [one for one in added if one not in told]
            for one in here:
                assert not tracker.add(one), "it is with the application, or was"
        elif added:
            one = added[number % len(added)]
            if step == "done":
                tracker.done(one)
                done.add(one)
            else:
                tracker.done_through(one)
                done |= {each for each in added if each <= one}
        assert len(tracker) == len(set(added) - done)
    tracker.begin_stream()
    here = [one for one in added if one not in told]
    for one in here:
        assert not tracker.add(one)
    for one in added:
        tracker.done(one)
        done.add(one)
    collect()
    assert told == set(added)
    kept = [tracker._state, tracker._here, tracker._run, tracker._done]
    assert not any(kept), "nothing is kept of what is over"


def tracker_with(*offsets: int, group: bool = False) -> AckTracker:
    tracker = AckTracker(group=group)
    for offset in offsets:
        assert tracker.add(offset)
    return tracker


def test_what_is_done_out_of_turn_is_told_by_name_until_the_run_covers_it() -> None:
    tracker = tracker_with(3, 7, 9)
    assert tracker.done(9)
    assert tracker.collect() == News(done=[9])
    assert tracker.done(3)
    assert not tracker.done(3)
    assert tracker.collect() == News(up_to=3)
    tracker.done(7)
    assert tracker.collect() == News(up_to=9)


def test_a_nack_is_told_and_the_run_goes_on_over_it() -> None:
    tracker = tracker_with(1, 2, 3)
    nack = Nack(2, 0.5, (4,), "no room")
    assert tracker.nack(nack)
    assert not tracker.done(2)
    tracker.done(1)
    tracker.done(3)
    assert tracker.collect() == News(up_to=3, nacks=[nack])
    assert tracker.add(2), "it comes again"
    tracker.done(2)
    assert tracker.collect() == News(done=[2]), "out of order: by name"


def test_a_nack_that_was_not_told_is_told_when_the_delivery_comes_again() -> None:
    tracker = tracker_with(1)
    tracker.nack(Nack(1))
    tracker.begin_stream()
    assert tracker.collect() == News()
    assert not tracker.add(1)
    assert tracker.collect() == News(up_to=1, nacks=[Nack(1)])
    assert tracker.add(1)


def test_what_comes_again_on_the_same_stream_is_handed_out_again() -> None:
    tracker = tracker_with(1)
    assert tracker.add(1), "its ack wait is over"
    assert len(tracker) == 1
    assert tracker.is_out(1)
    tracker.done(1)
    assert tracker.collect() == News(up_to=1, done=[1])
    assert not tracker.is_out(1)


def test_in_a_group_a_lower_offset_may_be_news() -> None:
    tracker = tracker_with(5, group=True)
    assert tracker.add(2)
    tracker.done(2)
    tracker.done(5)
    assert tracker.collect() == News(up_to=5, done=[2])
    tracker.begin_stream()
    assert not tracker.add(2), "the hub had not written down that it was done"
    assert tracker.collect() == News(up_to=2)


def test_a_dead_letter_that_is_replayed_is_news_whatever_its_offset() -> None:
    tracker = tracker_with(10)
    assert tracker.add(4, replay=True)
    tracker.done(4)
    assert tracker.collect().done == [4]
    tracker.begin_stream()
    assert not tracker.add(4, replay=True)
