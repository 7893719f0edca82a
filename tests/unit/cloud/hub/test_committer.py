"""The writer thread: order, groups, failures. The engine is a list that can be made to wait or to fail."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pytest

from fieldline_cloud.hub.committer import Committer, Lane
from fieldline_cloud.hub.core.marks import DurableMark
from fieldline_cloud.hub.engines.base import Append, Appended, IncomingFrame, ProducerKey, StorageError

DEADLINE_S = 10.0


class ListEngine:
    """Keeps sequences in a list. `gate` holds the next commit; `failures` are raised, one for each commit."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.cursors: dict[str, int] = {}
        self.groups: list[int] = []
        self.failures: list[BaseException] = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def commit(self, appends: Sequence[Append], marks: Mapping[str, DurableMark]) -> list[Appended]:
        self.entered.set()
        assert self.gate.wait(DEADLINE_S)
        if self.failures:
            raise self.failures.pop(0)
        self.groups.append(len(appends))
        self.stored += [frame.sequence for append in appends for frame in append.frames]
        self.cursors.update({name: mark.next_offset for name, mark in marks.items()})
        return [Appended(append.frames[-1].sequence) for append in appends]


class Desk:
    """A committer over a ListEngine, and what its jobs were told."""

    def __init__(self) -> None:
        self.engine = ListEngine()
        self.dispatched: list[int] = []
        self.told: dict[int, Appended | StorageError] = {}
        self.committer = Committer(
            self.engine,  # type: ignore[arg-type]  # a double
            commit_bytes_max=100,
            pending_bytes_max=1000,
            on_committed=lambda results: self.dispatched.extend(one.acked_sequence for one in results),
        )

    def submit(self, number: int, lane: Lane, size: int = 10) -> None:
        frame = IncomingFrame(number, 0, "t", 1, b"")

        def done(outcome: Appended | StorageError) -> None:
            self.told[number] = outcome

        self.committer.submit(Append(ProducerKey("p", 1), [frame]), size, lane, done)

    async def blocked(self) -> None:
        """Wait until a commit is under way, and hold it there."""
        self.engine.entered.clear()
        self.engine.gate.clear()
        self.committer.mark(DurableMark("blocker", 1))
        assert await asyncio.to_thread(self.engine.entered.wait, DEADLINE_S)

    async def settled(self) -> None:
        self.engine.gate.set()
        async with asyncio.timeout(DEADLINE_S):
            await self.committer.call(lambda: None)
        await asyncio.sleep(0)

    @property
    def failed(self) -> list[int]:
        return [number for number, outcome in self.told.items() if isinstance(outcome, StorageError)]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    desk.engine.gate.set()
    async with asyncio.timeout(DEADLINE_S):
        await desk.committer.close()


async def test_what_gathers_during_a_commit_becomes_one_group(desk: Desk) -> None:
    await desk.blocked()
    for number in range(1, 10):
        desk.submit(number, Lane())
    await desk.settled()
    assert desk.engine.groups == [0, 9]
    assert desk.dispatched == list(desk.told) == desk.engine.stored == list(range(1, 10))
    assert desk.committer.pending_bytes == 0


async def test_groups_end_at_their_bytes(desk: Desk) -> None:
    await desk.blocked()
    for number in range(1, 8):
        desk.submit(number, Lane(), size=40)
    await desk.settled()
    assert desk.engine.groups == [0, 3, 3, 1]


async def test_after_a_failure_nothing_behind_it_on_its_stream_is_stored(desk: Desk) -> None:
    mine, other = Lane(), Lane()
    await desk.blocked()
    desk.engine.failures = [StorageError("cursor"), StorageError("disk full")]
    desk.submit(1, mine, size=100)  # a group of its own, which fails
    desk.submit(2, mine, size=10)
    desk.submit(3, other, size=10)
    desk.submit(4, mine, size=10)
    await desk.settled()
    desk.submit(5, mine)
    await desk.settled()
    assert desk.failed == [1, 2, 4, 5]
    assert desk.engine.stored == desk.dispatched == [3]
    desk.submit(1, Lane())  # the stream that follows begins again where the log ends
    await desk.settled()
    assert desk.engine.stored == [3, 1]


async def test_an_unexpected_error_fails_the_group_and_the_writer_lives_on(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.engine.failures = [OverflowError("int too large")]
    desk.submit(1, Lane())
    await desk.settled()
    desk.submit(2, Lane())
    await desk.settled()
    assert desk.failed == [1]
    assert "OverflowError" in str(desk.told[1])
    assert desk.engine.stored == [2]
    assert any(one.exc_info for one in caplog.records)


async def test_a_call_runs_after_what_was_submitted_before_it_and_does_not_wait_for_what_follows(desk: Desk) -> None:
    await desk.blocked()
    for number in range(1, 4):
        desk.submit(number, Lane(), size=100)
    asked = asyncio.ensure_future(desk.committer.call(lambda: list(desk.engine.stored)))
    await asyncio.sleep(0)
    for number in range(4, 30):
        desk.submit(number, Lane(), size=100)
    desk.engine.gate.set()
    assert await asyncio.wait_for(asked, DEADLINE_S) == [1, 2, 3]


async def test_an_error_in_a_call_is_raised_where_it_was_asked_for(desk: Desk) -> None:
    for error in (StorageError("x"), KeyError("y")):

        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error)):
            await desk.committer.call(fail)
    await desk.settled()


async def test_cursors_of_one_group_never_move_back(desk: Desk) -> None:
    await desk.blocked()
    for offset in (5, 9, 7):
        desk.committer.mark(DurableMark("d", offset))
    await desk.settled()
    assert desk.engine.cursors["d"] == 9


async def test_cursors_that_could_not_be_written_are_tried_again(desk: Desk) -> None:
    desk.engine.failures = [StorageError("full"), StorageError("full")]
    desk.committer.mark(DurableMark("d", 5))
    with pytest.raises(StorageError):
        await desk.committer.cursors_safe()
    desk.committer.mark(DurableMark("d", 3))
    async with asyncio.timeout(DEADLINE_S):
        while desk.engine.cursors != {"d": 5}:  # noqa: ASYNC110  # nobody is told when a cursor is written
            await asyncio.sleep(0.01)
    await desk.committer.cursors_safe()
    assert desk.committer.statistics.failures == 2


async def test_room_is_gone_at_the_bound_and_comes_back(desk: Desk) -> None:
    await desk.blocked()
    for number in range(1, 11):
        assert desk.committer.room.is_set()
        desk.submit(number, Lane(), size=100)
    assert not desk.committer.room.is_set()
    await desk.settled()
    assert desk.committer.room.is_set()


async def test_closing_ends_although_nothing_can_be_written() -> None:
    desk = Desk()
    desk.engine.failures = [StorageError("full")] * 100
    desk.committer.mark(DurableMark("d", 5))
    desk.submit(1, Lane())
    async with asyncio.timeout(DEADLINE_S):
        await desk.committer.close()
    await asyncio.sleep(0)
    assert desk.failed == [1]


async def test_a_hub_at_rest_with_a_quick_disk_commits_without_a_hand_over(desk: Desk) -> None:
    for number in range(1, 101):  # it learns how quick the disk is
        desk.submit(number, Lane())
        await desk.settled()
    await asyncio.sleep(0.01)
    desk.submit(101, Lane())
    assert desk.engine.stored[-1] == 101
    assert desk.told[101] == Appended(101)
    assert desk.dispatched[-1] == 101
    desk.submit(102, Lane())
    assert desk.engine.stored[-1] == 101, "under load groups gather in the writer thread"
    await desk.settled()


async def test_a_slow_disk_is_never_waited_for_in_the_event_loop(desk: Desk) -> None:
    desk.committer._usual_commit_s = 0.002
    await asyncio.sleep(0.01)
    desk.submit(1, Lane())
    assert desk.engine.stored == []
    await desk.settled()


async def test_a_commit_that_fails_in_the_event_loop_fails_its_lane_alone(desk: Desk) -> None:
    desk.committer._usual_commit_s = 0.0
    desk.engine.failures = [StorageError("full")]
    lane = Lane()
    await asyncio.sleep(0.01)
    desk.submit(1, lane)
    await asyncio.sleep(0)
    assert isinstance(desk.told[1], StorageError)
    desk.submit(2, lane)
    desk.submit(3, Lane())
    await desk.settled()
    assert isinstance(desk.told[2], StorageError)
    assert desk.told[3] == Appended(3)


async def test_what_comes_before_the_loop_has_heard_of_a_commit_is_passed_on_behind_it(desk: Desk) -> None:
    """The loop was busy for longer than a rest: the writer is done, and its news still waits in the loop's queue."""
    desk.committer._usual_commit_s = 0.0
    lane = Lane()
    desk.submit(1, lane, size=20_000)  # too large to be committed in the loop
    wait_until(lambda: 1 in desk.engine.stored and desk.committer._is_waiting)
    wait_until(lambda: time.monotonic() - desk.committer._last_commit_s > 0.003)

    desk.submit(2, lane)
    await desk.settled()

    assert desk.dispatched[-2:] == [1, 2]


def wait_until(condition: Callable[[], bool]) -> None:
    """Block the event loop, as a busy one is, until it holds."""
    give_up_at_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < give_up_at_s
        time.sleep(0.001)
