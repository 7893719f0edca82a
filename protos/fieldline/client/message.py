"""What a subscriber is handed: a delivery is one frame, a message is one of its parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fieldline.model import Reading
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import ENCODING_READINGS, open_messages
from fieldline.wire.readings import decode_readings

__all__ = ["Delivery", "Message"]

_NO_HEADERS: Mapping[str, str] = {}


class Delivery:
    """One frame as the hub delivered it. (producer, epoch, sequence) is the same again if it ever comes twice.

    `messages()` and `readings()` raise DecodeError if the body is not what the frame says.
    """

    __slots__ = ("_ack", "_ack_through", "_frame", "epoch", "missed_frames", "offset", "producer")

    def __init__(
        self, delivery: hub_pb2.Delivery, ack: Callable[[int], None], ack_through: Callable[[int], None]
    ) -> None:
        self.offset: int = delivery.offset
        self.producer: str = delivery.producer
        self.epoch: int = delivery.epoch
        self.missed_frames: int = delivery.missed_frames
        self._frame = delivery.frame
        self._ack = ack
        self._ack_through = ack_through

    @property
    def topic(self) -> str:
        """The topic it was published to."""
        return self._frame.topic

    @property
    def key(self) -> str:
        """The ordering key; empty if none was given."""
        return self._frame.key

    @property
    def sequence(self) -> int:
        """The producer's number of this frame, from 1."""
        return self._frame.sequence

    @property
    def count(self) -> int:
        """Messages (or readings) in this frame."""
        return self._frame.count

    @property
    def published_at_ns(self) -> int:
        """Unix time at which the publisher opened the frame."""
        return self._frame.published_at_ns

    @property
    def skipped_frames(self) -> int:
        """Frames the publisher deliberately dropped just before this one (its spool was full)."""
        return self._frame.skipped_frames

    @property
    def skipped_count(self) -> int:
        """Messages (or readings) in the skipped frames."""
        return self._frame.skipped_count

    @property
    def is_readings(self) -> bool:
        """Whether `readings()` applies."""
        return self._frame.encoding == ENCODING_READINGS

    @property
    def body(self) -> bytes:
        """The closed body, as it travels."""
        return self._frame.body

    @property
    def frame_bytes(self) -> int:
        """Bytes of the whole frame as it was published."""
        return self._frame.ByteSize()

    def readings(self) -> list[Reading]:
        """The readings of a gateway's frame."""
        return decode_readings(self._frame.body)

    def messages(self) -> list["Message"]:
        """The messages in publishing order. A frame of readings is one message whose content is the closed batch."""
        if self.is_readings:
            return [Message(self, 0, self._frame.body)]
        contents, headers = open_messages(self._frame)
        if not headers:
            return [Message(self, index, content) for index, content in enumerate(contents)]
        return [
            Message(self, index, content, headers.get(index, _NO_HEADERS)) for index, content in enumerate(contents)
        ]

    def ack(self) -> None:
        """This frame is done. Returns at once; the cursor moves when all frames before it are done as well."""
        self._ack(self.offset)

    def ack_through(self) -> None:
        """This frame and all before it are done: for those who finish work in batches."""
        self._ack_through(self.offset)

    def __repr__(self) -> str:
        return f"<Delivery {self.topic} offset={self.offset} sequence={self.sequence} count={self.count}>"


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message. `index` is its place in the frame, so (delivery.offset, index) names it for ever."""

    delivery: Delivery
    index: int
    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """The topic it was published to."""
        return self.delivery.topic

    @property
    def key(self) -> str:
        """The ordering key; empty if none was given."""
        return self.delivery.key

    @property
    def offset(self) -> int:
        """Where its frame stands in the hub's log."""
        return self.delivery.offset

    @property
    def text(self) -> str:
        """The content as UTF-8 text."""
        return self.content.decode()
