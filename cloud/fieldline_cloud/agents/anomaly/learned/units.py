"""Whether a jump of a tag looks like another unit of measurement rather than another machine. Pure.

Somebody changes a transmitter from bar to psi, or a scale factor in a register map, and from one reading to the next
all values are 14.5 times what they were, and stay. A machine seldom hits such a factor, with its spread in proportion.
"""

import math
from dataclasses import dataclass
from typing import Final

__all__ = ["CONVERSIONS", "Conversion", "looks_like"]


@dataclass(frozen=True, slots=True)
class Conversion:
    """`value * factor + offset`, with the words for it."""

    factor: float
    offset: float
    text: str

    def of(self, value: float) -> float:
        """The value in the other unit."""
        return value * self.factor + self.offset

    @property
    def inverse(self) -> "Conversion":
        """The way back."""
        text = " to ".join(reversed(self.text.split(" to ")))
        return Conversion(1.0 / self.factor, -self.offset / self.factor, text)


_FORTH: Final = (
    Conversion(10.0, 0.0, "x to 10 x"),
    Conversion(100.0, 0.0, "x to 100 x"),
    Conversion(1_000.0, 0.0, "x to 1000 x"),
    Conversion(1e6, 0.0, "x to 1000000 x"),
    Conversion(60.0, 0.0, "1/min to 1/h"),
    Conversion(3_600.0, 0.0, "1/s to 1/h"),
    Conversion(3.6, 0.0, "m/s to km/h"),
    Conversion(25.4, 0.0, "inch to mm"),
    Conversion(14.503774, 0.0, "bar to psi"),
    Conversion(6.894757, 0.0, "psi to kPa"),
    Conversion(1.8, 32.0, "degC to degF"),
    Conversion(1.0, 273.15, "degC to K"),
)
CONVERSIONS: Final = (*_FORTH, *(each.inverse for each in _FORTH))
_NEAR: Final = 0.02
_NEAR_OF_HUGE: Final = 0.2
"""How far from the converted value the new one may lie, as a share of it."""
_SPREAD_RATIO_MAX: Final = 3.0


def looks_like(before: float, after: float, spread_before: float, spread_after: float) -> Conversion | None:
    """The conversion that makes `before` to `after`; None if none does. Spreads are standard deviations about them.

    A spread that is not known is NaN. Values around zero say nothing: every factor makes zero of zero.
    """
    if not abs(before) > 3.0 * spread_before or before == after:
        return None
    if not math.isfinite(spread_after):
        spread_after = 0.0
    for conversion in CONVERSIONS:
        expected = conversion.of(before)
        near = abs(after - expected) <= _tolerance(conversion) * abs(expected)
        if near and _in_proportion(spread_before * conversion.factor, spread_after):
            far = abs(expected - before)
            return conversion if far > 10.0 * max(spread_before, spread_after / max(conversion.factor, 1.0)) else None
    return None


def _tolerance(conversion: Conversion) -> float:
    """A machine does not get ten times as fast: such a jump may be less exact where a signal moves a lot."""
    return _NEAR if 0.1 < conversion.factor < 10.0 else _NEAR_OF_HUGE


def _in_proportion(expected: float, found: float) -> bool:
    if expected <= 0.0 or found <= 0.0:
        return True  # one of them stood still: nothing speaks against it
    return 1.0 / _SPREAD_RATIO_MAX <= found / expected <= _SPREAD_RATIO_MAX
