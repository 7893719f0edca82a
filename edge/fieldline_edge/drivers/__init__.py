"""Drivers: one folder for each way to reach a device."""

from collections.abc import Sequence

from fieldline_edge.drivers.base import Clock, Driver, DriverStats, Sink, SystemClock
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.drivers.mqtt.settings import BrokerSettings, MqttDeviceSettings
from fieldline_edge.drivers.settings import DeviceSettings

__all__ = ["Clock", "Driver", "DriverStats", "Sink", "SystemClock", "build_drivers"]


def build_drivers(
    devices: Sequence[DeviceSettings], *, site: str, sink: Sink, clock: Clock | None = None, seed: int = 0
) -> list[Driver]:
    """One driver for each Modbus host and port, and one for each MQTT broker, in the order of their first
    device.

    Units behind one Modbus gateway share one TCP connection, on which requests take turns; devices of one
    broker share one client. `seed` shapes the jitter of retries. Touches no network. A library is loaded only
    if a device needs it: a gateway without MQTT does not pay for paho.
    """
    clock = clock or SystemClock()
    lines: dict[tuple[str, int], list[ModbusDeviceSettings]] = {}
    brokers: dict[BrokerSettings, list[MqttDeviceSettings]] = {}
    builders: dict[object, None] = {}
    for device in devices:
        if isinstance(device, ModbusDeviceSettings):
            lines.setdefault((device.host, device.port), []).append(device)
            builders[(device.host, device.port)] = None
        elif isinstance(device, MqttDeviceSettings):
            brokers.setdefault(device.broker, []).append(device)
            builders[device.broker] = None
        else:
            raise AssertionError(f"no driver for {type(device).__name__}")
    built: list[Driver] = []
    for key in builders:
        if isinstance(key, BrokerSettings):
            from fieldline_edge.drivers.mqtt.driver import MqttDriver

            built.append(MqttDriver(brokers[key], site=site, sink=sink, clock=clock))
        else:
            from fieldline_edge.drivers.modbus.driver import ModbusDriver

            assert isinstance(key, tuple)
            built.append(ModbusDriver(lines[key], site=site, sink=sink, clock=clock, seed=seed))
    return built
