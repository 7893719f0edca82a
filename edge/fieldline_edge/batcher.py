"""Gathers the readings of each device until a batch is worth sending. Pure: the time is handed in.

A batch is due when its oldest reading has lingered long enough, or when it is full by count or by estimated
bytes. Per device, readings leave in the order they came. What waits is bounded: over the bound the oldest is
dropped and counted, because on a plant the newest readings matter most.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fieldline.model import DeviceId, Reading

__all__ = ["Batch", "Batcher", "estimated_bytes"]

_READING_BYTES = 12  # a double and its share of the time axis, before compression
_WAITING_READINGS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings of one device that travel together, in the order they were taken."""

    device: DeviceId
    readings: tuple[Reading, ...]
    first: int = 0  # readings the batcher had taken before the first of these


@dataclass(slots=True)
class _Open:
    """A batch that still takes readings."""

    since_s: float
    readings: list[Reading]
    bytes: int = 0
    first: int = 0  # readings taken before it, of all devices


class Batcher:
    """Turns readings into batches. `now_s` must never go back (a monotonic clock)."""

    def __init__(
        self,
        *,
        linger_s: float,
        readings_max: int,
        bytes_max: int,
        waiting_readings_max: int = _WAITING_READINGS_MAX,
    ) -> None:
        self._linger_s = linger_s
        self._readings_max = readings_max
        self._bytes_max = bytes_max
        self._waiting_readings_max = max(waiting_readings_max, readings_max)
        self._open: dict[DeviceId, _Open] = {}  # in the order of `since_s`
        self._full: deque[Batch] = deque()
        self.added = 0  # readings taken since the start
        self.waiting = 0  # readings in here now
        self.dropped = 0  # readings dropped since the start

    def rebound(self, *, linger_s: float, readings_max: int, bytes_max: int) -> None:
        """Other bounds from now on; what waits goes out by them."""
        self._linger_s = linger_s
        self._readings_max = readings_max
        self._bytes_max = bytes_max
        self._waiting_readings_max = max(self._waiting_readings_max, readings_max)

    @property
    def linger_s(self) -> float:
        """How long the first reading of a batch waits for others."""
        return self._linger_s

    def add(self, device: DeviceId, readings: Sequence[Reading], now_s: float) -> None:
        """Take readings of one device; full batches become due at once."""
        self.waiting += len(readings)
        first = self.added
        self.added += len(readings)
        for piece, size in self._pieces(readings):
            open_batch = self._open.get(device)
            if open_batch and self._overflows(open_batch, piece, size):
                self._close(device)
                open_batch = None
            if open_batch is None:
                open_batch = self._open[device] = _Open(now_s, [], first=first)
            open_batch.readings.extend(piece)
            open_batch.bytes += size
            if len(open_batch.readings) >= self._readings_max or open_batch.bytes >= self._bytes_max:
                self._close(device)
        while self.waiting > self._waiting_readings_max:
            self._drop_oldest()

    def pop_due(self, now_s: float) -> Batch | None:
        """The next batch whose time has come, oldest first; None if there is none."""
        if not self._full and self._open:
            device, open_batch = next(iter(self._open.items()))
            if open_batch.since_s + self._linger_s <= now_s:
                self._close(device)
        return self._pop_full()

    def pop(self) -> Batch | None:
        """The next batch, due or not: for the end."""
        if not self._full and self._open:
            self._close(next(iter(self._open)))
        return self._pop_full()

    def hurry(self, device: DeviceId) -> None:
        """What waits of this device is due now, linger or not."""
        if device in self._open:
            self._close(device)

    @property
    def settled(self) -> int:
        """How many of the readings taken first have left, all of them: what was taken after them may wait still."""
        firsts = [batch.first for batch in self._full]
        if self._open:
            firsts.append(next(iter(self._open.values())).first)
        return min(firsts, default=self.added)

    def due_at_s(self) -> float | None:
        """When the next batch is due; None while nothing waits. In the past if a full one is ready."""
        if self._full:
            return float("-inf")
        if not self._open:
            return None
        return next(iter(self._open.values())).since_s + self._linger_s

    def has_since(self, at_s: float) -> bool:
        """Whether a batch is here that took its first reading at `at_s` or before."""
        return bool(self._full) or any(batch.since_s <= at_s for batch in self._open.values())

    def _pieces(self, readings: Sequence[Reading]) -> Iterator[tuple[Sequence[Reading], int]]:
        """`readings` whole where they fit one batch, and cut where they do not."""
        size = estimated_bytes(readings)
        if len(readings) <= self._readings_max and size <= self._bytes_max:
            if readings:
                yield readings, size
            return
        piece: list[Reading] = []
        size = 0
        for reading in readings:
            one = estimated_bytes((reading,))
            if piece and (len(piece) >= self._readings_max or size + one > self._bytes_max):
                yield piece, size
                piece, size = [], 0
            piece.append(reading)
            size += one
        yield piece, size

    def _overflows(self, open_batch: _Open, piece: Sequence[Reading], size: int) -> bool:
        return len(open_batch.readings) + len(piece) > self._readings_max or open_batch.bytes + size > self._bytes_max

    def _close(self, device: DeviceId) -> None:
        closed = self._open.pop(device)
        self._full.append(Batch(device, tuple(closed.readings), closed.first))

    def _pop_full(self) -> Batch | None:
        if not self._full:
            return None
        batch = self._full.popleft()
        self.waiting -= len(batch.readings)
        return batch

    def _drop_oldest(self) -> None:
        batch = self.pop()
        assert batch is not None, "more readings wait than there are batches"
        self.dropped += len(batch.readings)


def estimated_bytes(readings: Sequence[Reading]) -> int:
    """What readings take on the wire before compression, roughly: numbers count 12 bytes, texts their length more."""
    texts = sum(len(reading.value) for reading in readings if type(reading.value) is str)
    return _READING_BYTES * len(readings) + texts
