"""`fieldline sub`: see what is published."""

import asyncio
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from fieldline.cli.options import CONNECT_TIMEOUT_S, HubOption, check_hub, hub_access_from_environment
from fieldline.cli.until_stopped import a_closed_pipe_is_the_end, run_until_stopped
from fieldline.errors import ConfigError, DecodeError
from fieldline.topics import check_filter, check_name

if TYPE_CHECKING:
    from fieldline import Delivery, Start, Subscription

__all__ = ["row_writer", "rows", "sub"]

_OFFSET_MAX = (1 << 63) - 1


def sub(
    filters: Annotated[list[str], typer.Argument(help="Topic filters, e.g. 'readings/#' (quote the #)")],
    hub: HubOption = "127.0.0.1:50051",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on each line")] = False,
    durable: Annotated[str, typer.Option(help="Keep the position under this name; go on there next time")] = "",
    start: Annotated[
        str,
        typer.Option("--from", help="live, start, or an offset; a durable that exists goes on at its own position"),
    ] = "live",
    count: Annotated[int | None, typer.Option(help="End after so many lines", min=1)] = None,
    until_end: Annotated[bool, typer.Option("--until-end", help="End when the history has been printed")] = False,
    name: Annotated[str, typer.Option(envvar="FIELDLINE_NAME", help="Name of this client")] = "fieldline-sub",
) -> None:
    """Print what is published: a line for each reading, alert, task or message, until Ctrl-C.

    Example: `fieldline sub 'readings/#' --json --durable my-export --from start`

    Exit codes: 0 stopped, 2 bad filter or option, 3 the hub could not be reached or refused.
    """
    check_hub(hub)
    access = hub_access_from_environment()
    for each in (name, *([durable] if durable else [])):
        check_name(each)
    for topic_filter in filters:
        check_filter(topic_filter)
    begin = _start(start)
    from fieldline import Runtime

    write = row_writer(sys.stdout, as_json)

    async def follow() -> None:
        async with (
            Runtime(hub, name=name, tls=access.tls, token=access.token, connect_timeout_s=CONNECT_TIMEOUT_S) as runtime,
            runtime.subscribe(filters, durable=durable, start=begin, ack="manual") as subscription,
        ):
            await run_until_stopped(_print(subscription, write, count, until_end))

    with a_closed_pipe_is_the_end():
        asyncio.run(follow())


def _start(word: str) -> "Start":
    from fieldline import Start

    if word == "live":
        return Start.LIVE
    if word == "start":
        return Start.EARLIEST
    if word.isascii() and word.isdecimal() and int(word) <= _OFFSET_MAX:
        return Start.at(int(word))
    raise ConfigError(f"--from {word}: must be live, start, or an offset like 1500")


async def _print(
    subscription: "Subscription", write: Callable[[dict[str, Any]], None], count: int | None, until_end: bool
) -> None:
    left = count
    await subscription.wait_open()
    until = subscription.end_offset if until_end else None
    while (delivery := await subscription.next_delivery(until_offset=until)) is not None:
        printed, complete = _print_delivery(delivery, write, left)
        sys.stdout.flush()
        if complete:  # a frame that was printed in part comes again
            delivery.ack()
        if left is not None:
            left -= printed
            if left == 0:
                return


def _print_delivery(
    delivery: "Delivery", write: Callable[[dict[str, Any]], None], lines_max: int | None
) -> tuple[int, bool]:
    """Print up to `lines_max` lines; returns how many, and whether that was all."""
    remaining = rows(delivery)
    printed = 0
    try:
        for row in islice(remaining, lines_max):
            write(row)
            printed += 1
        return printed, next(remaining, None) is None
    except DecodeError as error:
        print(f"{delivery.topic}, offset {delivery.offset}: skipped, {error}", file=sys.stderr)
        return printed, True


def rows(delivery: "Delivery") -> Iterator[dict[str, Any]]:
    """What a delivery says, as flat dictionaries: one for each reading, or for each message."""
    place = {
        "topic": delivery.topic,
        "offset": delivery.offset,
        "producer": delivery.producer,
        "sequence": delivery.sequence,
    }
    if delivery.is_readings:
        yield from _reading_rows(delivery, place)
        return
    decode = _decoder(delivery.topic)
    for message in delivery.messages():
        row = {**place, "index": message.index, **decode(message.content)}
        if delivery.key:
            row["key"] = delivery.key
        if message.headers:
            row["headers"] = dict(message.headers)
        yield row


def _reading_rows(delivery: "Delivery", place: dict[str, Any]) -> Iterable[dict[str, Any]]:
    from fieldline.cli.text import plain_value, timestamp

    site, area, device = [*delivery.topic.split("/"), "", "", ""][1:4]
    for reading in delivery.readings():
        yield {
            **place,
            "site": site,
            "area": area,
            "device": device,
            "tag": reading.tag,
            "at": timestamp(reading.at_ns),
            "at_ns": reading.at_ns,
            "value": plain_value(reading.value),
            "quality": reading.quality.name.lower(),
        }


def _decoder(topic: str) -> Callable[[bytes], dict[str, Any]]:
    from fieldline.cli.text import alert_row, message_row, task_row

    return {"alerts": alert_row, "tasks": task_row}.get(topic.split("/", 1)[0], message_row)


def row_writer(
    out: TextIO, as_json: bool, sentence: Callable[[dict[str, Any]], str] | None = None
) -> Callable[[dict[str, Any]], None]:
    """What prints a row: as JSON, or as a sentence for people."""
    from fieldline.cli.text import line

    said = sentence or line
    if isinstance(out, io.TextIOWrapper):  # JSON is UTF-8, whatever the terminal is
        out.reconfigure(encoding="utf-8" if as_json else None, errors="backslashreplace")
    if as_json:
        return lambda row: print(json.dumps(row, ensure_ascii=False), file=out)
    return lambda row: print(said(row), file=out)
