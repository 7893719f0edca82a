"""Which deliveries are done, and how far the cursor may move. Pure.

The hub keeps one number per durable subscription: everything up to it is done. Deliveries may be finished in any order,
so the cursor moves only over an unbroken run of finished ones.
"""

from collections import deque

__all__ = ["AckTracker"]


class AckTracker:
    """Deliveries handed out on one subscription. Offsets must be added in ascending order."""

    def __init__(self) -> None:
        self._outstanding: deque[int] = deque()
        self._done: set[int] = set()
        self.last_added = -1
        self.up_to = -1

    def __len__(self) -> int:
        return len(self._outstanding)

    def add(self, offset: int) -> bool:
        """Note a delivery; False if it was handed out before (the hub repeats itself after a reconnect)."""
        if offset <= self.last_added:
            return False
        self.last_added = offset
        self._outstanding.append(offset)
        return True

    def done(self, offset: int) -> bool:
        """This delivery is finished; True if the cursor moved. Saying it twice changes nothing."""
        if not self.up_to < offset <= self.last_added:
            return False
        self._done.add(offset)
        return self._advance()

    def done_through(self, offset: int) -> bool:
        """This delivery and all before it are finished; True if the cursor moved."""
        before = self.up_to
        while self._outstanding and self._outstanding[0] <= offset:
            self.up_to = self._outstanding.popleft()
            self._done.discard(self.up_to)
        self._advance()
        return self.up_to > before

    def _advance(self) -> bool:
        before = self.up_to
        while self._outstanding and self._outstanding[0] in self._done:
            self.up_to = self._outstanding.popleft()
            self._done.discard(self.up_to)
        return self.up_to > before
