"""From an alert to a task, stage by stage. Pure: what is open, who is there and `now` are handed in.

    raised  ──► join the open task of the same device and cause, or draft a new one
            ──► pull the due date in if it has become more severe
            ──► give it to somebody
    cleared ──► strike the alert off; when none is left the condition has cleared, and the task stays

A task is never closed here: that is for the person who did the work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fieldline.model import Alert, AlertState, Severity, Task, TaskState, task_id
from fieldline.wire.plant import ALERT_IDS_MAX
from fieldline_cloud.agents.maintenance.assign import Bench
from fieldline_cloud.agents.maintenance.templates import Templates

__all__ = ["NOBODY", "OpenTask", "Policy", "handle", "reassess"]

NOBODY = "Nobody with the skill this takes has a shift: assign it by hand.\n\n"
"""How the instructions of a task begin that could not be given to anybody."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How work is described, by when it is due, and who is there to do it."""

    templates: Templates
    due_ns: Mapping[Severity, int]
    bench: Bench


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task that is not done, and its alerts that are still raised: alert id by fingerprint."""

    task: Task
    raised: Mapping[str, str] = field(default_factory=dict)


def handle(
    alert: Alert, current: OpenTask | None, policy: Policy, open_tasks: Mapping[str, int], now_ns: int
) -> OpenTask | None:
    """What the open task of the alert's device and cause becomes; None if nothing changes.

    `open_tasks` counts the open tasks of each technician. Every change has the next revision.
    """
    if alert.state is AlertState.CLEARED:
        return _clear(alert, current)
    draft = _draft(alert, policy, now_ns) if current is None else _join(alert, current, policy, now_ns)
    return replace(draft, task=_assign(draft.task, policy, open_tasks, now_ns))


def reassess(current: OpenTask, policy: Policy, open_tasks: Mapping[str, int], now_ns: int) -> OpenTask | None:
    """Look again at a task after technicians have come or gone; None if it stays as it is."""
    task = _assign(current.task, policy, open_tasks, now_ns)
    if task == current.task:
        return None
    return replace(current, task=replace(task, revision=task.revision + 1))


def _draft(alert: Alert, policy: Policy, now_ns: int) -> OpenTask:
    template = policy.templates.for_cause(alert.cause)
    title, instructions = template.fill(alert)
    task = Task(
        id=task_id(alert.id, alert.cause),
        device=alert.device,
        cause=alert.cause,
        severity=alert.severity,
        state=TaskState.OPEN,
        title=title,
        instructions=instructions,
        skill=template.skill,
        technician="",
        created_at_ns=now_ns,
        due_at_ns=now_ns + policy.due_ns[alert.severity],
        alert_ids=(alert.id,),
    )
    return OpenTask(task, {alert.fingerprint: alert.id})


def _join(alert: Alert, current: OpenTask, policy: Policy, now_ns: int) -> OpenTask:
    task = current.task
    due_at_ns = task.due_at_ns
    if alert.severity > task.severity:
        due_at_ns = min(due_at_ns, now_ns + policy.due_ns[alert.severity])
    joined = replace(
        task,
        severity=max(task.severity, alert.severity),
        due_at_ns=due_at_ns,
        alert_ids=_append(task.alert_ids, alert.id),
        condition_cleared=False,
        revision=task.revision + 1,
    )
    return OpenTask(joined, {**current.raised, alert.fingerprint: alert.id})


def _append(alert_ids: tuple[str, ...], alert_id: str) -> tuple[str, ...]:
    """The first alert names the task and stays; of the others the newest are kept."""
    if alert_id in alert_ids:
        return alert_ids
    others = (*alert_ids[1:], alert_id)
    return (alert_ids[0], *others[-(ALERT_IDS_MAX - 1) :])


def _clear(alert: Alert, current: OpenTask | None) -> OpenTask | None:
    if current is None or current.raised.get(alert.fingerprint) != alert.id:
        return None
    raised = {mark: alert_id for mark, alert_id in current.raised.items() if mark != alert.fingerprint}
    if raised:
        return OpenTask(current.task, raised)
    task = replace(current.task, condition_cleared=True, revision=current.task.revision + 1)
    return OpenTask(task, raised)


def _assign(task: Task, policy: Policy, open_tasks: Mapping[str, int], now_ns: int) -> Task:
    """Leave the task where it is if that technician is in time; else find the best, who may be the same."""
    bench = policy.bench
    begins_ns = bench.begins_ns(task.technician, task.skill, now_ns) if task.technician else None
    if begins_ns is not None and begins_ns <= max(task.due_at_ns, now_ns):
        return task
    name = bench.choose(task.skill, open_tasks, now_ns=now_ns, due_ns=task.due_at_ns)
    instructions = task.instructions.removeprefix(NOBODY)
    if name is None:
        return replace(task, state=TaskState.OPEN, technician="", instructions=NOBODY + instructions)
    return replace(task, state=TaskState.ASSIGNED, technician=name, instructions=instructions)
