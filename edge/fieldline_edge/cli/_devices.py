"""Every Modbus device of a gateway file read once, as a table."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fieldline.logs import setup_logging
from fieldline_edge.commissioning.line import connected, look
from fieldline_edge.commissioning.looking import Look, Row, is_plausible
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.settings import GatewaySettings

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["check_devices"]


def check_devices(settings: GatewaySettings) -> bool:
    """Print what every device says; whether all of it is good. Lines are read side by side, units of one in turn."""
    from rich.console import Console

    setup_logging("error")
    looks = [Look(device) for device in settings.devices if isinstance(device, ModbusDeviceSettings)]
    lines: dict[str, list[Look]] = {}
    for one in looks:
        lines.setdefault(one.device.line.key, []).append(one)
    found = dict(asyncio.run(_read_all(list(lines.values()))))
    console = Console()
    for one in looks:
        console.print(_table(one, found[id(one)]))
    rows = [row for each in found.values() for row in each]
    good = sum(map(is_plausible, rows))
    left_out = len(settings.devices) - len(looks)
    console.print(f"{good} of {len(rows)} tags have a good value")
    if left_out:
        console.print(
            f"{left_out} MQTT devices speak when they like: watch them with `fieldline sub` while the gateway runs"
        )
    return good == len(rows)


async def _read_all(lines: Sequence[Sequence[Look]]) -> list[tuple[int, list[Row]]]:
    async def of_line(looks: Sequence[Look]) -> list[tuple[int, list[Row]]]:
        async with connected(looks[0].device.line) as connection:
            return [(id(one), await look(connection, one)) for one in looks]

    return [pair for pairs in await asyncio.gather(*map(of_line, lines)) for pair in pairs]


def _table(one: Look, rows: Sequence[Row]) -> "Table":
    from rich.table import Table

    device = one.device
    title = f"{device.area}/{device.name}: {device.line} unit {device.unit}"
    table = Table(title=title, title_justify="left", show_edge=False)
    for heading in ("tag", "where", "value", "unit", "verdict", "ms"):
        table.add_column(heading, justify="right" if heading in ("value", "ms") else "left")
    for row in rows:
        verdict = row.trouble if row.reading is None else row.reading.quality.name.lower()
        value = "-" if row.reading is None else f"{row.reading.value}"
        style = None if is_plausible(row) else "red"
        table.add_row(row.tag, row.place, value, row.unit, verdict, f"{row.took_ms:.0f}", style=style)
    return table
