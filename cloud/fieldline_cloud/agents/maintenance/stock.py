"""When the parts a task takes are there: from stock, less what other tasks will take, or after a lead time. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fieldline.model import Part

__all__ = ["Stock", "StockItem"]

_NS_PER_DAY: Final = 24 * 3_600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class StockItem:
    """A spare part: how many lie in the store, and how long more take to come."""

    count: int
    lead_days: float


class Stock:
    """The store. A part it does not list is taken to be at hand."""

    def __init__(self, items: Mapping[str, StockItem]) -> None:
        self._items = items

    def ready_ns(self, parts: Sequence[Part], reserved: Iterable[Part], now_ns: int) -> int:
        """When all `parts` are there, if `reserved` are for others; 0: now."""
        taken: Counter[str] = Counter()
        for part in reserved:
            taken[part.name] += part.count
        missing = [
            part
            for part in parts
            if part.name in self._items and self._items[part.name].count - taken[part.name] < part.count
        ]
        return self.lead_ns(missing, now_ns) if missing else 0

    def lead_ns(self, parts: Iterable[Part], now_ns: int) -> int:
        """When `parts` are there, if all of them are ordered now."""
        days = max((self._items[part.name].lead_days for part in parts if part.name in self._items), default=0.0)
        return now_ns + round(days * _NS_PER_DAY)
