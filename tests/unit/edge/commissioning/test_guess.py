"""Guesses about registers nobody has described."""

import struct

import pytest

from fieldline_edge.commissioning.guess import float32, float_order
from fieldline_edge.drivers.modbus.settings import Order


def wire(value: float, order: Order) -> list[int]:
    """A float as registers in a byte order, made by moving bytes."""
    a, b, c, d = struct.pack(">f", value)
    moved = {
        Order.ABCD: (a, b, c, d),
        Order.CDAB: (c, d, a, b),
        Order.BADC: (b, a, d, c),
        Order.DCBA: (d, c, b, a),
    }[order]
    return list(struct.unpack(">2H", bytes(moved)))


@pytest.mark.parametrize("order", list(Order))
def test_floats_are_recognised_in_every_order(order: Order) -> None:
    words = [word for value in (230.17, 229.9, 12.34, -4.9) for word in wire(value, order)]
    assert float_order([words]) is order
    assert float32(words[0], words[1], order) == pytest.approx(230.17)


@pytest.mark.parametrize("words", [[], [0, 0, 0, 0], [1, 2, 3, 4, 5, 6], [230, 231, 229, 50], [17154, 0]])
def test_small_integers_are_not_taken_for_floats(words: list[int]) -> None:
    assert float_order([words]) is None
