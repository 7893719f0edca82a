"""What has been published and not yet acknowledged: coalescing into frames, numbering, resending. Pure.

Messages of one topic and key gather in an open batch. A batch is sealed when it is full, when its linger is over, or,
with linger 0, as soon as the sender asks for more. Sealed batches become frames with the next sequence, and stay until
the hub has acknowledged them.

Bounds: `buffer_bytes_max` over everything held here; when it is reached `has_room` turns False and `publish` waits.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldline.errors import LimitError
from fieldline.limits import FRAME_BYTES_MAX, FRAME_ENVELOPE_BYTES_MAX, FRAME_MESSAGES_MAX
from fieldline.topics import check_topic
from fieldline.wire.frames import build_frame, check_headers, check_key, close_messages

__all__ = ["Batch", "Coalescing", "Outbox"]

# A frame's own fields around the body: topic, key, numbers, block tags. Generous, so that FRAME_BYTES_MAX holds.
_FRAME_OVERHEAD_BYTES = FRAME_ENVELOPE_BYTES_MAX
_MESSAGE_OVERHEAD_BYTES = 6


@dataclass(frozen=True, slots=True)
class Coalescing:
    """How messages are gathered into frames and how much may wait.

    linger_ms 0 sends at once but still gathers what is waiting. A frame with at least compress_from_bytes bytes of
    messages is compressed, if it gets smaller by it; None never compresses.
    """

    linger_ms: float = 0.0
    messages_max: int = 1024
    bytes_max: int = 256 << 10
    buffer_bytes_max: int = 32 << 20
    compress_from_bytes: int | None = 4 << 10

    def __post_init__(self) -> None:
        """Refuse settings under which nothing could ever be sent."""
        if not 0 < self.messages_max <= FRAME_MESSAGES_MAX:
            raise LimitError(f"messages_max {self.messages_max} must be 1 to {FRAME_MESSAGES_MAX}")
        if not 0 < self.bytes_max <= FRAME_BYTES_MAX - _FRAME_OVERHEAD_BYTES:
            raise LimitError(f"bytes_max {self.bytes_max} must be 1 to {FRAME_BYTES_MAX - _FRAME_OVERHEAD_BYTES}")
        if self.buffer_bytes_max < self.bytes_max:
            raise LimitError(f"buffer_bytes_max {self.buffer_bytes_max} must be at least bytes_max {self.bytes_max}")
        if self.linger_ms < 0:
            raise LimitError(f"linger_ms {self.linger_ms} must not be negative")


@dataclass(slots=True)
class Batch:
    """Messages of one topic and key on their way into one frame. `waiters` are handed back once it is stored."""

    topic: str
    key: str
    opened_s: float
    opened_ns: int
    contents: list[bytes] = field(default_factory=list)
    headers: dict[int, Mapping[str, str]] = field(default_factory=dict)
    size_bytes: int = 0
    sealed: bool = False
    waiters: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class _InFlight:
    data: bytes
    batch: Batch


class Outbox:
    """Everything accepted and not acknowledged. `now_s` is monotonic seconds, `now_ns` Unix time."""

    def __init__(self, coalescing: Coalescing) -> None:
        self.coalescing = coalescing
        self._linger_s = coalescing.linger_ms / 1000
        self._open: dict[tuple[str, str], Batch] = {}
        self._sealed: deque[Batch] = deque()
        self._in_flight: OrderedDict[int, _InFlight] = OrderedDict()
        self._next_sequence = 1
        self._bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether another message may be added."""
        return self._bytes < self.coalescing.buffer_bytes_max

    @property
    def is_empty(self) -> bool:
        """Whether everything that was added has been acknowledged."""
        return not (self._open or self._sealed or self._in_flight)

    @property
    def bytes_waiting(self) -> int:
        """Content bytes held, in open batches, sealed ones and in flight."""
        return self._bytes

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
        headers: Mapping[str, str] | None,
        *,
        now_s: float,
        now_ns: int,
    ) -> Batch:
        """Put a message into its batch and return that. Raises BadTopic or LimitError and then has added nothing."""
        size = len(content) + _MESSAGE_OVERHEAD_BYTES
        if headers:
            check_headers(headers)
            size += sum(len(name) + len(value) + 8 for name, value in headers.items()) * 4  # UTF-8 at its longest
        place = (topic, key)
        batch = self._open.get(place)
        if batch is None or batch.size_bytes + size > self.coalescing.bytes_max:
            batch = self._new_batch(place, size, now_s=now_s, now_ns=now_ns)
        if headers:
            batch.headers[len(batch.contents)] = dict(headers)
        batch.contents.append(content)
        batch.size_bytes += size
        self._bytes += size
        if len(batch.contents) >= self.coalescing.messages_max or batch.size_bytes >= self.coalescing.bytes_max:
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
            self._bytes -= batch.size_bytes
            waiters += batch.waiters
        return waiters

    def abandon(self) -> list[Any]:
        """Drop everything that was not acknowledged; return the waiters that will now wait in vain."""
        batches = [*(entry.batch for entry in self._in_flight.values()), *self._sealed, *self._open.values()]
        self._in_flight.clear()
        self._sealed.clear()
        self._open.clear()
        self._bytes = 0
        return [waiter for batch in batches for waiter in batch.waiters]

    def _new_batch(self, place: tuple[str, str], first_size: int, *, now_s: float, now_ns: int) -> Batch:
        topic, key = place
        check_topic(topic)
        check_key(key)
        if first_size > FRAME_BYTES_MAX - _FRAME_OVERHEAD_BYTES:
            limit = FRAME_BYTES_MAX - _FRAME_OVERHEAD_BYTES
            raise LimitError(f"message for {topic!r} has {first_size} bytes; at most {limit} are allowed; split it")
        if place in self._open:
            self._seal(place)
        batch = self._open[place] = Batch(topic, key, now_s, now_ns)
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
        encoding, body = close_messages(
            batch.contents, batch.headers, compress_from_bytes=self.coalescing.compress_from_bytes
        )
        data = build_frame(
            topic=batch.topic,
            key=batch.key,
            sequence=sequence,
            count=len(batch.contents),
            encoding=encoding,
            body=body,
            published_at_ns=batch.opened_ns,
        )
        batch.contents, batch.headers = [], {}
        self._next_sequence += 1
        entry = self._in_flight[sequence] = _InFlight(data, batch)
        return entry
