"""Modbus RTU: unit, PDU, CRC (serial line guide, 2.5.1). Pure.

The standard ends a frame by silence, which neither a USB adapter nor a TCP stream keeps. Here an answer ends where
its own function code and byte count say, and the CRC must be right there. The search begins at every byte, so noise
or a foreign frame before an answer costs nothing but the bytes themselves.
"""

from fieldline_edge.drivers.modbus.protocol.bus import BusFramer
from fieldline_edge.drivers.modbus.protocol.crc import crc16
from fieldline_edge.drivers.modbus.protocol.pdu import answer_length

__all__ = ["RtuFramer", "rtu_frame"]

_FRAME_BYTES_MIN = 5  # unit, exception, code, CRC


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """Unit, PDU, CRC."""
    body = bytes([unit]) + pdu
    return body + crc16(body).to_bytes(2, "little")


class RtuFramer(BusFramer):
    """One question at a time over RTU."""

    def _pack(self, unit: int, pdu: bytes) -> bytes:
        return rtu_frame(unit, pdu)

    def _find(self) -> bytes | None:
        buffer = self._buffer
        start = buffer.find(self._unit)
        while 0 <= start <= len(buffer) - _FRAME_BYTES_MIN:
            length = answer_length(buffer, start + 1)
            if length:
                end = start + 1 + length + 2
                if end <= len(buffer) and crc16(bytes(buffer[start:end])) == 0:
                    pdu = bytes(buffer[start + 1 : end - 2])
                    self.octets_skipped += start
                    del buffer[:end]
                    return pdu
            start = buffer.find(self._unit, start + 1)
        return None
