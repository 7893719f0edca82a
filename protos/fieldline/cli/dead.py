"""`fieldline dead`: what durable subscriptions gave up, and having it tried again."""

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fieldline.cli import new_app
from fieldline.cli.administer import JsonOption, administer, ask
from fieldline.cli.options import CONNECT_TIMEOUT_S, HubOption, hub_access_from_environment
from fieldline.cli.table import Column, count, moment
from fieldline.errors import ConfigError, FieldlineError
from fieldline.topics import check_name

if TYPE_CHECKING:
    from fieldline import AdminClient, DeadLetterInfo

__all__ = ["dead"]

dead: Final = new_app("Dead letters: what a durable subscription gave up after too many tries.")

_LETTERS_MAX: Final = 10_000
_READ_S_MAX: Final = 10.0

_COLUMNS: Final = [
    Column("offset", "offset", right=True),
    Column("durable", "durable"),
    Column("topic", "topic"),
    Column("tries", "deliveries", count, right=True),
    Column("reason", "reason"),
    Column("messages", "count", count, right=True),
    Column("original", "original_offset", right=True),
    Column("since", "stored_at_ms", moment),
]

_Durable = Annotated[str, typer.Argument(help="Name of the durable subscription")]
_Offsets = Annotated[
    list[int] | None, typer.Argument(metavar="OFFSET", help="Offsets of dead letters, as 'list' shows them", min=0)
]
_All = Annotated[bool, typer.Option("--all", help="All dead letters of this durable")]


@dead.command("list")
def list_(
    durable: Annotated[str, typer.Argument(help="Name of the durable subscription; left out: all")] = "",
    limit: Annotated[int, typer.Option(help="At most so many", min=1, max=_LETTERS_MAX)] = 1_000,
    hub: HubOption = "127.0.0.1:50051",
    as_json: JsonOption = False,
) -> None:
    """List dead letters: where they stand in the log, how often they were tried, and why they were given up.

    Example: `fieldline dead list my-export`

    Exit codes: 0 listed, 2 bad name or option, 3 the hub could not be reached or refused.
    """
    if durable:
        check_name(durable, "durable")

    async def rows(client: "AdminClient") -> AsyncIterator[dict[str, Any]]:
        async for one in client.dead_letters(durable, limit=limit):
            yield asdict(one)

    ask(hub, rows, _COLUMNS, as_json=as_json, nothing="no dead letters")


@dead.command()
def show(
    durable: _Durable,
    offset: Annotated[int, typer.Argument(help="Offset of the dead letter, as 'list' shows it", min=0)],
    hub: HubOption = "127.0.0.1:50051",
) -> None:
    """Print a dead letter: what is known of it, then its content, a JSON object a line each.

    The content is read by subscribing to `$dead/...`; where the hub asks who comes, that must be granted.

    Example: `fieldline dead show my-export 1507`

    Exit codes: 0 printed, 1 there is no such dead letter, 2 bad name, 3 the hub could not be reached or refused.
    """
    check_name(durable, "durable")

    async def look(client: "AdminClient") -> None:
        letter = await _find(client, durable, offset)
        print(json.dumps(asdict(letter), ensure_ascii=False))
        await _print_content(hub, durable, letter)

    administer(hub, look)


@dead.command()
def replay(
    durable: _Durable,
    offsets: _Offsets = None,
    everything: _All = False,
    hub: HubOption = "127.0.0.1:50051",
) -> None:
    """Have dead letters delivered again, to the durable that gave them up and to no other.

    Example: `fieldline dead replay my-export 1507 1508`

    Exit codes: 0 done, 1 none of them is on the list, 2 bad usage, 3 the hub could not be reached or refused.
    """
    wanted = _wanted(durable, offsets, everything, "replay")
    _report("replayed", administer(hub, lambda client: client.replay(durable, wanted)), durable)


@dead.command()
def drop(
    durable: _Durable,
    offsets: _Offsets = None,
    everything: _All = False,
    hub: HubOption = "127.0.0.1:50051",
) -> None:
    """Take dead letters off the list. The log keeps them as long as retention does.

    Example: `fieldline dead drop my-export 1507`

    Exit codes: 0 done, 1 none of them is on the list, 2 bad usage, 3 the hub could not be reached or refused.
    """
    wanted = _wanted(durable, offsets, everything, "drop")
    _report("dropped", administer(hub, lambda client: client.drop(durable, wanted)), durable)


def _wanted(durable: str, offsets: list[int] | None, everything: bool, verb: str) -> list[int] | None:
    check_name(durable, "durable")
    if bool(offsets) == everything:
        raise ConfigError(f"give the offsets of the dead letters to {verb}, or --all for all of {durable}; not both")
    return offsets or None


def _report(verb: str, letters: int, durable: str) -> None:
    if not letters:
        raise FieldlineError(f"no such dead letter; 'fieldline dead list {durable}' shows them")
    print(f"{verb} {letters} dead letter{'s' * (letters != 1)} of {durable}")


async def _find(client: "AdminClient", durable: str, offset: int) -> "DeadLetterInfo":
    async for one in client.dead_letters(durable, limit=_LETTERS_MAX):
        if one.offset == offset:
            return one
    raise FieldlineError(f"no dead letter at offset {offset}; 'fieldline dead list {durable}' shows them")


async def _print_content(hub: str, durable: str, letter: "DeadLetterInfo") -> None:
    import asyncio

    from fieldline import Runtime, Start
    from fieldline.cli.sub import row_writer, rows

    access = hub_access_from_environment()
    write = row_writer(sys.stdout, True)
    topic, start = f"$dead/{durable}/{letter.topic}", Start.at(letter.offset)
    async with (
        Runtime(
            hub, name="fieldline-dead", tls=access.tls, token=access.token, connect_timeout_s=CONNECT_TIMEOUT_S
        ) as runtime,
        runtime.subscribe(topic, start=start, ack="manual") as subscription,
        asyncio.timeout(_READ_S_MAX),
    ):
        delivery = await subscription.next_delivery(until_offset=letter.offset + 1)
    if delivery is None or delivery.offset != letter.offset:
        raise FieldlineError(f"the dead letter at offset {letter.offset} is not in the log any more")
    for row in rows(delivery):
        write(row)
