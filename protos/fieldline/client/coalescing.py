"""How messages are gathered into frames, and how much may wait or be under way. Pure."""

import math
from dataclasses import dataclass

from fieldline.errors import LimitError
from fieldline.limits import (
    FRAME_BYTES_MAX,
    FRAME_ENVELOPE_BYTES_MAX,
    FRAME_MESSAGES_MAX,
    IN_FLIGHT_BYTES_MAX,
    IN_FLIGHT_FRAMES_MAX,
    TTL_S_MAX,
)

__all__ = ["BATCH_BYTES_MAX", "Coalescing", "ttl_to_ms"]

# A frame's own fields around the body: topic, key, numbers, block tags. Generous, so that FRAME_BYTES_MAX holds.
BATCH_BYTES_MAX = FRAME_BYTES_MAX - FRAME_ENVELOPE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Coalescing:
    """How messages are gathered into frames and how much may wait.

    linger_ms 0 sends at once but still gathers what is waiting. A frame is closed at `messages_max` messages or
    `bytes_max` bytes. With at least compress_from_bytes bytes of messages it is compressed, if it gets smaller by it;
    None never compresses. `buffer_bytes_max` and `buffer_messages_max` bound what is published and not yet acknowledged
    (at either, `publish` waits, or raises BufferFull with wait=False); `in_flight_bytes_max` and `in_flight_frames_max`
    bound what of that has been sent to the hub.
    Raises LimitError for settings under which nothing could ever be sent.
    """

    linger_ms: float = 0.0
    messages_max: int = 1024
    bytes_max: int = 256 << 10
    buffer_bytes_max: int = 32 << 20
    compress_from_bytes: int | None = 4 << 10
    buffer_messages_max: int = 1_000_000
    in_flight_bytes_max: int = IN_FLIGHT_BYTES_MAX
    in_flight_frames_max: int = IN_FLIGHT_FRAMES_MAX

    def __post_init__(self) -> None:
        """Refuse settings under which nothing could ever be sent."""
        if not 0 < self.messages_max <= FRAME_MESSAGES_MAX:
            raise LimitError(f"messages_max {self.messages_max} must be 1 to {FRAME_MESSAGES_MAX}")
        if not 0 < self.bytes_max <= BATCH_BYTES_MAX:
            raise LimitError(f"bytes_max {self.bytes_max} must be 1 to {BATCH_BYTES_MAX}")
        if self.buffer_bytes_max < self.bytes_max:
            raise LimitError(f"buffer_bytes_max {self.buffer_bytes_max} must be at least bytes_max {self.bytes_max}")
        if not self.linger_ms >= 0:
            raise LimitError(f"linger_ms {self.linger_ms} must not be negative")
        for name in ("buffer_messages_max", "in_flight_bytes_max", "in_flight_frames_max"):
            if getattr(self, name) < 1:
                raise LimitError(f"{name} {getattr(self, name)} must be at least 1")


def ttl_to_ms(ttl_s: float) -> int:
    """A message's time to live as a frame carries it, at least 1 ms; LimitError unless 0 < ttl_s <= TTL_S_MAX."""
    if not 0 < ttl_s <= TTL_S_MAX:
        raise LimitError(f"ttl_s {ttl_s} must be over 0 and at most {TTL_S_MAX} (49 days); leave it out for no end")
    return math.ceil(ttl_s * 1000)
