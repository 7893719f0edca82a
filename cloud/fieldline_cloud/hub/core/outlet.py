"""What one subscriber is still to be sent. Pure.

An outlet is live while it takes frames as they are committed. When it falls behind it either loses frames (lossy,
and counted) or turns to the log: `behind` is then True, committed frames are ignored, and the shell feeds it from the
engine with `feed` until it has caught up.

Bounds: `queue_frames_max` and `queue_bytes_max` over what waits here. Frames are shared between outlets, so the memory
of a slow subscriber is a list of references plus whatever the others have already sent.
"""

from collections import deque
from collections.abc import Iterable

from fieldline_cloud.hub.core.record import Record

__all__ = ["Outlet"]


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
        window_frames: int,
        window_bytes: int,
    ) -> None:
        self.position = position
        self.behind = position < tail
        self.lossy = lossy
        self.delivered_to = -1
        self.missed_total = 0
        self._window_frames = window_frames
        self._window_bytes = window_bytes
        self._untaken: deque[int] = deque()  # bytes of each frame that is with the subscriber
        self._untaken_bytes = 0
        self._queue: deque[Record] = deque()
        self._missed = 0  # since the last frame that was taken in
        self._gaps: dict[int, int] = {}  # frames missed just before the queued frame of this offset
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
        return bool(self._queue) and self._window_is_open

    @property
    def wants_feed(self) -> bool:
        """Whether the shell should read the log for it: behind, with room here and at the subscriber."""
        return self.behind and not self._queue and self._window_is_open

    @property
    def _window_is_open(self) -> bool:
        return len(self._untaken) < self._window_frames and self._untaken_bytes < self._window_bytes

    def taken(self, frames: int) -> bool:
        """The subscriber has taken so many more frames; False, and nothing changes, if it never had so many."""
        if frames > len(self._untaken):
            return False
        for _ in range(frames):
            self._untaken_bytes -= self._untaken.popleft()
        return True

    def offer(self, record: Record) -> bool:
        """A matching frame has been committed; True if it was taken into the queue."""
        if self.behind or record.offset < self.position:
            return False
        if len(self._queue) >= self._queue_frames_max or self._queued_bytes >= self._queue_bytes_max:
            if self.lossy:
                self._missed += 1
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
        """What may be sent now, within the window and about `bytes_max` bytes. The last frame may go over both."""
        sent: list[Record] = []
        size = 0
        while self._queue and self._window_is_open and size < bytes_max:
            record = self._queue.popleft()
            sent.append(record)
            nbytes = len(record.delivery)
            size += nbytes
            self._untaken.append(nbytes)
            self._untaken_bytes += nbytes
            self._queued_bytes -= nbytes
        if sent:
            self.delivered_to = sent[-1].offset
        return sent

    def take_gap(self, offset: int) -> int:
        """How many frames were lost just before the frame of this offset; asked once, after it was taken."""
        return self._gaps.pop(offset, 0) if self._gaps else 0

    def _put(self, record: Record) -> None:
        if self._missed:
            self._gaps[record.offset] = self._missed
            self._missed = 0
        self._queue.append(record)
        self._queued_bytes += len(record.delivery)
        self.position = record.offset + 1
