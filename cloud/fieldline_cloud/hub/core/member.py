"""One client that works on a durable subscription: what waits for it, what it has in hand. Pure."""

from collections import OrderedDict, deque

from fieldline_cloud.hub.core.record import VOLATILE, Record
from fieldline_cloud.hub.core.window import Window

__all__ = ["Member"]


class Member:
    """`in_hand` counts the entries it holds, sent or not. Identity is what counts: two members are never equal."""

    def __init__(self, client: str, window: Window, *, queue_frames_max: int, queue_bytes_max: int) -> None:
        self.client = client
        self.window = window
        self.in_hand = 0
        self.delivered_to = -1
        self.parked: OrderedDict[int, None] = OrderedDict()
        """Offsets that are to be read from the log for it, in the order in which it is to have them."""
        self._queue: deque[Record] = deque()
        self._queued_bytes = 0
        self._in_order: deque[int] = deque()
        self._queue_frames_max = queue_frames_max
        self._queue_bytes_max = queue_bytes_max

    @property
    def queued(self) -> int:
        """Frames that wait for its window."""
        return len(self._queue)

    @property
    def queued_bytes(self) -> int:
        """Bytes of those frames."""
        return self._queued_bytes

    @property
    def has_room(self) -> bool:
        """Whether another frame may wait here."""
        return len(self._queue) < self._queue_frames_max and self._queued_bytes < self._queue_bytes_max

    @property
    def is_hungry(self) -> bool:
        """Whether it could send and has nothing to send."""
        return not self._queue and not self.parked and self.window.is_open

    @property
    def can_send(self) -> bool:
        """Whether something waits and the window is open."""
        return bool(self._queue) and self.window.is_open

    def ready(self, record: Record) -> None:
        """A frame waits for the window."""
        self._queue.append(record)
        self._queued_bytes += len(record.delivery)

    def next_record(self) -> Record:
        """The frame that has waited longest."""
        record = self._queue.popleft()
        self._queued_bytes -= len(record.delivery)
        return record

    def forget_queue(self) -> None:
        """What waits is given out anew; frames that are in no log stay, for they would be lost."""
        kept = [record for record in self._queue if record.offset == VOLATILE]
        self._queue = deque(kept)
        self._queued_bytes = sum(len(record.delivery) for record in kept)

    def park(self, offset: int, *, first: bool = False) -> None:
        """This one is to be read from the log; `first`: before the others that wait for that."""
        self.parked[offset] = None
        if first:
            self.parked.move_to_end(offset, last=False)

    def unpark(self, offset: int) -> bool:
        """It need not be read any more; False if it was not to be."""
        if offset in self.parked:
            del self.parked[offset]
            return True
        return False

    def note_sent(self, offset: int) -> bool:
        """A frame goes out; True if its offset is above all before it, so that an ack can cover it."""
        assert offset != VOLATILE
        if offset > self.delivered_to:
            self.delivered_to = offset
            self._in_order.append(offset)
            return True
        return False

    def in_order_up_to(self, offset: int) -> list[int]:
        """What was sent in order up to this offset; each is given once."""
        found = []
        while self._in_order and self._in_order[0] <= offset:
            found.append(self._in_order.popleft())
        return found

    def may_have_had(self, offset: int) -> bool:
        """Whether it could have been sent this offset; nobody remembers every single one."""
        return offset <= self.delivered_to
