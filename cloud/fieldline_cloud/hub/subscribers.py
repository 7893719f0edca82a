"""Open subscriptions: the pure outlets and durables, and the events that wake who sends for them."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fieldline.topics import matches
from fieldline_cloud.hub.core.durable import Durable
from fieldline_cloud.hub.core.marks import DurableSettings
from fieldline_cloud.hub.core.member import Member
from fieldline_cloud.hub.core.outgoing import Outgoing
from fieldline_cloud.hub.core.outlet import Outlet
from fieldline_cloud.hub.core.record import Record
from fieldline_cloud.hub.wake import Wake

__all__ = ["DurableDesk", "DurableSeat", "LiveSubscriber", "OpenRequest", "Subscriber", "Taker"]


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What a client asks for. `start` is an offset; None: what comes from now on, or since `since_ms` (Unix time)."""

    client: str
    peer: str
    filters: tuple[str, ...]
    window_frames: int
    window_bytes: int
    start: int | None = None
    since_ms: int | None = None
    lossy: bool = False
    last_values: bool = False
    durable: str = ""
    settings: DurableSettings = field(default_factory=DurableSettings)


class Taker(Protocol):
    """What frames are dispatched to."""

    def offer(self, record: Record) -> None:
        """A matching frame has been committed."""


class Subscriber(Protocol):
    """One open subscribe stream, as the one who sends for it sees it."""

    client: str
    peer: str
    filters: tuple[str, ...]
    wake: Wake
    since_ms: int

    @property
    def durable(self) -> str:
        """Name of its durable; empty if it has none."""

    @property
    def position(self) -> int:
        """The next offset it will be given."""

    @property
    def can_send(self) -> bool:
        """Whether `take` would give something."""

    @property
    def read_to(self) -> int:
        """Nothing below this offset is still to come; 0 where that cannot be said."""

    @property
    def wants_feed(self) -> bool:
        """Whether whoever sends for it should have the log read for it."""

    @property
    def missed_total(self) -> int:
        """Frames it has lost."""

    @property
    def behind(self) -> bool:
        """Whether it reads from the log."""

    @property
    def queued_bytes(self) -> int:
        """Bytes waiting for it."""

    def take(self, *, bytes_max: int) -> list[Outgoing]:
        """What may be sent now."""

    def take_alone(self) -> Record | None:
        """The record that may be sent now, if it is the only one and goes as it is: the usual case, quickly."""

    def taken(self, frames: int) -> bool:
        """The client has taken so many more frames; False if it never had so many."""


class LiveSubscriber:
    """A subscription without a durable."""

    durable = ""

    def __init__(self, request: OpenRequest, outlet: Outlet) -> None:
        self.client, self.peer, self.filters = request.client, request.peer, request.filters
        self.outlet = outlet
        self.wake = Wake()
        self.since_ms = time.time_ns() // 1_000_000
        self._fed = False

    @property
    def position(self) -> int:
        """The next offset it has not yet taken in."""
        return self.outlet.position

    @property
    def can_send(self) -> bool:
        """Whether `take` would give something."""
        return self.outlet.can_send

    @property
    def wants_feed(self) -> bool:
        """Whether the log should be read for it."""
        return self.outlet.wants_feed

    @property
    def read_to(self) -> int:
        """How far the log has been read for it."""
        return self.outlet.position if self._fed and not self.outlet else 0

    @property
    def missed_total(self) -> int:
        """Frames it has lost because it read too slowly."""
        return self.outlet.missed_total

    @property
    def behind(self) -> bool:
        """Whether it reads from the log."""
        return self.outlet.behind

    @property
    def queued_bytes(self) -> int:
        """Bytes waiting for it."""
        return self.outlet.queued_bytes

    def wants(self, topic: str) -> bool:
        """Whether one of the filters matches."""
        return any(matches(one, topic) for one in self.filters)

    def offer(self, record: Record) -> None:
        """Into the outlet, if that takes it."""
        if self.outlet.offer(record):
            self.wake.set()

    def feed(self, records: Sequence[Record], *, next_offset: int, tail: int) -> None:
        """What was read from the log."""
        self.outlet.feed(records, next_offset=next_offset, tail=tail)
        self._fed = True

    def begin_with(self, last_values: Sequence[Record]) -> None:
        """The newest of every topic, before anything else."""
        self.outlet.begin_with(last_values)

    def take_alone(self) -> Record | None:
        """The one record that waits, if it is as it was stored."""
        return self.outlet.take_alone()

    def take(self, *, bytes_max: int) -> list[Outgoing]:
        """What may be sent now."""
        return self.outlet.take(bytes_max=bytes_max, now_ms=time.time_ns() // 1_000_000)

    def taken(self, frames: int) -> bool:
        """The window has room again."""
        self.wake.set()
        return self.outlet.window.taken(frames)


class DurableDesk:
    """A durable subscription the hub knows, whether somebody works on it or not. `wake` is for its pump."""

    def __init__(self, core: Durable) -> None:
        self.core = core
        self.seats: dict[Member, DurableSeat] = {}
        self.wake = Wake()
        self.pump: asyncio.Task[None] | None = None
        self.pump_sleeps_until_s = 0.0
        """On the monotonic clock; while it is awake, it need not be woken for a timer."""

    @property
    def filters(self) -> tuple[str, ...]:
        """What it is about."""
        return self.core.settings.filters

    def wants(self, topic: str) -> bool:
        """Whether one of the filters matches."""
        return any(matches(one, topic) for one in self.filters)

    def offer(self, record: Record) -> None:
        """To one of the members, or into the log's care."""
        member = self.core.offer(record)
        if member is not None:
            self.seats[member].wake.set()

    def poke(self) -> None:
        """Something has changed: the pump looks, if there is anything to do for it."""
        if self.core.has_work or self._is_due_before_the_pump_wakes:
            self.wake.set()

    @property
    def _is_due_before_the_pump_wakes(self) -> bool:
        due_s = self.core.next_due_s
        return due_s is not None and due_s < self.pump_sleeps_until_s

    def wake_senders(self) -> None:
        """Wake everybody who can send."""
        for member, seat in self.seats.items():
            if member.can_send:
                seat.wake.set()


class DurableSeat:
    """One client's place at a durable."""

    wants_feed = False  # the desk's pump does that for all members
    missed_total = 0

    def __init__(self, request: OpenRequest, desk: DurableDesk, member: Member) -> None:
        self.client, self.peer, self.filters = request.client, request.peer, request.filters
        self.desk = desk
        self.member = member
        self.wake = Wake()
        self.since_ms = time.time_ns() // 1_000_000

    @property
    def durable(self) -> str:
        """Name of its durable."""
        return self.desk.core.name

    @property
    def position(self) -> int:
        """The first offset that is not settled."""
        return self.desk.core.next_offset

    @property
    def can_send(self) -> bool:
        """Whether `take` would give something."""
        return self.member.can_send

    @property
    def behind(self) -> bool:
        """Whether its durable reads from the log."""
        return self.desk.core.behind

    @property
    def queued_bytes(self) -> int:
        """Bytes waiting for it."""
        return self.member.queued_bytes

    @property
    def read_to(self) -> int:
        """How far the log has been read, where one client gets everything in order."""
        core = self.desk.core
        return core.position if not core.is_group and core.all_sent else 0

    def take_alone(self) -> Record | None:
        """Never: whatever is sent here is an entry that changes."""
        return None

    def take(self, *, bytes_max: int) -> list[Outgoing]:
        """What may be sent now; a timer that begins with it is the pump's business."""
        core = self.desk.core
        sent = core.take(self.member, bytes_max=bytes_max, now_s=time.monotonic(), now_ms=time.time_ns() // 1_000_000)
        self.desk.poke()
        return sent

    def taken(self, frames: int) -> bool:
        """The window has room again."""
        fits = self.member.window.taken(frames)
        self.wake.set()
        self.desk.poke()
        return fits
