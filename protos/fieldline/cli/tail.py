"""`fieldline tail`: the newest frames kept, and then what comes."""

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fieldline.cli.options import CONNECT_TIMEOUT_S, HubOption, check_hub, hub_access_from_environment
from fieldline.cli.until_stopped import a_closed_pipe_is_the_end, run_until_stopped
from fieldline.errors import DecodeError
from fieldline.topics import check_filter, check_name

if TYPE_CHECKING:
    from fieldline import Delivery, Runtime

__all__ = ["tail"]

# The log cannot be read backwards by filter: so a stretch before its end is read, and a longer one if that held too
# little. Each is eight times the one before, so all together cost little more than the last.
_STRETCH: Final = 1_024
_LONGER: Final = 8


def tail(
    filters: Annotated[list[str], typer.Argument(metavar="FILTER", help="Topic filters, e.g. 'alerts/#'")],
    frames: Annotated[int, typer.Option("--frames", "-n", help="So many of the newest frames", min=0, max=10_000)] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on each line")] = False,
    hub: HubOption = "127.0.0.1:50051",
    name: Annotated[str, typer.Option(envvar="FIELDLINE_NAME", help="Name of this client")] = "fieldline-tail",
) -> None:
    """Print the newest frames of topics, oldest first: offset, time, producer, topic, content, headers.

    Example: `fieldline tail 'alerts/#' --frames 5 --follow`

    Exit codes: 0 printed or stopped, 2 bad filter or option, 3 the hub could not be reached or refused.
    """
    check_hub(hub)
    check_name(name)
    for topic_filter in filters:
        check_filter(topic_filter)
    access = hub_access_from_environment()
    from fieldline import Runtime
    from fieldline.cli.sub import row_writer

    write = row_writer(sys.stdout, as_json, _sentence)

    async def show() -> None:
        async with Runtime(
            hub, name=name, tls=access.tls, token=access.token, connect_timeout_s=CONNECT_TIMEOUT_S
        ) as runtime:
            await run_until_stopped(_tail(runtime, filters, frames, follow, write))

    with a_closed_pipe_is_the_end():
        asyncio.run(show())


async def _tail(
    runtime: "Runtime", filters: list[str], frames: int, follow: bool, write: Callable[[dict[str, Any]], None]
) -> None:
    from fieldline import Start

    end = await _end(runtime, filters)
    stretch = _STRETCH
    while True:
        begin = max(0, end - stretch) if frames else end
        newest: deque[Delivery] = deque(maxlen=frames)
        seen = 0
        async with runtime.subscribe(filters, start=Start.at(begin), ack="manual") as subscription:
            while (delivery := await subscription.next_delivery(until_offset=end)) is not None:
                if delivery.is_volatile:  # nothing of that kind is kept
                    continue
                newest.append(delivery)
                seen += 1
                if delivery.offset >= end:  # it has come since we asked where the end is
                    break
            if seen < frames and begin > 0:
                stretch *= _LONGER
                continue
            for one in newest:
                _print(one, write)
            while follow and (delivery := await subscription.next_delivery()) is not None:
                _print(delivery, write)
            return


async def _end(runtime: "Runtime", filters: list[str]) -> int:
    async with runtime.subscribe(filters) as subscription:
        await subscription.wait_open()
        return subscription.end_offset or 0


def _print(delivery: "Delivery", write: Callable[[dict[str, Any]], None]) -> None:
    from fieldline.cli.sub import rows
    from fieldline.cli.text import timestamp

    published_at = timestamp(delivery.published_at_ns)
    try:
        for row in rows(delivery):
            write({"published_at": published_at, **row})
    except DecodeError as error:
        print(f"{delivery.topic}, offset {delivery.offset}: skipped, {error}", file=sys.stderr)
    sys.stdout.flush()


def _sentence(row: dict[str, Any]) -> str:
    from fieldline.cli.text import harmless, line

    headers = row.get("headers")
    shown = "  " + " ".join(f"{key}={value}" for key, value in headers.items()) if headers else ""
    said = line(row) if row.get("text") is None else f"{row['topic']}  {row['text']}"
    offset = "-" if row["offset"] < 0 else row["offset"]
    return harmless(f"{offset:>8}  {row['published_at']}  {row['producer']}  {said}{shown}")
