"""The case folders, samples and READMEs of the drivers say what the code does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format

import fieldline_edge.drivers
from fieldline.config import load
from fieldline.model import Reading
from fieldline_edge.drivers.modbus.group import block_readers
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings, ModbusTagSettings
from fieldline_edge.drivers.mqtt.broker_settings import BrokerTls
from fieldline_edge.drivers.mqtt.extract import Extractor
from fieldline_edge.drivers.mqtt.routes import Counts
from fieldline_edge.drivers.mqtt.settings import (
    BrokerSettings,
    CsvSettings,
    MqttDeviceSettings,
    MqttTagSettings,
    TimestampSettings,
)
from fieldline_edge.drivers.mqtt.sparkplug import payload_pb2
from fieldline_edge.drivers.mqtt.sparkplug.route import SparkplugRoute
from fieldline_edge.drivers.mqtt.sparkplug.settings import SparkplugDeviceSettings
from fieldline_edge.settings import GatewaySettings

DRIVERS = Path(fieldline_edge.drivers.__file__).parent
NOW_NS = 1_900_000_000_000_000_000


def cases(driver: str, *, only: str = "", without: str | None = None) -> list[Any]:
    folders = sorted((DRIVERS / driver / "cases").iterdir())
    folders = [f for f in folders if f.name.startswith(only) and not (without and f.name.startswith(without))]
    assert folders
    return [pytest.param(folder, id=folder.name) for folder in folders]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def shown(readings: Sequence[Reading]) -> dict[str, str]:
    """By repr, so that NaN equals NaN and 1 does not equal True."""
    return {r.tag: repr((r.value, r.quality.name)) for r in readings}


def wanted(expected: dict[str, list[Any]]) -> dict[str, str]:
    return {tag: repr((value, quality)) for tag, (value, quality) in expected.items()}


@pytest.mark.parametrize("folder", cases("modbus"))
def test_a_register_map_gives_the_expected_readings(folder: Path) -> None:
    base = {"driver": "modbus", "name": "d", "area": "a", "host": "127.0.0.1"}
    device = ModbusDeviceSettings.model_validate(base | read(folder / "config.yaml"))
    given, expected = read(folder / "input.yaml"), read(folder / "expected.yaml")
    tables = {
        (kind, start + i): value
        for kind, runs in given.items()
        for start, values in runs.items()
        for i, value in enumerate(values)
    }

    readers = block_readers(device)
    readings: list[Reading] = []
    for reader in readers:
        block = reader.block
        answer = [tables[block.kind.value, block.address + i] for i in range(block.count)]
        readings += reader.read(answer, NOW_NS)

    assert [[r.block.kind.value, r.block.address, r.block.count] for r in readers] == expected["requests"]
    assert shown(readings) == wanted(expected["readings"])


def payload_of(folder: Path) -> bytes:
    (path,) = folder.glob("input.*")
    return bytes.fromhex(path.read_text()) if path.suffix == ".hex" else path.read_bytes()


def listed(readings: Sequence[Reading]) -> list[str]:
    return [repr([r.tag, r.at_ns, r.value, r.quality.name]) for r in readings]


@pytest.mark.parametrize("folder", cases("mqtt", without="sparkplug_"))
def test_a_payload_gives_the_expected_readings(folder: Path) -> None:
    base = {"driver": "mqtt", "name": "d", "area": "a", "broker": {"host": "127.0.0.1"}, "topic": "t"}
    device = MqttDeviceSettings.model_validate(base | read(folder / "config.yaml"))
    expected = read(folder / "expected.yaml")

    found = Extractor(device).read(payload_of(folder), arrived_ns=expected.get("at_ns", NOW_NS))

    assert found.refused == expected["refused"]
    if isinstance(expected["readings"], list):
        stated = [[tag, NOW_NS if at_ns is None else at_ns, *rest] for tag, at_ns, *rest in expected["readings"]]
        assert listed(found.readings) == [repr(each) for each in stated]
    else:
        assert shown(found.readings) == wanted(expected["readings"])
        assert {r.at_ns for r in found.readings} == {expected.get("at_ns", NOW_NS)}


@pytest.mark.parametrize("folder", cases("mqtt", only="sparkplug_"))
def test_a_conversation_with_a_sparkplug_node_gives_the_expected_readings(folder: Path) -> None:
    base = {"name": "d", "area": "a", "broker": {"host": "127.0.0.1"}}
    device = SparkplugDeviceSettings.model_validate(base | read(folder / "config.yaml"))
    expected = read(folder / "expected.yaml")
    route = SparkplugRoute(device, "s", Counts())

    said = [
        route.receive(
            step["topic"],
            json_format.ParseDict(step["payload"], payload_pb2.Payload()).SerializeToString(),
            arrived_ns=NOW_NS,
            retained=False,
            now_s=60.0 * number,
        )
        for number, step in enumerate(read(folder / "input.yaml"))
    ]

    assert listed([r for each in said for _, readings in each.puts for r in readings]) == [
        repr(each) for each in expected["readings"]
    ]
    assert sorted({outgoing.topic for each in said for outgoing in each.outgoing}) == expected["sent"]


@pytest.mark.parametrize("driver", ["modbus", "mqtt"])
def test_the_sample_is_a_gateway_that_would_start(driver: str) -> None:
    gateway = load(DRIVERS / driver / "sample.yaml", GatewaySettings, environment={})
    assert {device.driver for device in gateway.devices} >= {driver}


@pytest.mark.parametrize(
    ("driver", "models"),
    [
        ("modbus", [ModbusDeviceSettings, ModbusTagSettings]),
        (
            "mqtt",
            [
                MqttDeviceSettings,
                BrokerSettings,
                BrokerTls,
                MqttTagSettings,
                CsvSettings,
                TimestampSettings,
                SparkplugDeviceSettings,
            ],
        ),
    ],
)
def test_the_readme_names_every_setting(driver: str, models: list[Any]) -> None:
    readme = (DRIVERS / driver / "README.md").read_text()
    missing = [name for model in models for name in model.model_fields if f"`{name}`" not in readme]
    assert not missing
