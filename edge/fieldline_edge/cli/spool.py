"""`fieldline-edge spool`: look into a spool."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fieldline.cli import new_app

if TYPE_CHECKING:
    from fieldline_edge.spool.policy import State

__all__ = ["app"]

app = new_app("Look into a gateway's spool.")


@app.callback()
def _root() -> None:
    """Look into a gateway's spool."""  # a callback keeps `status` a sub-command while it is the only one


@app.command()
def status(
    file: Annotated[
        Path,
        typer.Argument(help="Spool file, or the gateway file that names it.", metavar="SPOOL_OR_GATEWAY.yaml"),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print a spool's numbers as of its last commit. Reads only; the gateway may be running.

    Example: `fieldline-edge spool status config/gateway.yaml --json`

    Exit codes: 0 done, 1 the spool is broken, 2 there is no such spool.
    """
    import time

    from fieldline_edge.spool.status import is_spool_file, read_state

    path = file if is_spool_file(file) or not _looks_like_yaml(file) else _spool_of(file)
    numbers = _numbers(read_state(path), time.time_ns())
    if as_json:
        print(json.dumps(numbers))
        return
    for name, value in numbers.items():
        print(f"{name:18} {'-' if value is None else value}")


def _looks_like_yaml(file: Path) -> bool:
    return file.suffix in (".yaml", ".yml")


def _spool_of(file: Path) -> Path:
    from fieldline.config import load
    from fieldline_edge.settings import GatewaySettings

    return load(file, GatewaySettings).spool.path


def _numbers(state: "State", now_ns: int) -> dict[str, int | float | None]:
    age_s = None if state.oldest_at_ns is None else round(max(0, now_ns - state.oldest_at_ns) / 1e9, 3)
    names = (
        "epoch next_sequence acked_sequence frames bytes readings_polled readings_spooled readings_acked"
        " readings_dropped frames_dropped"
    )
    return {**{name: getattr(state, name) for name in names.split()}, "oldest_age_s": age_s}
