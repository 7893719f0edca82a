import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Quality, Reading
from fieldline_edge.drivers.modbus.group import block_readers
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

FORMATS = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "int64": ">q",
    "uint64": ">Q",
    "float32": ">f",
    "float64": ">d",
}


def device(*tags: dict[str, Any], **options: Any) -> ModbusDeviceSettings:
    return ModbusDeviceSettings.model_validate(
        {"driver": "modbus", "name": "pump-1", "area": "a", "host": "127.0.0.1", "tags": tags, **options}
    )


def words(value: float, type_: str, order: str) -> list[int]:
    """What a device of this order puts into its registers. Written down by the meaning of the letters."""
    data = struct.pack(FORMATS[type_], value)  # A first
    registers = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        registers.reverse()
    if order in ("BADC", "DCBA"):
        registers = [register[::-1] for register in registers]
    return [int.from_bytes(register, "big") for register in registers]


def carried(value: float) -> float:
    """An int too large for an int64 travels as the nearest float."""
    return float(value) if value >= 2**63 else value


def read_one(tag: dict[str, Any], answer: list[int]) -> Reading:
    (reader,) = block_readers(device({"name": "x", "address": 0, **tag}))
    (reading,) = reader.read(answer, 7)
    return reading


@st.composite
def values(draw: st.DrawFn) -> tuple[str, float]:
    type_ = draw(st.sampled_from(sorted(FORMATS)))
    if type_.startswith("float"):
        return type_, draw(st.floats(width=32 if type_ == "float32" else 64, allow_nan=False))
    bits = int(type_[-2:])
    if type_.startswith("u"):
        return type_, draw(st.integers(0, 2**bits - 1))
    return type_, draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))


@given(values(), st.sampled_from(["ABCD", "BADC", "CDAB", "DCBA"]))
def test_every_type_is_read_in_every_order(found: tuple[str, float], order: str) -> None:
    type_, value = found
    reading = read_one({"type": type_, "order": order}, words(value, type_, order))
    assert reading.value == carried(value)
    assert type(reading.value) is (float if type_.startswith("float") or value >= 2**63 else int)
    assert reading.quality is (Quality.GOOD if math.isfinite(value) else Quality.BAD_RANGE)


@pytest.mark.parametrize(
    ("order", "registers"),
    [
        ("ABCD", [0x42F6, 0xE979]),
        ("CDAB", [0xE979, 0x42F6]),
        ("BADC", [0xF642, 0x79E9]),
        ("DCBA", [0x79E9, 0xF642]),
    ],
)
def test_the_textbook_float_123_456_is_read_in_every_order(order: str, registers: list[int]) -> None:
    reading = read_one({"type": "float32", "order": order}, registers)
    assert reading.value == pytest.approx(123.456, rel=1e-6)


@given(st.lists(values(), min_size=1, max_size=20), st.data())
def test_many_values_in_one_answer_do_not_disturb_each_other(
    found: list[tuple[str, float]], data: st.DataObject
) -> None:
    tags: list[dict[str, Any]] = []
    answer: list[int] = []
    expected: list[tuple[str, float]] = []
    for i, (type_, value) in enumerate(found):
        order = data.draw(st.sampled_from(["ABCD", "BADC", "CDAB", "DCBA"]))
        tags.append({"name": f"t{i}", "type": type_, "order": order, "address": 100 + len(answer)})
        answer += words(value, type_, order)
        expected.append((f"t{i}", carried(value)))
    (reader,) = block_readers(device(*tags))
    readings = reader.read(answer, 7)
    assert sorted((r.tag, r.value) for r in readings) == sorted(expected)
    assert [r.tag for r in readings] == list(reader.tag_names)


@given(st.integers(0, 65_535), st.integers(0, 15))
def test_a_bit_of_a_register_is_a_bool(word: int, bit: int) -> None:
    reading = read_one({"type": "bool", "bit": bit}, [word])
    assert reading.value is bool(word & (1 << bit))


def test_a_bit_of_a_byte_swapped_register_is_counted_after_the_swap() -> None:
    reading = read_one({"type": "bool", "bit": 0, "order": "BADC"}, [0x0100])
    assert reading.value is True


def test_coils_are_bools() -> None:
    tags = [{"name": f"c{i}", "kind": "coil", "type": "bool", "address": 10 + i} for i in range(3)]
    (reader,) = block_readers(device(*tags))
    assert [r.value for r in reader.read([True, False, True], 7)] == [True, False, True]


def test_scale_offset_and_limits_apply_to_the_decoded_value() -> None:
    tag = {"type": "int16", "scale": 0.1, "offset": -40, "min": -40, "max": 60}
    assert read_one(tag, [614]) == Reading("x", 7, 614 / 10 - 40, Quality.GOOD)
    assert read_one(tag, [1214]) == Reading("x", 7, 1214 / 10 - 40, Quality.BAD_RANGE)


def test_marks_say_why_for_every_tag() -> None:
    (reader,) = block_readers(
        device({"name": "a", "address": 0, "type": "int16"}, {"name": "b", "address": 1, "type": "int16"})
    )
    assert reader.marks(Quality.BAD_TIMEOUT, 9) == [
        Reading("a", 9, None, Quality.BAD_TIMEOUT),
        Reading("b", 9, None, Quality.BAD_TIMEOUT),
    ]
