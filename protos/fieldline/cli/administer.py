"""What the commands that look after a hub share: one admin client, used and closed."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fieldline.cli.options import CONNECT_TIMEOUT_S, check_hub, hub_access_from_environment
from fieldline.cli.table import Column, print_rows
from fieldline.cli.until_stopped import a_closed_pipe_is_the_end

if TYPE_CHECKING:
    from fieldline import AdminClient

__all__ = ["JsonOption", "administer", "ask", "confirmed"]

_R = TypeVar("_R")

JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object on each line, as it is where the output is no terminal")
]


def administer(hub: str, work: Callable[["AdminClient"], Awaitable[_R]]) -> _R:
    """What `work` returns, done with a client of the hub's Admin service. Raises ConfigError or HubError."""
    check_hub(hub)
    access = hub_access_from_environment()
    from fieldline import AdminClient

    async def run() -> _R:
        client = AdminClient(hub, tls=access.tls, token=access.token, connect_timeout_s=CONNECT_TIMEOUT_S)
        async with client:
            return await work(client)

    return asyncio.run(run())


def ask(
    hub: str,
    rows: Callable[["AdminClient"], AsyncIterator[dict[str, Any]]],
    columns: list[Column],
    *,
    as_json: bool,
    nothing: str,
) -> None:
    """Print what the hub answers: a table on a terminal, else a line of JSON for each row as it comes."""
    with a_closed_pipe_is_the_end():
        administer(hub, lambda client: print_rows(rows(client), columns, as_json=as_json, nothing=nothing))


def confirmed(question: str, yes: bool) -> bool:
    """Whether a person at the terminal agrees, or has done so with `--yes`."""
    if yes:
        return True
    if not (sys.stdin and sys.stdin.isatty()):
        return False
    return typer.confirm(question, err=True)
