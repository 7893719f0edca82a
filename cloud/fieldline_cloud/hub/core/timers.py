"""When something is due for an entry: its ack wait is over, or its pause before another try. Pure."""

import heapq
from collections.abc import Callable, Iterator

from fieldline_cloud.hub.core.entry import Entry

__all__ = ["Timers"]

_STALE_MAX = 1024


class Timers:
    """One timer for each entry: setting it again, or any change of the entry, ends the earlier one.

    A timer that has ended stays in the heap until it is due, or until they outnumber those that run: at 100,000 frames
    a second and an ack wait of 30 s there would be millions of them.
    """

    def __init__(self, find: Callable[[int], Entry | None]) -> None:
        self._find = find
        self._heap: list[tuple[float, int, int]] = []  # (due_s, offset, generation)
        self._clean_at = _STALE_MAX

    def set(self, entry: Entry, due_s: float) -> None:
        """Have the entry given by `due` at that time (monotonic seconds)."""
        entry.generation += 1
        heapq.heappush(self._heap, (due_s, entry.offset, entry.generation))
        if len(self._heap) > self._clean_at:
            self._heap = [timer for timer in self._heap if self._meant(timer) is not None]
            heapq.heapify(self._heap)
            self._clean_at = 2 * len(self._heap) + _STALE_MAX

    def due(self, now_s: float) -> Iterator[Entry]:
        """The entries whose time has come, each once."""
        while self._heap and self._heap[0][0] <= now_s:
            entry = self._meant(heapq.heappop(self._heap))
            if entry is not None:
                yield entry

    @property
    def next_due_s(self) -> float | None:
        """When the next one is due; None if none runs."""
        while self._heap:
            if self._meant(self._heap[0]) is not None:
                return self._heap[0][0]
            heapq.heappop(self._heap)
        return None

    def clear(self) -> None:
        """End all of them."""
        self._heap.clear()

    def _meant(self, timer: tuple[float, int, int]) -> Entry | None:
        entry = self._find(timer[1])
        return entry if entry is not None and entry.generation == timer[2] and not entry.dying else None
