"""`fieldline topics`: what the hub's log holds, by topic."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fieldline.cli.administer import JsonOption, ask
from fieldline.cli.options import HubOption
from fieldline.cli.table import Column, count
from fieldline.topics import check_filter

if TYPE_CHECKING:
    from fieldline import AdminClient

__all__ = ["topics"]

_COLUMNS: Final = [
    Column("topic", "topic"),
    Column("last offset", "last_offset", count, right=True),
    Column("frames", "frames", count, right=True),
    Column("bytes", "bytes", count, right=True),
    Column("readers", "subscribers", count, right=True),
    Column("durable", "durable", lambda durable: "yes" if durable else "no"),
    Column("policy", "policy", lambda policy: policy or "-"),
]


def topics(
    topic_filter: Annotated[
        str, typer.Argument(metavar="FILTER", help="Topic filter, e.g. 'readings/#'; left out: all topics")
    ] = "",
    hub: HubOption = "127.0.0.1:50051",
    as_json: JsonOption = False,
) -> None:
    """List topics: their newest offset, what was stored of them since the hub was started, and who reads them.

    Example: `fieldline topics 'readings/#'`

    Exit codes: 0 listed, 2 bad filter or option, 3 the hub could not be reached or refused.
    """
    if topic_filter:
        check_filter(topic_filter)

    async def rows(client: "AdminClient") -> AsyncIterator[dict[str, Any]]:
        async for one in client.topics(topic_filter):
            yield asdict(one)

    ask(hub, rows, _COLUMNS, as_json=as_json, nothing="no topics")
