"""`fieldline-edge spool`: look into a spool, and carry a backlog to the hub by hand."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fieldline.cli import new_app
from fieldline.cli.options import HubOption
from fieldline.errors import ConfigError, DecodeError, FieldlineError

if TYPE_CHECKING:
    from fieldline_edge.settings import GatewaySettings
    from fieldline_edge.spool.lanes import Lane
    from fieldline_edge.spool.policy import State

__all__ = ["app"]

app = new_app("Look into a gateway's spool, and carry a backlog.")

SpoolArgument = Annotated[
    Path, typer.Argument(help="Spool file, or the gateway file that names it.", metavar="SPOOL_OR_GATEWAY.yaml")
]


@app.command()
def status(
    file: SpoolArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print a spool's numbers as of its last commit. Reads only; the gateway may be running.

    Example: `fieldline-edge spool status config/gateway.yaml --json`

    Exit codes: 0 done, 1 the spool is broken, 2 there is no such spool.
    """
    import time

    from fieldline_edge.spool.status import is_spool_file, read_state

    by_name = not is_spool_file(file) and _looks_like_yaml(file)
    settings = _gateway(file) if by_name else None
    state = read_state(settings.spool.path if settings else file)
    numbers = _numbers(state, time.time_ns())
    policy = _policy(settings) if settings else {}
    if as_json:
        print(json.dumps({**numbers, "lanes": [_lane(lane) for lane in state.lanes], **policy}))
        return
    for name, value in {**numbers, **policy}.items():
        print(f"{name:18} {'-' if value is None else value}")
    for lane in state.lanes:
        print("lane " + "  ".join(f"{name} {'-' if value is None else value}" for name, value in _lane(lane).items()))


@app.command(name="export")
def export_(
    file: SpoolArgument,
    target: Annotated[Path, typer.Argument(help="File to write; must not exist.", metavar="BACKLOG")],
    name: Annotated[str, typer.Option(help="Name of the gateway, where only its spool is given.")] = "",
) -> None:
    """Write everything that waits in a spool into one file, to be carried to the hub. Reads only; the gateway may run.

    What can be read of a damaged spool (`spool.db.corrupt-...`) is exported too.

    Example: `fieldline-edge spool export config/gateway.yaml /media/usb/gateway-1.backlog`

    Exit codes: 0 done, 1 some or all of it could not be read or written, 2 there is no such spool, or no name.
    """
    import time

    from fieldline.topics import check_name
    from fieldline_edge.spool.carry import export_backlog
    from fieldline_edge.spool.status import is_spool_file

    spool = file
    if not is_spool_file(file) and _looks_like_yaml(file):
        settings = _gateway(file)
        spool, name = settings.spool.path, name or settings.name
    if not name:
        raise ConfigError("--name is missing: the hub knows frames by the name of their gateway")
    carried = export_backlog(spool, target, gateway=check_name(name), now_ns=time.time_ns())
    print(f"{carried.frames} frames with {carried.readings} readings are in {target}")
    if carried.damaged:
        raise FieldlineError(f"{carried.damaged} places of the spool could not be read; the rest is exported")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="File that `spool export` has written.", metavar="BACKLOG")],
    hub: HubOption = "127.0.0.1:50051",
    name: Annotated[str, typer.Option(help="Name of this client; left out: that of the gateway.")] = "",
) -> None:
    """Publish an exported backlog under the numbers it had, and wait until the hub has stored it.

    What the hub has already is dropped there as a duplicate, and so is what the gateway itself brings later. May be
    run again. Access as for other commands: FIELDLINE_TOKEN, FIELDLINE_TLS_CA, FIELDLINE_TLS_CERT, FIELDLINE_TLS_KEY.

    Example: `fieldline-edge spool import /media/usb/gateway-1.backlog --hub hub.plant:50051`

    Exit codes: 0 stored, 1 some of the file was damaged (the rest is stored), 2 it is no backlog, 3 no hub, or it
    refused.
    """
    import asyncio

    from fieldline.cli.options import check_hub, hub_access_from_environment
    from fieldline_edge.spool.carry import import_backlog

    check_hub(hub)
    if not file.is_file():
        raise ConfigError(f"{file} does not exist")
    try:
        carried = asyncio.run(import_backlog(file, hub, access=hub_access_from_environment(), name=name or None))
    except DecodeError as error:
        raise ConfigError(f"{file} {error}") from error
    print(
        f"{carried.frames} frames with {carried.readings} readings are stored; the hub had {carried.had} of the frames"
    )
    if not carried.whole:
        raise FieldlineError(
            f"{file} is damaged in {carried.damaged} places, or cut short; what could be read is stored. "
            "The gateway brings the rest itself, or export again"
        )


def _looks_like_yaml(file: Path) -> bool:
    return file.suffix in (".yaml", ".yml")


def _gateway(file: Path) -> "GatewaySettings":
    from fieldline.config import load
    from fieldline_edge.settings import GatewaySettings

    return load(file, GatewaySettings)


def _policy(settings: "GatewaySettings") -> dict[str, int | float | str | None]:
    spool = settings.spool
    return {
        "bytes_max": spool.bytes_max,
        "age_s_max": spool.age_s_max,
        "when_full": spool.when_full.value,
        "drain": spool.drain.value,
        "drain_bytes_per_s_max": spool.drain_bytes_per_s_max,
    }


def _lane(lane: "Lane") -> dict[str, int | str | None]:
    """Sequences as the hub knows them."""
    return {
        "carries": "alarms" if lane.is_urgent else "readings",
        "epoch": lane.epoch,
        "first": lane.first - lane.base,
        "last": None if lane.last is None else lane.last - lane.base,
        "acked": lane.acked - lane.base,
    }


def _numbers(state: "State", now_ns: int) -> dict[str, int | float | None]:
    age_s = None if state.oldest_at_ns is None else round(max(0, now_ns - state.oldest_at_ns) / 1e9, 3)
    names = (
        "epoch next_sequence acked_sequence frames bytes readings_polled readings_spooled readings_acked"
        " readings_dropped frames_dropped"
    )
    return {**{name: getattr(state, name) for name in names.split()}, "oldest_age_s": age_s}
