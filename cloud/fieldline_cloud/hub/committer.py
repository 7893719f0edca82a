"""The writer thread: takes what has gathered since the last commit and makes it one group with one fsync.

Under light load a frame is committed alone, at once; under heavy load groups grow by themselves, because more gathers
while the disk is busy. Nothing is ever delayed to fill a group.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fieldline_cloud.hub.engines.base import Append, Appended, Engine, StorageError

__all__ = ["Committer", "CommitterStatistics"]

log = logging.getLogger(__name__)

Outcome = Appended | StorageError

# Seconds; a virtual disk commits in 0.2 ms, an SD card in 5 to 100.
COMMIT_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(slots=True)
class CommitterStatistics:
    """Counters since the start; plain numbers, read at scrape time."""

    commits: int = 0
    commit_seconds: float = 0.0
    failures: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BUCKETS_S) + 1))


@dataclass(slots=True)
class _Job:
    append: Append
    size: int
    done: Callable[[Outcome], None]


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
        self._cursors: dict[str, int] = {}
        self._tasks: deque[tuple[Callable[[], object], asyncio.Future[object]]] = deque()
        self._stopping = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="hub-writer", daemon=True)
        self._thread.start()

    def submit(self, append: Append, size: int, done: Callable[[Outcome], None]) -> None:
        """Have frames stored; `done` is called in the event loop with what became of them."""
        self.pending_bytes += size
        if self.pending_bytes >= self._pending_bytes_max:
            self.room.clear()
        with self._wake:
            self._jobs.append(_Job(append, size, done))
            self._wake.notify()

    def move_cursor(self, durable: str, next_offset: int) -> None:
        """Move a cursor with the next group. Several moves before it become one."""
        with self._wake:
            self._cursors[durable] = next_offset
            self._wake.notify()

    async def call(self, work: Callable[[], object]) -> object:
        """Run `work` in the writer thread, after everything submitted so far."""
        future: asyncio.Future[object] = self._loop.create_future()
        with self._wake:
            self._tasks.append((work, future))
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
                while not (self._jobs or self._cursors or self._tasks or self._stopping):
                    self._wake.wait()
                jobs = self._take_jobs()
                cursors, self._cursors = self._cursors, {}
                tasks = [] if self._jobs else list(self._tasks)
                if tasks:
                    self._tasks.clear()
                last = self._stopping and not (jobs or cursors or tasks)
            if last:
                return
            if jobs or cursors:
                self._commit(jobs, cursors)
            for work, future in tasks:
                self._do(work, future)

    def _take_jobs(self) -> list[_Job]:
        taken: list[_Job] = []
        size = 0
        while self._jobs and size < self._commit_bytes_max:
            job = self._jobs.popleft()
            size += job.size
            taken.append(job)
        return taken

    def _commit(self, jobs: list[_Job], cursors: dict[str, int]) -> None:
        began = time.perf_counter()
        outcomes: list[Appended] | StorageError
        try:
            outcomes = self._engine.commit([job.append for job in jobs], cursors)
        except StorageError as error:
            outcomes = error
            with self._wake:  # cursors are tried again with the next group; newer moves win
                self._cursors = {**cursors, **self._cursors} if jobs else self._cursors
        self._observe(time.perf_counter() - began, outcomes)
        self._in_loop(self._finish, jobs, outcomes)

    def _observe(self, seconds: float, outcomes: list[Appended] | StorageError) -> None:
        statistics = self.statistics
        if isinstance(outcomes, StorageError):
            statistics.failures += 1
            if not self._failing:
                log.error("log cannot be written; publishers are told to try again: %s", outcomes)
            self._failing = True
            return
        if self._failing:
            log.warning("log can be written again")
            self._failing = False
        statistics.commits += 1
        statistics.commit_seconds += seconds
        bucket = next((index for index, bound in enumerate(COMMIT_BUCKETS_S) if seconds <= bound), -1)
        statistics.buckets[bucket] += 1

    def _finish(self, jobs: list[_Job], outcomes: list[Appended] | StorageError) -> None:
        self.pending_bytes -= sum(job.size for job in jobs)
        if self.pending_bytes < self._pending_bytes_max:
            self.room.set()
        if isinstance(outcomes, StorageError):
            for job in jobs:
                job.done(outcomes)
            return
        self._on_committed(outcomes)
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.done(outcome)

    def _do(self, work: Callable[[], object], future: "asyncio.Future[object]") -> None:
        try:
            result = work()
        except StorageError as error:
            self._in_loop(_settle, future, None, error)
        else:
            self._in_loop(_settle, future, result, None)

    def _in_loop(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _settle(future: "asyncio.Future[object]", result: object, error: StorageError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
