"""Which commands are carried out, and which are not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.commands.desk import Memory, Pace, check_age, devices_by_topic, writing_of
from fieldline_edge.commands.order import Answer, Order, Refusal, Status, parse_order
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

DEVICE = ModbusDeviceSettings.model_validate(
    {
        "driver": "modbus",
        "name": "drive-1",
        "area": "hall-a",
        "host": "h",
        "tags": [
            {"name": "setpoint", "address": 1, "type": "int16", "scale": 0.1, "writable": {"min": 0, "max": 50}},
            {"name": "speed", "address": 2, "type": "int16"},
            {"name": "run", "kind": "coil", "address": 0, "type": "bool", "writable": {}},
        ],
    }
)


def order(tag: str = "setpoint", value: Any = 21.5, order_id: str = "1", at_s: float | None = None) -> Order:
    return Order(order_id, tag, value, at_s=at_s)


def refused(code: str) -> Any:
    return pytest.raises(Refusal, check=lambda refusal: refusal.code == code)


def test_a_command_is_a_json_object() -> None:
    content = {"id": "a", "tag": "setpoint", "value": 3, "verify": False, "at": 12.5}
    assert parse_order(json.dumps(content).encode()) == Order("a", "setpoint", 3, False, 12.5)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"[]",
        b"3",
        b"[" * 4000,
        b'{"tag": "t", "value": 1}',
        b'{"id": "", "tag": "t", "value": 1}',
        b'{"id": "a", "value": 1}',
        b'{"id": "a", "tag": "t"}',
        b'{"id": "a", "tag": "t", "value": null}',
        b'{"id": "a", "tag": "t", "value": 1, "verify": "yes"}',
        b'{"id": "a", "tag": "t", "value": 1, "at": "now"}',
        b'{"id": "a", "tag": "t", "value": 1, "force": true}',
        b'{"id": "a", "tag": "t", "value": "' + b"x" * 5000 + b'"}',
    ],
)
def test_anything_else_is_a_bad_request(content: bytes) -> None:
    with refused("bad_request"):
        parse_order(content)


@given(st.binary(max_size=200))
def test_no_content_does_more_than_be_refused(content: bytes) -> None:
    try:
        parse_order(content)
    except Refusal as refusal:
        assert refusal.code == "bad_request"  # noqa: PT017  # either outcome is right


def test_an_allowed_value_is_ready_for_the_device() -> None:
    writing = writing_of(order(value=21.5), DEVICE)
    assert (writing.words, writing.value) == ((215,), 21.5)


def test_a_value_is_rounded_to_what_the_device_can_hold() -> None:
    assert writing_of(order(value=21.47), DEVICE).value == 21.5


@pytest.mark.parametrize(
    ("tag", "value", "code"),
    [
        ("volume", 1, "unknown_tag"),
        ("speed", 1, "not_allowed"),
        ("setpoint", 50.1, "out_of_range"),
        ("setpoint", -0.1, "out_of_range"),
        ("setpoint", "high", "wrong_value"),
        ("setpoint", float("nan"), "wrong_value"),
        ("run", 1, "wrong_value"),
    ],
)
def test_what_is_not_allowed_is_refused(tag: str, value: Any, code: str) -> None:
    with refused(code):
        writing_of(order(tag, value), DEVICE)


def test_a_command_of_long_ago_is_refused() -> None:
    check_age(order(at_s=95.0), now_s=100.0, age_s_max=10)
    check_age(order(at_s=None), now_s=100.0, age_s_max=10)
    for at_s in (89.0, 106.0):
        with refused("too_old"):
            check_age(order(at_s=at_s), now_s=100.0, age_s_max=10)


def test_a_minute_has_room_for_so_many_writes() -> None:
    pace = Pace(2)
    pace.take(0.0)
    pace.take(30.0)
    with refused("too_many"):
        pace.take(59.9)
    pace.take(60.0)


class TestMemory:
    def test_a_command_that_comes_again_gets_the_same_answer(self) -> None:
        memory, done = Memory(), Answer(Status.DONE, value=21.5)
        assert memory.begin("d", order()) is None
        memory.finish("d", order(), done)
        assert memory.begin("d", order()) is done

    def test_while_it_is_under_way_it_is_not_begun_again(self) -> None:
        memory = Memory()
        memory.begin("d", order())
        with refused("in_progress"):
            memory.begin("d", order())

    def test_an_id_is_not_used_for_something_else(self) -> None:
        memory = Memory()
        memory.begin("d", order(value=1))
        with refused("id_reused"):
            memory.begin("d", order(value=2))

    def test_what_was_refused_may_come_again(self) -> None:
        memory = Memory()
        memory.begin("d", order())
        memory.forget("d", order())
        assert memory.begin("d", order()) is None

    def test_the_oldest_are_forgotten(self) -> None:
        memory = Memory(2)
        for number in range(3):
            memory.begin("d", order(order_id=str(number)))
        assert memory.begin("d", order(order_id="0")) is None


def test_only_devices_with_a_writable_tag_take_commands() -> None:
    other = DEVICE.model_copy(update={"name": "meter", "tags": DEVICE.tags[1:2]})
    assert list(devices_by_topic([DEVICE, other], "demo")) == ["commands/demo/hall-a/drive-1"]
