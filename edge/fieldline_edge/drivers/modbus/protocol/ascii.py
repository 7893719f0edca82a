"""Modbus ASCII: a colon, hexadecimal digits with an LRC at their end, CR LF (serial line guide, 2.5.2). Pure."""

from fieldline_edge.drivers.modbus.protocol.bus import BusFramer
from fieldline_edge.drivers.modbus.protocol.crc import lrc
from fieldline_edge.drivers.modbus.protocol.pdu import answer_length

__all__ = ["AsciiFramer", "ascii_frame"]

_OCTETS_MIN = 4  # unit, exception, code, LRC
_DIGITS = frozenset(b"0123456789ABCDEFabcdef")


def ascii_frame(unit: int, pdu: bytes) -> bytes:
    """Colon, unit, PDU and LRC as digits, CR LF."""
    body = bytes([unit]) + pdu
    return b":" + (body + bytes([lrc(body)])).hex().upper().encode() + b"\r\n"


class AsciiFramer(BusFramer):
    """One question at a time over ASCII."""

    def _pack(self, unit: int, pdu: bytes) -> bytes:
        return ascii_frame(unit, pdu)

    def _find(self) -> bytes | None:
        buffer = self._buffer
        while (end := buffer.find(b"\n")) >= 0:
            start = buffer.rfind(b":", 0, end)
            octets = _octets(bytes(buffer[start + 1 : end])) if start >= 0 else None
            pdu = octets[1:-1] if octets and octets[0] == self._unit else b""
            is_answer = pdu and answer_length(pdu) == len(pdu)  # and no question: another master's, or our own echo
            self.octets_skipped += start if is_answer else end + 1
            del buffer[: end + 1]
            if is_answer:
                return pdu
        return None


def _octets(line: bytes) -> bytes | None:
    """Unit, PDU and LRC; None if the line is none of ours."""
    digits = line.removesuffix(b"\r")
    if len(digits) % 2 or len(digits) < 2 * _OCTETS_MIN or not _DIGITS.issuperset(digits):
        return None
    octets = bytes.fromhex(digits.decode())
    return octets if sum(octets) & 0xFF == 0 else None
