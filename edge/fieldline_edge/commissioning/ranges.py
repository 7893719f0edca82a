"""Which addresses of a table a device answers: found with few reads. Pure.

A device answers a read only if it has every address in it ("illegal address" otherwise: Modbus application
protocol, section 7, code 2). So two things can be bisected: how far readable addresses go on from one that
is readable, and how far back they begin. Unreadable ones cannot: nothing but a read of its own shows that an
address is missing. Within them the search therefore takes strides, which double up to `stride_max`: an
island shorter than that may be missed, one as long never is.
"""

from collections.abc import Generator
from dataclasses import dataclass

__all__ = ["Ask", "Range", "Search", "grown", "longest", "readable_ranges"]


@dataclass(frozen=True, slots=True)
class Ask:
    """A read the search wants an answer to: did the device give `count` values from `address` on?"""

    address: int
    count: int


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Addresses `first` to `last`, both included."""

    first: int
    last: int

    @property
    def count(self) -> int:
        """How many addresses it has."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"


Search = Generator[Ask, bool, tuple[Range, ...]]


def readable_ranges(first: int, last: int, *, count_max: int, stride_max: int, width: int = 1) -> Search:
    """Search `first` to `last`: yields reads, is sent whether each was answered, returns what is readable.

    No read is longer than `count_max` or leaves the window. `width` is the shortest read the device gives an
    answer to (2 for one that never splits a 32-bit value); ranges then begin and end at multiples of it,
    counted from `first`. The ranges are in order, do not touch each other and, with width 1, end where the
    next address was refused or the window ends.
    """
    assert 1 <= width <= count_max
    found: list[Range] = []
    end = first + (last - first + 1) // width * width  # the first address that is not looked at
    at, stride, refused = first, width, first - 1  # `refused`: no address up to here belongs to a later range
    while at < end:
        if not (yield Ask(at, width)):
            refused, at = at + width - 1, at + stride
            stride = min(2 * stride, max(width, stride_max // width * width))
            continue
        start = at - (yield from longest(at - refused - 1, width, count_max, at=at, back=True))
        at = yield from _end_of(at + width, end, width, count_max)
        _add(found, Range(start, at - 1))
        refused, at, stride = at + width - 1, at + width, width
    return tuple(found)


def grown(address: int, count: int, *, count_max: int) -> Search:
    """The readable addresses around `count` that are known to be readable, in steps of `count`."""
    start = address
    while start > 0:
        more = yield from longest(start, count, count_max, at=start, back=True)
        start -= more
        if more < count_max // count * count:
            break
    end = yield from _end_of(address + count, 65_536, count, count_max)
    return (Range(start, end - 1),)


def _end_of(at: int, end: int, width: int, count_max: int) -> Generator[Ask, bool, int]:
    """The first address from `at` on that is not readable, or `end`."""
    while at < end:
        room = min(end - at, count_max) // width * width
        if not room:
            break
        if (yield Ask(at, room)):
            at += room
            continue
        more = yield from longest(room - width, width, count_max, at=at, back=False)
        return int(at + more)
    return at


def longest(most: int, width: int, count_max: int, *, at: int, back: bool) -> Generator[Ask, bool, int]:
    """How many addresses from `at` on, or back from before it, are readable: 0 to `most` in steps of `width`.

    If n are readable, so are fewer. No more than `count_max` are found.
    """
    low, high = 0, min(most, count_max) // width
    while low < high:
        middle = (low + high + 1) // 2
        count = middle * width
        if (yield Ask(at - count if back else at, count)):
            low = middle
        else:
            high = middle - 1
    return low * width


def _add(found: list[Range], new: Range) -> None:
    """Append, joining ranges that touch."""
    if found and new.first <= found[-1].last + 1:
        found[-1] = Range(found[-1].first, max(found[-1].last, new.last))
    else:
        found.append(new)
