"""Takes readings from the drivers and turns them into frames in the spool."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Iterable, Iterator, Sequence

from fieldline.errors import LimitError
from fieldline.model import Alert, DeviceId, Quality, Reading
from fieldline_edge.batcher import Batch, Batcher
from fieldline_edge.drivers.base import Clock
from fieldline_edge.framing import Framer, frame_alert
from fieldline_edge.spool import Loss, Spool

__all__ = ["Intake"]

log = logging.getLogger(__name__)

# Batches move on together at moments this far apart, as a share of their linger: to wake up costs more than to move on.
_GRID_SHARE = 0.1
_SLICE_S = 0.005  # encoding gives way to the drivers this often, or polls would come late


class Intake:
    """The sink of all drivers. `run` moves batches on when they are due; `flush` moves everything on at once.

    Readings the codec cannot hold, and those pushed out of a full batcher, are counted and told to the hub as
    a gap.
    """

    def __init__(self, batcher: Batcher, spool: Spool, *, clock: Clock, framer: Framer | None = None) -> None:
        self._batcher = batcher
        self._spool = spool
        self._clock = clock
        self._framer = framer or Framer()
        self._sleeps_until_s = float("-inf")
        self._due = asyncio.Event()
        self._told_dropped = 0
        self._moved = asyncio.Event()
        self._held = False
        self._alerts_held: list[Alert] = []
        self.good = self.uncertain = self.bad = 0
        self.not_taken = 0  # readings that came while the spool was full, and polling is to stop then
        self.refused = 0
        self.alerts = self.alerts_refused = 0

    @property
    def waiting(self) -> int:
        """Readings in the batcher."""
        return self._batcher.waiting

    @property
    def paused(self) -> bool:
        """Whether drivers shall not poll: the spool is full, and what they bring now is only counted as missing."""
        return self._spool.is_full

    def skipped(self, readings: int) -> None:
        """A poll was left out because of `paused`; so many readings are missing, and the hub is told."""
        self.not_taken += readings
        self._spool.polled(readings)  # as if they had been taken and dropped, so that the sums go on adding up
        self._spool.lose(Loss(1, readings))

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        """Take readings of one device. Never blocks, never raises."""
        if not readings:
            return
        count = len(readings)
        if self._spool.is_full:
            self.skipped(count)
            return
        doubtful = [reading.quality for reading in readings if reading.quality]
        bad = sum(quality >= Quality.BAD for quality in doubtful)
        good = count - sum(quality >= Quality.UNCERTAIN for quality in doubtful)
        self.good += good
        self.bad += bad
        self.uncertain += count - good - bad
        self._spool.polled(count)
        self._batcher.add(device, readings, self._clock.monotonic())
        due_at_s = self._batcher.due_at_s()
        if due_at_s is not None and not self._held and due_at_s < self._sleeps_until_s:
            self._due.set()

    def rebound(self, *, linger_s: float, readings_max: int, bytes_max: int) -> None:
        """Other bounds of a batch from now on."""
        self._batcher.rebound(linger_s=linger_s, readings_max=readings_max, bytes_max=bytes_max)
        self._due.set()

    def forget(self, devices: Iterable[DeviceId]) -> None:
        """These devices are gone; frame what they left, and keep nothing of them."""
        devices = list(devices)
        if devices:
            self.flush()
        for device in devices:
            self._framer.forget(device)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside, readings gather and no frame is made: every frame with the spool is from before."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            waiting, self._alerts_held = self._alerts_held, []
            for alert in waiting:
                self.alert(alert)
            self._due.set()

    def alert(self, alert: Alert) -> None:
        """Frame and spool an alert at once, ahead of all readings. Never blocks, never raises."""
        if self._held:
            self._alerts_held.append(alert)  # at most two for each alarm: it is held for moments
            return
        try:
            self._spool.put(frame_alert(alert, now_ns=self._clock.time_ns()))
            self.alerts += 1
        except LimitError as error:
            self.alerts_refused += 1
            log.error("alert cannot be encoded and is dropped: %s", error, extra={"alert": alert.message[:200]})

    def hurry(self, device: DeviceId) -> None:
        """Frame and spool what waits of this device as soon as `run` gets its turn."""
        self._batcher.hurry(device)
        self._due.set()

    async def run(self) -> None:
        """Frame and spool what is due, until cancelled."""
        slice_ends_s = self._clock.monotonic() + _SLICE_S
        while True:
            if self._held:
                self._due.clear()
                await self._due.wait()
                continue
            now_s = self._clock.monotonic()
            batch = self._batcher.pop_due(now_s)
            if batch is None:
                await self._until_due(now_s)
            else:
                self._move_on(batch)
                if now_s < slice_ends_s:
                    continue
                await asyncio.sleep(0)
            slice_ends_s = self._clock.monotonic() + _SLICE_S

    def mark(self) -> int:
        """How many readings were taken so far: what to wait for with `safe`."""
        return self._batcher.added

    async def safe(self, mark: int) -> None:
        """Return once the first `mark` readings are on disk, or lost to a bound and counted."""
        while self._batcher.settled < mark:
            self._moved.clear()
            await self._moved.wait()
        await self._spool.committed(self._spool.taken)

    def hurry_all(self) -> None:
        """Do not let what gathers wait for more; it waits on while frames are held."""
        if not self._held:
            self.flush()

    def flush(self) -> None:
        """Frame and spool everything now, due or not."""
        while batch := self._batcher.pop():
            self._move_on(batch)

    async def _until_due(self, now_s: float) -> None:
        due_at_s = self._batcher.due_at_s()
        self._due.clear()
        self._sleeps_until_s = float("inf") if due_at_s is None else due_at_s
        pause_s = None if due_at_s is None else self._on_grid(due_at_s) - now_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._due.wait()
        self._sleeps_until_s = float("-inf")

    def _on_grid(self, at_s: float) -> float:
        """The next moment at which batches move on together."""
        grid_s = self._batcher.linger_s * _GRID_SHARE
        return math.ceil(at_s / grid_s) * grid_s if grid_s else at_s

    def _move_on(self, batch: Batch) -> None:
        framed = self._framer.frame(batch, now_ns=self._clock.time_ns())
        dropped = self._batcher.dropped
        if lost := dropped - self._told_dropped:
            self._told_dropped = dropped
            self._spool.lose(Loss(1, lost))
        if framed.refused:
            if not self.refused:
                log.error("readings cannot be encoded and are dropped: %s", framed.reason)
            self.refused += framed.refused
            self._spool.lose(Loss(1, framed.refused))
        for entry in framed.entries:
            self._spool.put(entry)
        self._moved.set()
