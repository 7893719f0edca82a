"""Which requests read which values: the fewest that respect the limits. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from fieldline_edge.drivers.modbus.tag_settings import RegisterKind

__all__ = ["Block", "Limits", "Range", "Span", "gaps", "plan", "read_over"]

_BITS_PER_REGISTER = 16
_BITS_MAX = 2000  # Modbus application protocol 6.1 and 6.2
_BEYOND = 1 << 17


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Addresses from `start` up to and without `end`, in the table called `kind` (a RegisterKind's value)."""

    kind: str
    start: int
    end: int

    def __str__(self) -> str:
        """Like `holding 100-120`, both ends included, as people write it."""
        return f"{self.kind} {self.start}-{self.end - 1}" if self.end - self.start > 1 else f"{self.kind} {self.start}"

    def holds(self, other: "Range") -> bool:
        """Whether all of `other` is in here."""
        return self.kind == other.kind and self.start <= other.start and other.end <= self.end


@dataclass(frozen=True, slots=True)
class Span:
    """The addresses one value takes. `alone`: no other value may share its request."""

    kind: RegisterKind
    address: int
    width: int
    alone: bool = False

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.address + self.width

    @property
    def range(self) -> Range:
        """The same as a range."""
        return Range(self.kind.value, self.address, self.end)


@dataclass(frozen=True, slots=True)
class Block:
    """One request, and which of the spans (by position in the plan's input) its answer holds."""

    kind: RegisterKind
    address: int
    count: int
    spans: tuple[int, ...]

    @property
    def range(self) -> Range:
        """The addresses it asks for."""
        return Range(self.kind.value, self.address, self.address + self.count)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a device takes in one request. `gap_max` counts registers; of bits it is 16 times as many."""

    registers_max: int = 125
    bits_max: int = _BITS_MAX
    gap_max: int = 0

    def length(self, kind: RegisterKind) -> int:
        """Most addresses in one request."""
        return self.bits_max if kind.is_bits else self.registers_max

    def gap(self, kind: RegisterKind) -> int:
        """Most addresses in a row that one request may read over."""
        return self.gap_max * _BITS_PER_REGISTER if kind.is_bits else self.gap_max


def plan(spans: Sequence[Span], limits: Limits, refused: Iterable[Range] = ()) -> tuple[Block, ...]:
    """Cover every span exactly once with the fewest requests, ordered by kind and address.

    A request never mixes kinds, never asks for more addresses than the limit, never reads over more than the gap of
    addresses in a row that no span asked for, never holds all of a refused range, never touches a span that is to be
    read alone, and never splits a span: a value read in two halves may be half old. Spans may overlap. A span that
    cannot be read without breaking this has a request of its own, shared with spans at just the same addresses.
    ValueError if a span alone is over the limit.

    Going by address and letting each request grow as long as it may is optimal: whatever may be asked for may also be
    asked for in part, so that a request which begins no later than another one's can be exchanged for it.
    """
    for span in spans:
        if span.width > limits.length(span.kind):
            limit = limits.length(span.kind)
            raise ValueError(f"a value of {span.width} registers does not fit a request of at most {limit}")
    alone = {span.range for span in spans if span.alone}
    untouchable = [Range(each.kind, at, at + 1) for each in alone for at in range(each.start, each.end)]
    walls = _Walls([*refused, *untouchable])
    requests: list[_Request] = []
    for position in sorted(range(len(spans)), key=lambda i: spans[i].range):
        span = spans[position]
        if not requests or not requests[-1].may_take(span, limits):
            requests.append(_Request(span, walls.after(span.kind, span.address)))
        requests[-1].take(position, span)
    return tuple(request.block() for request in requests)


def gaps(values: Sequence[Range]) -> list[Range]:
    """The places where a request for these values, given by address, reads over others: each with its neighbours."""
    found = []
    before = values[0]
    for value in values[1:]:
        if value.start > before.end:
            found.append(Range(value.kind, before.start, value.end))
        before = max(before, value, key=lambda each: each.end)
    return found


class _Request:
    """A request that grows, value by value in the order of addresses."""

    __slots__ = ("_end", "_first", "_members", "_one_place", "_wall")

    def __init__(self, first: Span, wall: int) -> None:
        self._first = first
        self._wall = wall  # the end it must not reach
        self._end = first.end
        self._members: list[int] = []
        self._one_place = True  # all values stand at the same addresses

    def may_take(self, span: Span, limits: Limits) -> bool:
        first, end = self._first, max(self._end, span.end)
        if self._one_place and span.range == first.range:
            return True
        return (
            span.kind is first.kind
            and span.address - self._end <= limits.gap(span.kind)
            and end - first.address <= limits.length(span.kind)
            and end < self._wall
        )

    def take(self, position: int, span: Span) -> None:
        self._members.append(position)
        self._end = max(self._end, span.end)
        self._one_place = self._one_place and span.range == self._first.range

    def block(self) -> Block:
        address = self._first.address
        return Block(self._first.kind, address, self._end - address, tuple(self._members))


def read_over(spans: Sequence[Span], blocks: Sequence[Block]) -> int:
    """How many addresses the requests ask for that no value stands in: what merging costs."""
    wanted = [{address for i in block.spans for address in range(spans[i].address, spans[i].end)} for block in blocks]
    return sum(block.count - len(addresses) for block, addresses in zip(blocks, wanted, strict=True))


class _Walls:
    """Refused ranges, asked for the first end that a request from some address on must not reach."""

    def __init__(self, refused: Iterable[Range]) -> None:
        by_kind: dict[str, list[Range]] = {}
        for each in sorted(refused):
            by_kind.setdefault(each.kind, []).append(each)
        self._starts = {kind: [each.start for each in ranges] for kind, ranges in by_kind.items()}
        # The least end of a range and all that begin after it.
        self._ends = {
            kind: list(accumulate((each.end for each in reversed(ranges)), min))[::-1]
            for kind, ranges in by_kind.items()
        }

    def after(self, kind: RegisterKind, start: int) -> int:
        """The least end of those that begin at `start` or later."""
        starts = self._starts.get(kind.value, [])
        index = bisect_left(starts, start)
        return self._ends[kind.value][index] if index < len(starts) else _BEYOND
