"""The writer thread: takes what has gathered since the last commit and makes it one group with one fsync.

Under light load a frame is committed alone, at once; under heavy load groups grow by themselves, because more gathers
while the disk is busy. Nothing is ever delayed to fill a group.

A small job that comes to a hub at rest, whose disk has been quick of late, is committed in the event loop's own thread:
handing it over and back takes as long as a quick disk does.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from fieldline_cloud.hub.core.marks import DurableMark
from fieldline_cloud.hub.engines.base import Append, Appended, Engine, StorageError

__all__ = ["Committer", "CommitterStatistics", "Lane"]

log = logging.getLogger(__name__)

Outcome = Appended | StorageError

# Seconds; a virtual disk commits in 0.2 ms, an SD card in 5 to 100.
COMMIT_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# Marks go to the disk with the next frames. Where none come, they are written alone after so long: an fsync for every
# ack would be one the next frame has to wait for.
_MARKS_WAIT_S = 0.02
# A full disk must not become a busy loop: marks wait so long for the next try, unless frames come first.
_MARKS_AGAIN_S = 0.5
# What may be committed in the event loop: so small, on a disk that has been so quick, after so much rest.
_HERE_BYTES_MAX = 16 << 10
_HERE_COMMIT_S_MAX = 0.001
_HERE_REST_S_MIN = 0.002
_SPEED_WEIGHT = 0.1  # of the latest commit in the running mean


@dataclass(slots=True)
class CommitterStatistics:
    """Counters since the start; plain numbers, read at scrape time."""

    commits: int = 0
    commit_seconds: float = 0.0
    failures: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BUCKETS_S) + 1))


class Lane:
    """The jobs of one publish stream, in order. Once one has failed, those behind it fail with it.

    Stored without the one before it, a frame would leave a hole that no resend can fill: the hub would already
    acknowledge past it. Touched by the writer thread alone.
    """

    __slots__ = ("failed",)

    def __init__(self) -> None:
        self.failed: StorageError | None = None


@dataclass(slots=True)
class _Job:
    append: Append
    size: int
    lane: Lane
    done: Callable[[Outcome], None]


@dataclass(slots=True)
class _Task:
    after: int  # jobs submitted before it
    work: Callable[[], object]
    future: "asyncio.Future[object]"


class Committer:
    """Owns the engine's writing side. All public methods belong to the event loop's thread.

    `on_committed` is called in the event loop after every group, with the results in submission order; the `done` of
    each job follows. `pending_bytes` is what waits; `room` is set while that is below the bound.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        commit_bytes_max: int,
        pending_bytes_max: int,
        on_committed: Callable[[list[Appended]], None],
    ) -> None:
        self.statistics = CommitterStatistics()
        self.pending_bytes = 0
        self.room = asyncio.Event()
        self.room.set()
        self._engine = engine
        self._commit_bytes_max = commit_bytes_max
        self._pending_bytes_max = pending_bytes_max
        self._on_committed = on_committed
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._jobs_submitted = 0
        self._jobs_taken = 0
        self._marks: dict[str, DurableMark] = {}
        self._marks_due_s = 0.0
        self._tasks: deque[_Task] = deque()
        self._stopping = False
        self._is_waiting = False  # the thread, for something to do; changed under `_wake`
        self._untold = 0  # groups the thread has committed and the loop does not know of yet; changed under `_wake`
        self._usual_commit_s = 1.0
        self._last_commit_s = 0.0
        self._failure: StorageError | None = None
        self._thread = threading.Thread(target=self._run, name="hub-writer", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str:
        """Why the log cannot be written at the moment, as far as anybody has tried; empty if it can."""
        return str(self._failure or "")

    def submit(self, append: Append, size: int, lane: Lane, done: Callable[[Outcome], None]) -> None:
        """Have frames stored; `done` is called in the event loop with their fate, maybe before this returns."""
        self.pending_bytes += size
        if self.pending_bytes >= self._pending_bytes_max:
            self.room.clear()
        job = _Job(append, size, lane, done)
        if size <= _HERE_BYTES_MAX and self._commit_here(job):
            return
        with self._wake:
            self._jobs.append(job)
            self._jobs_submitted += 1
            self._wake.notify()

    def _commit_here(self, job: _Job) -> bool:
        """Commit in this thread, if the writer rests and the disk is quick; otherwise False, and nothing is done."""
        if self._usual_commit_s > _HERE_COMMIT_S_MAX or time.monotonic() - self._last_commit_s < _HERE_REST_S_MIN:
            return False
        with self._wake:  # free, or held by the writer for a moment: it commits outside of it
            # What the thread has committed is passed on first: out of order, subscribers would miss it.
            if not self._is_waiting or self._untold or self._jobs or self._tasks or self._stopping:
                return False
            marks, self._marks = self._marks, {}
            self._jobs_submitted += 1
            self._jobs_taken += 1
            outcomes = self._commit([job], marks)
        self._finish([job], outcomes)
        return True

    def mark(self, mark: DurableMark) -> None:
        """Have a durable's state written with the next group; of several before that, the last counts.

        Frames that come soon take it with them; otherwise it is written alone after a moment.
        """
        with self._wake:
            if not self._marks:
                self._marks_due_s = max(self._marks_due_s, time.monotonic() + _MARKS_WAIT_S)
                self._wake.notify()
            self._marks[mark.name] = _newer(self._marks.get(mark.name), mark)

    async def cursors_safe(self) -> None:
        """Return once every mark made so far is on disk; raises StorageError if that cannot be done now."""
        await self.call(self._raise_failure)

    async def call(self, work: Callable[[], object]) -> object:
        """Run `work` in the writer thread, after everything submitted so far. Raises what it raises."""
        future: asyncio.Future[object] = self._loop.create_future()
        with self._wake:
            self._tasks.append(_Task(self._jobs_submitted, work, future))
            self._wake.notify()
        return await future

    async def close(self) -> None:
        """Commit what was submitted and end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._is_waiting = True
                self._wait_for_work()
                self._is_waiting = False
                jobs = self._take_jobs()
                marks, self._marks = self._marks, {}
                tasks = self._take_tasks()
                last = self._stopping and not (jobs or marks or tasks)
            if last:
                return
            if jobs or marks:
                outcomes = self._commit(jobs, marks)
                with self._wake:
                    self._untold += 1
                self._in_loop(self._told, jobs, outcomes)
            for task in tasks:
                self._do(task)

    def _wait_for_work(self) -> None:
        while not (self._jobs or self._tasks or self._stopping):
            pause_s = self._marks_due_s - time.monotonic() if self._marks else None
            if pause_s is not None and pause_s <= 0:
                return
            self._wake.wait(pause_s)

    def _take_jobs(self) -> list[_Job]:
        taken: list[_Job] = []
        size = 0
        while self._jobs and size < self._commit_bytes_max:
            job = self._jobs.popleft()
            size += job.size
            taken.append(job)
        self._jobs_taken += len(taken)
        return taken

    def _take_tasks(self) -> list[_Task]:
        taken = []
        while self._tasks and self._tasks[0].after <= self._jobs_taken:
            taken.append(self._tasks.popleft())
        return taken

    def _commit(self, jobs: list[_Job], marks: dict[str, DurableMark]) -> list[Outcome]:
        began = time.perf_counter()
        sound = [job for job in jobs if job.lane.failed is None]
        results: list[Appended] = []
        try:
            if sound or marks:
                results = self._engine.commit([job.append for job in sound], marks)
                self._observe(time.perf_counter() - began)
        except StorageError as error:
            self._failed(sound, marks, error)
        except Exception as error:  # a bug in the engine: whoever waits must hear of it, and the writer must live on
            log.exception("log writer met an unexpected error")
            self._failed(sound, marks, StorageError(f"log cannot be written: unexpected {error!r}; please report it"))
        stored = iter(results)
        return [job.lane.failed or next(stored) for job in jobs]

    def _failed(self, jobs: list[_Job], marks: dict[str, DurableMark], error: StorageError) -> None:
        self.statistics.failures += 1
        if self._failure is None:
            log.error("log cannot be written; publishers are told to try again: %s", error)
        self._failure = error
        for job in jobs:
            job.lane.failed = error
        with self._wake:
            if self._stopping:
                return  # the durables stay where they were: their subscribers will be given something twice
            for mark in marks.values():
                self._marks[mark.name] = _newer(mark, self._marks.get(mark.name))
            self._marks_due_s = time.monotonic() + _MARKS_AGAIN_S

    def _observe(self, seconds: float) -> None:
        if self._failure is not None:
            log.warning("log can be written again")
            self._failure = None
        statistics = self.statistics
        statistics.commits += 1
        statistics.commit_seconds += seconds
        self._usual_commit_s += _SPEED_WEIGHT * (seconds - self._usual_commit_s)
        self._last_commit_s = time.monotonic()
        bucket = next((index for index, bound in enumerate(COMMIT_BUCKETS_S) if seconds <= bound), -1)
        statistics.buckets[bucket] += 1

    def _told(self, jobs: list[_Job], outcomes: list[Outcome]) -> None:
        with self._wake:
            self._untold -= 1
        self._finish(jobs, outcomes)

    def _finish(self, jobs: list[_Job], outcomes: list[Outcome]) -> None:
        """Back in the event loop: pass on what was stored, then tell every publisher."""
        self.pending_bytes -= sum(job.size for job in jobs)
        if self.pending_bytes < self._pending_bytes_max:
            self.room.set()
        self._on_committed([outcome for outcome in outcomes if isinstance(outcome, Appended)])
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.done(outcome)

    def _raise_failure(self) -> None:
        if self._failure is not None and self._marks:
            raise StorageError(str(self._failure))

    def _do(self, task: _Task) -> None:
        try:
            result = task.work()
        except Exception as error:  # noqa: BLE001  # not ours to judge: it is raised where the work was asked for
            self._in_loop(_settle, task.future, None, error)
        else:
            self._in_loop(_settle, task.future, result, None)

    def _in_loop(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _newer(earlier: DurableMark | None, later: DurableMark | None) -> DurableMark:
    """The later mark, with the settings of the earlier one if it brings none of its own. Cursors never move back."""
    if later is None or earlier is None:
        found = later or earlier
        assert found is not None
        return found
    if later.next_offset < earlier.next_offset and not (later.deleted or earlier.deleted):
        return earlier
    return replace(later, settings=earlier.settings) if later.settings is None else later


def _settle(future: "asyncio.Future[object]", result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
