"""What lies in the store: counted from the file once, then by what is used, booked in and counted again. Pure.

A part the file does not list is taken to be at hand, and is not counted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fieldline.model import Part

__all__ = ["Shelf", "Stock", "StockItem"]

_NS_PER_DAY: Final = 24 * 3_600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class StockItem:
    """A spare part as the file lists it: how many lie in the store, and how long more take to come."""

    count: int
    lead_days: float


@dataclass(frozen=True, slots=True)
class Shelf:
    """A part as it is counted. `on_hand` includes what is reserved; below 0, more were used than were booked in.

    `in_file` is the number of the file that was last taken over: another one there is a new count.
    """

    on_hand: int
    in_file: int


@dataclass(frozen=True, slots=True)
class Stock:
    """The store: parts by name, and what has been counted of them."""

    items: Mapping[str, StockItem]
    shelves: Mapping[str, Shelf] = field(default_factory=dict)

    def on_hand(self, part: str) -> int:
        """How many of a listed part lie in the store, those that are reserved among them."""
        shelf = self.shelves.get(part)
        return self.items[part].count if shelf is None else shelf.on_hand

    def counted_anew(self) -> dict[str, Shelf]:
        """Shelves of parts that are new in the file, or have another number there than when it was last read."""
        return {
            name: Shelf(item.count, item.count)
            for name, item in self.items.items()
            if name not in self.shelves or self.shelves[name].in_file != item.count
        }

    def shelf(self, part: str, on_hand: int) -> Shelf:
        """The shelf of a listed part with so many on it."""
        return Shelf(on_hand, self.items[part].count)

    def with_shelves(self, shelves: Mapping[str, Shelf]) -> "Stock":
        """The store after some shelves have changed."""
        return replace(self, shelves={**self.shelves, **shelves})

    def listed(self, parts: Iterable[Part]) -> Counter[str]:
        """How many it takes of each part that is counted."""
        needed: Counter[str] = Counter()
        for part in parts:
            if part.name in self.items:
                needed[part.name] += part.count
        return needed

    def missing(self, parts: Iterable[Part], reserved: Mapping[str, int]) -> tuple[str, ...]:
        """Parts of which too few are left, once `reserved` are for others; in the order of their names."""
        needed = self.listed(parts)
        return tuple(
            sorted(name for name, count in needed.items() if self.on_hand(name) - reserved.get(name, 0) < count)
        )

    def lead_ns(self, names: Iterable[str], now_ns: int) -> int:
        """When the parts of these names are there, if all of them are ordered now; parts that are not listed: now."""
        days = max((self.items[name].lead_days for name in names if name in self.items), default=0.0)
        return now_ns + round(days * _NS_PER_DAY)
