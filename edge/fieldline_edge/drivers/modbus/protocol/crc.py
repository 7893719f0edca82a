"""The two checksums of serial Modbus (serial line guide, 2.5.1.2 and 2.5.2.2). Pure."""

__all__ = ["crc16", "lrc"]

_POLYNOMIAL = 0xA001  # x^16 + x^15 + x^2 + 1, lowest bit first


def _entry(octet: int) -> int:
    for _ in range(8):
        octet = (octet >> 1) ^ (_POLYNOMIAL if octet & 1 else 0)
    return octet


_TABLE = tuple(_entry(octet) for octet in range(256))


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS; goes on the wire low byte first, and over a frame with its CRC it is 0."""
    crc, table = 0xFFFF, _TABLE
    for octet in data:
        crc = (crc >> 8) ^ table[(crc ^ octet) & 0xFF]
    return crc


def lrc(data: bytes) -> int:
    """The sum's two's complement; over a message with its LRC the sum is 0."""
    return -sum(data) & 0xFF
