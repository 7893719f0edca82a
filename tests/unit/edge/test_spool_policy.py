from hypothesis import given
from hypothesis import strategies as st

from fieldline.v1 import hub_pb2
from fieldline_edge.spool.policy import (
    NO_LOSS,
    Entry,
    Hold,
    Loss,
    Stored,
    bound_bytes,
    commit_at_s,
    vacuum_pages,
    with_gap,
    with_sequence,
)


def entry(size: int = 100, readings: int = 1) -> Entry:
    return Entry(b"x" * size, readings, 0)


@given(st.integers(1, 2**63), st.integers(0, 2**40), st.integers(0, 2**40))
def test_fields_joined_on_by_bytes_read_back_as_set(sequence: int, gap: int, missing: int) -> None:
    plain = hub_pb2.Frame(topic="readings/a/b/c", count=3, body=b"body").SerializeToString()

    numbered = with_sequence(plain, sequence)
    sent = with_gap(Stored(sequence, sequence - gap - 1, numbered, missing))

    frame = hub_pb2.Frame.FromString(sent)
    assert (frame.topic, frame.count, frame.body, frame.sequence) == ("readings/a/b/c", 3, b"body", sequence)
    assert (frame.skipped_frames, frame.skipped_count) == ((gap, missing) if gap else (0, 0))


def test_frames_that_follow_closely_share_a_commit() -> None:
    def due(
        holds: bool = True, ack: float | None = None, last: float = float("-inf"), retry: float = float("-inf")
    ) -> float | None:
        return commit_at_s(holds=holds, ack_since_s=ack, last_commit_s=last, commit_s_max=0.05, retry_at_s=retry)

    assert due() == float("-inf")  # after a quiet spell: at once
    assert due(last=10.0) == 10.05
    assert due(last=10.0, retry=12.0) == 12.0
    assert due(holds=False) is None
    assert due(holds=False, ack=10.0) == 11.0


def test_a_held_frame_that_was_written_is_gone_and_one_that_was_not_comes_back_first() -> None:
    hold = Hold(1000)
    hold.put(entry(10, readings=1))

    taken, _ = hold.take()
    hold.put(entry(20, readings=2))
    hold.give_back()
    again, _ = hold.take()
    hold.done()

    assert [one.readings for one in taken] == [1]
    assert [one.readings for one in again] == [1, 2]
    assert (len(hold), hold.bytes, hold.readings) == (0, 0, 0)


def test_a_full_hold_drops_the_oldest_and_counts_them() -> None:
    hold = Hold(250)

    for readings in (1, 2, 3, 4):
        hold.put(entry(100, readings))

    entries, loss = hold.take()
    assert [one.readings for one in entries] == [3, 4]
    assert loss == hold.dropped == Loss(2, 3)


def test_what_is_being_written_is_not_dropped() -> None:
    hold = Hold(250)
    hold.put(entry(100, 1))
    hold.put(entry(100, 2))
    hold.take()

    hold.put(entry(100, 4))
    hold.put(entry(100, 8))
    hold.done()

    entries, loss = hold.take()
    assert [one.readings for one in entries] == [8]
    assert loss == Loss(1, 4)


def test_a_loss_that_was_not_written_is_not_forgotten() -> None:
    hold = Hold(250)
    hold.lose(Loss(1, 7))
    hold.take()
    assert hold.loss == Loss(1, 7)

    hold.give_back()
    assert hold.loss == Loss(1, 7)

    hold.take()
    hold.done()
    assert hold.loss == NO_LOSS


def test_pages_are_given_back_only_when_most_are_free() -> None:
    assert vacuum_pages(used=100, free=500) == 0
    assert vacuum_pages(used=5000, free=4000) == 0
    assert vacuum_pages(used=100, free=4000) == 512


def test_on_a_roomy_disk_the_bound_is_the_one_that_was_set() -> None:
    assert bound_bytes(bytes_max=100 << 20, file_bytes=5 << 20, disk_bytes=8 << 30, left_bytes=4 << 30) == 100 << 20


def test_a_file_stops_growing_before_the_disk_is_full() -> None:
    bound = bound_bytes(bytes_max=100 << 20, file_bytes=30 << 20, disk_bytes=1 << 30, left_bytes=10 << 20)
    assert bound == 32 << 20
    assert bound_bytes(bytes_max=100 << 20, file_bytes=32 << 20, disk_bytes=1 << 30, left_bytes=0) == 32 << 20


def test_a_small_file_may_have_a_megabyte_of_a_full_disk() -> None:
    assert bound_bytes(bytes_max=100 << 20, file_bytes=40_000, disk_bytes=1 << 30, left_bytes=0) == 1 << 20
