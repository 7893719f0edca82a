"""From what a device says to what it means: scale, offset and the limits of the sensor. Pure."""

import math
from collections.abc import Callable

from fieldline.model import Quality

__all__ = ["Scaler", "scaler"]

Scaler = Callable[[float], tuple[float, Quality]]

_INT64_MAX = (1 << 63) - 1


def scaler(
    *, scale: float = 1.0, offset: float = 0.0, minimum: float | None = None, maximum: float | None = None
) -> Scaler:
    """A function from a raw number to (value, quality).

    The value is `raw * scale + offset` as a float, or the raw number itself (an int stays an int) where scale
    is 1 and offset 0. Outside [minimum, maximum], both in units of the value, the quality is BAD_RANGE and
    the value is kept, so that a person can see how far off it was. NaN and infinities are BAD_RANGE always:
    no sensor measures them. An int above the largest int64 becomes a float, because readings carry no larger
    ints.
    """
    low = -math.inf if minimum is None else minimum
    high = math.inf if maximum is None else maximum
    convert = _converter(scale, offset)

    def apply(raw: float) -> tuple[float, Quality]:
        value = convert(raw) if convert else raw
        if type(value) is int and value > _INT64_MAX:
            value = float(value)
        # The difference is NaN, and so unequal to 0, for infinities and NaN.
        if low <= value <= high and value - value == 0:
            return value, Quality.GOOD
        return value, Quality.BAD_RANGE

    return apply


def _converter(scale: float, offset: float) -> Callable[[float], float] | None:
    """A scale like 0.1 divides by 10: 214 / 10 is 21.4, while 214 * 0.1 is 21.400000000000002.

    The first is what the maker meant, reads well, and takes a fraction of the bytes on the wire.
    """
    if scale == 1 and offset == 0:
        return None
    divisor = _whole_divisor(scale)
    if divisor is not None:
        return lambda raw: raw / divisor + offset
    return lambda raw: raw * scale + offset


def _whole_divisor(scale: float) -> int | None:
    if not 0 < abs(scale) < 1 or abs(scale) < 1e-15:
        return None
    divisor = round(1 / scale)
    return divisor if 1 / divisor == scale else None
