"""Rows that have jumped as a change of unit would make them, while it is not sure that they stay. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fieldline_cloud.agents.anomaly.learned.signs import Sign
from fieldline_cloud.agents.anomaly.learned.units import Conversion, looks_like

__all__ = ["Jump", "Jumps"]

STAYS_FOR: Final = 5
"""Stretches after which a jump to another unit is taken for one."""
_NEAR: Final = 0.05


@dataclass(slots=True)
class Jump:
    """One row: where it came from, and the sign that was held back for it."""

    conversion: Conversion
    before: float
    spread: float
    held: Sign
    stayed: int = 1

    def fits(self, value: float) -> bool:
        """Whether a value is what it would be in the other unit."""
        expected = self.conversion.of(self.before)
        return abs(value - expected) <= max(_NEAR * abs(expected), 5.0 * self.spread * self.conversion.factor)


class Jumps:
    """The rows under suspicion; there are hardly ever any."""

    def __init__(self) -> None:
        self._jumps: dict[int, Jump] = {}

    def __len__(self) -> int:
        return len(self._jumps)

    def __iter__(self) -> Iterator[int]:
        return iter(self._jumps)

    def __contains__(self, row: int) -> bool:
        return row in self._jumps

    def begin(self, row: int, known: tuple[float, float] | None, after: float, spread_after: float, sign: Sign) -> bool:
        """Whether this looks like a change of unit: the sign is held back then until that is sure."""
        if known is None:
            return False
        before, spread = known
        conversion = looks_like(before, after, spread, spread_after)
        if conversion is None:
            return False
        self._jumps[row] = Jump(conversion, before, spread, sign)
        return True

    def follow(self, row: int, value: float) -> tuple[Jump | None, Sign | None]:
        """Take the next value of a row under suspicion: the jump once it is sure, or the sign that was held back."""
        jump = self._jumps[row]
        if not jump.fits(value):
            del self._jumps[row]
            return None, jump.held
        jump.stayed += 1
        if jump.stayed < STAYS_FOR:
            return None, None
        del self._jumps[row]
        return jump, None

    def forget(self, row: int) -> None:
        """Row is a new one from now on."""
        self._jumps.pop(row, None)
