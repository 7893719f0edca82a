"""What one subscriber is still to be sent. Pure.

An outlet is live while it takes frames as they are committed. When it falls behind it either loses frames (lossy,
and counted) or turns to the log: `behind` is then True, committed frames are ignored, and the shell feeds it from the
engine with `feed` until it has caught up.

Bounds: `queue_frames_max` and `queue_bytes_max` over what waits here. Frames are shared between outlets, so the memory
of a slow subscriber is a list of references plus whatever the others have already sent.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Outlet", "Record"]


@dataclass(frozen=True, slots=True)
class Record:
    """A stored frame: where it stands, its topic, and the serialised fieldline.v1.Delivery."""

    offset: int
    topic: str
    delivery: bytes


class Outlet:
    """The hub's side of one subscription. `position` is the next offset it has not yet taken in."""

    def __init__(
        self,
        *,
        position: int,
        tail: int,
        lossy: bool,
        queue_frames_max: int,
        queue_bytes_max: int,
    ) -> None:
        self.position = position
        self.behind = position < tail
        self.lossy = lossy
        self.delivered_to = -1
        self.missed_frames = 0
        self.missed_total = 0
        self.credit_frames = 0
        self.credit_bytes = 0
        self._queue: deque[Record] = deque()
        self._queued_bytes = 0
        self._queue_frames_max = queue_frames_max
        self._queue_bytes_max = queue_bytes_max

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def queued_bytes(self) -> int:
        """Bytes waiting here."""
        return self._queued_bytes

    @property
    def can_send(self) -> bool:
        """Whether `take` would give something."""
        return bool(self._queue) and self.credit_frames > 0 and self.credit_bytes > 0

    @property
    def wants_feed(self) -> bool:
        """Whether the shell should read the log for it: behind, with room, and credit to pass something on."""
        return self.behind and not self._queue and self.credit_frames > 0 and self.credit_bytes > 0

    def grant(self, *, frames: int, nbytes: int) -> None:
        """The subscriber is ready to take so much more."""
        self.credit_frames += frames
        self.credit_bytes += nbytes

    def offer(self, record: Record) -> bool:
        """A matching frame has been committed; True if it was taken into the queue."""
        if self.behind or record.offset < self.position:
            return False
        if len(self._queue) >= self._queue_frames_max or self._queued_bytes >= self._queue_bytes_max:
            if self.lossy:
                self.missed_frames += 1
                self.missed_total += 1
                self.position = record.offset + 1
            else:
                self.behind = True
                self.position = record.offset
            return False
        self._put(record)
        return True

    def feed(self, records: Iterable[Record], *, next_offset: int, tail: int) -> None:
        """Frames from the log, from `position` up to `next_offset`; at `tail`, the next dispatched, it is live."""
        for record in records:
            if record.offset >= self.position:
                self._put(record)
        self.position = max(self.position, next_offset)
        self.behind = self.position < tail

    def take(self, *, bytes_max: int) -> list[Record]:
        """What may be sent now, within credit and about `bytes_max` bytes. The last frame may overdraw byte credit."""
        taken: list[Record] = []
        size = 0
        while self._queue and self.credit_frames > 0 and self.credit_bytes > 0 and size < bytes_max:
            record = self._queue.popleft()
            taken.append(record)
            size += len(record.delivery)
            self.credit_frames -= 1
            self.credit_bytes -= len(record.delivery)
            self._queued_bytes -= len(record.delivery)
        if taken:
            self.delivered_to = taken[-1].offset
        return taken

    def take_missed(self) -> int:
        """Frames lost since this was last asked."""
        missed, self.missed_frames = self.missed_frames, 0
        return missed

    def _put(self, record: Record) -> None:
        self._queue.append(record)
        self._queued_bytes += len(record.delivery)
        self.position = record.offset + 1
