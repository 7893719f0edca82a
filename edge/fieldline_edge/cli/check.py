"""`fieldline-edge check`: what a gateway file would do, without doing it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
    from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings
    from fieldline_edge.settings import GatewaySettings

__all__ = ["check"]


def check(
    file: Annotated[Path, typer.Argument(help="Gateway file (kind: gateway).", metavar="GATEWAY.yaml")],
) -> None:
    """Check a gateway file and print what it would do. Touches neither the network nor the spool.

    Example: `fieldline-edge check config/gateway.yaml`

    Exit codes: 0 the file is right, 2 it is not: each mistake is one line on stderr with its place and its
    cure.
    """
    from fieldline.config import load
    from fieldline_edge.settings import GatewaySettings

    settings = load(file, GatewaySettings)
    for line in describe(settings):
        print(line)


def describe(settings: "GatewaySettings") -> list[str]:
    """Lines that say what a gateway with these settings does."""
    from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

    spool = settings.spool
    tags = sum(len(device.tags) for device in settings.devices)
    lines = [
        f"gateway {settings.name} at {settings.site}: {len(settings.devices)} devices, {tags} tags, hub {settings.hub}",
        f"spool {spool.path}: at most {spool.bytes_max / (1 << 20):g} MiB, then {spool.when_full.value}",
    ]
    if settings.metrics is not None:
        lines.append(f"metrics http://{settings.metrics.listen}/metrics")
    for device in settings.devices:
        if isinstance(device, ModbusDeviceSettings):
            lines.append(_modbus_line(device))
        else:
            lines.append(_mqtt_line(device))
    return lines


def _modbus_line(device: "ModbusDeviceSettings") -> str:
    from fieldline_edge.drivers.modbus.plan import Span, plan

    blocks = plan(
        [Span(tag.kind, tag.address, tag.type.width) for tag in device.tags],
        registers_max=device.registers_per_request_max,
        gap_max=device.gap_registers_max,
    )
    requests = "1 request" if len(blocks) == 1 else f"{len(blocks)} requests"
    return (
        f"  {device.area}/{device.name}: modbus {device.line} unit {device.unit}, "
        f"{len(device.tags)} tags in {requests} every {device.period_ms} ms"
    )


def _mqtt_line(device: "MqttDeviceSettings") -> str:
    place = f"{device.broker.host}:{device.broker.port} topic {device.topic}"
    return f"  {device.area}/{device.name}: mqtt {place}, {len(device.tags)} tags per message"
