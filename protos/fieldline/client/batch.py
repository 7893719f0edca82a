"""Messages, or a block of readings, of one topic and key on their way into one frame. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldline.client.coalescing import BATCH_BYTES_MAX
from fieldline.errors import LimitError
from fieldline.topics import check_topic
from fieldline.wire.frames import ENCODING_READINGS, build_frame, check_headers, check_key, close_messages

__all__ = ["MESSAGE_OVERHEAD_BYTES", "Batch", "Now", "message_bytes", "open_batch"]

MESSAGE_OVERHEAD_BYTES = 6
# Tags and lengths around a header, and around all headers of a message.
_HEADER_OVERHEAD_BYTES = 12

Now = Callable[[], tuple[float, int]]
"""The time: (monotonic seconds, Unix nanoseconds)."""


@dataclass(slots=True, eq=False)
class Batch:
    """`waiters` are handed back once it is stored, `handlers` (by position) once somebody has handled the message."""

    topic: str
    key: str
    opened_s: float
    opened_ns: int
    ttl_ms: int = 0
    receipt: int = 0
    """The number under which the hub says what became of it; 0: it need not."""
    contents: list[bytes] = field(default_factory=list)
    headers: dict[int, Mapping[str, str]] = field(default_factory=dict)
    size_bytes: int = 0
    count: int = 0
    """Messages in it, once it has been closed."""
    readings: int = 0
    """Readings in it; above 0 its only content is their encoded block."""
    sequence: int = 0
    """Of its frame, once it has one; a volatile one never has."""
    sealed: bool = False
    stored: bool = False
    waiters: list[Any] = field(default_factory=list)
    handlers: dict[int, Any] = field(default_factory=dict)

    def close(self, sequence: int, *, compress_from_bytes: int | None) -> bytes:
        """Its frame; the contents are let go. Sequence 0: volatile."""
        encoding: int = ENCODING_READINGS
        if self.readings:
            body = self.contents[0]
        else:
            encoding, body = close_messages(self.contents, self.headers, compress_from_bytes=compress_from_bytes)
        self.sequence = sequence
        self.count = self.readings or len(self.contents)
        self.contents, self.headers = [], {}
        return build_frame(
            topic=self.topic,
            key=self.key,
            sequence=sequence,
            count=self.count,
            encoding=encoding,
            body=body,
            published_at_ns=self.opened_ns,
            ttl_ms=self.ttl_ms,
            receipt=self.receipt,
        )


def open_batch(topic: str, key: str, first_size: int, now: Now, *, ttl_ms: int, receipt: int) -> Batch:
    """An empty batch whose first message has `first_size` bytes; BadTopic or LimitError if no frame could carry it."""
    check_topic(topic)
    check_key(key)
    if first_size > BATCH_BYTES_MAX:
        raise LimitError(
            f"message for {topic!r} has {first_size} bytes; at most {BATCH_BYTES_MAX} are allowed; split it"
        )
    now_s, now_ns = now()
    return Batch(topic, key, now_s, now_ns, ttl_ms, receipt)


def message_bytes(content: bytes, headers: Mapping[str, str] | None) -> int:
    """At most so many bytes of a frame's body are this message's; LimitError for headers it may not carry."""
    size = len(content) + MESSAGE_OVERHEAD_BYTES
    if headers:
        size += check_headers(headers) + _HEADER_OVERHEAD_BYTES * (1 + len(headers))
    return size
