"""`fieldline-edge scan`: find devices and what can be read of them, and print a configuration to start from."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fieldline_edge.commissioning.report import ReportedDevice
    from fieldline_edge.commissioning.scanner import ScanOptions
    from fieldline_edge.commissioning.where import Place
    from fieldline_edge.drivers.modbus.settings import RegisterKind

__all__ = ["scan"]

_COUNT_ALL = 65_535


def scan(
    host: Annotated[str | None, typer.Option(help="A Modbus TCP host, or the gateway before the devices.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Its TCP port.")] = 502,
    serial: Annotated[str | None, typer.Option(help="A serial port, like /dev/ttyUSB0.")] = None,
    subnet: Annotated[
        str | None, typer.Option(help="Every host of a subnet, like 192.168.1.0/24, at most 20 a second.")
    ] = None,
    units: Annotated[str, typer.Option(help="Unit ids to try.")] = "1-16",
    bauds: Annotated[str, typer.Option(help="Baud rates of the serial port to try, the likeliest first.")] = "9600",
    parities: Annotated[str, typer.Option(help="Parities to try: none, even, odd.")] = "none",
    framing: Annotated[str | None, typer.Option(help="rtu or ascii; left out: tcp with --host, else rtu.")] = None,
    kinds: Annotated[str, typer.Option(help="Tables to look at.")] = "holding,input,coil,discrete",
    addresses: Annotated[
        str, typer.Option(help="Addresses to search from end to end, like 0-999,5000-5200.")
    ] = "0-255",
    thorough: Annotated[bool, typer.Option(help="Search all 65536 addresses; takes long.")] = False,
    stride: Annotated[int, typer.Option(min=1, max=125, help="Islands shorter than this may be missed.")] = 16,
    timeout_ms: Annotated[int, typer.Option(min=10, max=60_000, help="How long to wait for an answer.")] = 500,
    pause_ms: Annotated[int, typer.Option(min=0, max=10_000, help="Pause after each request.")] = 20,
) -> None:
    """Find the devices on a line, what can be read of each, and which known profile it is.

    Reads only. Progress goes to stderr; stdout gets a gateway file that `fieldline-edge check` accepts. Stop a gateway
    that uses the same serial port first.

    Example: `fieldline-edge scan --host 192.168.1.20 > gateway.yaml`

    Exit codes: 0 found something, 1 nothing answers or the line cannot be reached, 2 wrong usage.
    """
    import asyncio

    from fieldline.errors import ConfigError
    from fieldline.logs import setup_logging
    from fieldline_edge.commissioning.landmarks import landmarks
    from fieldline_edge.commissioning.line import why
    from fieldline_edge.commissioning.report import gateway_file
    from fieldline_edge.commissioning.scanner import ScanOptions
    from fieldline_edge.commissioning.where import numbers
    from fieldline_edge.drivers.modbus.client import NoConnection
    from fieldline_edge.profiles import load_profile, profile_names

    setup_logging("error")
    if sum(way is not None for way in (host, serial, subnet)) != 1:
        raise ConfigError("give one of --host, --serial and --subnet")
    options = ScanOptions(
        units=numbers(units, "--units", lowest=0, highest=255),
        kinds=_kinds(kinds),
        windows=((0, _COUNT_ALL),) if thorough else _windows(addresses),
        landmarks={} if thorough else landmarks(load_profile(name) for name in profile_names()),
        stride_max=stride,
        timeout_s=timeout_ms / 1000,
        pause_s=pause_ms / 1000,
        requests_max=20_000 if thorough else 2_000,
    )
    places = _places(host, port, serial, subnet, framing, bauds, parities)
    try:
        devices = asyncio.run(_survey(places, options, subnet, port, framing))
    except NoConnection as error:
        _say(f"error: {why(error)}; check cable and address, and stop a gateway that uses the port")
        raise typer.Exit(1) from error
    if not devices:
        _say("error: nothing answers; check the wiring (swap A and B), baud rate, parity and unit ids")
        raise typer.Exit(1)
    origin = f"Written by `fieldline-edge scan` on {datetime.now(UTC):%Y-%m-%d}: {len(devices)} found."
    print(gateway_file(devices, origin=origin), end="")


def _places(
    host: str | None, port: int, serial: str | None, subnet: str | None, framing: str | None, bauds: str, parities: str
) -> "list[Place]":
    from pydantic import ValidationError

    from fieldline.errors import ConfigError
    from fieldline_edge.commissioning.where import hosts_of, network_place, numbers, serial_places

    try:
        if host is not None:
            return [network_place(host, port, framing)]
        if serial is not None:
            rates = numbers(bauds, "--bauds", lowest=300, highest=999_999)
            return list(serial_places(serial, rates, [one.strip() for one in parities.split(",")], framing))
        assert subnet is not None
        return [network_place(each, port, framing) for each in hosts_of(subnet)]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"{'.'.join(map(str, first['loc'])) or 'the line'}: {first['msg']}") from error


async def _survey(
    places: "list[Place]", options: "ScanOptions", subnet: str | None, port: int, framing: str | None
) -> "list[ReportedDevice]":
    from fieldline_edge.commissioning.survey import open_hosts, survey
    from fieldline_edge.commissioning.where import hosts_of, network_place

    chosen: Iterable[Place] = places
    if subnet is not None:
        open_ones = await open_hosts(hosts_of(subnet), port, say=_say)
        _say(f"port {port} is open on {len(open_ones)} hosts")
        chosen = [network_place(each, port, framing) for each in open_ones]
    return await survey(chosen, options, say=_say, first_only=subnet is None)


def _kinds(text: str) -> "tuple[RegisterKind, ...]":
    from fieldline.errors import ConfigError
    from fieldline_edge.drivers.modbus.settings import RegisterKind

    known = {kind.value: kind for kind in RegisterKind}
    asked = [one.strip() for one in text.split(",")]
    if unknown := [one for one in asked if one not in known]:
        raise ConfigError(f"--kinds: {unknown[0]!r} is none of {', '.join(known)}")
    return tuple(known[one] for one in asked)


def _windows(text: str) -> tuple[tuple[int, int], ...]:
    from fieldline_edge.commissioning.where import numbers

    wanted = [numbers(part, "--addresses", lowest=0, highest=_COUNT_ALL) for part in text.split(",")]
    return tuple((span[0], span[-1]) for span in wanted)


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)
