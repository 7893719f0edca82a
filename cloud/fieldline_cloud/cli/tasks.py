"""`fieldline tasks`: what there is to do, and saying how far it is. A client of the agent like any other."""

from typing import Annotated, Any, Final

import typer

from fieldline.cli import new_app
from fieldline.cli.options import HubOption
from fieldline_cloud.cli.asking import (
    ahead,
    ask,
    print_details,
    print_events,
    print_plan,
    print_rows,
    print_task,
    short,
)
from fieldline_cloud.cli.parts import parts, receive, stocktake
from fieldline_cloud.cli.task_options import (
    HUB,
    NAME,
    AsOption,
    ByOption,
    IdOption,
    JsonOption,
    NameOption,
    NoteOption,
    StartOption,
    TaskArgument,
    TechnicianArgument,
    TimeoutOption,
)

__all__ = ["tasks"]

tasks: Final = new_app("Tasks of the maintenance agent: list them, take them, finish them, see the plan.")

_TASK_COLUMNS: Final = {
    "task": "TASK",
    "priority": "PRIO",
    "state": "STATE",
    "severity": "SEVERITY",
    "device": "DEVICE",
    "cause": "CAUSE",
    "technician": "TECHNICIAN",
    "start": "START",
    "due": "DUE",
    "reason": "REASON",
}


@tasks.command("list")
def list_(
    state: Annotated[list[str] | None, typer.Option(help="Only tasks in this state; may be given again")] = None,
    technician: Annotated[str, typer.Option(help="Only tasks of this technician")] = "",
    area: Annotated[str, typer.Option(help="Only tasks of this area")] = "",
    hub: HubOption = HUB,
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """List the tasks that are not over, the most urgent first.

    Example: `fieldline tasks list --state assigned --technician Amira`

    Exit codes: 0 listed, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers.
    """
    order: dict[str, Any] = {"do": "list", "states": state or [], "technician": technician, "area": area}
    found = ask(order, hub=hub, name=name, timeout_s=timeout)["tasks"]
    rows = found if as_json else [{**row, "start": short(row["start"]), "due": short(row["due"])} for row in found]
    print_rows(rows, _TASK_COLUMNS, as_json=as_json, nothing="no tasks")


@tasks.command()
def show(
    task: TaskArgument,
    hub: HubOption = HUB,
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Show one task with its timeline, also one that is over.

    Example: `fieldline tasks show 0123456789ab`

    Exit codes: 0 shown, 1 there is no such task, 2 wrong usage, 3 the hub could not be reached or no agent answers.
    """
    answer = ask({"do": "show", "task": task}, hub=hub, name=name, timeout_s=timeout)
    print_details(answer["task"], as_json=as_json)
    print_events(answer["timeline"], as_json=as_json)


@tasks.command()
def accept(
    task: TaskArgument,
    technician: AsOption = "",
    by: ByOption = "",
    note: NoteOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Accept a task: reminders and escalation end.

    Example: `fieldline tasks accept 0123456789ab --as Amira`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "accept", "task": task, "technician": technician, "by": by or technician, "note": note}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def travel(
    task: TaskArgument,
    technician: AsOption = "",
    by: ByOption = "",
    note: NoteOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Say that the technician is on the way.

    Example: `fieldline tasks travel 0123456789ab --as Amira`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "travel", "task": task, "technician": technician, "by": by or technician, "note": note}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def start(
    task: TaskArgument,
    technician: AsOption = "",
    by: ByOption = "",
    note: NoteOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Say that the work has begun.

    Example: `fieldline tasks start 0123456789ab --as Amira`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "start", "task": task, "technician": technician, "by": by or technician, "note": note}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def wait(
    task: TaskArgument,
    until: Annotated[str, typer.Option(help="When the parts come: 8h or 2d from now, or ISO 8601")] = "",
    technician: AsOption = "",
    by: ByOption = "",
    note: NoteOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Say that it waits for parts; it is planned again for when they come, by default after their lead time.

    Example: `fieldline tasks wait 0123456789ab --until 2d --note "seal broken, new one ordered"`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "wait_for_parts", "task": task, "technician": technician, "by": by or technician}
    order |= {"note": note, "until": ahead(until)}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def done(
    task: TaskArgument,
    verdict: Annotated[
        str,
        typer.Option(help="What was found: confirmed, false_alarm, planned or sensor_fault; detectors learn from it"),
    ] = "",
    cause: Annotated[str, typer.Option(help="What it really was, where the alert said something else")] = "",
    technician: AsOption = "",
    by: ByOption = "",
    note: NoteOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Say that the work is done. It is verified once the signal has stayed normal, and opened again if it does not.

    Example: `fieldline tasks done 0123456789ab --as Amira --verdict confirmed --note "bearing replaced"`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "done", "task": task, "technician": technician, "by": by or technician}
    order |= {"note": note, "verdict": verdict, "cause": cause}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def note(
    task: TaskArgument,
    text: Annotated[str, typer.Argument(help="What there is to say")],
    by: ByOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Write a note into the timeline of a task.

    Example: `fieldline tasks note 0123456789ab "noise on the drive end, cover is hot"`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "note", "task": task, "note": text, "by": by}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def reject(
    task: TaskArgument,
    reason: Annotated[str, typer.Option(help="Why")] = "",
    technician: AsOption = "",
    by: ByOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Reject a task: it goes to somebody else.

    Example: `fieldline tasks reject 0123456789ab --as Amira --reason "no hot-work permit"`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "reject", "task": task, "technician": technician, "by": by or technician, "reason": reason}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def assign(
    task: TaskArgument,
    technician: TechnicianArgument,
    start: StartOption = "",
    by: ByOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Give a task to somebody, and leave it there whatever the planner thinks.

    Example: `fieldline tasks assign 0123456789ab Amira --start 2026-03-02T08:00+01:00`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "assign", "task": task, "technician": technician, "start": ahead(start), "by": by}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def pin(
    task: TaskArgument,
    technician: Annotated[str, typer.Option(help="Whom to fix it to; else whom it is planned for")] = "",
    start: StartOption = "",
    by: ByOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Fix technician and time of a task as they are planned now, or as given.

    Example: `fieldline tasks pin 0123456789ab`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "pin", "task": task, "technician": technician, "start": ahead(start), "by": by}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def unpin(
    task: TaskArgument,
    by: ByOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Let the planner move a task again.

    Example: `fieldline tasks unpin 0123456789ab`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "unpin", "task": task, "by": by}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def cancel(
    task: TaskArgument,
    reason: Annotated[str, typer.Option(help="Why")] = "",
    by: ByOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Cancel a task: it is not to be done.

    Example: `fieldline tasks cancel 0123456789ab --reason "machine is scrapped"`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "cancel", "task": task, "reason": reason, "by": by}
    print_task(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


@tasks.command()
def absent(
    technician: TechnicianArgument,
    until: Annotated[str, typer.Option(help="Until when: 8h or 2d from now, or ISO 8601")],
    start: StartOption = "",
    note: NoteOption = "",
    by: ByOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Say that somebody is away: their work is planned anew.

    Example: `fieldline tasks absent Amira --until 3d --note ill`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "absent", "technician": technician, "until": ahead(until), "start": ahead(start)}
    answer = ask(order | {"note": note, "by": by}, hub=hub, name=name, timeout_s=timeout, order_id=order_id)
    print_plan(answer["plan"], as_json=as_json)


@tasks.command()
def back(
    technician: TechnicianArgument,
    by: ByOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Say that somebody is back, whatever absence was said.

    Example: `fieldline tasks back Amira`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "back", "technician": technician, "by": by}
    answer = ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id)
    print_plan(answer["plan"], as_json=as_json)


@tasks.command()
def plan(
    technician: Annotated[str, typer.Option(help="Only of this technician")] = "",
    hub: HubOption = HUB,
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Show who does what when, and have a better plan searched for in the background.

    Example: `fieldline tasks plan --technician Amira`

    Exit codes: 0 shown, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers.
    """
    answer = ask({"do": "plan", "technician": technician}, hub=hub, name=name, timeout_s=timeout)
    print_plan(answer["plan"], as_json=as_json)


@tasks.command()
def history(
    device: Annotated[str, typer.Option(help="Only of this device, as SITE/AREA/DEVICE")] = "",
    cause: Annotated[str, typer.Option(help="Only of this cause")] = "",
    task: Annotated[str, typer.Option(help="Only of this task")] = "",
    technician: Annotated[str, typer.Option(help="Only of this technician")] = "",
    since: Annotated[str, typer.Option(help="Only from this moment on, ISO 8601")] = "",
    until: Annotated[str, typer.Option(help="Only before this moment, ISO 8601")] = "",
    count: Annotated[int, typer.Option("--count", min=1, max=1_000, help="Events at most")] = 100,
    hub: HubOption = HUB,
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Show what happened, newest first: alerts, revisions, orders, notes, verdicts, absences.

    Example: `fieldline tasks history --device demo/hall-a/pump-1 --cause bearing_wear`

    Exit codes: 0 shown, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers.
    """
    order: dict[str, Any] = {"do": "history", "device": device, "cause": cause, "task": task, "technician": technician}
    order |= {"since": ahead(since), "until": ahead(until), "count_max": count}
    print_events(ask(order, hub=hub, name=name, timeout_s=timeout)["events"], as_json=as_json)


@tasks.command()
def calendar(
    technician: TechnicianArgument, hub: HubOption = HUB, timeout: TimeoutOption = 10.0, name: NameOption = NAME
) -> None:
    """Print the calendar of a technician as iCalendar text.

    Example: `fieldline tasks calendar Amira > amira.ics`

    Exit codes: 0 printed, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers.
    """
    answer = ask({"do": "calendar", "technician": technician}, hub=hub, name=name, timeout_s=timeout)
    print(answer["calendar"].replace("\r\n", "\n"), end="")


@tasks.command()
def technicians(
    hub: HubOption = HUB, as_json: JsonOption = False, timeout: TimeoutOption = 10.0, name: NameOption = NAME
) -> None:
    """Show who is there, who is away, and how much each has to do.

    Example: `fieldline tasks technicians`

    Exit codes: 0 shown, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers.
    """
    found = ask({"do": "technicians"}, hub=hub, name=name, timeout_s=timeout)["technicians"]
    columns = {"technician": "TECHNICIAN", "tasks": "TASKS", "at_work_from": "AT WORK FROM", "away": "AWAY"}
    print_rows(found, {**columns, "skills": "SKILLS"}, as_json=as_json, nothing="no technicians")


@tasks.command("notify-test")
def notify_test(
    channel: Annotated[str, typer.Argument(help="Name of the channel under notify.channels")],
    hub: HubOption = HUB,
    timeout: TimeoutOption = 30.0,
    name: NameOption = NAME,
) -> None:
    """Say something through a channel now, and tell whether it was delivered.

    Example: `fieldline tasks notify-test ops`

    Exit codes: 0 delivered, 1 not delivered, 2 wrong usage, 3 the hub could not be reached or no agent answers.
    """
    answer = ask({"do": "notify_test", "channel": channel}, hub=hub, name=name, timeout_s=timeout)
    print(answer["message"])


for _command in (parts, receive, stocktake):
    tasks.command()(_command)
