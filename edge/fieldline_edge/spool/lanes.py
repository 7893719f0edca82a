"""Lanes: the numberings under which frames reach the hub. Pure: no disk, no clock.

Every frame gets an id when it is spooled, and keeps it. A lane is a range of ids with an epoch of its own, so to the
hub it is a numbering of its own, which it stores once whatever comes when (it knows frames by producer, epoch and
sequence).
Alarms have a lane of their own, ahead of everything. Readings have one, to which new frames are added; drained
newest-first, it is closed after an outage (and in between when it has grown large) and a new one begun: what is closed
follows behind, the newest lane first, while fresh frames go live. No frame is ever renumbered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "URGENT_BASE",
    "DrainOrder",
    "Lane",
    "closed_lanes",
    "is_urgent",
    "lane_of",
    "open_lane",
    "part_bytes_max",
    "rolls_on_return",
    "urgent_lane",
    "urgent_lanes",
    "wants_roll",
]

# Ids of alarms begin here.
URGENT_BASE = 1 << 62
# An outage that was shorter than this leaves so little that nobody minds it coming first.
_AWAY_S_MIN = 5.0
_PART_BYTES_MIN, _PART_BYTES_MAX = 64 << 10, 8 << 20


class DrainOrder(Enum):
    """In which order a backlog reaches the hub."""

    IN_ORDER = "in_order"
    NEWEST_FIRST = "newest_first"


@dataclass(frozen=True, slots=True)
class Lane:
    """Ids `first` to `last` (None: new frames are added) under `epoch`; the hub has everything up to `acked`.

    `number` names the lane for as long as it lives; a later lane has a higher one.
    """

    number: int
    epoch: int
    first: int
    last: int | None
    acked: int

    @property
    def base(self) -> int:
        """What an id of this lane is above its sequence on the wire, which counts from 1 in each lane."""
        return self.first - 1

    @property
    def is_urgent(self) -> bool:
        """Whether it carries alarms."""
        return is_urgent(self.first)

    def holds(self, id_: int) -> bool:
        """Whether the id is in its range."""
        return self.first <= id_ and (id_ <= self.last if self.last is not None else is_urgent(id_) == self.is_urgent)


def is_urgent(id_: int) -> bool:
    """Whether an id is that of an alarm."""
    return id_ > URGENT_BASE


def open_lane(lanes: Iterable[Lane]) -> Lane:
    """The lane to which readings are added."""
    return next(lane for lane in lanes if lane.last is None and not lane.is_urgent)


def urgent_lane(lanes: Iterable[Lane]) -> Lane:
    """The lane to which alarms are added."""
    return next(lane for lane in lanes if lane.last is None and lane.is_urgent)


def closed_lanes(lanes: Iterable[Lane]) -> Sequence[Lane]:
    """Lanes of readings to which nothing is added any more, oldest first."""
    found = [lane for lane in lanes if lane.last is not None and not lane.is_urgent]
    return sorted(found, key=lambda lane: lane.number)


def urgent_lanes(lanes: Iterable[Lane]) -> Sequence[Lane]:
    """Lanes of alarms, oldest first: more than one only where a damaged spool was salvaged."""
    return sorted((lane for lane in lanes if lane.is_urgent), key=lambda lane: lane.number)


def lane_of(lanes: Iterable[Lane], id_: int) -> Lane | None:
    """The lane an id is in; None if that is done with."""
    return next((lane for lane in lanes if lane.holds(id_)), None)


def part_bytes_max(bytes_max: int) -> int:
    """How large a lane may grow while the hub is away, so that "newest first" means minutes, not the whole outage."""
    return min(_PART_BYTES_MAX, max(_PART_BYTES_MIN, bytes_max // 32))


def wants_roll(*, order: DrainOrder, away_s: float, unsent: bool, lane_bytes: int, bytes_max: int) -> bool:
    """Whether the open lane shall be closed and a new one begun.

    `away_s` is how long the hub has been away (0: it is there), `unsent` whether the lane has frames the hub lacks.
    """
    if order is DrainOrder.IN_ORDER or not unsent:
        return False
    return away_s >= _AWAY_S_MIN and lane_bytes >= part_bytes_max(bytes_max)


def rolls_on_return(*, order: DrainOrder, away_s: float, unsent: bool) -> bool:
    """Whether a hub that is back after `away_s` gets fresh frames first, and what waits behind them."""
    return order is DrainOrder.NEWEST_FIRST and unsent and away_s >= _AWAY_S_MIN
