"""Drivers: one folder for each way to reach a device."""

from collections.abc import Sequence

from fieldline_edge.drivers.base import Clock, Driver, DriverStats, Gate, Safety, Sink, SystemClock
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.drivers.mqtt.settings import BrokerSettings, MqttDeviceSettings
from fieldline_edge.drivers.mqtt.sparkplug.settings import SparkplugDeviceSettings
from fieldline_edge.drivers.settings import DeviceSettings

__all__ = ["Clock", "Driver", "DriverStats", "Safety", "Sink", "SystemClock", "build_drivers"]


def build_drivers(
    devices: Sequence[DeviceSettings],
    *,
    site: str,
    sink: Sink,
    clock: Clock | None = None,
    seed: int = 0,
    safety: Safety | None = None,
    gate: Gate | None = None,
) -> list[Driver]:
    """One driver for each Modbus line (serial port, or host and port), and one for each MQTT broker, in the order
    of their first device.

    Units on one line share one connection, on which requests take turns; devices of one broker share one client.
    ValueError if devices that share a line want it set differently. `seed` shapes the jitter of retries. `safety`
    says when what was put in `sink` is on disk: MQTT messages are acknowledged then. `gate` says when not to poll.
    Touches no network. A library is loaded only if a device needs it: a gateway without MQTT does not pay for paho.
    """
    clock = clock or SystemClock()
    lines: dict[str, list[ModbusDeviceSettings]] = {}
    brokers: dict[BrokerSettings, list[MqttDeviceSettings | SparkplugDeviceSettings]] = {}
    builders: dict[object, None] = {}
    for device in devices:
        if isinstance(device, ModbusDeviceSettings):
            key = device.line.key
            lines.setdefault(key, []).append(device)
            builders[key] = None
        elif isinstance(device, MqttDeviceSettings | SparkplugDeviceSettings):
            brokers.setdefault(device.broker, []).append(device)
            builders[device.broker] = None
        else:
            raise AssertionError(f"no driver for {type(device).__name__}")
    built: list[Driver] = []
    for builder in builders:
        if isinstance(builder, BrokerSettings):
            from fieldline_edge.drivers.mqtt.driver import MqttDriver

            built.append(MqttDriver(brokers[builder], site=site, sink=sink, clock=clock, safety=safety))
        else:
            from fieldline_edge.drivers.modbus.driver import ModbusDriver

            assert isinstance(builder, str)
            built.append(ModbusDriver(lines[builder], site=site, sink=sink, clock=clock, seed=seed, gate=gate))
    return built
