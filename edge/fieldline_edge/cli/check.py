"""`fieldline-edge check`: what a gateway file would do, without doing it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fieldline_edge.drivers.modbus.group import Group
    from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
    from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings
    from fieldline_edge.drivers.mqtt.sparkplug.settings import SparkplugDeviceSettings
    from fieldline_edge.drivers.settings import DeviceSettings, TagSettings
    from fieldline_edge.processing.settings import DerivedSettings
    from fieldline_edge.settings import GatewaySettings

__all__ = ["check"]


def check(
    file: Annotated[Path, typer.Argument(help="Gateway file (kind: gateway).", metavar="GATEWAY.yaml")],
    devices: Annotated[
        bool, typer.Option("--devices", help="Read every Modbus device once, too, and say what came.")
    ] = False,
) -> None:
    """Check a gateway file and print what it would do. Touches neither the network nor the spool.

    With --devices it then reads every Modbus device once: which tags answer, with what, in what time. A gateway may be
    running meanwhile, but not on the same serial port.

    Example: `fieldline-edge check config/gateway.yaml --devices`

    Exit codes: 0 the file is right (and every tag has a good value), 1 some tags have none, 2 the file is wrong: each
    mistake is one line on stderr with its place and its cure.
    """
    from fieldline.config import load
    from fieldline_edge.settings import GatewaySettings

    settings = load(file, GatewaySettings)
    for line in describe(settings):
        print(line)
    if devices:
        from fieldline_edge.cli._devices import check_devices

        if not check_devices(settings):
            raise typer.Exit(1)


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
    lines += _commands_lines(settings)
    for device in settings.devices:
        if isinstance(device, ModbusDeviceSettings):
            lines.extend(_modbus_lines(device))
        else:
            lines.append(_mqtt_line(device))
        if device.is_processed:
            lines.append(_processing_line(device))
    return lines


def _processing_line(device: "DeviceSettings") -> str:
    tags: list[TagSettings | DerivedSettings] = [*device.read_tags, *device.derived]
    processed = sum(tag.process is not None for tag in tags)
    watched = sum(tag.alarms is not None for tag in tags) + len(device.alarms)
    learned = sum(tag.anomaly is not None for tag in tags)
    text = f"    processing: {processed} tags processed, {len(device.derived)} derived, alarms on {watched}"
    text += f", {learned} learned" if learned else ""
    return text + (f", {len(device.waveforms)} waveforms" if device.waveforms else "")


def _commands_lines(settings: "GatewaySettings") -> list[str]:
    """What may be written, if anything says so."""
    from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

    modbus = [device for device in settings.devices if isinstance(device, ModbusDeviceSettings)]
    tags = sum(tag.writable is not None for device in modbus for tag in device.tags)
    if settings.commands is None:
        return [f"commands: none, so the {tags} tags with 'writable' are never written"] if tags else []
    return [f"commands: {tags} tags may be written, audit in {settings.commands.audit}"]


def _modbus_lines(device: "ModbusDeviceSettings") -> list[str]:
    """One line for the device, and one for each of its poll groups if it has any."""
    from fieldline_edge.drivers.modbus.group import groups_of

    place = f"  {device.area}/{device.name}: modbus {device.line} unit {device.unit}, "
    groups = groups_of(device)
    works = [_group_work(group, device) for group in groups]
    if not device.groups:
        return [place + works[0]]
    named = zip(groups, works, strict=True)
    lines = [f"    {f'group {group.name}' if group.name else 'no group'}: {work}" for group, work in named]
    return [f"{place}{len(device.tags)} tags in {len(groups)} groups", *lines]


def _group_work(group: "Group", device: "ModbusDeviceSettings") -> str:
    from fieldline_edge.drivers.modbus.group import holes_of
    from fieldline_edge.drivers.modbus.plan import plan, read_over

    blocks = plan(group.spans, group.limits, holes_of(device))
    requests = "1 request" if len(blocks) == 1 else f"{len(blocks)} requests"
    rhythm = f"every {group.period_ms} ms" if group.period_ms else "once"
    over = read_over(group.spans, blocks)
    return f"{len(group.tags)} tags in {requests} {rhythm}" + (f", {over} addresses read over" if over else "")


def _mqtt_line(device: "MqttDeviceSettings | SparkplugDeviceSettings") -> str:
    if device.driver == "sparkplug":
        nodes = ", ".join(device.nodes) or "all nodes"
        return (
            f"  {device.area}/{device.name}: sparkplug {device.broker.host}:{device.broker.port} "
            f"group {device.group}, {nodes}, tags as they are born"
        )
    place = f"{device.broker.host}:{device.broker.port} topic {device.topic}"
    return f"  {device.area}/{device.name}: mqtt {place}, {len(device.tags)} tags per message"
