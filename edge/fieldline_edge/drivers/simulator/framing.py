"""Frames a Modbus device receives and sends: MBAP on TCP, RTU on a serial line or in a TCP stream. Pure.

A framer turns bytes, in whatever pieces they come, into whole requests. A device knows the length of every request
from its function code, so RTU needs no pause to find the end; the pause only helps to find the next beginning after
something that was no request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from struct import Struct
from typing import Protocol

__all__ = ["Framer", "Framing", "MbapFramer", "Request", "RtuFramer", "crc16", "framer"]

_MBAP = Struct(">HHHB")
_ADU_BYTES_MAX = 260  # Modbus over TCP 4.1: 7 bytes of header and a PDU of at most 253
_RTU_BYTES_MAX = 256  # Modbus over serial line 2.5.1
_FIXED_LENGTHS = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 22: 10}
_COUNTED = {15: 6, 16: 6, 23: 10}  # where the byte count of what follows stands


class Framing(Enum):
    """How requests are wrapped."""

    TCP = "tcp"
    RTU = "rtu"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the unit it is for, its PDU, and the transaction number its answer has to carry (MBAP only)."""

    unit: int
    pdu: bytes
    transaction: int = 0


class Framer(Protocol):
    """One direction of one connection. `broken` is set when what came can never be a request again."""

    broken: bool

    def feed(self, data: bytes) -> list[Request]:
        """The requests that are whole now."""
        ...

    def wrap(self, request: Request, pdu: bytes) -> bytes:
        """The frame that answers `request`."""
        ...

    def pause(self) -> None:
        """Nothing came for a while: what is half a request is none."""
        ...


class MbapFramer:
    """Modbus over TCP 3.1.3: transaction, protocol 0, length, unit, PDU. A wrong header breaks the stream for good."""

    def __init__(self) -> None:
        self.broken = False
        self._rest = b""

    def feed(self, data: bytes) -> list[Request]:
        """The requests that are whole now."""
        if self._rest:
            data = self._rest + data
        found: list[Request] = []
        at, end = 0, len(data)
        while end - at >= _MBAP.size and not self.broken:
            transaction, protocol, length, unit = _MBAP.unpack_from(data, at)
            if protocol or not 2 <= length <= _ADU_BYTES_MAX - 6:
                self.broken = True
            elif end - at < 6 + length:
                break
            else:
                found.append(Request(unit, data[at + 7 : at + 6 + length], transaction))
                at += 6 + length
        self._rest = data[at:]
        return found

    def wrap(self, request: Request, pdu: bytes) -> bytes:
        """The frame that answers `request`."""
        return _MBAP.pack(request.transaction, 0, len(pdu) + 1, request.unit) + pdu

    def pause(self) -> None:
        """A TCP stream may pause anywhere: nothing to do."""


class RtuFramer:
    """Modbus over serial line 2.5.1: unit, PDU, CRC. What has a wrong CRC is thrown away up to the next pause."""

    def __init__(self) -> None:
        self.broken = False
        self._rest = b""
        self._lost = False

    def feed(self, data: bytes) -> list[Request]:
        """The requests that are whole now."""
        found: list[Request] = []
        if self._lost:
            return found
        self._rest += data
        while len(self._rest) >= 2:
            length = _rtu_length(self._rest)
            if length is None:
                break
            frame = self._rest[:length]
            if not length or crc16(frame[:-2]) != int.from_bytes(frame[-2:], "little"):
                self._lost, self._rest = True, b""
            else:
                found.append(Request(frame[0], frame[1:-2]))
                self._rest = self._rest[length:]
        return found

    def wrap(self, request: Request, pdu: bytes) -> bytes:
        """The frame that answers `request`."""
        frame = bytes((request.unit,)) + pdu
        return frame + crc16(frame).to_bytes(2, "little")

    def pause(self) -> None:
        """Nothing came for a while: the next byte begins a request."""
        self._lost, self._rest = False, b""


def framer(framing: Framing) -> Framer:
    """A fresh framer for one connection."""
    makers: dict[Framing, Callable[[], Framer]] = {Framing.TCP: MbapFramer, Framing.RTU: RtuFramer}
    return makers[framing]()


def _rtu_length(data: bytes) -> int | None:
    """How long the request that begins `data` is; None if that cannot be told yet, 0 if it never can."""
    function = data[1]
    length = _FIXED_LENGTHS.get(function)
    if length is None:
        place = _COUNTED.get(function)
        if place is None:
            return 0
        if len(data) <= place:
            return None
        length = place + 1 + data[place] + 2
    if length > _RTU_BYTES_MAX:
        return 0
    return length if len(data) >= length else None


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc16(data: bytes) -> int:
    """The checksum of Modbus over serial line 6.2.2."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc
