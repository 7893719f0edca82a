import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from fieldline.model import DeviceId, Reading
from fieldline_edge.drivers import build_drivers
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings


class NoSink:
    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        raise AssertionError("building reads nothing")


def modbus(name: str, **options: Any) -> ModbusDeviceSettings:
    tag = {"name": "t", "address": 0, "type": "int16"}
    given = {"driver": "modbus", "name": name, "area": "a", "host": "10.0.0.7", "tags": [tag]}
    return ModbusDeviceSettings.model_validate({**given, **options})


def mqtt(name: str, **broker: Any) -> MqttDeviceSettings:
    return MqttDeviceSettings.model_validate(
        {
            "driver": "mqtt",
            "name": name,
            "area": "a",
            "broker": {"host": "broker", **broker},
            "topic": name,
            "tags": [{"name": "t", "path": "$.t"}],
        }
    )


def test_units_share_a_connection_and_sensors_a_client() -> None:
    drivers = build_drivers(
        [
            modbus("m1", unit=1),
            mqtt("q1"),
            modbus("m2", unit=2),
            modbus("m3", port=503),
            mqtt("q2"),
            mqtt("q3", username="u"),
        ],
        site="north",
        sink=NoSink(),
    )
    assert [[device.device for device in driver.devices] for driver in drivers] == [
        ["m1", "m2"],
        ["q1", "q2"],
        ["m3"],
        ["q3"],
    ]
    assert drivers[0].devices[0] == DeviceId("north", "a", "m1")


def test_nothing_is_counted_before_the_run() -> None:
    (driver,) = build_drivers([modbus("m1")], site="north", sink=NoSink())
    assert driver.stats.connects == driver.stats.polls == 0


def test_settings_alone_load_neither_pymodbus_nor_paho() -> None:
    code = (
        "import sys, fieldline_edge.drivers; "
        "assert not {'pymodbus', 'paho', 'jsonpath_ng', 'numpy'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_gateway_that_reads_modbus_over_tcp_loads_neither_pymodbus_nor_pyserial() -> None:
    code = (
        "import sys, fieldline_edge.drivers.modbus.driver, fieldline_edge.drivers.modbus.transport.network; "
        "assert not {'pymodbus', 'serial', 'paho', 'numpy'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_devices_share_a_line_by_their_serial_port() -> None:
    port = {"host": None, "serial": {"device": "/dev/ttyUSB0"}}
    drivers = build_drivers(
        [
            modbus("m1", **port, unit=1),
            modbus("m2", host=None, serial={"device": "/dev/ttyUSB1"}),
            modbus("m3", **port, unit=2),
            modbus("m4", framing="rtu", unit=3),
        ],
        site="north",
        sink=NoSink(),
    )
    assert [[device.device for device in driver.devices] for driver in drivers] == [["m1", "m3"], ["m2"], ["m4"]]
