"""Answers that units still owe us on a line without transaction ids, and how to be sure that they are through. Pure.

A unit that was silent may answer later, even after the quiet time, and nothing on that answer says which question it
belongs to. Two answers can be told apart if their function code or length differ, and a unit answers in the order it
was asked. So before a question whose answer would look like one that is owed, another one is asked whose answer looks
like none of them: once that is here, nothing older is on its way.
"""

from collections.abc import Iterator
from typing import Any

from fieldline_edge.drivers.modbus.protocol.pdu import (
    COILS_READ_MAX,
    READ_COILS,
    READ_HOLDING_REGISTERS,
    REGISTERS_READ_MAX,
    ReadBits,
    ReadWords,
    Request,
    WriteCoil,
    WriteCoils,
)

__all__ = ["Debts"]

# A device that has not answered for a minute will not: it was off, or on another line.
_OWED_S = 60.0
_OWED_MAX = 8  # per unit; beyond, the oldest is forgotten

_Look = tuple[int, int]  # function code, bytes of the answer


class Debts:
    """What is owed, by unit. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._owed: dict[int, list[tuple[float, _Look]]] = {}

    def owe(self, unit: int, request: Request[Any], now_s: float) -> None:
        """The request got no answer, or not the right one: it may still come."""
        owed = self._owed.setdefault(unit, [])
        owed.append((now_s + _OWED_S, _look(request)))
        del owed[:-_OWED_MAX]

    def settle(self, unit: int) -> None:
        """The unit has answered a question in a way no older one can have been answered."""
        self._owed.pop(unit, None)

    def settle_oldest(self, unit: int) -> None:
        """The unit has answered something: an exception looks alike for all lengths, so only one debt is gone."""
        owed = self._owed.get(unit)
        if owed:
            del owed[0]

    def owes(self, unit: int, now_s: float) -> bool:
        """Whether any answer of the unit may still come."""
        return unit in self._owed and self.count(unit, now_s) > 0

    def count(self, unit: int, now_s: float) -> int:
        """How many answers of the unit may still come."""
        owed = self._owed.get(unit, [])
        while owed and owed[0][0] <= now_s:
            del owed[0]
        return len(owed)

    def detour(self, unit: int, request: Request[Any], now_s: float) -> Request[Any] | None:
        """The question to ask before `request`, because its answer could be taken for an owed one; None: no need."""
        if not self.owes(unit, now_s):
            return None
        looks = {look for _, look in self._owed[unit]}
        if _look(request) not in looks:
            return None
        return next((other for other in _others(request) if _look(other) not in looks), None)


def _look(request: Request[Any]) -> _Look:
    return request.function, request.answer_bytes


def _others(request: Request[Any]) -> Iterator[Request[Any]]:
    """Reads of the same place with another length: shorter ones first, because they never leave what exists."""
    if isinstance(request, ReadWords):
        for count in (*range(request.count - 1, 0, -1), *range(request.count + 1, REGISTERS_READ_MAX + 1)):
            yield from _words(request.function, request.address, count)
    elif isinstance(request, ReadBits):
        for count in (*range(request.count - 8, 0, -8), *range(request.count + 8, COILS_READ_MAX + 1, 8)):
            yield from _bits(request.function, request.address, count)
    else:
        address = int.from_bytes(request.pdu[1:3], "big")
        for count in range(1, 2 * _OWED_MAX):
            if isinstance(request, WriteCoil | WriteCoils):
                yield from _bits(READ_COILS, address, 8 * count)
            else:
                yield from _words(READ_HOLDING_REGISTERS, address, count)


def _words(function: int, address: int, count: int) -> Iterator[ReadWords]:
    if address + count <= 65_536:
        yield ReadWords(function, address, count)


def _bits(function: int, address: int, count: int) -> Iterator[ReadBits]:
    if address + count <= 65_536:
        yield ReadBits(function, address, count)
