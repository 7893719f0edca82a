"""Payloads of raw bytes: numbers, bits and strings at fixed places. Pure."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from fieldline.model import Quality, Value
from fieldline_edge.drivers.modbus.tag_settings import Order
from fieldline_edge.drivers.mqtt.formats.values import Unreadable, checked_count, taker, time_ns
from fieldline_edge.drivers.mqtt.settings import (
    MqttDeviceSettings,
    OtherTagSettings,
    TimestampSettings,
    ValueSettings,
    ValueType,
)

__all__ = ["BinaryFormat"]

_FORMATS = {
    ValueType.INT8: ">b",
    ValueType.UINT8: ">B",
    ValueType.INT16: ">h",
    ValueType.UINT16: ">H",
    ValueType.INT32: ">i",
    ValueType.UINT32: ">I",
    ValueType.INT64: ">q",
    ValueType.UINT64: ">Q",
    ValueType.FLOAT16: ">e",
    ValueType.FLOAT32: ">f",
    ValueType.FLOAT64: ">d",
}


class BinaryFormat:
    """One record, or several of the same length behind each other."""

    def __init__(self, device: MqttDeviceSettings) -> None:
        self._record_bytes = device.record_bytes

    def records(self, payload: bytes) -> Sequence[bytes]:
        """The payload, or its parts of `record_bytes`."""
        size = self._record_bytes
        if size is None:
            return (payload,)
        if not payload or len(payload) % size:
            raise Unreadable(f"payload of {len(payload)} bytes is not made of records of {size}")
        checked_count(len(payload) // size)
        return [payload[start : start + size] for start in range(0, len(payload), size)]

    def finder(self, tag: OtherTagSettings) -> Callable[[Any], Any]:
        """The number, bit or string at the tag's place."""
        if tag.type is ValueType.BOOL:
            cut, bit = _cut(tag, 1), tag.bit or 0
            return lambda record: bool(cut(record)[0] >> bit & 1)
        if tag.type is ValueType.STRING:
            return _string(_cut(tag, tag.bytes or 1))
        return _number(tag, tag.type)

    def taker(self, tag: OtherTagSettings) -> Callable[[Any], tuple[Value, Quality]]:
        """Scaled and within its limits."""
        return taker(tag)

    def clock(self, stamp: TimestampSettings) -> Callable[[Any], int]:
        """The number at the stamp's place."""
        assert stamp.type is not None, "checked by the settings"
        find, where = _number(stamp, stamp.type), f"byte {stamp.at}"
        return lambda record: time_ns(find(record), stamp.unit, where)


def _cut(place: ValueSettings, width: int) -> Callable[[bytes], bytes]:
    start = place.at
    assert start is not None, "checked by the settings"
    end = start + width

    def cut(record: bytes) -> bytes:
        if len(record) < end:
            raise Unreadable(f"{len(record)} bytes are too few for bytes {start} to {end - 1}")
        return record[start:end]

    return cut


def _number(place: ValueSettings, kind: ValueType) -> Callable[[bytes], Any]:
    cut, unpack = _cut(place, kind.width_bytes), struct.Struct(_FORMATS[kind]).unpack
    order = place.order
    return lambda record: unpack(_big_endian(cut(record), order))[0]


def _string(cut: Callable[[bytes], bytes]) -> Callable[[bytes], str]:
    def read(record: bytes) -> str:
        raw = cut(record).split(b"\0", 1)[0]
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise Unreadable(f"{raw!r:.40} is not UTF-8 text") from None

    return read


def _big_endian(raw: bytes, order: Order) -> bytes:
    """`raw` with the most significant byte first. The orders ask two questions of words of 16 bits, see Order."""
    if order is Order.ABCD or len(raw) == 1:
        return raw
    words = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    if order in (Order.BADC, Order.DCBA):
        words = [word[::-1] for word in words]
    if order in (Order.CDAB, Order.DCBA):
        words.reverse()
    return b"".join(words)
