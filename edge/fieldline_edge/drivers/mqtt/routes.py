"""What one entry of the configuration does with messages: its interface, and what goes in and out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fieldline.model import DeviceId, Quality, Reading

__all__ = ["Counts", "Outgoing", "Puts", "Received", "Route"]

Puts = list[tuple[DeviceId, Sequence[Reading]]]


@dataclass(slots=True)
class Counts:
    """What routes count; the fields are those of DriverStats."""

    messages_refused: int = 0
    messages_repeated: int = 0
    values_refused: int = 0
    devices_found: int = 0
    names_refused: int = 0
    sequence_gaps: int = 0
    rebirths_asked: int = 0
    metrics_skipped: int = 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to the broker."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(slots=True)
class Received:
    """What came of a message: readings by device, messages to send, and what was wrong with it in words."""

    puts: Puts = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    problems: tuple[str, ...] = ()


class Route(Protocol):
    """What one entry of the configuration does with messages. Times are handed in."""

    @property
    def id(self) -> DeviceId:
        """The entry's own device."""
        ...

    @property
    def subscriptions(self) -> Mapping[str, int]:
        """Filters to ask the broker for, and their quality of service."""
        ...

    @property
    def exact_topics(self) -> Sequence[str] | None:
        """All topics it wants; None: ask it with `wants`."""
        ...

    def wants(self, topic: str) -> bool:
        """Whether messages of a topic are this route's."""
        ...

    def receive(self, topic: str, payload: bytes, *, arrived_ns: int, retained: bool, now_s: float) -> Received:
        """Read one message."""
        ...

    def connected(self, now_s: float, now_ms: int) -> Received:
        """The link has come up."""
        ...

    def marks(self, quality: Quality, at_ns: int) -> Puts:
        """A reading without a value for every tag known so far, saying why there is none."""
        ...

    def tick(self, now_s: float) -> Received:
        """What is due by now; called about once a second."""
        ...
