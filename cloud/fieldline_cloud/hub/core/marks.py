"""What the log remembers of a durable subscription: how far it is, what to try again, how it is worked off. Pure."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from fieldline.v1 import hub_pb2

__all__ = ["DurableMark", "DurableSettings", "Redelivery", "SettledOffsets"]


@dataclass(frozen=True, slots=True)
class DurableSettings:
    """How a durable subscription is worked off. Times in ms; 0: not by a timer, no bound, the hub's own bound."""

    filters: tuple[str, ...] = ()
    group: bool = False
    ack_wait_ms: int = 0
    deliveries_max: int = 0
    backoff_ms: tuple[int, ...] = ()
    hold: bool = False
    pending_max: int = 0
    created_ms: int = 0

    @classmethod
    def of(cls, options: hub_pb2.DurableOptions, *, filters: Sequence[str] = (), created_ms: int = 0) -> Self:
        """As a client asks for it, or as the log has kept it."""
        return cls(
            filters=tuple(filters),
            group=options.group,
            ack_wait_ms=options.ack_wait_ms,
            deliveries_max=options.deliveries_max,
            backoff_ms=tuple(options.backoff_ms),
            hold=options.hold,
            pending_max=options.pending_max,
            created_ms=created_ms,
        )


@dataclass(frozen=True, slots=True)
class Redelivery:
    """A frame that was tried so often and is not done; `only` the messages at these positions (empty: all).

    `replay`: it is a dead letter that is tried again, and `offset` is the letter's own.
    """

    offset: int
    deliveries: int
    only: tuple[int, ...] = ()
    reason: str = ""
    replay: bool = False


@dataclass(frozen=True, slots=True)
class DurableMark:
    """The whole state of a durable subscription as of one moment.

    Everything below `next_offset` is settled, and so are the ranges in `done` (begin, end, begin, end, ...; ends
    exclusive). `buried_below` and `buried` say the same about its dead letters: replayed or dropped. `settings` None:
    as they were. A later mark of the same name replaces an earlier one.
    """

    name: str
    next_offset: int
    done: tuple[int, ...] = ()
    redeliveries: tuple[Redelivery, ...] = ()
    settings: DurableSettings | None = None
    buried_below: int = 0
    buried: tuple[int, ...] = ()
    deleted: bool = False


@dataclass(slots=True)
class SettledOffsets:
    """Offsets that are settled: all below `floor`, and single ones above it."""

    floor: int = 0
    _above: list[int] = field(default_factory=list)

    def __contains__(self, offset: int) -> bool:
        if offset < self.floor:
            return True
        place = bisect_left(self._above, offset)
        return place < len(self._above) and self._above[place] == offset

    def __len__(self) -> int:
        return len(self._above)

    def add(self, offset: int) -> None:
        """One more is settled; the floor stays where it is."""
        if offset not in self:
            insort(self._above, offset)

    def discard(self, offset: int) -> None:
        """One above the floor is not settled after all."""
        place = bisect_left(self._above, offset)
        if place < len(self._above) and self._above[place] == offset:
            del self._above[place]

    def rise(self, floor: int) -> None:
        """All below `floor` are settled; never down."""
        if floor > self.floor:
            self.floor = floor
            if self._above:
                del self._above[: bisect_left(self._above, floor)]

    def ranges(self) -> tuple[int, ...]:
        """What is settled above the floor, as begin, end, begin, end, ..."""
        found: list[int] = []
        for offset in self._above:
            if found and found[-1] == offset:
                found[-1] = offset + 1
            else:
                found += (offset, offset + 1)
        return tuple(found)

    @classmethod
    def of(cls, floor: int, ranges: Sequence[int]) -> "SettledOffsets":
        """As it was saved."""
        settled = cls(floor)
        settled._above = [offset for begin, end in _pairs(ranges) for offset in range(max(begin, floor), end)]
        return settled


def _pairs(ranges: Sequence[int]) -> Iterable[tuple[int, int]]:
    return zip(ranges[::2], ranges[1::2], strict=True)
