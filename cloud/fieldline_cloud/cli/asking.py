"""Asks the maintenance agent through the hub, and shows what it answers."""

import asyncio
import json
import re
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import typer

from fieldline.cli.options import CONNECT_TIMEOUT_S, check_hub, hub_access_from_environment
from fieldline.errors import ConfigError, HubUnavailable, NoReceiver, RequestFailed, RequestTimeout

__all__ = [
    "ahead",
    "ask",
    "print_details",
    "print_events",
    "print_part",
    "print_plan",
    "print_rows",
    "print_task",
    "short",
]

_TOPIC: Final = "ask/tasks"
_DURATION: Final = re.compile(r"([0-9]{1,6})(m|h|d)\Z")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


def ask(order: dict[str, Any], *, hub: str, name: str, timeout_s: float, order_id: str = "") -> dict[str, Any]:
    """The agent's answer. Ends the program with 1 if it refused, with 4 if nobody knows whether it was done."""
    check_hub(hub)
    order = {"id": order_id or secrets.token_hex(8), **{key: value for key, value in order.items() if value != ""}}
    answer = asyncio.run(_ask(order, hub=hub, name=name, timeout_s=timeout_s))
    if answer.get("status") != "done":
        typer.echo(f"{answer.get('status')} ({answer.get('code')}): {answer.get('message')}", err=True)
        raise typer.Exit(4 if answer.get("status") == "unknown" else 1)
    return answer


def ahead(text: str) -> str:
    """A moment as the agent takes it: `30m`, `8h`, `2d` from now, or ISO 8601; without an offset it is UTC."""
    if not text:
        return ""
    if found := _DURATION.match(text):
        moment = datetime.fromtimestamp(time.time(), UTC) + timedelta(**{_UNITS[found[2]]: int(found[1])})
        return moment.isoformat(timespec="seconds")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text[:40]!r} is not a time; write 8h or 2d from now, or 2026-03-02T08:00+01:00") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def short(moment: str | None) -> str:
    """A moment for people, without seconds and offset; a dash for none."""
    return moment[5:16].replace("T", " ") if moment else "-"


def print_rows(rows: Iterable[dict[str, Any]], columns: dict[str, str], *, as_json: bool, nothing: str) -> None:
    """Lines of aligned columns (heading by key), or one JSON object a line."""
    found = list(rows)
    if as_json:
        for row in found:
            print(json.dumps(row, ensure_ascii=False))
        return
    if not found:
        typer.echo(nothing, err=True)
        return
    table = [list(columns.values()), *([_shown(row.get(key)) for key in columns] for row in found)]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_task(answer: dict[str, Any], *, as_json: bool) -> None:
    """What came of an order on a task, in one line."""
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
        return
    task = answer["task"]
    again = " (this id was done before)" if answer.get("repeated") else ""
    slot = f", {task['technician']} {short(task['start'])}" if task["technician"] and task["start"] else ""
    why = f": {task['reason']}" if task["reason"] else ""
    print(f"{task['task']} {task['state']}{slot}{why}{again}")


def print_details(task: dict[str, Any], *, as_json: bool) -> None:
    """All that is known of a task, a line for each key; keys without a value are left out."""
    if as_json:
        print(json.dumps(task, ensure_ascii=False))
        return
    for key, value in task.items():
        if value not in (None, "", [], False):
            print(f"{key.replace('_', ' ')}: {_shown(value)}")


def print_events(events: Iterable[dict[str, Any]], *, as_json: bool) -> None:
    """One line for each event."""
    if as_json:
        print_rows(events, {}, as_json=True, nothing="")
        return
    for event in events:
        place = f"{event.get('device', '')} {event.get('cause', '')}".strip() or event.get("technician", "")
        by = f" ({event['by']})" if event.get("by") else ""
        print(f"{short(event['at'])}  {event['kind']:<8}  {place}  {event.get('text', '')}{by}")


def print_part(answer: dict[str, Any], *, as_json: bool) -> None:
    """What lies in the store of one part, in one line."""
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
        return
    part = answer["part"]
    again = " (this id was done before)" if answer.get("repeated") else ""
    waiting = f", {len(part['waiting'])} waiting" if part["waiting"] else ""
    print(f"{part['part']}: {part['on_hand']} in the store, {part['reserved']} reserved{waiting}{again}")


def print_plan(plan: dict[str, Any], *, as_json: bool) -> None:
    """Who does what when, and what has no slot."""
    if as_json:
        print(json.dumps(plan, ensure_ascii=False))
        return
    for technician, slots in plan["technicians"].items():
        print(technician)
        for slot in slots:
            late = "  LATE" if slot["is_late"] else ""
            pinned = "  pinned" if slot["pinned"] else ""
            when = f"{short(slot['start'])} - {short(slot['end'])[6:]}"
            print(f"  {when}  {slot['task']}  {slot['title']} ({slot['state']}){pinned}{late}")
    for left in plan["without_slot"]:
        print(f"without slot: {left['task']}  {left['title']}: {left['reason']}")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_shown, value)) or "-"
    if isinstance(value, dict):
        return " ".join(f"{key}={_shown(each)}" for key, each in value.items())
    return "-" if value in (None, "") else str(value)


async def _ask(order: dict[str, Any], *, hub: str, name: str, timeout_s: float) -> dict[str, Any]:
    from fieldline import Runtime

    access = hub_access_from_environment()
    try:
        async with Runtime(
            hub, name=name, tls=access.tls, token=access.token, connect_timeout_s=CONNECT_TIMEOUT_S
        ) as runtime:
            reply = await runtime.request(_TOPIC, json.dumps(order), timeout_s=timeout_s)
    except NoReceiver as error:
        raise HubUnavailable(f"nobody answers on {_TOPIC!r}; is 'fieldline agent maintenance' running?") from error
    except RequestTimeout:
        return _unknown("timeout", f"no answer within {timeout_s:g} s; say it again with --id {order['id']}")
    except RequestFailed as error:
        return _unknown("failed", str(error))
    return dict(json.loads(reply.text))


def _unknown(code: str, message: str) -> dict[str, Any]:
    return {"status": "unknown", "code": code, "message": message}
