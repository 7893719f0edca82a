"""`fieldline-edge probe`: one device, live on the screen."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from fieldline_edge.commissioning.looking import Look, Row
    from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

__all__ = ["probe"]

_ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


def probe(
    what: Annotated[
        list[str],
        typer.Argument(help="GATEWAY.yaml DEVICE, or KIND ADDRESS COUNT with --host or --serial.", metavar="WHAT..."),
    ],
    host: Annotated[str | None, typer.Option(help="A Modbus TCP host, for a device in no file.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Its TCP port.")] = 502,
    serial: Annotated[str | None, typer.Option(help="A serial port, like /dev/ttyUSB0.")] = None,
    baud: Annotated[int, typer.Option(help="Baud rate of the serial port.")] = 9600,
    parity: Annotated[str, typer.Option(help="none, even or odd.")] = "none",
    framing: Annotated[str | None, typer.Option(help="tcp, rtu or ascii.")] = None,
    unit: Annotated[int, typer.Option(min=0, max=255, help="Unit id.")] = 1,
    type_: Annotated[str, typer.Option("--type", help="How registers make a value.")] = "uint16",
    order: Annotated[str, typer.Option(help="Byte order: ABCD, CDAB, BADC or DCBA.")] = "ABCD",
    orders: Annotated[bool, typer.Option("--orders", help="Show every value in all four byte orders.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Read once and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each poll.")] = False,
    period_ms: Annotated[int, typer.Option(min=50, max=3_600_000, help="Time between two polls.")] = 1000,
    timeout_ms: Annotated[int, typer.Option(min=10, max=60_000, help="How long to wait for an answer.")] = 1000,
) -> None:
    """Show what a device says now, until Ctrl-C. Reads only, and sends nothing to the hub.

    A device of a file is read as the gateway would. Without a file, say which registers: with --orders the right byte
    order is the column that makes sense.

    Example: `fieldline-edge probe --host 192.168.1.20 --unit 3 holding 0 10 --type float32 --orders`

    Exit codes: 0 every value came (of the last poll), 1 some did not, 2 wrong usage or a wrong file.
    """
    import asyncio

    from fieldline.logs import setup_logging
    from fieldline_edge.commissioning.looking import Look

    setup_logging("error")
    if host is None and serial is None:
        device = _of_file(what)
    else:
        way: dict[str, Any] = {"host": host, "port": port} if host is not None else {}
        if serial is not None:
            way["serial"] = {"device": serial, "baud": baud, "parity": parity}
        if framing is not None:
            way["framing"] = framing
        device = _ad_hoc(what, {**way, "unit": unit, "timeout_ms": timeout_ms}, type_, order)
    look = Look(device, with_orders=orders)
    if not asyncio.run(_show(look, orders=orders, once=once, as_json=as_json, period_s=period_ms / 1000)):
        raise typer.Exit(1)


def _of_file(what: list[str]) -> "ModbusDeviceSettings":
    from fieldline.config import load
    from fieldline.errors import ConfigError
    from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
    from fieldline_edge.settings import GatewaySettings

    if not 1 <= len(what) <= 2:
        raise ConfigError("give GATEWAY.yaml and a device, or --host or --serial with KIND ADDRESS COUNT")
    devices = [one for one in load(Path(what[0]), GatewaySettings).devices if isinstance(one, ModbusDeviceSettings)]
    wanted = what[1] if len(what) > 1 else None
    found = [one for one in devices if wanted in (None, one.name, f"{one.area}/{one.name}")]
    if len(found) != 1:
        names = ", ".join(f"{one.area}/{one.name}" for one in devices) or "none"
        raise ConfigError(f"{what[0]}: {wanted or 'no device'!r} is not one of its Modbus devices: {names}")
    return found[0]


def _ad_hoc(what: list[str], way: dict[str, Any], type_: str, order: str) -> "ModbusDeviceSettings":
    from pydantic import ValidationError

    from fieldline.errors import ConfigError
    from fieldline_edge.commissioning.looking import BLOCK_KINDS, ad_hoc_tags
    from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

    kind, address, count = (*what, "0", "1")[:3]
    if not 1 <= len(what) <= 3 or kind not in BLOCK_KINDS or not address.isdigit() or not count.isdigit():
        raise ConfigError(
            f"{' '.join(what)!r}: write KIND ADDRESS COUNT, like holding 0 10; KIND is {', '.join(BLOCK_KINDS)}"
        )
    try:
        tags = ad_hoc_tags(kind, int(address), int(count), type_, order)
        return ModbusDeviceSettings.model_validate(
            {"driver": "modbus", "name": "probe", "area": "probe", "gap_registers_max": 0, **way, "tags": tags}
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"{first['msg'].removeprefix('Value error, ')}") from error
    except ValueError as error:
        raise ConfigError(f"--type: {error}") from error


async def _show(look: "Look", *, orders: bool, once: bool, as_json: bool, period_s: float) -> bool:
    import asyncio

    from rich.console import Console
    from rich.live import Live

    from fieldline_edge.commissioning.line import connected
    from fieldline_edge.commissioning.line import look as read
    from fieldline_edge.commissioning.looking import is_plausible

    async with connected(look.device.line) as connection:
        console = Console()
        if as_json or once:
            while True:
                rows = await read(connection, look)
                if as_json:
                    print(json.dumps(_object(look, rows)), flush=True)
                else:
                    console.print(_table(look, rows, orders))
                if once:
                    return all(map(is_plausible, rows))
                await asyncio.sleep(period_s)
        with Live(console=console, auto_refresh=False) as live:
            while True:
                rows = await read(connection, look)
                live.update(_table(look, rows, orders), refresh=True)
                await asyncio.sleep(period_s)


def _object(look: "Look", rows: "list[Row]") -> dict[str, Any]:
    from fieldline.cli.text import plain_value

    tags: dict[str, Any] = {}
    for row in rows:
        one: dict[str, Any] = {"place": row.place, "took_ms": round(row.took_ms, 1)}
        if row.reading is None:
            one["trouble"] = row.trouble
        else:
            one |= {"value": plain_value(row.reading.value), "quality": row.reading.quality.name}
        if row.unit:
            one["unit"] = row.unit
        if row.orders:
            one["orders"] = {name: plain_value(value) for name, value in row.orders.items()}
        tags[row.tag] = one
    return {"line": str(look.device.line), "unit": look.device.unit, "tags": tags}


def _table(look: "Look", rows: "list[Row]", orders: bool) -> "Table":
    from rich.table import Table

    table = Table(title=f"{look.device.line} unit {look.device.unit}", title_justify="left")
    for heading in ("tag", "where", *(_ORDERS if orders else ("value",)), "unit", "quality", "ms"):
        table.add_column(heading, justify="right" if heading in ("value", "ms", *_ORDERS) else "left")
    for row in rows:
        value = _text(row.reading.value) if row.reading is not None else "-"
        values = [_text(row.orders.get(each)) if row.orders else value for each in _ORDERS] if orders else [value]
        quality = row.reading.quality.name.lower() if row.reading is not None else row.trouble
        table.add_row(row.tag, row.place, *values, row.unit, quality, f"{row.took_ms:.0f}")
    return table


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.7g}"
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
