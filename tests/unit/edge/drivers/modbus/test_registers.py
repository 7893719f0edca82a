import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Quality, Reading
from fieldline_edge.drivers.modbus.group import block_readers
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.drivers.scaling import scaler

FORMATS = {
    "float16": ">e",
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
        return type_, draw(st.floats(width=int(type_[-2:]), allow_nan=False))  # type: ignore[arg-type]  # 16, 32 or 64
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


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(sorted(FORMATS)),
                "scale": st.sampled_from([1.0, 0.1, 0.25, 3.0, -0.01]),
                "offset": st.sampled_from([0.0, -40.0, 0.5]),
                "min": st.sampled_from([None, -100.0, 0.0]),
                "max": st.sampled_from([None, 100.0, 1e6]),
                "order": st.sampled_from([None, "CDAB"]),
            }
        ),
        min_size=1,
        max_size=12,
    ),
    st.data(),
)
def test_values_read_together_are_what_each_is_alone(tags: list[dict[str, Any]], data: st.DataObject) -> None:
    """Columns take short cuts; the scaler of a single value is the yardstick."""
    answer: list[int] = []
    expected = {}
    for i, tag in enumerate(tags):
        number = struct.Struct(FORMATS[tag["type"]])
        raw = data.draw(st.binary(min_size=number.size, max_size=number.size))
        (value,) = number.unpack(raw)
        clamp = data.draw(st.booleans()) and (tag["min"], tag["max"]) != (None, None)
        apply = scaler(scale=tag["scale"], offset=tag["offset"], minimum=tag["min"], maximum=tag["max"], clamp=clamp)
        expected[f"t{i}"] = repr(apply(value))
        tag |= {"name": f"t{i}", "address": len(answer), "out_of_range": "clamp" if clamp else "bad"}
        answer += words(value, tag["type"], tag["order"] or "ABCD") if value == value else []
        if value != value:
            given = [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]
            answer += given[::-1] if tag["order"] else given
    (reader,) = block_readers(device(*tags))
    assert {r.tag: repr((r.value, r.quality)) for r in reader.read(answer, 7)} == expected


@pytest.mark.parametrize(
    ("half", "order", "value"),
    [("high", "ABCD", -2), ("low", "ABCD", 7), ("high", "BADC", 7), ("low", "DCBA", -2), (None, "CDAB", 7)],
)
def test_half_a_register_is_an_int8(half: str | None, order: str, value: int) -> None:
    assert read_one({"type": "int8", "half": half, "order": order}, [0xFE07]).value == value


def test_both_halves_of_a_register_are_read_with_one_request() -> None:
    tags: list[dict[str, Any]] = [
        {"name": half, "address": 3, "type": "uint8", "half": half} for half in ("low", "high")
    ]
    (reader,) = block_readers(device(*tags))
    assert {r.tag: r.value for r in reader.read([0xFE07], 7)} == {"high": 0xFE, "low": 7}


@pytest.mark.parametrize(
    ("type_", "order", "registers", "value"),
    [
        ("bcd16", "ABCD", [0x1234], 1234),
        ("bcd16", "BADC", [0x3412], 1234),
        ("bcd32", "ABCD", [0x0012, 0x3456], 123456),
        ("bcd32", "CDAB", [0x3456, 0x0012], 123456),
        ("bcd64", "ABCD", [0x9999, 0x9999, 0x9999, 0x9999], 9_999_999_999_999_999),
    ],
)
def test_each_four_bits_of_bcd_are_a_decimal_digit(type_: str, order: str, registers: list[int], value: int) -> None:
    assert read_one({"type": type_, "order": order}, registers) == Reading("x", 7, value)


@given(st.integers(0, 65_535))
def test_bcd_with_a_digit_above_nine_is_no_number(word: int) -> None:
    reading = read_one({"type": "bcd16"}, [word])
    is_decimal = all((word >> shift) & 15 <= 9 for shift in (0, 4, 8, 12))
    assert reading.quality is (Quality.GOOD if is_decimal else Quality.BAD_PARSE)
    assert (reading.value is None) is not is_decimal


def test_bcd_is_scaled_after_it_is_read() -> None:
    assert read_one({"type": "bcd16", "scale": 0.1}, [0x0215]).value == 21.5


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20), st.sampled_from(["ABCD", "BADC"]))
def test_a_text_is_read_two_characters_a_register(text: str, order: str) -> None:
    data = text.encode().ljust(20, b"\0")
    registers = [int.from_bytes(data[at : at + 2], "big" if order == "ABCD" else "little") for at in range(0, 20, 2)]
    tag = {"type": "string", "length_registers": 10, "order": order}
    assert read_one(tag, registers) == Reading("x", 7, text)


@pytest.mark.parametrize(
    ("data", "options", "value"),
    [
        (b"SN 12\0\xff", {}, "SN 12"),
        (b"  SN12  ", {}, "SN12"),
        (b"  SN12\0\0", {"strip": "nul"}, "  SN12"),
        (b"SN12\0\0  ", {"strip": "none"}, "SN12\0\0  "),
        (b"caf\xc3\xa9\0\0\0", {}, "caf\u00e9"),
        (b"caf\xe9\0\0\0\0", {"encoding": "latin-1"}, "caf\u00e9"),
        (b"\0\0\0\0\0\0\0\0", {}, ""),
        (b"SN12345X", {"length_registers": None, "length_bytes": 7}, "SN12345"),
    ],
)
def test_padding_is_cut_off_a_text(data: bytes, options: dict[str, Any], value: str) -> None:
    registers = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    assert read_one({"type": "string", "length_registers": 4, **options}, registers) == Reading("x", 7, value)


def test_words_in_another_order_do_not_turn_a_text_around() -> None:
    assert read_one({"type": "string", "length_registers": 2, "order": "CDAB"}, [0x4142, 0x4344]).value == "ABCD"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_bytes_that_are_no_text_are_bad(encoding: str) -> None:
    reading = read_one({"type": "string", "length_registers": 1, "encoding": encoding}, [0xE9E9])
    assert reading == Reading("x", 7, None, Quality.BAD_PARSE)


@pytest.mark.parametrize(
    ("tag", "registers", "value"),
    [
        ({"type": "int16", "invalid": [0x8000]}, [0x8000], None),
        ({"type": "int16", "invalid": [-32768]}, [0x8000], None),
        ({"type": "int16", "invalid": [0x8000]}, [0x7FFF], 32767),
        ({"type": "uint16", "invalid": [0xFFFF], "scale": 0.1}, [0xFFFF], None),
        ({"type": "uint16", "invalid": [0xFFFF], "scale": 0.1}, [0x000A], 1.0),
        ({"type": "int32", "invalid": [0x7FFFFFFF, 0x80000000], "order": "CDAB"}, [0, 0x8000], None),
        ({"type": "uint64", "invalid": [0xFFFFFFFFFFFFFFFF]}, [0xFFFF] * 4, None),
        ({"type": "float32", "invalid": [-9999]}, [0xC61C, 0x3C00], None),
        ({"type": "uint16", "invalid": [0xFFFF], "map": {0: "off"}}, [0xFFFF], None),
        ({"type": "bcd16", "invalid": [9999]}, [0x9999], None),
    ],
)
def test_a_raw_value_that_means_nothing_is_bad_and_has_no_value(
    tag: dict[str, Any], registers: list[int], value: float | None
) -> None:
    quality = Quality.BAD if value is None else Quality.GOOD
    assert read_one(tag, registers) == Reading("x", 7, value, quality)


@pytest.mark.parametrize(
    ("raw", "value", "quality"),
    [(1100, 110.0, Quality.GOOD), (1201, 120.0, Quality.UNCERTAIN_CLAMPED), (0, 10.0, Quality.UNCERTAIN_CLAMPED)],
)
def test_a_value_is_clamped_to_its_limits_and_says_so(raw: int, value: float, quality: Quality) -> None:
    tag = {"type": "uint16", "scale": 0.1, "min": 10, "max": 120, "out_of_range": "clamp"}
    assert read_one(tag, [raw]) == Reading("x", 7, value, quality)


def test_a_number_becomes_its_text_and_an_unknown_one_is_bad_but_shown() -> None:
    tag = {"type": "int16", "map": {0: "stopped", 1: "running", "0xFFFF": "fault"}}
    assert read_one(tag, [1]) == Reading("x", 7, "running")
    assert read_one(tag, [0xFFFF]) == Reading("x", 7, "fault")
    assert read_one(tag, [7]) == Reading("x", 7, "7", Quality.BAD_PARSE)


def test_coils_and_bits_can_have_texts_too() -> None:
    texts = {0: "closed", 1: "open"}
    assert read_one({"kind": "coil", "type": "bool", "map": texts}, [True]).value == "open"
    assert read_one({"type": "bool", "bit": 3, "map": texts}, [0xFFF7]).value == "closed"


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 31))
def test_mask_and_shift_take_bits_out_of_an_integer(raw: int, mask: int, shift: int) -> None:
    reading = read_one({"type": "uint32", "mask": mask, "shift": shift}, [raw >> 16, raw & 0xFFFF])
    assert reading.value == (raw & mask) >> shift


def test_a_tag_without_an_order_has_the_one_of_its_device() -> None:
    tags: list[dict[str, Any]] = [
        {"name": "own", "address": 0, "type": "uint32", "order": "ABCD"},
        {"name": "device", "address": 2, "type": "uint32"},
    ]
    (reader,) = block_readers(device(*tags, order="CDAB"))
    assert {r.tag: r.value for r in reader.read([1, 2, 1, 2], 7)} == {"own": 0x10002, "device": 0x20001}


def test_marks_say_why_for_every_tag() -> None:
    (reader,) = block_readers(
        device({"name": "a", "address": 0, "type": "int16"}, {"name": "b", "address": 1, "type": "int16"})
    )
    assert reader.marks(Quality.BAD_TIMEOUT, 9) == [
        Reading("a", 9, None, Quality.BAD_TIMEOUT),
        Reading("b", 9, None, Quality.BAD_TIMEOUT),
    ]
