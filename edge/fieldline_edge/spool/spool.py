"""The spool as the rest of the gateway sees it: never blocks the event loop, never fails because of the disk.

`put` takes a frame into memory; `run` writes what has gathered, many frames to one fsync; from then on `read`
finds it. While the disk cannot be written (full, read-only, failing), frames stay in memory up to
`memory_bytes_max`, the oldest are dropped and counted, and writing is tried again with growing pauses.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from fieldline.client.backoff import Backoff
from fieldline.errors import ConfigError
from fieldline_edge.spool import schema
from fieldline_edge.spool.policy import Entry, Hold, Loss, State, Stored, Writing, commit_at_s
from fieldline_edge.spool.store import Store

__all__ = ["Spool"]

log = logging.getLogger(__name__)

_DISK_ERRORS = (sqlite3.Error, OSError)
_REOPEN_AFTER_FAILURES = 3
_READ_RETRY_S = 1.0
_T = TypeVar("_T")


class Spool:
    """Frames on disk until they are acknowledged. One per gateway; one process per file.

    Lifecycle: `await open()`, `run()` as a task, and at the end `await close()`, which writes what is left.
    """

    def __init__(
        self,
        path: Path,
        *,
        bytes_max: int,
        memory_bytes_max: int = 8 << 20,
        commit_ms_max: int = 50,
        clock_s: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
    ) -> None:
        self.path = path
        self.errors = 0  # failed tries to write since the start
        self.failing = ""  # why the disk cannot be written now; empty: it can
        self.commits = 0
        self.taken = 0  # frames put since the start
        self._bytes_max = bytes_max
        self._commit_s_max = commit_ms_max / 1000
        self._clock_s = clock_s
        self._backoff = backoff or Backoff(first_s=0.5, max_s=30.0)
        self._hold = Hold(memory_bytes_max)
        self._polled_before = self._polled = 0
        self._acked = self._sent = 0
        self._safe = 0  # of the frames taken, so many are on disk, or were dropped and counted
        self._ack_since_s: float | None = None
        self._last_commit_s = self._retry_at_s = float("-inf")
        self._failures = 0
        self._changed = asyncio.Event()  # something to write
        self._committed = asyncio.Event()  # something to read, or another epoch
        self._acks = asyncio.Event()
        self._writing = asyncio.Lock()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="spool-write")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="spool-read")
        self._store: Store | None = None
        self._state: State | None = None
        self._lock: IO[bytes] | None = None

    @property
    def state(self) -> State:
        """The numbers as of the last commit."""
        assert self._state is not None, "the spool is not open"
        return self._state

    @property
    def readings_polled(self) -> int:
        """All readings handed to the gateway, over all its lives."""
        return self._polled_before + self._polled

    @property
    def readings_dropped(self) -> int:
        """All readings dropped, over all its lives, with those the file does not know of yet."""
        return self.state.readings_dropped + self._hold.loss.readings

    @property
    def held(self) -> Hold:
        """What waits in memory for the disk; for the metrics."""
        return self._hold

    async def open(self) -> None:
        """Open or create the file; ConfigError if it cannot be used, naming why and what to do."""
        try:
            self._lock = await _result(self._in_writer(partial(schema.lock, self.path)))
            self._store = await _result(self._in_writer(self._open_store))
        except _DISK_ERRORS as error:
            await self.close()
            raise ConfigError(
                f"spool {self.path} cannot be opened: {error}; check spool.path, its permissions and the disk"
            ) from error
        except BaseException:
            await self.close()
            raise
        self._state = self._store.state
        self._polled_before = self._state.readings_polled
        self._acked = self._sent = self._state.acked_sequence

    async def close(self) -> None:
        """Write what waits, if the disk takes it, and let the file go. May be called twice."""
        if self._store is not None:
            if len(self._hold) or self._ack_since_s is not None:
                await self.flush()
            if self._hold.readings:
                log.error("%d readings in memory could not be written and are lost", self._hold.readings)
            store, self._store = self._store, None
            await _result(self._in_writer(store.close))
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self._writer.shutdown(wait=False)
        self._reader.shutdown(wait=False)

    def put(self, entry: Entry) -> None:
        """Take a frame; it is safe after the next commit.

        Never blocks, never fails; bounded as the module says.
        """
        self._hold.put(entry)
        self.taken += 1
        self._changed.set()

    def rebound(self, *, bytes_max: int, memory_bytes_max: int, commit_ms_max: int) -> None:
        """Other bounds from now on; a file or a memory that is over them shrinks with the next commit or frame."""
        self._bytes_max = bytes_max
        self._commit_s_max = commit_ms_max / 1000
        self._hold.rebound(memory_bytes_max)
        if self._store is not None:
            self._store.rebound(bytes_max)
        self._changed.set()

    async def committed(self, taken: int) -> None:
        """Return once the first `taken` frames put since the start are on disk, or dropped and counted."""
        while self._safe < taken:
            self._committed.clear()
            await self._committed.wait()

    def lose(self, loss: Loss) -> None:
        """Note readings that were dropped on the way here; the next frame's gap will tell the hub."""
        self._hold.lose(loss)

    def polled(self, readings: int) -> None:
        """Count readings taken from devices; stored with the next commit."""
        self._polled += readings

    def acknowledge(self, sequence: int) -> None:
        """The hub holds everything up to `sequence`: trimmed with the next commit, within about a second."""
        if sequence <= self._acked:
            return
        self._acked = sequence
        if self._ack_since_s is None:
            self._ack_since_s = self._clock_s()
        self._changed.set()
        self._acks.set()

    async def drained(self) -> None:
        """Return once the hub has acknowledged every frame in the file."""
        while self._acked < self.state.last_frame:
            self._acks.clear()
            await self._acks.wait()

    def resumed(self, sequence: int) -> None:
        """A new connection starts after `sequence`: what was sent before and not taken is no longer under way."""
        self._sent = sequence

    async def read(self, after: int, *, frames_max: int, bytes_max: int) -> list[Stored]:
        """Committed frames after a sequence, in order; at least one if there is any.

        Frames found damaged become a gap. Empty while the disk cannot be read.
        """
        while self._store is not None:
            read = partial(self._store.read, after, frames_max=frames_max, bytes_max=bytes_max)
            try:
                found, damaged = await _result(self._in_reader(read))
                if not damaged:
                    self._sent = max(self._sent, found[-1].sequence if found else 0)
                    return found
                log.error("damaged frames in the spool were dropped", extra={"frames": len(damaged)})
                await self._write(partial(self._store.discard, damaged))
            except _DISK_ERRORS as error:
                await self._read_failed(error)
                return []
        return []

    async def _read_failed(self, error: Exception) -> None:
        async with self._writing:
            self._failed(error)
            if schema.is_corruption(error):
                await self._reopen(error)
                return
        await asyncio.sleep(_READ_RETRY_S)

    async def wait(self, after: int) -> None:
        """Return once a frame after `after` is committed, or the epoch has changed."""
        epoch = self.state.epoch
        while self.state.last_frame <= after and self.state.epoch == epoch:
            self._committed.clear()
            await self._committed.wait()

    async def renew_epoch(self) -> bool:
        """Start a new identity for the numbering, because the hub knows more frames of this one than we do.

        False if the disk did not take it: the old one goes on.
        """
        store = self._store
        assert store is not None, "the spool is not open"
        try:
            await self._write(store.renew_epoch)
        except _DISK_ERRORS as error:
            self._failed(error)
            return False
        return True

    async def shift_times(self, first: int, last: int, offset_ns: int) -> bool:
        """Frames `first` to `last` were made so much later than their `at_ns` says: correct it. The frames stay.

        False if the disk did not take it: their age is then judged wrong.
        """
        store = self._store
        assert store is not None, "the spool is not open"
        try:
            await self._write(partial(store.shift_times, first, last, offset_ns))
        except _DISK_ERRORS as error:
            self._failed(error)
            return False
        return True

    async def run(self) -> None:
        """Commit what gathers, until cancelled. A commit under way is finished first."""
        while True:
            await self._until_due()
            await self.flush()

    async def flush(self) -> bool:
        """Commit now what waits; False if the disk did not take it."""
        async with self._writing:
            if self._store is None:
                return False
            if self._failures >= _REOPEN_AFTER_FAILURES and not await self._reopen():
                return False
            taken = self.taken
            entries, loss = self._hold.take()
            acked = min(self._acked, self.state.next_sequence - 1)
            writing = Writing(entries, loss, self.readings_polled, acked, self._sent)
            ack_since_s, self._ack_since_s = self._ack_since_s, None
            job = self._in_writer(partial(self._store.commit, writing))
            cancelled = await _wait_for(job)
            error = job.exception()
            if error is None:
                self._hold.done()
                self._safe = taken
                self._succeeded(job.result())
            else:
                self._hold.give_back()
                self._ack_since_s = ack_since_s
                self._failed(error)
                if schema.is_corruption(error):
                    await self._reopen(error)
            if cancelled:
                raise asyncio.CancelledError
            return error is None

    async def _until_due(self) -> None:
        while True:
            self._changed.clear()
            at_s = commit_at_s(
                holds=len(self._hold) > 0,
                ack_since_s=self._ack_since_s,
                last_commit_s=self._last_commit_s,
                commit_s_max=self._commit_s_max,
                retry_at_s=self._retry_at_s,
            )
            pause_s = None if at_s is None else at_s - self._clock_s()
            if pause_s is not None and pause_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()

    def _succeeded(self, state: State) -> None:
        self.commits += 1
        self._last_commit_s = self._clock_s()
        self._publish(state)
        if self.failing:
            log.info("spool can be written again", extra={"readings_dropped": self._hold.dropped.readings})
            self.failing = ""
        if self._failures:
            self._failures = 0
            self._retry_at_s = float("-inf")
            self._backoff.reset()

    def _failed(self, error: BaseException) -> None:
        """Count a failure and set the pause before the next try. What is no trouble of the disk rises."""
        if not isinstance(error, _DISK_ERRORS):
            raise error
        self.errors += 1
        self._failures += 1
        self._retry_at_s = self._clock_s() + self._backoff.next_pause_s()
        if not self.failing:
            self.failing = str(error)
            log.error("spool cannot be written: %s; holding %d readings in memory", error, self._hold.readings)

    async def _reopen(self, corrupt: BaseException | None = None) -> bool:
        """Open the file again; False if that fails too.

        A missing or corrupt one is replaced by a new one, new epoch.
        """

        def reopen(store: Store) -> Store:
            store.close()
            if corrupt is not None:
                schema.quarantine(self.path, str(corrupt))
            return self._open_store()

        assert self._store is not None, "only an open spool is opened again"
        try:
            self._store = await _result(self._in_writer(partial(reopen, self._store)))
        except _DISK_ERRORS as error:
            self._failures = max(self._failures, _REOPEN_AFTER_FAILURES)
            self._failed(error)
            return False
        self._publish(self._store.state)
        return True

    def _publish(self, state: State) -> None:
        if self._state is not None and state.epoch != self._state.epoch:
            self._acked = self._sent = state.acked_sequence
        self._state = state
        self._committed.set()

    def _open_store(self) -> Store:
        return Store.open(self.path, bytes_max=self._bytes_max)

    async def _write(self, job: Callable[[], State]) -> None:
        async with self._writing:
            self._publish(await _result(self._in_writer(job)))

    def _in_writer(self, job: Callable[[], _T]) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._writer, job)

    def _in_reader(self, job: Callable[[], _T]) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._reader, job)


async def _wait_for(job: asyncio.Future[_T]) -> bool:
    """Wait for the end of a job in a thread, come what may: a commit that happened must not be forgotten.

    True if cancelled meanwhile: the caller settles the job first and raises CancelledError then.
    """
    cancelled = False
    while not job.done():
        try:
            await asyncio.wait((job,))
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


async def _result(job: asyncio.Future[_T]) -> _T:
    """What the job returns or raises. Cancellation waits for its end."""
    if await _wait_for(job):
        raise asyncio.CancelledError
    return job.result()
