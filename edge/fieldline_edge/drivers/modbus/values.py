"""From one raw value to what it means, where that takes more than arithmetic: texts, digits, masks, tables. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from fieldline.model import Quality, Value
from fieldline_edge.drivers.modbus.tag_settings import ModbusTagSettings, RegisterType, Strip, invalid_raws, labels
from fieldline_edge.drivers.scaling import scaler
from fieldline_edge.drivers.settings import OutOfRange

__all__ = ["Convert", "converter"]

Convert = Callable[[Any], tuple[Value, Quality]]


def converter(tag: ModbusTagSettings) -> Convert:
    """A function from what `struct` unpacks for this tag to (value, quality).

    In this order: BCD digits (BAD_PARSE if one is above 9), `invalid` (BAD), mask and shift, then either the table
    (BAD_PARSE and the number as text if it is not there) or scale, offset and limits.
    """
    if tag.type is RegisterType.STRING:
        return _text(tag)
    finish = _labelled(labels(tag)) if tag.map else _scaled(tag)
    if tag.mask is not None or tag.shift:
        finish = _masked(tag, finish)
    if tag.invalid:
        finish = _valid(invalid_raws(tag), finish)
    return _decimal(finish) if tag.type.is_bcd else finish


def _scaled(tag: ModbusTagSettings) -> Convert:
    return scaler(
        scale=tag.scale,
        offset=tag.offset,
        minimum=tag.min,
        maximum=tag.max,
        clamp=tag.out_of_range is OutOfRange.CLAMP,
    )


def _labelled(texts: Mapping[int, str]) -> Convert:
    good = {raw: (text, Quality.GOOD) for raw, text in texts.items()}

    def convert(raw: int) -> tuple[Value, Quality]:
        return good.get(raw) or (str(int(raw)), Quality.BAD_PARSE)

    return convert


def _masked(tag: ModbusTagSettings, finish: Convert) -> Convert:
    mask, shift = -1 if tag.mask is None else tag.mask, tag.shift
    return lambda raw: finish((raw & mask) >> shift)


def _valid(invalid: frozenset[float], finish: Convert) -> Convert:
    return lambda raw: (None, Quality.BAD) if raw in invalid else finish(raw)


def _decimal(finish: Convert) -> Convert:
    """Binary-coded decimal: each 4 bits are one digit, the most significant first."""

    def convert(raw: int) -> tuple[Value, Quality]:
        digits = f"{raw:x}"
        return finish(int(digits)) if digits.isdecimal() else (None, Quality.BAD_PARSE)

    return convert


def _text(tag: ModbusTagSettings) -> Convert:
    encoding, strip, length = tag.encoding.value, tag.strip, tag.text_bytes

    def convert(raw: bytes) -> tuple[Value, Quality]:
        data = raw[:length]
        if strip is not Strip.NONE:
            data = data.partition(b"\0")[0]
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            return None, Quality.BAD_PARSE
        return text.strip() if strip is Strip.PADDING else text, Quality.GOOD

    return convert
