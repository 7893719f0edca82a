"""One frame that a durable subscription has taken in and not settled, and what can be said about one. Pure."""

from dataclasses import dataclass
from typing import NamedTuple

from fieldline_cloud.hub.core.marks import Redelivery
from fieldline_cloud.hub.core.member import Member

__all__ = ["Bounds", "DurableCounts", "Entry", "Grave", "NackOrder", "NotDelivered"]


class NotDelivered(Exception):
    """A member settles what it was never given."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class NackOrder(NamedTuple):
    """What a member says of a frame it could not handle. `delay_ms` None: the durable's backoff."""

    offset: int
    delay_ms: int | None = None
    messages: tuple[int, ...] = ()
    reason: str = ""
    give_up: bool = False


class Grave(NamedTuple):
    """A frame that is given up, to be buried as a dead letter; `by` is who had it last."""

    offset: int
    deliveries: int
    messages: tuple[int, ...]
    reason: str


@dataclass(slots=True)
class DurableCounts:
    """Since the hub was started."""

    redelivered: int = 0
    expired: int = 0
    given_up: int = 0
    trimmed: int = 0
    missed_volatile: int = 0


@dataclass(slots=True)
class Entry:
    """A frame that was taken in and is not settled."""

    offset: int
    key: str
    deliveries: int = 0
    only: tuple[int, ...] = ()
    reason: str = ""
    holder: Member | None = None
    sent: bool = False
    in_order: bool = False
    had: tuple[Member, ...] = ()
    """Members that were given it and had it taken away."""
    dying: bool = False
    generation: int = 0
    """Counts its changes, so that a timer knows whether it is still meant."""
    replay: bool = False

    def redelivery(self) -> Redelivery:
        """As a mark remembers it."""
        return Redelivery(self.offset, self.deliveries, self.only, self.reason, self.replay)


@dataclass(slots=True)
class Bounds:
    """How much may wait here."""

    pending_max: int
    queue_frames_max: int
    queue_bytes_max: int
