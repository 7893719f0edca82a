"""What is written is what is read."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.modbus.encoding import NotWritten, encode
from fieldline_edge.drivers.modbus.plan import Block
from fieldline_edge.drivers.modbus.registers import BlockReader
from fieldline_edge.drivers.modbus.tag_settings import ModbusTagSettings

ORDERS = st.sampled_from(["ABCD", "CDAB", "BADC", "DCBA"])
INTEGERS = {f"{sign}int{bits}": (sign == "", bits) for sign in ("", "u") for bits in (16, 32, 64)}


def tag(type_: str, **more: Any) -> ModbusTagSettings:
    return ModbusTagSettings.model_validate({"name": "t", "address": 7, "type": type_, **more})


def read(one: ModbusTagSettings, words: tuple[int, ...]) -> Any:
    return BlockReader(Block(one.kind, one.address, one.width, (0,)), [one]).read(words, 0)[0].value


@given(st.sampled_from(sorted(INTEGERS)), ORDERS, st.data())
def test_every_integer_comes_back_in_every_order(type_: str, order: str, data: st.DataObject) -> None:
    signed, bits = INTEGERS[type_]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    value = data.draw(st.integers(low, min(high, (1 << 63) - 1)))  # readings hold no larger ones
    one = tag(type_, order=order)
    assert read(one, encode(one, value)) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), ORDERS)
def test_every_float_comes_back_in_every_order(value: float, order: str) -> None:
    for type_ in ("float32", "float64"):
        one = tag(type_, order=order)
        assert read(one, encode(one, value)) == value


@given(st.integers(-32_768, 32_767))
def test_a_scaled_value_is_the_one_a_poll_would_show(raw: int) -> None:
    one = tag("int16", scale=0.1, offset=5)
    assert encode(one, read(one, (raw % 65_536,))) == (raw % 65_536,)


@given(st.floats(-3000, 3000))
def test_a_scaled_value_is_rounded_to_the_nearest_step(value: float) -> None:
    one = tag("int16", scale=0.1)
    assert math.isclose(read(one, encode(one, value)), value, abs_tol=0.0501)


def test_a_text_of_the_map_is_its_number() -> None:
    assert encode(tag("uint16", map={0: "stopped", 3: "running"}), "running") == (3,)
    assert encode(tag("bool", kind="coil", map={0: "stopped", 1: "running"}), "running") == (1,)


@pytest.mark.parametrize(
    ("one", "value", "said"),
    [
        (tag("int16"), 32_768, "outside -32768 to 32767"),
        (tag("uint16"), -1, "outside 0 to 65535"),
        (tag("uint16"), 1.5, "no whole number"),
        (tag("uint16"), True, "no number"),
        (tag("uint16"), "12", "no number"),
        (tag("float32"), math.inf, "no number"),
        (tag("float32"), 1e39, "too large for a float32"),
        (tag("uint16", map={0: "off"}), "on", "none of 'off'"),
        (tag("bool", kind="coil"), 1, "neither true nor false"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(one: ModbusTagSettings, value: Any, said: str) -> None:
    with pytest.raises(NotWritten, match=said):
        encode(one, value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"type": "uint16", "kind": "input"}, "can only be read"),
        ({"type": "bool", "bit": 3}, "use a coil"),
        ({"type": "string", "length_registers": 4}, "type string cannot be written"),
        ({"type": "bcd16"}, "type bcd16 cannot be written"),
        ({"type": "uint16", "mask": 15}, "part of a register"),
        ({"type": "uint16", "writable": {"min": 2, "max": 1}}, "min: 2 is above max: 1"),
    ],
)
def test_what_cannot_be_written_may_not_say_writable(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ModbusTagSettings.model_validate({"name": "t", "address": 0, "writable": {}, **more})
