"""Scans the lines that were asked for and gathers what a report needs."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from fieldline_edge.commissioning.line import connected, why
from fieldline_edge.commissioning.recognise import best_of
from fieldline_edge.commissioning.report import ReportedDevice
from fieldline_edge.commissioning.scanner import Scanner, ScanOptions, UnitFound
from fieldline_edge.commissioning.where import Place
from fieldline_edge.drivers.modbus.client import NoConnection
from fieldline_edge.profiles import load_profile, profile_names

__all__ = ["open_hosts", "survey"]

_HOSTS_A_SECOND = 20
_CONNECT_TIMEOUT_S = 1.0


async def survey(
    places: Iterable[Place], options: ScanOptions, *, say: Callable[[str], None], first_only: bool
) -> list[ReportedDevice]:
    """The units found at all places. With `first_only` the first place that has any is enough: settings of one port.

    NoConnection if no place can be reached at all.
    """
    profiles = [load_profile(name) for name in profile_names()]
    devices: list[ReportedDevice] = []
    refused: NoConnection | None = None
    reached = False
    for place in places:
        say(f"looking at {place.settings.line}")
        try:
            async with connected(place.settings.line) as line:
                async for unit in Scanner(line, options, say=say).run():
                    found = best_of(profiles, unit.seen)
                    name = f"device-{len(devices) + 1}"
                    devices.append(ReportedDevice(name, place.way, unit.unit, unit.seen, found, _remarks(unit)))
            reached = True
        except NoConnection as error:
            refused = error
            say(why(error))
        if first_only and devices:
            break
    if refused is not None and not reached and not devices:
        raise refused
    return devices


def _remarks(unit: UnitFound) -> Sequence[str]:
    remarks = ["it answers under every unit id"] if unit.any_unit else []
    if unit.silent:
        kinds = ", ".join(kind.value for kind in unit.silent)
        remarks.append(f"silent about addresses it does not have ({kinds}): there may be more than is listed")
    return remarks


async def open_hosts(hosts: Sequence[str], port: int, *, say: Callable[[str], None]) -> list[str]:
    """The hosts on which the port is open, in order; begins at most 20 connections a second."""
    tasks: list[asyncio.Task[bool]] = []
    async with asyncio.TaskGroup() as group:
        for number, host in enumerate(hosts):
            if number % 64 == 0:
                say(f"trying port {port} of {host} ({number + 1} of {len(hosts)})")
            tasks.append(group.create_task(_is_open(host, port)))
            await asyncio.sleep(1 / _HOSTS_A_SECOND)
    return [host for host, task in zip(hosts, tasks, strict=True) if task.result()]


async def _is_open(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
