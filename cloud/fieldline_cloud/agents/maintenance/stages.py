"""What an alert makes of the work of its device and cause. Pure: nothing is planned here, and nothing numbered.

raised, acknowledged    ──► join the work of the same device and cause, or draft one; reopen what was thought done
cleared, returned       ──► strike the alert off; when none is left the condition has cleared
shelved, suppressed,    ──► strike it off; when none is left the work waits until the condition shows again
out of service
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fieldline.model import Alert, RemainingLife, Task, TaskState, task_id
from fieldline.wire.plant import ALERT_IDS_MAX
from fieldline_cloud.agents.maintenance.machines import Machines
from fieldline_cloud.agents.maintenance.priority import DueRule, priority_of
from fieldline_cloud.agents.maintenance.stock import StockItem
from fieldline_cloud.agents.maintenance.templates import Templates
from fieldline_cloud.agents.maintenance.work import NOT_MENDED, Work, unplanned

__all__ = ["ASIDE", "WorkRules", "handle", "life_of", "reopened", "weighed"]

ASIDE = "its alerts are "
"""How `held_by` begins where all alerts of a work were put aside."""
_TAGS_MAX = 64
_NOT_BEGUN = (TaskState.OPEN, TaskState.PLANNED, TaskState.ASSIGNED, TaskState.REJECTED)
_LIFE_STEP = 0.1
"""A due date follows the life left once it has moved by a tenth of the time there was."""


@dataclass(frozen=True, slots=True)
class WorkRules:
    """How work is described, how urgent it is, and by when it is due."""

    templates: Templates
    due: DueRule
    machines: Machines
    parts: Mapping[str, StockItem]


def handle(
    alert: Alert,
    current: Work | None,
    rules: WorkRules,
    *,
    life: RemainingLife | None,
    now_ns: int,
) -> Work | None:
    """What the work of the alert's device and cause becomes; None where there is none and none is needed."""
    if alert.state.is_active:
        if current is None:
            return _draft(alert, rules, life, now_ns)
        return _join(alert, current, rules, life, now_ns)
    if current is None or current.raised.get(alert.fingerprint) != alert.id:
        return current
    raised = {mark: alert_id for mark, alert_id in current.raised.items() if mark != alert.fingerprint}
    left = replace(current, raised=raised)
    if raised:
        return left
    return _set_aside(left, alert, now_ns) if alert.state.is_aside else _calm(left, now_ns)


def weighed(work: Work, rules: WorkRules, life: RemainingLife | None, now_ns: int) -> Work:
    """The work with the priority and, once it has moved enough, the due date that the life left asks for."""
    task = work.task
    due_ns = task.due_at_ns
    if life is not None:
        wanted_ns = rules.due.due_ns(task.severity, life, now_ns)
        if abs(wanted_ns - due_ns) > _LIFE_STEP * abs(due_ns - now_ns):
            due_ns = wanted_ns
    priority = priority_of(task.severity, rules.machines.criticality(task.device), life)
    if due_ns == task.due_at_ns and abs(priority - task.priority) < 1.0:
        return work
    return replace(work, task=replace(task, due_at_ns=due_ns, priority=priority, remaining_life=life))


def _draft(alert: Alert, rules: WorkRules, life: RemainingLife | None, now_ns: int) -> Work:
    template = rules.templates.for_cause(alert.cause)
    title, instructions = template.fill(alert)
    task = Task(
        id=task_id(alert.id, alert.cause),
        device=alert.device,
        cause=alert.cause,
        severity=alert.severity,
        state=TaskState.OPEN,
        title=title,
        instructions=instructions,
        skill=template.skills[0],
        technician="",
        created_at_ns=now_ns,
        due_at_ns=rules.due.due_ns(alert.severity, life, now_ns),
        alert_ids=(alert.id,),
        skills=template.skills if len(template.skills) > 1 else (),
        work_s=template.work_s,
        downtime_s=template.downtime_s,
        parts=template.parts,
        place=rules.machines.place(alert.device),
        priority=priority_of(alert.severity, rules.machines.criticality(alert.device), life),
        remaining_life=life,
        changed_at_ns=now_ns,
    )
    return Work(
        task,
        raised={alert.fingerprint: alert.id},
        marks={alert.id: alert.fingerprint},
        tags=(alert.tag,),
    )


def _join(alert: Alert, current: Work, rules: WorkRules, life: RemainingLife | None, now_ns: int) -> Work:
    task = current.task
    is_new = alert.id not in task.alert_ids
    due_ns = task.due_at_ns
    if alert.severity > task.severity:
        due_ns = min(due_ns, rules.due.due_ns(alert.severity, life, now_ns))
    severity = max(task.severity, alert.severity)
    alert_ids = _append(task.alert_ids, alert.id)
    marks = {
        known: mark for known, mark in {**current.marks, alert.id: alert.fingerprint}.items() if known in alert_ids
    }
    joined = replace(
        current,
        task=replace(
            task,
            severity=severity,
            due_at_ns=due_ns,
            alert_ids=alert_ids,
            condition_cleared=False,
            priority=priority_of(severity, rules.machines.criticality(task.device), life),
            remaining_life=life,
        ),
        raised={**current.raised, alert.fingerprint: alert.id},
        marks=marks,
        tags=tuple(dict.fromkeys((*current.tags, alert.tag)))[:_TAGS_MAX],
        calm_since_ns=0,
        held_by="" if current.held_by.startswith(ASIDE) else current.held_by,
    )
    if task.state is TaskState.DONE and is_new:
        return reopened(joined, rules, life, f"{NOT_MENDED}{alert.message or alert.cause}", now_ns)
    return joined


def reopened(work: Work, rules: WorkRules, life: RemainingLife | None, reason: str, now_ns: int) -> Work:
    """Work that was thought done, open again: with a due date of its own, and for everybody."""
    opened = unplanned(work, now_ns, reason)
    due_ns = rules.due.due_ns(opened.task.severity, life, now_ns)
    return replace(opened, task=replace(opened.task, due_at_ns=due_ns), declined=())


def _append(alert_ids: tuple[str, ...], alert_id: str) -> tuple[str, ...]:
    """The first alert names the task and stays; of the others the newest are kept."""
    if alert_id in alert_ids:
        return alert_ids
    others = (*alert_ids[1:], alert_id)
    return (alert_ids[0], *others[-(ALERT_IDS_MAX - 1) :])


def _calm(work: Work, now_ns: int) -> Work:
    held_by = "" if work.held_by.startswith(ASIDE) else work.held_by
    return replace(work, task=replace(work.task, condition_cleared=True), calm_since_ns=now_ns, held_by=held_by)


def _set_aside(work: Work, alert: Alert, now_ns: int) -> Work:
    """Work that nobody has taken yet waits with its alerts; work that somebody has goes on."""
    if work.task.state not in _NOT_BEGUN:
        return work
    who = f" by {alert.by}" if alert.by else ""
    held_by = ASIDE + alert.state.value.replace("_", " ") + who
    return replace(unplanned(work, now_ns, held_by), held_by=held_by)


def life_of(work: Work, lives: Mapping[str, RemainingLife]) -> RemainingLife | None:
    """The shortest of the lives left of the tags this work is about."""
    return min((lives[tag] for tag in work.tags if tag in lives), key=lambda life: life.p10_h, default=None)
