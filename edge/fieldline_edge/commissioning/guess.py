"""What registers may mean that nobody has described: a guess to start from, never more. Pure."""

import math
import struct
from collections.abc import Iterable, Sequence

from fieldline_edge.drivers.modbus.settings import Order

__all__ = ["float32", "float_order"]

_PLAUSIBLE_MIN, _PLAUSIBLE_MAX = 1e-3, 1e7
_ORDERS = (Order.ABCD, Order.CDAB, Order.BADC, Order.DCBA)


def float32(high: int, low: int, order: Order) -> float:
    """Two registers, first and second on the wire, as a float32."""
    big = struct.pack(">HH", high, low)
    swapped = bytes((big[1], big[0], big[3], big[2]))
    data = {Order.ABCD: big, Order.CDAB: big[2:] + big[:2], Order.BADC: swapped, Order.DCBA: big[::-1]}[order]
    return float(struct.unpack(">f", data)[0])


def float_order(ranges: Iterable[Sequence[int]]) -> Order | None:
    """The order in which the registers read as floats of a size that measurements have; None if in none.

    Counted over pairs from the first register of each range on, those that are 0 left out. A pair with a register
    of 0 could as well be a small integer, so at least one float must use both registers, or several must agree.
    """
    pairs = [pair for words in ranges for pair in zip(words[::2], words[1::2], strict=False) if any(pair)]
    best: tuple[int, Order] | None = None
    for order in _ORDERS:
        good = sum(_is_plausible(float32(*pair, order)) for pair in pairs)
        if good and good >= 0.8 * len(pairs) and (best is None or good > best[0]):
            best = good, order
    if best is None or (len(pairs) < 3 and not any(all(pair) for pair in pairs)):
        return None
    return best[1]


def _is_plausible(value: float) -> bool:
    return math.isfinite(value) and _PLAUSIBLE_MIN <= abs(value) <= _PLAUSIBLE_MAX
