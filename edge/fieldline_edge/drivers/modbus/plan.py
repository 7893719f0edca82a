"""Which requests read which values: the fewest that respect the limits. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from fieldline_edge.drivers.modbus.settings import RegisterKind

__all__ = ["Block", "Span", "plan"]

_BITS_PER_REGISTER = 16


@dataclass(frozen=True, slots=True)
class Span:
    """The addresses one value takes."""

    kind: RegisterKind
    address: int
    width: int

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.address + self.width


@dataclass(frozen=True, slots=True)
class Block:
    """One request, and which of the spans (by position in the plan's input) its answer holds."""

    kind: RegisterKind
    address: int
    count: int
    spans: tuple[int, ...]


def plan(spans: Sequence[Span], *, registers_max: int, gap_max: int) -> tuple[Block, ...]:
    """Cover every span exactly once with requests, ordered by kind and address.

    A request never mixes kinds, never asks for more than `registers_max` addresses (16 times as many bits),
    never reads over more than `gap_max` addresses in a row that no span asked for, and never splits a span: a
    value read in two halves may be half old. Spans may overlap. ValueError if a span alone is over the limit.
    """
    order = sorted(range(len(spans)), key=lambda i: (spans[i].kind.value, spans[i].address, spans[i].width))
    blocks: list[Block] = []
    members: list[int] = []
    start = end = 0
    for position in order:
        span = spans[position]
        limit = registers_max * (_BITS_PER_REGISTER if span.kind.is_bits else 1)
        if span.width > limit:
            raise ValueError(f"a value of {span.width} registers does not fit a request of at most {limit}")
        joins = (
            members
            and spans[members[0]].kind is span.kind
            and span.address - end <= gap_max
            and max(end, span.end) - start <= limit
        )
        if not joins:
            if members:
                blocks.append(Block(spans[members[0]].kind, start, end - start, tuple(members)))
            members, start, end = [], span.address, span.end
        members.append(position)
        end = max(end, span.end)
    if members:
        blocks.append(Block(spans[members[0]].kind, start, end - start, tuple(members)))
    return tuple(blocks)
