"""What one live subscriber is still to be sent. Pure.

An outlet is live while it takes frames as they are committed. When it falls behind it either loses frames (lossy,
and counted) or turns to the log: `behind` is then True, committed frames are ignored, and the shell feeds it from the
engine with `feed` until it has caught up. Frames that are not in the log are lost at the bound in any case.

Bounds: `queue_frames_max` and `queue_bytes_max` over what waits here. Frames are shared between outlets, so the memory
of a slow subscriber is a list of references plus whatever the others have already sent.
"""

from collections import deque
from collections.abc import Iterable

from fieldline_cloud.hub.core.outgoing import Outgoing
from fieldline_cloud.hub.core.record import VOLATILE, Record
from fieldline_cloud.hub.core.window import Window

__all__ = ["Outlet"]


class Outlet:
    """The hub's side of one live subscription. `position` is the next offset it has not yet taken in."""

    def __init__(
        self,
        *,
        position: int,
        tail: int,
        lossy: bool,
        queue_frames_max: int,
        queue_bytes_max: int,
        window: Window,
    ) -> None:
        self.position = position
        self.behind = position < tail
        self.lossy = lossy
        self.delivered_to = -1
        self.missed_total = 0
        self.expired_total = 0
        self.window = window
        self._queue: deque[Record] = deque()
        self._last_values: deque[Record] = deque()
        self._missed = 0  # since the last frame that was taken in
        self._gaps: dict[int, int] = {}  # frames missed just before the queued record of this identity
        self._queued_bytes = 0
        self._queue_frames_max = queue_frames_max
        self._queue_bytes_max = queue_bytes_max

    def __len__(self) -> int:
        return len(self._queue) + len(self._last_values)

    @property
    def queued_bytes(self) -> int:
        """Bytes waiting here."""
        return self._queued_bytes

    @property
    def can_send(self) -> bool:
        """Whether `take` would give something."""
        return bool(self._queue or self._last_values) and self.window.is_open

    @property
    def wants_feed(self) -> bool:
        """Whether the shell should read the log for it: behind, with room here and at the subscriber."""
        return self.behind and not self._queue and self.window.is_open

    def offer(self, record: Record) -> bool:
        """A matching frame has been committed; True if it was taken into the queue."""
        if record.offset == VOLATILE:
            return self._offer_volatile(record)
        if self.behind or record.offset < self.position:
            return False
        if self._is_full:
            if self.lossy:
                self._miss()
                self.position = record.offset + 1
            else:
                self.behind = True
                self.position = record.offset
            return False
        self._put(record)
        self.position = record.offset + 1
        return True

    def feed(self, records: Iterable[Record], *, next_offset: int, tail: int) -> None:
        """Frames from the log, from `position` up to `next_offset`; at `tail`, the next dispatched, it is live."""
        for record in records:
            if record.offset >= self.position:
                self._put(record)
                self.position = record.offset + 1
        self.position = max(self.position, next_offset)
        self.behind = self.position < tail

    def begin_with(self, last_values: Iterable[Record]) -> None:
        """Give these before anything else: the newest of every topic as it is now."""
        self._last_values.extend(last_values)

    def take_alone(self) -> Record | None:
        """The one record that may be sent now; None, and nothing changes, unless it is alone and goes as it is."""
        queue = self._queue
        if len(queue) != 1 or self._last_values or self._gaps or queue[0].expires_ms or not self.window.is_open:
            return None
        record = queue.popleft()
        nbytes = len(record.delivery)
        self._queued_bytes -= nbytes
        self.window.put(nbytes)
        if record.offset > self.delivered_to:
            self.delivered_to = record.offset
        return record

    def take(self, *, bytes_max: int, now_ms: int) -> list[Outgoing]:
        """What may be sent now, within the window and about `bytes_max` bytes. The last frame may go over both.

        `now_ms` is Unix time: what has expired by then is left out.
        """
        sent: list[Outgoing] = []
        size = 0
        while self._last_values and self.window.is_open and size < bytes_max:
            size += self._send(sent, _as_last_value(self._last_values.popleft()), now_ms)
        while self._queue and self.window.is_open and size < bytes_max:
            record = self._queue.popleft()
            self._queued_bytes -= len(record.delivery)
            missed = self._gaps.pop(id(record), 0) if self._gaps else 0
            size += self._send(sent, Outgoing(record, missed), now_ms)
        return sent

    def _send(self, sent: list[Outgoing], outgoing: Outgoing, now_ms: int) -> int:
        record = outgoing.record
        if record.is_over(now_ms):
            self.expired_total += 1
            self._missed += outgoing.missed_frames
            return 0
        sent.append(outgoing)
        nbytes = len(record.delivery)
        self.window.put(nbytes)
        if record.offset > self.delivered_to:
            self.delivered_to = record.offset
        return nbytes

    @property
    def _is_full(self) -> bool:
        return len(self._queue) >= self._queue_frames_max or self._queued_bytes >= self._queue_bytes_max

    def _offer_volatile(self, record: Record) -> bool:
        if self._is_full:
            self._miss()
            return False
        self._put(record)
        return True

    def _miss(self) -> None:
        self._missed += 1
        self.missed_total += 1

    def _put(self, record: Record) -> None:
        if self._missed:
            self._gaps[id(record)] = self._missed
            self._missed = 0
        self._queue.append(record)
        self._queued_bytes += len(record.delivery)


def _as_last_value(record: Record) -> Outgoing:
    """Of a frame of several messages the last one is the topic's last value; what it holds is not known otherwise."""
    only = (record.messages - 1,) if record.messages > 1 else ()
    return Outgoing(record, only=only, last_value=True)
