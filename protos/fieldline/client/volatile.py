"""Volatile messages on their way: gathered like others, and gone if they cannot be sent soon. Pure.

They are handed to who listens now, neither stored nor acknowledged nor sent again.

Bounds: while the link is down, what has waited for longer than VOLATILE_WAIT_S_MAX is dropped; over
VOLATILE_QUEUE_BYTES_MAX the oldest batch is. `dropped` counts the messages of both.
"""

from collections import deque
from collections.abc import Mapping

from fieldline.client.batch import Batch, Now, message_bytes, open_batch
from fieldline.client.coalescing import Coalescing
from fieldline.client.receipts import Receipts
from fieldline.limits import VOLATILE_QUEUE_BYTES_MAX, VOLATILE_WAIT_S_MAX

__all__ = ["VolatileQueue"]


class VolatileQueue:
    """Everything volatile that was accepted and not sent. `now` is asked for every new batch."""

    def __init__(
        self,
        coalescing: Coalescing,
        *,
        now: Now,
        receipts: Receipts | None = None,
        bytes_max: int = VOLATILE_QUEUE_BYTES_MAX,
    ) -> None:
        self.dropped = 0
        """Messages dropped, because they could not be sent in time or were too many."""
        self.receipts = receipts or Receipts()
        self._is_up = False
        self._coalescing = coalescing
        self._now = now
        self._bytes_max = bytes_max
        self._queue: deque[Batch] = deque()  # in the order in which they were opened
        self._open: dict[tuple[str, str], Batch] = {}  # those of the queue that still take messages
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def bytes_waiting(self) -> int:
        """Content bytes held."""
        return self._bytes

    @property
    def has_room(self) -> bool:
        """Whether there is room for those who would rather wait than have something dropped: half the bound."""
        return self._bytes <= self._bytes_max // 2

    def add(
        self,
        topic: str,
        key: str,
        content: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        ttl_ms: int = 0,
        receipt: bool = False,
    ) -> Batch:
        """Put a message into its batch and return that. Raises BadTopic or LimitError and then has added nothing."""
        size = message_bytes(content, headers)
        batch = self._open.get((topic, key))
        if batch is None or not self._takes(batch, size, ttl_ms, receipt):
            number = self.receipts.new_number() if receipt else 0
            batch = open_batch(topic, key, size, self._now, ttl_ms=ttl_ms, receipt=number)
            self.drop_late(batch.opened_s)
            self._open[topic, key] = batch
            self._queue.append(batch)
        if headers:
            batch.headers[len(batch.contents)] = dict(headers)
        batch.contents.append(content)
        batch.size_bytes += size
        self._bytes += size
        while self._bytes > self._bytes_max and len(self._queue) > 1:
            self._drop(self._pop())
        return batch

    def link_is(self, *, up: bool, now_s: float) -> None:
        """Whether what waits here can be sent."""
        self.drop_late(now_s)
        self._is_up = up

    def take(self, *, frames_max: int, bytes_max: int) -> list[bytes]:
        """Frames to send, in order; the last one may go over `bytes_max`."""
        taken: list[bytes] = []
        size = 0
        while self._queue and len(taken) < frames_max and size < bytes_max:
            taken.append(self._pop().close(0, compress_from_bytes=self._coalescing.compress_from_bytes))
            size += len(taken[-1])
        return taken

    def drop_late(self, now_s: float) -> None:
        """Drop what has waited for too long for a link that is down."""
        while not self._is_up and self._queue and now_s - self._queue[0].opened_s > VOLATILE_WAIT_S_MAX:
            self._drop(self._pop())

    def abandon(self) -> None:
        """Drop everything."""
        while self._queue:
            self._drop(self._pop())

    def _takes(self, batch: Batch, size: int, ttl_ms: int, receipt: bool) -> bool:
        limits = self._coalescing
        return (
            batch.ttl_ms == ttl_ms
            and (batch.receipt != 0) == receipt
            and len(batch.contents) < limits.messages_max
            and batch.size_bytes + size <= limits.bytes_max
        )

    def _pop(self) -> Batch:
        batch = self._queue.popleft()
        batch.sealed = True
        self._bytes -= batch.size_bytes
        if self._open.get((batch.topic, batch.key)) is batch:
            del self._open[batch.topic, batch.key]
        return batch

    def _drop(self, batch: Batch) -> None:
        self.dropped += len(batch.contents)
