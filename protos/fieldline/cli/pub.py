"""`fieldline pub`: publish from the command line."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from fieldline.cli.options import CONNECT_TIMEOUT_S, HubOption

__all__ = ["pub"]


def pub(
    topic: Annotated[str, typer.Argument(help="Topic to publish to, e.g. notes/site/hall-a")],
    message: Annotated[
        str | None, typer.Argument(help="The message; left out: one message for each line of stdin")
    ] = None,
    hub: HubOption = "127.0.0.1:50051",
    key: Annotated[str, typer.Option(help="Ordering key")] = "",
    name: Annotated[str, typer.Option(help="Name of this client")] = "fieldline-pub",
) -> None:
    """Publish a message, or every line of standard input, and wait until the hub has stored it.

    Example: `fieldline pub notes/demo/hall-a "pump 2 sounds odd"`

    Exit codes: 0 stored, 2 bad topic, 3 the hub could not be reached or refused.
    """
    from fieldline import Runtime

    async def publish() -> None:
        async with Runtime(hub, name=name, connect_timeout_s=CONNECT_TIMEOUT_S) as runtime:
            for content in [message] if message is not None else _lines():
                await runtime.publish(topic, content, key=key)
            await runtime.flush()

    asyncio.run(publish())


def _lines() -> Iterator[str]:
    for line in sys.stdin:
        yield line.rstrip("\n")
