"""`fieldline alarms`: what stands, who has seen it, what is put aside, and how the alarm system does."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final

import typer

from fieldline.cli import new_app
from fieldline.cli.administer import JsonOption
from fieldline.cli.options import CONNECT_TIMEOUT_S, HubOption, check_hub, hub_access_from_environment
from fieldline.cli.table import Column, count, print_rows
from fieldline.cli.until_stopped import a_closed_pipe_is_the_end
from fieldline.errors import FieldlineError, HubUnavailable
from fieldline.topics import check_name

__all__ = ["alarms"]

alarms: Final = new_app("Alarms: list them, acknowledge, shelve, take out of service, and how the alarm system does.")

_TOPIC: Final = "ask/alarms"
_Alarms = Annotated[
    list[str], typer.Argument(metavar="ALARM", help="Alarms, as 'list' shows them: SITE/AREA/DEVICE:TAG:RULE, or an id")
]
_By = Annotated[str, typer.Option(envvar="USER", help="Who wants it", show_default="the user")]
_Note = Annotated[str, typer.Option("--note", help="Why, for the others and for the next shift")]
_Why = Annotated[str, typer.Option("--why", help="Why, for the others and for the next shift; required")]
_Name = Annotated[str, typer.Option(envvar="FIELDLINE_NAME", help="Name of this client")]
_Timeout = Annotated[float, typer.Option(min=0.1, max=300, help="Seconds to wait for the agents")]
_HUB = "127.0.0.1:50051"
_NAME = "fieldline-alarms"

_COLUMNS: Final = [
    Column("state", "state"),
    Column("severity", "severity"),
    Column("alarm", "alarm"),
    Column("message", "message"),
    Column("raised", "raised_at"),
    Column("by", "by"),
    Column("until", "until"),
    Column("note", "note"),
]
_LOAD_COLUMNS: Final = [
    Column("10 min", "last_10_min", count, right=True),
    Column("mean", "mean_10_min", lambda mean: f"{mean:.1f}", right=True),
    Column("peak", "peak_10_min", count, right=True),
    Column("flood now", "in_flood", lambda flooded: "yes" if flooded else "no"),
    Column("flooded", "flood_share", lambda share: f"{share:.1%}", right=True),
]
_AREA_COLUMNS: Final = [Column("area", "area"), *_LOAD_COLUMNS]
_OPERATOR_COLUMNS: Final = [Column("operator", "operator"), *_LOAD_COLUMNS, Column("areas", "areas", ", ".join)]


@alarms.command("list")
def list_(
    device: Annotated[
        str, typer.Option(help="Only devices like this, SITE/AREA/DEVICE with + and * as wildcards")
    ] = "+/+/+",
    state: Annotated[
        list[str] | None, typer.Option(help="Only alarms in this state; may be given several times")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many from each agent")] = 200,
    hub: HubOption = _HUB,
    name: _Name = _NAME,
    timeout: _Timeout = 5.0,
    as_json: JsonOption = False,
) -> None:
    """List the alarms that are not cleared, the worst first.

    States: raised, acknowledged, returned, shelved, suppressed, out_of_service, cleared.

    Example: `fieldline alarms list --device 'demo/hall-a/+' --state raised`

    Exit codes: 0 listed, 1 an agent refused, 2 wrong usage, 3 the hub could not be reached, or no agent answers.
    """
    order = {"do": "list", "device": device, "states": state or [], "limit": limit}
    replies = _done(_ask(order, hub, name, timeout))
    rows = [{column.key: "" for column in _COLUMNS} | row for reply in replies for row in reply.get("alarms", ())]
    more = sum(reply.get("more", 0) for reply in replies)
    _print(rows, _COLUMNS, as_json=as_json, nothing="no alarms")
    if more:
        typer.echo(f"{more} more; narrow it with --device and --state, or raise --limit", err=True)


@alarms.command()
def ack(
    alarm: _Alarms, note: _Note = "", by: _By = "", hub: HubOption = _HUB, name: _Name = _NAME, timeout: _Timeout = 5.0
) -> None:
    """Acknowledge alarms: somebody has seen them.

    Example: `fieldline alarms ack demo/hall-a/pump-2:vibration:range_hi --note 'on my way'`

    Exit codes: 0 acknowledged (or nothing to be), 1 refused, 2 wrong usage, 3 no hub or no agent.
    """
    _wish({"do": "acknowledge", "alarms": alarm, "by": by, "note": note}, hub, name, timeout)


@alarms.command()
def shelve(
    alarm: _Alarms,
    why: _Why,
    hours: Annotated[float, typer.Option(min=0.01, help="How long")] = 8.0,
    until_clear: Annotated[bool, typer.Option("--until-clear", help="Or until it clears, if that is sooner")] = False,
    by: _By = "",
    hub: HubOption = _HUB,
    name: _Name = _NAME,
    timeout: _Timeout = 5.0,
) -> None:
    """Put alarms aside for a while; they come back by themselves.

    Example: `fieldline alarms shelve demo/hall-a/pump-2:vibration:range_hi --hours 4 --why 'fitter comes at noon'`

    Exit codes: 0 shelved, 1 refused, 2 wrong usage, 3 no hub or no agent.
    """
    order = {"do": "shelve", "alarms": alarm, "for_s": hours * 3_600, "until_clear": until_clear, "by": by, "note": why}
    _wish(order, hub, name, timeout)


@alarms.command()
def unshelve(alarm: _Alarms, by: _By = "", hub: HubOption = _HUB, name: _Name = _NAME, timeout: _Timeout = 5.0) -> None:
    """Take alarms off the shelf: what is raised is told again.

    Example: `fieldline alarms unshelve demo/hall-a/pump-2:vibration:range_hi`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no hub or no agent.
    """
    _wish({"do": "unshelve", "alarms": alarm, "by": by}, hub, name, timeout)


@alarms.command()
def out(
    alarm: _Alarms, why: _Why, by: _By = "", hub: HubOption = _HUB, name: _Name = _NAME, timeout: _Timeout = 5.0
) -> None:
    """Take alarms out of service until they are put back.

    Example: `fieldline alarms out demo/hall-a/pump-2:vibration:range_hi --why 'sensor dismantled'`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no hub or no agent.
    """
    _wish({"do": "out_of_service", "alarms": alarm, "by": by, "note": why}, hub, name, timeout)


@alarms.command()
def back(alarm: _Alarms, by: _By = "", hub: HubOption = _HUB, name: _Name = _NAME, timeout: _Timeout = 5.0) -> None:
    """Put alarms back into service: what is raised is told again.

    Example: `fieldline alarms back demo/hall-a/pump-2:vibration:range_hi`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no hub or no agent.
    """
    _wish({"do": "return_to_service", "alarms": alarm, "by": by}, hub, name, timeout)


@alarms.command()
def health(
    area: Annotated[str, typer.Option(help="Only this area, SITE/AREA")] = "",
    hub: HubOption = _HUB,
    name: _Name = _NAME,
    timeout: _Timeout = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Say how the alarm system does: alarms in 10 minutes, floods, chattering and stale alarms, the worst ten.

    By area, and by operator where the agent's file says who has which areas (`alarms.operators`).

    Good practice: about one alarm in 10 minutes, less than 1 % of the time in flood, no chattering or stale alarms.

    Example: `fieldline alarms health --area demo/hall-a`

    Exit codes: 0 said, 1 an agent refused, 2 wrong usage, 3 no hub or no agent.
    """
    replies = _done(_ask({"do": "health", "area": area}, hub, name, timeout))
    if as_json or not sys.stdout.isatty():
        for reply in replies:
            print(json.dumps(reply))
        return
    _print([one for reply in replies for one in reply["areas"]], _AREA_COLUMNS, as_json=False, nothing="no alarms yet")
    if operators := [one for reply in replies for one in reply.get("operators", ())]:
        _print(operators, _OPERATOR_COLUMNS, as_json=False, nothing="")
    for reply in replies:
        for line in figures(reply):
            print(line)


def figures(reply: Mapping[str, Any]) -> list[str]:
    """What one agent says of the alarm system, beside the table of areas."""
    states = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in reply["by_state"].items())
    said = [f"alarms: {states or 'none'}"]
    said += [f"chattering: {one}" for one in reply["chattering"]]
    said += [f"stale: {one}" for one in reply["stale"]]
    said += [f"{one['share']:4.0%} of all raisings, {one['raisings']}: {one['alarm']}" for one in reply["bad_actors"]]
    return said


def _wish(order: dict[str, Any], hub: str, name: str, timeout_s: float) -> None:
    """Have each alarm changed by the agent that holds it, and say what has become of it."""
    done: list[str] = []
    failed: list[str] = []
    for alarm in order["alarms"]:  # one by one: each may be held by another agent
        replies = _ask({**order, "alarms": [alarm]}, hub, name, timeout_s)
        answer = next((reply for reply in replies if reply.get("code") != "unknown_alarm"), replies[0])
        if answer["status"] == "done":
            done += [f"{one['alarm']}: {one['state'].replace('_', ' ')}" for one in answer["alarms"]]
        else:
            failed.append(f"{alarm}: {answer['code']}: {answer['message']}")
    for line in done:
        print(line)
    if failed:
        raise FieldlineError("; ".join(failed))


def _done(replies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The replies that are no refusals; FieldlineError with the first refusal if all are."""
    done = [reply for reply in replies if reply["status"] == "done"]
    if not done:
        raise FieldlineError(f"{replies[0]['code']}: {replies[0]['message']}")
    return done


def _ask(order: dict[str, Any], hub: str, name: str, timeout_s: float) -> list[dict[str, Any]]:
    """What all anomaly agents answer. HubUnavailable if none is there or none answers."""
    check_name(name)
    check_hub(hub)
    replies = asyncio.run(_scatter(json.dumps(order), hub, name, timeout_s))
    if not replies:
        raise HubUnavailable(
            f"no anomaly agent answers on {_TOPIC!r}; 'fieldline agents --serving {_TOPIC}' shows them"
        )
    return replies


async def _scatter(content: str, hub: str, name: str, timeout_s: float) -> list[dict[str, Any]]:
    from fieldline import Runtime

    access = hub_access_from_environment()
    async with Runtime(
        hub, name=name, tls=access.tls, token=access.token, connect_timeout_s=CONNECT_TIMEOUT_S
    ) as runtime:
        agents = len(await runtime.agents(_TOPIC, timeout_s=timeout_s))
        if not agents:
            return []
        replies = await runtime.scatter(_TOPIC, content, timeout_s=timeout_s, replies_max=agents)
    return [dict(json.loads(reply.text)) for reply in replies if not reply.failed]


def _print(rows: list[dict[str, Any]], columns: list[Column], *, as_json: bool, nothing: str) -> None:
    async def each() -> AsyncIterator[dict[str, Any]]:
        for row in rows:
            yield row

    with a_closed_pipe_is_the_end():
        asyncio.run(print_rows(each(), columns, as_json=as_json, nothing=nothing))
