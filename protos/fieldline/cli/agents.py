"""`fieldline agents`: who is present at the hub."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fieldline.cli.administer import JsonOption, ask
from fieldline.cli.options import HubOption
from fieldline.cli.table import Column, moment, words
from fieldline.topics import check_topic

if TYPE_CHECKING:
    from fieldline import AdminClient

__all__ = ["agents"]

_COLUMNS: Final = [
    Column("agent", "name"),
    Column("kind", "kind"),
    Column("version", "version"),
    Column("joined", "joined_at_ms", moment),
    Column("heard", "heard_at_ms", moment),
    Column("reads", "filters", words),
    Column("capabilities", "capabilities", words),
    Column("from", "peer"),
]


def agents(
    serving: Annotated[str, typer.Option(help="Only agents that serve this topic", metavar="TOPIC")] = "",
    hub: HubOption = "127.0.0.1:50051",
    as_json: JsonOption = False,
) -> None:
    """List the agents that are present, or those that serve a topic.

    An agent serves a topic if an open subscription of its name matches it, or its capability `serves` does.

    Example: `fieldline agents --serving alerts/demo/hall-a/pump-2`

    Exit codes: 0 listed, 2 bad topic or option, 3 the hub could not be reached or refused.
    """
    if serving:
        check_topic(serving)

    async def rows(client: "AdminClient") -> AsyncIterator[dict[str, Any]]:
        for one in await client.agents(serving):
            yield asdict(one)

    ask(hub, rows, _COLUMNS, as_json=as_json, nothing="no agents")
