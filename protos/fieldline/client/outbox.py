"""What has been published and not yet acknowledged: coalescing into frames, numbering, resending. Pure.

Messages of one topic and key gather in an open batch. A batch is sealed when it is full, when its linger is over, when
a message comes whose time to live or wish for a receipt is another, or, with linger 0, as soon as the sender asks for
more. Sealed batches become frames with the next sequence, and stay until the hub has acknowledged them.

Bounds: `buffer_bytes_max` and `buffer_messages_max` over everything held here; when either is reached `has_room` turns
False and `publish` waits.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fieldline.client.batch import MESSAGE_OVERHEAD_BYTES, Batch, Now, message_bytes, open_batch
from fieldline.client.coalescing import Coalescing
from fieldline.client.receipts import Receipts
from fieldline.errors import BadTopic
from fieldline.topics import INBOX

__all__ = ["Outbox"]


@dataclass(slots=True)
class _InFlight:
    data: bytes
    batch: Batch


class Outbox:
    """Everything accepted and not acknowledged. `now` is asked once for every new batch; `now_s` is monotonic too."""

    def __init__(self, coalescing: Coalescing, *, now: Now, receipts: Receipts | None = None) -> None:
        self.coalescing = coalescing
        self.acked_sequence = 0
        """The last sequence the hub has acknowledged; 0: none."""
        self.receipts = receipts or Receipts()
        self._now = now
        self._linger_s = coalescing.linger_ms / 1000
        self._bytes_max = coalescing.bytes_max
        self._messages_max = coalescing.messages_max
        self._open: dict[tuple[str, str], Batch] = {}
        self._sealed: deque[Batch] = deque()
        self._in_flight: OrderedDict[int, _InFlight] = OrderedDict()
        self._next_sequence = 1
        self._bytes = 0
        self._messages = 0

    @property
    def has_room(self) -> bool:
        """Whether another message may be added."""
        limits = self.coalescing
        return self._bytes < limits.buffer_bytes_max and self._messages < limits.buffer_messages_max

    @property
    def is_empty(self) -> bool:
        """Whether everything that was added has been acknowledged."""
        return not (self._open or self._sealed or self._in_flight)

    @property
    def bytes_waiting(self) -> int:
        """Content bytes held, in open batches, sealed ones and in flight."""
        return self._bytes

    @property
    def messages_waiting(self) -> int:
        """Messages held, likewise."""
        return self._messages

    @property
    def last_batch(self) -> Batch | None:
        """The batch that will be stored last of those held now: what a flush has to wait for."""
        if self._open:
            return next(reversed(self._open.values()))
        if self._sealed:
            return self._sealed[-1]
        if self._in_flight:
            return next(reversed(self._in_flight.values())).batch
        return None

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
        size = message_bytes(content, headers) if headers else len(content) + MESSAGE_OVERHEAD_BYTES
        place = (topic, key)
        batch = self._open.get(place)
        if (
            batch is None
            or batch.size_bytes + size > self._bytes_max
            or batch.ttl_ms != ttl_ms
            or (batch.receipt != 0) != receipt
        ):
            batch = self._new_batch(place, size, ttl_ms, receipt)
        contents = batch.contents
        if headers:
            batch.headers[len(contents)] = dict(headers)
        contents.append(content)
        batch.size_bytes += size
        self._bytes += size
        self._messages += 1
        if len(contents) >= self._messages_max or batch.size_bytes >= self._bytes_max:
            self._seal(place)
        return batch

    def add_readings(self, topic: str, key: str, body: bytes, count: int, *, ttl_ms: int = 0) -> Batch:
        """Put a block of `count` encoded readings behind what waits there: a sealed batch of its own. Raises as add."""
        place = (topic, key)
        batch = self._new_batch(place, len(body), ttl_ms, receipt=False)
        batch.contents.append(body)
        batch.readings = count
        batch.size_bytes = len(body)
        self._bytes += len(body)
        self._messages += count
        self._seal(place)
        return batch

    def due_in_s(self, now_s: float) -> float | None:
        """Seconds until `take` has something new to give: 0 at once, None when nothing is waiting."""
        if self._sealed:
            return 0.0
        if not self._open:
            return None
        oldest = next(iter(self._open.values()))
        return max(0.0, oldest.opened_s + self._linger_s - now_s)

    def take(self, after: int, *, now_s: float, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """Frames to send after sequence `after`: first those in flight (a resend), then new ones. Sequence order."""
        taken: list[tuple[int, bytes]] = []
        size = 0
        sequence = max(after + 1, next(iter(self._in_flight), self._next_sequence))
        while len(taken) < frames_max and (not taken or size < bytes_max):
            waiting = self._in_flight.get(sequence) or self._number_next(sequence, now_s)
            if waiting is None:
                break
            taken.append((sequence, waiting.data))
            size += len(waiting.data)
            sequence += 1
        return taken

    def seal_all(self) -> None:
        """End every linger now."""
        for place in list(self._open):
            self._seal(place)

    def acknowledged(self, sequence: int) -> list[Any]:
        """Forget frames up to `sequence`; return the waiters of their batches."""
        waiters: list[Any] = []
        while self._in_flight:
            first = next(iter(self._in_flight))
            if first > sequence:
                break
            batch = self._in_flight.pop(first).batch
            batch.stored = True
            self.acked_sequence = first
            self._bytes -= batch.size_bytes
            self._messages -= batch.count
            waiters += batch.waiters
        return waiters

    def abandon(self) -> list[Any]:
        """Drop everything that was not acknowledged; return the waiters of the batches, who now wait in vain."""
        batches = [*(entry.batch for entry in self._in_flight.values()), *self._sealed, *self._open.values()]
        self._in_flight.clear()
        self._sealed.clear()
        self._open.clear()
        self._bytes = self._messages = 0
        return [waiter for batch in batches for waiter in batch.waiters]

    def _new_batch(self, place: tuple[str, str], first_size: int, ttl_ms: int, receipt: bool) -> Batch:
        if place[0].startswith(INBOX):
            raise BadTopic(f"topic {place[0]!r}: nothing under {INBOX} is stored; publish it with volatile=True")
        number = self.receipts.new_number() if receipt else 0
        batch = open_batch(*place, first_size, self._now, ttl_ms=ttl_ms, receipt=number)
        if place in self._open:
            self._seal(place)
        self._open[place] = batch
        return batch

    def _seal(self, place: tuple[str, str]) -> None:
        batch = self._open.pop(place)
        batch.sealed = True
        self._sealed.append(batch)

    def _number_next(self, sequence: int, now_s: float) -> _InFlight | None:
        """Turn the next sealed (or due) batch into frame `sequence`."""
        assert sequence == self._next_sequence, (sequence, self._next_sequence)
        if not self._sealed:
            for place, batch in self._open.items():
                if batch.opened_s + self._linger_s <= now_s:
                    self._seal(place)
                    break
            else:
                return None
        batch = self._sealed.popleft()
        data = batch.close(sequence, compress_from_bytes=self.coalescing.compress_from_bytes)
        self._next_sequence += 1
        entry = self._in_flight[sequence] = _InFlight(data, batch)
        return entry
