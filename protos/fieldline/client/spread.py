"""Which of a pool's connections a message goes to, so that order holds per topic and key. Pure.

With a key, topic and key always mean the same connection. Without one, a topic stays on its connection while anything
of it has not been stored yet; after that it goes to the one with the least to do.

Bound: topics without a key are remembered only while they hold to a connection; they are looked through when there are
TOPICS_SWEPT_AT of them.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from fieldline.client.batch import Batch

__all__ = ["Spread"]

TOPICS_SWEPT_AT = 1024


@dataclass(slots=True)
class _Held:
    slot: int
    users: int = 0  # publishes that have chosen and are not through yet
    last: Batch | None = None

    @property
    def is_over(self) -> bool:
        return not self.users and (self.last is None or self.last.stored)


class Spread:
    """Connections are numbered slots, from 0 to size - 1."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._topics: dict[str, _Held] = {}
        self._sweep_at = TOPICS_SWEPT_AT

    def __len__(self) -> int:
        return len(self._topics)

    def choose(self, topic: str, key: str, loads: Sequence[int | None]) -> int:
        """The slot for a message, by how much each has to do (None: it is not open). Follow it with `release`."""
        if key:
            return zlib.crc32(f"{topic}\0{key}".encode(errors="replace")) % self._size
        held = self._topics.get(topic)
        if held is None or held.is_over:
            if len(self._topics) >= self._sweep_at:
                self._sweep()
            held = self._topics[topic] = _Held(_least_loaded(loads))
        held.users += 1
        return held.slot

    def note(self, topic: str, key: str, batch: Batch) -> None:
        """The message that was chosen for is in this batch."""
        if not key:
            self._topics[topic].last = batch

    def release(self, topic: str, key: str) -> None:
        """That publish is through, with or without success."""
        if not key:
            self._topics[topic].users -= 1

    def lost(self, slot: int) -> None:
        """What the connection held is gone: nothing of it will be stored any more."""
        for held in self._topics.values():
            if held.slot == slot:
                held.last = None

    def _sweep(self) -> None:
        self._topics = {topic: held for topic, held in self._topics.items() if not held.is_over}
        self._sweep_at = max(TOPICS_SWEPT_AT, 2 * len(self._topics))


def _least_loaded(loads: Sequence[int | None]) -> int:
    """An open one without work, else one that is not open yet, else the one with the least work."""
    order = [((1, 0) if load is None else (2, load) if load else (0, 0), slot) for slot, load in enumerate(loads)]
    return min(order)[1]
