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
