import time
from typing import Any

import pytest
from pydantic import ValidationError

from fieldline.model import DeviceId
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

TAG = {"name": "t", "address": 0, "type": "int16"}


def device(*tags: dict[str, Any], **options: Any) -> ModbusDeviceSettings:
    given = {"driver": "modbus", "name": "pump-1", "area": "hall-a", "host": "10.0.0.7", "tags": tags}
    return ModbusDeviceSettings.model_validate({**given, **options})


def test_a_device_knows_its_full_name() -> None:
    assert device(TAG).device_id("north") == DeviceId("north", "hall-a", "pump-1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"address": 65_535, "type": "float32"}, "ends at 65536, beyond the last address 65535"),
        ({"address": 65_536}, "less than or equal to 65535"),
        ({"type": "bool"}, "bool needs 'bit: 0' to 'bit: 15'"),
        ({"bit": 3}, "belongs to 'type: bool', not to int16"),
        ({"type": "bool", "bit": 16}, "less than or equal to 15"),
        ({"kind": "coil"}, "int16 does not fit kind coil; write 'type: bool'"),
        ({"kind": "discrete", "type": "bool", "bit": 0}, "is one bit already; remove 'bit'"),
        ({"kind": "coil", "type": "bool", "scale": 2}, "bool has no scale"),
        ({"min": 5, "max": 4}, "min: 5 is above max: 4"),
        ({"scale": 0}, "would make every value the same"),
        ({"scale": float("nan")}, "finite number"),
        ({"out_of_range": "clamp"}, "clamp needs 'min' or 'max'"),
        ({"type": "string"}, "string needs 'length_registers' or 'length_bytes'"),
        ({"type": "string", "length_registers": 2, "length_bytes": 4}, "one of them"),
        ({"type": "string", "length_bytes": 251}, "less than or equal to 250"),
        ({"type": "string", "length_registers": 2, "scale": 2}, "string has no scale"),
        ({"type": "string", "length_registers": 2, "address": 65_534, "map": {0: "x"}}, "map: needs whole numbers"),
        ({"length_registers": 2}, "length_registers: belongs to 'type: string', not to int16"),
        ({"half": "low"}, "half: belongs to int8 and uint8, not to int16"),
        ({"mask": 3}, "need an unsigned type, not int16; write uint16"),
        ({"invalid": [65_536]}, "invalid: 65536 can never be a int16"),
        ({"invalid": [1.5]}, "invalid: 1.5 can never be"),
        ({"type": "uint16", "invalid": [-1]}, "invalid: -1 can never be a uint16"),
        ({"type": "bcd16", "invalid": [10_000]}, "invalid: 10000 can never be a bcd16"),
        ({"type": "float32", "map": {0: "x"}}, "map: needs whole numbers, not float32"),
        ({"map": {0: "x"}, "scale": 0.1}, "texts, which have no scale"),
        ({"group": "fast"}, "group 'fast', which 'groups' does not have"),
        ({"order": "BACD"}, "'ABCD', 'BADC', 'CDAB' or 'DCBA'"),
        ({"name": "a/b"}, "must be 1 to 64 of the characters"),
    ],
)
def test_a_wrong_tag_is_refused_with_the_cure(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("(", r"\(")):
        device({**TAG, **change})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": []}, "at least 1 item"),
        ({"tags": [TAG, {**TAG, "address": 1}]}, "the name 't' stands more than once"),
        ({"unit": 256}, "less than or equal to 255"),
        ({"registers_per_request_max": 126}, "less than or equal to 125"),
        ({"registers_per_request_max": 1, "tags": [{**TAG, "type": "int32"}]}, "never read in two halves"),
        ({"registers_per_request_max": 3, "tags": [{**TAG, "type": "string", "length_bytes": 7}]}, "the 4 registers"),
        ({"holes": [[5, 4]]}, r"\[5, 4\] ends before it begins; write \[4, 5\]"),
        ({"holes": [[10, 20], [0, 0]]}, r"\[0, 0\] holds registers of tag 't' at 0"),
        ({"holes": [[0, 65_536]]}, "less than or equal to 65535"),
        ({"groups": {"fast": {"period_ms": 19}}}, "19 is less than 20; write 20 or more, or 0 for once"),
        ({"groups": {"fast": {"period_ms": 200, "phase_ms": 200}}}, "200 is not within the period of 200 ms"),
        ({"groups": {"a b": {"period_ms": 200}}}, "must be 1 to 64 of the characters"),
        ({"period_ms": 100, "phase_ms": 500}, "500 is not within the period of 100 ms"),
        ({"host": "10.0.0.7/x"}, "is not a host name or IP address"),
        ({"host": "a" * 64 + ".lan"}, "is not a host name or IP address"),
        ({"name": ".."}, "must be 1 to 64 of the characters"),
    ],
)
def test_a_wrong_device_is_refused_with_the_cure(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        device(TAG, **options)


def test_tags_may_overlap() -> None:
    found = device({**TAG, "name": "word"}, {**TAG, "name": "alarm", "type": "bool", "bit": 3})
    assert len(found.tags) == 2


def test_the_last_address_can_be_used() -> None:
    assert device({**TAG, "address": 65_535}).tags[0].address == 65_535


def test_a_hole_inside_another_one_hides_nothing() -> None:
    with pytest.raises(ValidationError, match=r"\[0, 50\] holds registers of tag 't' at 30"):
        device({**TAG, "address": 30}, holes=[[0, 50], [10, 12]])


def test_ten_thousand_tags_and_a_thousand_holes_are_checked_at_once() -> None:
    tags = [{**TAG, "name": f"t{n}", "address": 5 * n} for n in range(10_000)]
    begun_s = time.process_time()
    device(*tags, holes=[[50 * n + 1, 50 * n + 2] for n in range(1000)])
    assert time.process_time() - begun_s < 2
