"""`fieldline subscriptions`: who reads, how far, and what is left."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fieldline.cli import new_app
from fieldline.cli.administer import JsonOption, administer, ask
from fieldline.cli.options import HubOption
from fieldline.cli.table import Column, count, words
from fieldline.topics import check_name

if TYPE_CHECKING:
    from fieldline import AdminClient

__all__ = ["subscriptions"]

subscriptions: Final = new_app("")

_COLUMNS: Final = [
    Column("durable", "durable", lambda durable: durable or "(live)"),
    Column("filters", "filters", words),
    Column("clients", "members", lambda members: words(one["client"] for one in members) or "nobody"),
    Column("next", "next_offset", count, right=True),
    Column("backlog", "backlog", count, right=True),
    Column("pending", "pending", count, right=True),
    Column("redelivered", "redelivered", count, right=True),
    Column("dead", "dead", count, right=True),
    Column("missed", "missed_frames", count, right=True),
    Column("behind", "behind", lambda behind: "yes" if behind else "no"),
]


def list_(
    context: typer.Context,
    durable: Annotated[bool, typer.Option("--durable", help="Only durable subscriptions")] = False,
    hub: HubOption = "127.0.0.1:50051",
    as_json: JsonOption = False,
) -> None:
    """List subscriptions: their clients, how far they are, what waits, and what went wrong since the hub was started.

    Backlog: offsets of the log up to its end. Pending: frames delivered, or waiting for another try, and not settled.

    Example: `fieldline subscriptions --durable`

    Exit codes: 0 listed, 2 bad option, 3 the hub could not be reached or refused.
    """
    if context.invoked_subcommand is not None:
        return

    async def rows(client: "AdminClient") -> AsyncIterator[dict[str, Any]]:
        async for one in client.subscriptions(only_durable=durable):
            yield {**asdict(one), "backlog": one.backlog}

    ask(hub, rows, _COLUMNS, as_json=as_json, nothing="no subscriptions")


# Bare it lists: `fieldline subscriptions`. Its help is that of the list.
subscriptions.callback(invoke_without_command=True, no_args_is_help=False, help=list_.__doc__)(list_)


@subscriptions.command()
def delete(
    name: Annotated[str, typer.Argument(help="Name of the durable subscription")],
    hub: HubOption = "127.0.0.1:50051",
) -> None:
    """Forget a durable subscription with its position. Refused while somebody reads with it.

    Example: `fieldline subscriptions delete my-export`

    Exit codes: 0 deleted, 2 bad name, 3 there is none of that name, it is in use, or the hub could not be reached.
    """
    check_name(name, "durable")
    administer(hub, lambda client: client.delete_durable(name))
    print(f"deleted {name}")
