"""`fieldline pub`: publish from the command line."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from fieldline.cli.options import CONNECT_TIMEOUT_S, HubOption, check_hub, hub_access_from_environment
from fieldline.errors import ConfigError, LimitError
from fieldline.limits import FRAME_RAW_BYTES_MAX
from fieldline.topics import check_name, check_topic

__all__ = ["pub"]

_CHUNK_BYTES = 1 << 16


def pub(
    topic: Annotated[str, typer.Argument(help="Topic to publish to, e.g. notes/site/hall-a")],
    message: Annotated[
        str | None, typer.Argument(help="The message; left out: one message for each line of stdin")
    ] = None,
    hub: HubOption = "127.0.0.1:50051",
    key: Annotated[str, typer.Option(help="Ordering key")] = "",
    name: Annotated[str, typer.Option(envvar="FIELDLINE_NAME", help="Name of this client")] = "fieldline-pub",
) -> None:
    """Publish a message, or every line of standard input, and wait until the hub has stored it.

    Lines are sent as they come, so a pipe that never ends works too: `tail -f log | fieldline pub logs/demo`

    Example: `fieldline pub notes/demo/hall-a "pump 2 sounds odd"`

    Exit codes: 0 stored, 2 bad topic, name or message, 3 the hub could not be reached or refused.
    """
    check_topic(topic)
    check_name(name)
    check_hub(hub)
    access = hub_access_from_environment()
    if message is None and sys.stdin is None:
        raise ConfigError("no message: give one, or send lines to standard input")
    from fieldline import Runtime

    async def publish() -> None:
        async with Runtime(
            hub, name=name, tls=access.tls, token=access.token, connect_timeout_s=CONNECT_TIMEOUT_S
        ) as runtime:
            if message is not None:
                await runtime.publish(topic, message.encode(errors="surrogateescape"), key=key)
            else:
                async for content in _lines(sys.stdin.fileno()):
                    await runtime.publish(topic, content, key=key)
            await runtime.flush()

    asyncio.run(publish())


async def _lines(source: int) -> AsyncIterator[bytes]:
    """The lines of a file descriptor as they come, without their ends. Other work goes on while there is none."""
    rest = b""
    while chunk := await _read(source):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > FRAME_RAW_BYTES_MAX:
            raise LimitError(f"a line has more than {FRAME_RAW_BYTES_MAX} bytes; a message cannot be that long")
    if rest:
        yield rest


async def _read(source: int) -> bytes:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(source, ready.set)
    except PermissionError:
        return os.read(source, _CHUNK_BYTES)  # a regular file never keeps anybody waiting
    try:
        await ready.wait()
    finally:
        loop.remove_reader(source)
    return os.read(source, _CHUNK_BYTES)
