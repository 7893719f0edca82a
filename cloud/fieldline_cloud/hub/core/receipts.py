"""Publishers that want to hear what becomes of a frame. Pure, and in memory alone.

Bound: so many frames at once; beyond it the oldest is forgotten, and its publisher hears nothing.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

__all__ = ["Outcome", "Receipts", "Verdict"]

_EXPECTED_MAX = 100_000


class Verdict(Enum):
    """What became of a frame."""

    HANDLED = "handled"
    REFUSED = "refused"
    NO_RECEIVER = "no_receiver"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`by` is the client that handled or refused it; `messages` the positions a refusal is about (empty: all)."""

    verdict: Verdict
    by: str = ""
    reason: str = ""
    messages: tuple[int, ...] = ()


class Receipts:
    """Who waits for news of which offset."""

    def __init__(self) -> None:
        self._expected: OrderedDict[int, Callable[[Outcome], None]] = OrderedDict()
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._expected)

    def expect(self, offset: int, tell: Callable[[Outcome], None]) -> None:
        """Have `tell` called once with what becomes of the frame at `offset`."""
        self._expected[offset] = tell
        if len(self._expected) > _EXPECTED_MAX:
            self._expected.popitem(last=False)
            self.forgotten += 1

    def came(self, offset: int, outcome: Outcome) -> None:
        """Something became of this frame. Only the first counts."""
        tell = self._expected.pop(offset, None)
        if tell is not None:
            tell(outcome)

    def drop(self, offset: int) -> None:
        """Nobody waits for this one any more."""
        self._expected.pop(offset, None)
