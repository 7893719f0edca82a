"""A frame on its way from the log to subscribers. Pure."""

__all__ = ["VOLATILE", "Record"]

VOLATILE = -1
"""The offset of a frame that is not in the log."""


class Record:
    """A stored frame: where it stands, its topic and key, and the serialised fieldline.v1.Delivery.

    Not to be changed after it was made. `expires_ms` is the Unix time after which nobody is to be given it any more
    (0: never). `messages` is how many it holds and `sequence` its producer's number; 0 where that is not known. `alone`
    keeps the response that carries just this record, made once for all subscribers who take it alone.
    """

    __slots__ = ("alone", "delivery", "expires_ms", "key", "messages", "offset", "sequence", "topic")

    def __init__(
        self,
        offset: int,
        topic: str,
        delivery: bytes,
        *,
        key: str = "",
        expires_ms: int = 0,
        messages: int = 0,
        sequence: int = 0,
    ) -> None:
        self.offset = offset
        self.topic = topic
        self.delivery = delivery
        self.key = key
        self.expires_ms = expires_ms
        self.messages = messages
        self.sequence = sequence
        self.alone: bytes | None = None

    def is_over(self, now_ms: int) -> bool:
        """Whether its time to live has run out by then (Unix time)."""
        return 0 < self.expires_ms <= now_ms

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return (self.offset, self.topic, self.delivery) == (other.offset, other.topic, other.delivery)

    def __repr__(self) -> str:
        return f"Record({self.offset}, {self.topic!r}, {len(self.delivery)} bytes)"
