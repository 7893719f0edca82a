from typing import Any

import pytest
from pydantic import ValidationError

from fieldline.model import DeviceId
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings

TAG = {"name": "t", "path": "$.t"}


def device(*tags: dict[str, Any], **options: Any) -> MqttDeviceSettings:
    given = {
        "driver": "mqtt",
        "name": "env-1",
        "area": "b",
        "broker": {"host": "localhost"},
        "topic": "plant/e",
    }
    return MqttDeviceSettings.model_validate({**given, "tags": tags, **options})


def test_a_device_knows_its_full_name() -> None:
    assert device(TAG).device_id("north") == DeviceId("north", "b", "env-1")


def test_a_password_is_not_shown() -> None:
    found = device(TAG, broker={"host": "h", "username": "u", "password": "hush"})
    assert "hush" not in repr(found)


@pytest.mark.parametrize("topic", ["#", "+", "a/+/c", "a/#", "/leading", "a//b", "a/$b", "a/b/", "$share/g/a/#"])
def test_every_filter_of_mqtt_is_allowed(topic: str) -> None:
    assert device(TAG, topic=topic).topic == topic


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topic": ""}, "must be 1 to 1024 bytes"),
        ({"topic": "a\x00b"}, "without control characters"),
        ({"topic": "x" * 1025}, "must be 1 to 1024 bytes"),
        ({"topic": "a/#/b"}, "'#' must be the whole last level"),
        ({"topic": "a#"}, "'#' must be the whole last level"),
        ({"topic": "a+/b"}, "'\\+' must be a whole level"),
        ({"topic": "$share/g"}, "write a shared subscription like"),
        ({"topic": "$share//a"}, "write a shared subscription like"),
        ({"topic": "a/x{device}"}, "must be a whole level and one of"),
        ({"topic": "a/{unit}"}, "must be a whole level and one of"),
        ({"topic": "{tag}/{tag}"}, "may stand once"),
        ({"payload": "csv"}, "needs 'column'"),
        ({"payload": "binary"}, "needs 'at'"),
        ({"payload": "plain"}, "nothing says where"),
        ({"payload": "plain", "tags": [{"name": "a"}, {"name": "b"}]}, "holds one value"),
        ({"payload": "csv", "tags": [{"name": "a", "column": "x"}]}, "column 'x' is not known"),
        ({"payload": "binary", "tags": [{"name": "a", "at": 0}]}, "needs a width"),
        ({"payload": "binary", "tags": [{"name": "a", "at": 0, "type": "bool"}]}, "'bit' and 'type: bool' go together"),
        ({"tags": [{**TAG, "type": "int16"}]}, "belongs to 'payload: binary'"),
        ({"other_tags": {"path": "$.v"}}, "belongs to a topic with {tag}"),
        ({"record_bytes": 4}, "belongs to 'payload: binary'"),
        ({"csv": {"decimal_comma": True}}, "the comma cannot be the delimiter"),
        ({"broker": {"host": "h", "session_s": 60}}, "add 'client_id'"),
        ({"broker": {"host": "h", "tls": {"certificate": "c.pem"}}}, "go together"),
        ({"qos": 3}, "0, 1 or 2"),
        ({"tags": []}, "at least 1 item"),
        ({"tags": [TAG, TAG]}, "the name 't' stands more than once"),
        ({"tags": [{**TAG, "path": "$.a["}]}, "is not a JSON path"),
        ({"tags": [{**TAG, "path": ""}]}, "is not a JSON path"),
        ({"tags": [{**TAG, "type": "bool", "scale": 2}]}, "bool has no scale"),
        ({"timestamp": {"path": "$..["}}, "is not a JSON path"),
        ({"broker": {"host": "h", "password": "p"}}, "needs a username"),
        ({"broker": {"host": "h h"}}, "is not a host name"),
    ],
)
def test_a_wrong_device_is_refused_with_the_cure(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        device(**{"tags": [TAG], **options}) if "tags" in options else device(TAG, **options)


def test_tls_moves_the_port_unless_it_is_given() -> None:
    assert device(TAG, broker={"host": "h", "tls": {}}).broker.port == 8883
    assert device(TAG, broker={"host": "h", "tls": {}, "port": 1}).broker.port == 1
    assert device(TAG).broker.port == 1883


def test_an_entry_for_many_devices_cannot_be_processed() -> None:
    entry = {
        "driver": "mqtt",
        "name": "all",
        "area": "hall",
        "broker": {"host": "127.0.0.1"},
        "topic": "plant/{area}/{device}",
        "tags": [{"name": "t", "path": "$.t", "process": {"deadband": {"absolute": 1}}}],
    }

    with pytest.raises(ValidationError, match="this entry stands for many"):
        MqttDeviceSettings.model_validate(entry)
