"""What a subscriber is handed: a delivery is one frame, a message is one of its parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from types import MappingProxyType
from typing import Protocol, overload

from fieldline.client.acks import Nack
from fieldline.model import Reading
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import ENCODING_READINGS, open_messages
from fieldline.wire.readings import Series, decode_readings, decode_series

__all__ = ["DeadLetter", "Delivery", "Message", "Settler"]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Settler(Protocol):
    """Who is told what became of a delivery."""

    def ack(self, delivery: "Delivery") -> None:
        """It is done."""

    def ack_through(self, delivery: "Delivery") -> None:
        """It and all before it are done."""

    def nack(self, delivery: "Delivery", nack: Nack) -> None:
        """It could not be handled."""

    def in_progress(self, delivery: "Delivery") -> None:
        """It takes longer."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Why a frame was given up, and which it was. `messages`: positions of those that failed (empty: all)."""

    durable: str
    reason: str
    deliveries: int
    topic: str
    offset: int
    producer: str
    epoch: int
    sequence: int
    messages: tuple[int, ...]


class Delivery:
    """One frame as the hub delivered it. (producer, epoch, sequence) is the same again if it ever comes twice.

    `offset` is -1 for a volatile frame, which is in no log. `messages()` and `readings()` raise DecodeError if the body
    is not what the frame says.
    """

    __slots__ = ("_delivery", "_failed", "_frame", "_settler", "offset")

    def __init__(self, delivery: hub_pb2.Delivery, settler: Settler) -> None:
        self.offset: int = -1 if delivery.volatile else delivery.offset
        self._delivery = delivery
        self._frame = delivery.frame
        self._settler = settler
        self._failed: dict[int, Nack] | None = None  # by position, until the delivery is settled

    @property
    def producer(self) -> str:
        """Whose numbering the frame is part of."""
        return self._delivery.producer

    @property
    def epoch(self) -> int:
        """Which numbering of that producer."""
        return self._delivery.epoch

    @property
    def missed_frames(self) -> int:
        """Frames a live subscription lost just before this one, because it read too slowly."""
        return self._delivery.missed_frames

    @property
    def stored_at_ms(self) -> int:
        """Unix time in ms at which the hub got it."""
        return self._delivery.stored_at_ms

    @property
    def delivery_count(self) -> int:
        """How often it has been delivered, this time included."""
        return max(1, self._delivery.delivery_count)

    @property
    def only(self) -> tuple[int, ...]:
        """Positions of the messages it is about; empty: all. The others were done before."""
        return tuple(self._delivery.only)

    @property
    def is_volatile(self) -> bool:
        """Whether it is in no log, and cannot be acknowledged."""
        return self._delivery.volatile

    @property
    def is_last_value(self) -> bool:
        """Whether it came because it is the newest of its topic, not because it is new."""
        return self._delivery.last_value

    @property
    def wants_receipt(self) -> bool:
        """Whether its publisher waits to hear that somebody has handled it."""
        return self._frame.receipt != 0 and not self._delivery.volatile

    @property
    def dead_letter(self) -> DeadLetter | None:
        """Why it was given up, if it is a dead letter."""
        if not self._frame.HasField("dead_letter"):
            return None
        letter = self._frame.dead_letter
        return DeadLetter(
            durable=letter.durable,
            reason=letter.reason,
            deliveries=letter.deliveries,
            topic=letter.topic,
            offset=letter.offset,
            producer=letter.producer,
            epoch=letter.epoch,
            sequence=letter.sequence,
            messages=tuple(letter.messages),
        )

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

    def series(self) -> list[Series]:
        """The same in columns, one series per tag and type of value: cheaper for who handles them so anyway."""
        return decode_series(self._frame.body)

    def messages(self) -> Sequence["Message"]:
        """The messages in publishing order; of one that is delivered again, those that failed before.

        A frame of readings is one message whose content is the closed batch. Messages are made as they are asked for:
        a thousand of them kept at once would have Python's garbage collector look at them again and again.
        """
        if self.is_readings:
            return [Message(self, 0, self._frame.body, _NO_HEADERS)]
        contents, headers = open_messages(self._frame)
        places: Sequence[int] = range(len(contents))
        if self._delivery.only:
            places = [index for index in self._delivery.only if index < len(contents)]
            contents = [contents[index] for index in places]
        return _Messages(self, places, contents, headers)

    def ack(self) -> None:
        """This frame is done, but for messages of it that were nacked: those come again. Returns at once."""
        if self._failed:
            self._settler.nack(self, _together(self.offset, self._failed))
            self._failed = None
        else:
            self._settler.ack(self)

    def ack_through(self) -> None:
        """This frame and all before it are done: for those who finish work in batches."""
        self._settler.ack_through(self)

    def nack(self, *, delay_s: float | None = None, reason: str = "", give_up: bool = False) -> None:
        """This frame could not be handled now: it is delivered again, to whoever shares the durable subscription.

        After `delay_s` seconds, or (None) after the subscription's backoff. `give_up`: never again, a dead letter at
        once. Without a durable nothing is delivered again; a publisher who waits for an ack hears of it all the same.
        """
        self._settler.nack(self, Nack(self.offset, delay_s, self.only, reason, give_up))

    def in_progress(self) -> None:
        """This frame takes longer: the subscription's ack wait begins anew."""
        self._settler.in_progress(self)

    def _note_failed(self, nack: Nack, index: int) -> None:
        if self._failed is None:
            self._failed = {}
        self._failed[index] = nack

    def __repr__(self) -> str:
        return f"<Delivery {self.topic} offset={self.offset} sequence={self.sequence} count={self.count}>"


class Message:
    """One message, to be read and not changed. `index` is its place in the frame, so (delivery.offset, index) names it
    for ever.
    """

    # Not a frozen dataclass: that takes a microsecond to make, which is most of what a subscriber does for a message.
    __slots__ = ("content", "delivery", "headers", "index")

    def __init__(
        self, delivery: Delivery, index: int, content: bytes, headers: Mapping[str, str] = _NO_HEADERS
    ) -> None:
        self.delivery = delivery
        self.index = index
        self.content = content
        self.headers = headers

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

    def nack(self, *, delay_s: float | None = None, reason: str = "", give_up: bool = False) -> None:
        """This message could not be handled: once its frame is done with, it alone is delivered again.

        Messages of one frame come again together: after the shortest of their delays, with the last reason, and as a
        dead letter only if every one of them was given up.
        """
        self.delivery._note_failed(Nack(self.delivery.offset, delay_s, (), reason, give_up), self.index)

    def __repr__(self) -> str:
        return f"<Message {self.topic} offset={self.offset} index={self.index} {self.content[:40]!r}>"


class _Messages(Sequence[Message]):
    """What a frame holds, as messages."""

    __slots__ = ("_contents", "_delivery", "_headers", "_places")

    def __init__(
        self,
        delivery: Delivery,
        places: Sequence[int],
        contents: Sequence[bytes],
        headers: Mapping[int, Mapping[str, str]],
    ) -> None:
        self._delivery = delivery
        self._places = places
        self._contents = contents
        self._headers = headers

    def __len__(self) -> int:
        return len(self._contents)

    def __iter__(self) -> Iterator[Message]:
        headers, places = self._headers, self._places
        each = [headers.get(index, _NO_HEADERS) for index in places] if headers else repeat(_NO_HEADERS)
        return map(Message, repeat(self._delivery), places, self._contents, each)

    @overload
    def __getitem__(self, at: int) -> Message: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Message]: ...
    def __getitem__(self, at: int | slice) -> Message | Sequence[Message]:
        if isinstance(at, slice):
            return list(self)[at]
        place = self._places[at]
        return Message(self._delivery, place, self._contents[at], self._headers.get(place, _NO_HEADERS))


def _together(offset: int, failed: Mapping[int, Nack]) -> Nack:
    nacks = failed.values()
    delays = [nack.delay_s for nack in nacks if nack.delay_s is not None]
    reason = next((nack.reason for nack in reversed(list(nacks)) if nack.reason), "")
    give_up = all(nack.give_up for nack in nacks)
    return Nack(offset, min(delays) if delays else None, tuple(sorted(failed)), reason, give_up)
