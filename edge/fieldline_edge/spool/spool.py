"""The spool as the rest of the gateway sees it: never blocks the event loop, never fails because of the disk.

`put` takes a frame into memory; `run` writes what has gathered, many frames to one fsync; from then on `read`
finds it, lane by lane (see lanes). While the disk cannot be written (full, read-only, failing), frames stay in memory
up to `memory_bytes_max`, the oldest are dropped and counted, and writing is tried again with growing pauses.
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
from fieldline_edge.spool.bounds import Bounds, Pause
from fieldline_edge.spool.lanes import DrainOrder, Lane, open_lane
from fieldline_edge.spool.policy import ACK_WAIT_S, Committed, Entry, Hold, Loss, State, Stored, Writing, commit_at_s
from fieldline_edge.spool.progress import Progress
from fieldline_edge.spool.recent import Recent
from fieldline_edge.spool.rolling import Rolling
from fieldline_edge.spool.store import Store
from fieldline_edge.spool.threads import settled, wait_for

__all__ = ["Spool"]

log = logging.getLogger(__name__)

_DISK_ERRORS = (sqlite3.Error, OSError)
_REOPEN_AFTER_FAILURES = 3
_READ_RETRY_S = 1.0
# Frames that the hub has are deleted this often: each deletion touches pages that the next one touches again.
_TRIM_EVERY_S = 0.5
_OLD_EVERY_S = 1.0
_RECENT_BYTES_MAX = 512 << 10
_T = TypeVar("_T")


class Spool:
    """Frames on disk until they are acknowledged. One per gateway; one process per file.

    Lifecycle: `await open()`, `run()` as a task, and at the end `await close()`, which writes what is left.
    """

    def __init__(
        self,
        path: Path,
        *,
        bounds: Bounds,
        memory_bytes_max: int = 8 << 20,
        commit_ms_max: int = 50,
        drain: DrainOrder = DrainOrder.IN_ORDER,
        clock_s: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = time.time_ns,
        backoff: Backoff | None = None,
    ) -> None:
        self.path = path
        self.errors = 0  # failed tries to write since the start
        self.failing = ""  # why the disk cannot be written now; empty: it can
        self.commits = 0
        self.put_bytes = 0  # bytes of frames taken since the start
        self.drain = drain
        self.pause = Pause(bounds.when_full)
        self._bounds = bounds
        self.taken = 0  # frames put since the start
        self._commit_s_max = commit_ms_max / 1000
        self._clock_s = clock_s
        self._time_ns = time_ns
        self._backoff = backoff or Backoff(first_s=0.5, max_s=30.0)
        self._hold = Hold(memory_bytes_max)
        self._polled_before = self._polled = 0
        self._progress = Progress()
        self._recent = Recent(_RECENT_BYTES_MAX)
        self._rolling = Rolling(drain, bytes_max=bounds.bytes_max)
        self._last_trim_s = self._last_old_s = float("-inf")
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

    @property
    def bytes_written(self) -> int:
        """What was written to the disk since the start, estimated by the pages that commits changed."""
        return self._store.bytes_written if self._store is not None else 0

    @property
    def is_full(self) -> bool:
        """Whether polling shall pause, because the spool is at its bound and the policy is to stop."""
        return self.pause.is_on

    async def open(self) -> None:
        """Open or create the file; ConfigError if it cannot be used, naming why and what to do."""
        try:
            self._lock = await settled(self._in_writer(partial(schema.lock, self.path)))
            self._store = await settled(self._in_writer(self._open_store))
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
        self._rolling.lost(self._clock_s())
        self._recent.clear()
        self._rolling.asked = self.drain is DrainOrder.NEWEST_FIRST and self._state.frames > 0
        self._look_at_bound()
        if self._rolling.asked:  # before anything is sent: what waits must not come ahead of what is read now
            await self.flush()

    async def close(self) -> None:
        """Write what waits, if the disk takes it, and let the file go. May be called twice."""
        if self._store is not None:
            if len(self._hold) or self._ack_since_s is not None:
                await self.flush()
            if self._hold.readings:
                log.error("%d readings in memory could not be written and are lost", self._hold.readings)
            store, self._store = self._store, None
            await settled(self._in_writer(store.close))
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self._writer.shutdown(wait=False)
        self._reader.shutdown(wait=False)

    def put(self, entry: Entry) -> None:
        """Take a frame; it is safe after the next commit.

        Never blocks, never fails; bounded as the module says.
        """
        self.put_bytes += len(entry.frame)
        self._rolling.put(len(entry.frame))
        self._hold.put(entry)
        self.taken += 1
        self._changed.set()

    def rebound(self, *, bounds: Bounds, memory_bytes_max: int, commit_ms_max: int) -> None:
        """Other bounds from now on; a file or a memory that is over them shrinks with the next commit or frame."""
        self._bounds = bounds
        self.pause.rebound(bounds.when_full)
        self._commit_s_max = commit_ms_max / 1000
        self._hold.rebound(memory_bytes_max)
        if self._store is not None:
            self._store.rebound(bounds)
        self._changed.set()

    async def committed(self, taken: int) -> None:
        """Return once the first `taken` frames put since the start are on disk, or dropped and counted."""
        while self._safe < taken:
            await self._next_commit()

    def lose(self, loss: Loss) -> None:
        """Note readings that were dropped on the way here; the next frame's gap will tell the hub."""
        self._hold.lose(loss)
        if self._ack_since_s is None:
            self._ack_since_s = self._clock_s()  # no news worth an fsync of its own either
        self._changed.set()

    def polled(self, readings: int) -> None:
        """Count readings taken from devices; stored with the next commit."""
        self._polled += readings

    def lane(self, number: int) -> Lane | None:
        """The lane of that number; None if the hub has all of it."""
        return next((lane for lane in self.state.lanes if lane.number == number), None)

    def next_id(self, lane: Lane) -> int:
        """The id that the next frame of an open lane gets."""
        return self.state.urgent_next if lane.is_urgent else self.state.next_sequence

    def is_done(self, lane: Lane) -> bool:
        """Whether a closed lane has nothing left that the hub lacks."""
        return self._progress.is_done(lane)

    def next_lane(self) -> Lane:
        """The lane of readings that goes now: in order, the oldest; newest first, the open one."""
        if self.drain is DrainOrder.IN_ORDER and (waiting := self._progress.waiting(self.state.lanes)):
            return waiting[0]
        return open_lane(self.state.lanes)

    async def backlog_lane(self) -> Lane:
        """Wait for a closed lane, and return the newest: what is sent beside the open one."""
        while not (waiting := self._progress.waiting(self.state.lanes)):
            await self._next_commit()
        return waiting[-1]

    async def urgent_lane(self) -> Lane:
        """Wait until there are alarms, and return their lane."""
        while (lane := self._progress.urgent(self.state)) is None:
            await self._next_commit()
        return lane

    def _lane(self, number: int | None) -> Lane | None:
        return open_lane(self.state.lanes) if number is None else self.lane(number)

    async def _next_commit(self) -> None:
        self._committed.clear()
        await self._committed.wait()

    def acknowledge(self, id_: int, *, lane: int | None = None) -> None:
        """The hub holds a lane (the open one) up to an id: trimmed with a commit within about a second."""
        of = self._lane(lane)
        if of is None or not self._progress.acknowledge(of, id_):
            return
        if of.last is None and not of.is_urgent:
            self._recent.forget(id_)
        if self._ack_since_s is None:
            self._ack_since_s = self._clock_s()
        self._changed.set()
        self._acks.set()

    async def drained(self) -> None:
        """Return once the hub has acknowledged every frame in the file."""
        while not self._progress.is_drained(self.state):
            self._acks.clear()
            await self._acks.wait()

    def resumed(self, id_: int, *, lane: int | None = None) -> None:
        """A new connection starts after `id_`: what was sent before and not taken is no longer under way."""
        if (of := self._lane(lane)) is not None:
            self._progress.resumed(of, id_)

    def link_lost(self) -> None:
        """The hub is away from now on."""
        self._rolling.lost(self._clock_s())
        self._recent.clear()

    async def link_is_back(self) -> bool:
        """The hub is there. True if fresh frames go ahead of what waits: the open lane is another one from now on."""
        if not self._rolling.on_return(self._clock_s(), unsent=self._progress.has_unsent(self.state)):
            self._rolling.back()
            return False
        before = open_lane(self.state.lanes).number
        self._rolling.asked = True
        if not await self.flush():
            return False
        self._rolling.back()
        return open_lane(self.state.lanes).number != before

    async def read(self, after: int, *, frames_max: int, bytes_max: int, lane: int | None = None) -> list[Stored]:
        """Committed frames of a lane (the open one) after an id, in order; at least one if there is any.

        Frames found damaged become a gap. Empty while the disk cannot be read, and for a lane that is done with.
        """
        while self._store is not None:
            of = self._lane(lane)
            if of is None:
                return []
            found: list[Stored] | None = None
            if of.last is None and not of.is_urgent:
                found = self._recent.after(after, frames_max=frames_max, bytes_max=bytes_max)
            if found is None:
                found = await self._read_file(of, after, frames_max, bytes_max)
            if found is not None:
                if found:
                    self._progress.sent(of, found[-1].sequence)
                return found
        return []

    async def _read_file(self, lane: Lane, after: int, frames_max: int, bytes_max: int) -> list[Stored] | None:
        """None: something was damaged, and is to be read again."""
        assert self._store is not None
        read = partial(self._store.read, after, frames_max=frames_max, bytes_max=bytes_max, lane=lane.number)
        try:
            found, damaged = await settled(asyncio.get_running_loop().run_in_executor(self._reader, read))
            if not damaged:
                return found
            log.error("damaged frames in the spool were dropped", extra={"rows": len(damaged)})
            await self._write(partial(self._store.discard, damaged))
        except _DISK_ERRORS as error:
            await self._read_failed(error)
            return []
        return None

    async def _read_failed(self, error: Exception) -> None:
        async with self._writing:
            self._failed(error)
            if schema.is_corruption(error):
                await self._reopen(error)
                return
        await asyncio.sleep(_READ_RETRY_S)

    async def wait(self, after: int, *, lane: int | None = None) -> None:
        """Return once a frame of the lane (the open one) after an id is committed, or anything else has changed."""
        of = self._lane(lane)
        if of is not None and of.last is not None:
            await self._next_commit()
            return
        epoch = of.epoch if of is not None else 0
        while of is not None and of.last is None and of.epoch == epoch and self._last_of(of) <= after:
            await self._next_commit()
            of = self.lane(of.number)

    def _last_of(self, lane: Lane) -> int:
        return self.state.last_urgent if lane.is_urgent else self.state.last_frame

    async def renew_epoch(self, lane: int | None = None) -> bool:
        """Start a new identity for a lane, because the hub knows more of it than we do; False: the disk failed."""
        assert self._store is not None, "the spool is not open"
        of = self._lane(lane)
        if of is None or not await self._try(partial(self._store.renew_epoch, of)):
            return False
        self._progress.forget(of)
        return True

    async def shift_times(self, first: int, last: int, offset_ns: int) -> bool:
        """Frames `first` to `last` were made so much later than their `at_ns` says; False if the disk failed."""
        assert self._store is not None, "the spool is not open"
        return await self._try(partial(self._store.shift_times, first, last, offset_ns))

    async def _try(self, job: Callable[[], Committed]) -> bool:
        try:
            await self._write(job)
        except _DISK_ERRORS as error:
            self._failed(error)
            return False
        return True

    async def run(self) -> None:
        """Commit what gathers, until cancelled. A commit under way is finished first."""
        while True:
            await self._until_due()
            now_s = self._clock_s()
            ack_is_due = self._ack_since_s is not None and now_s - self._ack_since_s >= ACK_WAIT_S
            await self.flush(trim=ack_is_due or now_s - self._last_trim_s >= _TRIM_EVERY_S)

    async def flush(self, *, trim: bool = True) -> bool:
        """Commit now what waits, and (`trim`) delete what the hub has; False if the disk did not take it."""
        async with self._writing:
            if self._store is None:
                return False
            if self._failures >= _REOPEN_AFTER_FAILURES and not await self._reopen():
                return False
            taken = self.taken
            entries, loss = self._hold.take()
            writing = self._writing_of(entries, loss, trim=trim)
            ack_since_s = self._ack_since_s
            if trim:
                self._ack_since_s = None
            job = self._in_writer(partial(self._store.commit, writing))
            cancelled = await wait_for(job)
            error = job.exception()
            if error is None:
                self._hold.done()
                self._safe = taken
                self._succeeded(job.result(), writing)
            else:
                self._hold.give_back()
                self._ack_since_s = ack_since_s
                self._failed(error)
                if schema.is_corruption(error):
                    await self._reopen(error)
            if cancelled:
                raise asyncio.CancelledError
            return error is None

    def _writing_of(self, entries: list[Entry], loss: Loss, *, trim: bool) -> Writing:
        now_s = self._clock_s()
        if trim:
            self._last_trim_s = now_s
        look = self._bounds.age_s_max is not None and now_s - self._last_old_s >= _OLD_EVERY_S
        if look:
            self._last_old_s = now_s
        return Writing(
            entries=entries,
            loss=loss,
            readings_polled=self.readings_polled,
            acked=self._progress.news(self.state) if trim else {},
            in_flight=self._progress.in_flight(self.state.lanes),
            roll=self._rolling.is_due(now_s, unsent=self._progress.has_unsent(self.state)),
            now_ns=self._time_ns() if look else None,
        )

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

    def _succeeded(self, committed: Committed, writing: Writing) -> None:
        self.commits += 1
        self._last_commit_s = self._clock_s()
        if writing.roll:
            self._rolling.rolled(self._hold.bytes)
        self._publish(committed)
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
                return Store.begin_anew(self.path, str(corrupt), bounds=self._bounds)
            return self._open_store()

        assert self._store is not None, "only an open spool is opened again"
        try:
            self._store = await settled(self._in_writer(partial(reopen, self._store)))
        except _DISK_ERRORS as error:
            self._failures = max(self._failures, _REOPEN_AFTER_FAILURES)
            self._failed(error)
            return False
        self._progress = Progress()
        self._recent.clear()
        self._publish(Committed(self._store.state))
        return True

    def _publish(self, committed: Committed) -> None:
        if committed.dropped_up_to:
            self._recent.clear_up_to(committed.dropped_up_to)
        if not self._rolling.is_away:  # what a hub that is back asks for first is older
            self._recent.add(committed.appended)
        self._state = committed.state
        self._progress.keep(committed.state.lanes)
        self._look_at_bound()
        self._committed.set()

    def _look_at_bound(self) -> None:
        if self._store is not None:
            self.pause.look(used_bytes=self._store.used_bytes, bound_bytes=self._store.bound)

    def _open_store(self) -> Store:
        return Store.open(self.path, bounds=self._bounds)

    async def _write(self, job: Callable[[], Committed]) -> None:
        async with self._writing:
            self._publish(await settled(self._in_writer(job)))

    def _in_writer(self, job: Callable[[], _T]) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._writer, job)
