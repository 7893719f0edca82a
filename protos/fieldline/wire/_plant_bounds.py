"""What an alert, a verdict or a task may hold. Pure.

The checks raise LimitError or BadName with the name of the field.
"""

import math
from typing import Final

from fieldline.errors import LimitError
from fieldline.model import Alert, AlertState, Task, TaskState, Verdict
from fieldline.topics import check_name

__all__ = [
    "ALERT_IDS_MAX",
    "CONTRIBUTIONS_MAX",
    "EVIDENCE_MAX",
    "MESSAGE_BYTES_MAX",
    "PARTS_MAX",
    "PLANT_BYTES_MAX",
    "SKILLS_MAX",
    "TAG_BYTES_MAX",
    "TEXT_BYTES_MAX",
    "check_alert",
    "check_task",
    "check_verdict",
]

PLANT_BYTES_MAX: Final = 64 << 10
"""Bytes of one encoded alert, verdict or task; checked before anything is parsed."""
TAG_BYTES_MAX: Final = 256
MESSAGE_BYTES_MAX: Final = 1_024
TEXT_BYTES_MAX: Final = 8_192
"""Bytes of a task's instructions."""
EVIDENCE_MAX: Final = 64
CONTRIBUTIONS_MAX: Final = 64
ALERT_IDS_MAX: Final = 256
SKILLS_MAX: Final = 16
PARTS_MAX: Final = 64
_PRIORITY_MAX: Final = 100.0
_UINT32_MAX: Final = (1 << 32) - 1
_NS_MAX: Final = (1 << 63) - 1
_BACK = (AlertState.RETURNED, AlertState.CLEARED)
_TAKEN = (
    TaskState.PLANNED,
    TaskState.ASSIGNED,
    TaskState.ACCEPTED,
    TaskState.TRAVELLING,
    TaskState.IN_PROGRESS,
    TaskState.WAITING_FOR_PARTS,
)


def check_alert(alert: Alert) -> None:
    """Refuse what no receiver would take."""
    check_name(alert.rule, "alert: rule")
    check_name(alert.cause, "alert: cause")
    _text(alert.tag, "alert: tag", TAG_BYTES_MAX, empty_allowed=False)
    _text(alert.message, "alert: message", MESSAGE_BYTES_MAX)
    _text(alert.by, "alert: by", TAG_BYTES_MAX)
    _text(alert.note, "alert: note", MESSAGE_BYTES_MAX)
    _check_moments(alert)
    if not 0.0 < alert.confidence <= 1.0:
        raise LimitError(f"alert: confidence is {alert.confidence:g}; it must be more than 0 and at most 1")
    if alert.window is not None:
        _moment(alert.window.from_ns, "alert: window.from_ns", smallest=-_NS_MAX)
        _moment(alert.window.to_ns, "alert: window.to_ns", smallest=alert.window.from_ns)
    _count(len(alert.evidence), "alert: evidence", EVIDENCE_MAX)
    for evidence in alert.evidence:
        _text(evidence.tag, "alert: evidence.tag", TAG_BYTES_MAX, empty_allowed=False)
        _moment(evidence.at_ns, "alert: evidence.at_ns", smallest=-_NS_MAX)
    _count(len(alert.contributions), "alert: contributions", CONTRIBUTIONS_MAX)
    for contribution in alert.contributions:
        _text(contribution.tag, "alert: contributions.tag", TAG_BYTES_MAX, empty_allowed=False)
        if not 0.0 <= contribution.share <= 1.0:
            raise LimitError(f"alert: contributions.share is {contribution.share:g}; it must be from 0 to 1")


def check_verdict(verdict: Verdict) -> None:
    """Refuse what no receiver would take."""
    check_name(verdict.alert_id, "verdict: alert_id")
    _text(verdict.fingerprint, "verdict: fingerprint", 2 * MESSAGE_BYTES_MAX, empty_allowed=False)
    _text(verdict.by, "verdict: by", TAG_BYTES_MAX, empty_allowed=False)
    _text(verdict.note, "verdict: note", MESSAGE_BYTES_MAX)
    _moment(verdict.at_ns, "verdict: at_ns", smallest=1)
    if verdict.cause:
        check_name(verdict.cause, "verdict: cause")
    if verdict.task_id:
        check_name(verdict.task_id, "verdict: task_id")


def check_task(task: Task) -> None:
    """Refuse what no receiver would take."""
    check_name(task.id, "task: id")
    check_name(task.cause, "task: cause")
    check_name(task.skill, "task: skill")
    _text(task.title, "task: title", MESSAGE_BYTES_MAX)
    _text(task.instructions, "task: instructions", TEXT_BYTES_MAX)
    _text(task.technician, "task: technician", TAG_BYTES_MAX)
    _text(task.place, "task: place", TAG_BYTES_MAX)
    _text(task.reason, "task: reason", MESSAGE_BYTES_MAX)
    _text(task.by, "task: by", TAG_BYTES_MAX)
    if task.state in _TAKEN and not task.technician:
        raise LimitError(f"task: is {task.state.value}, but technician is empty; name one or leave the state open")
    _moment(task.created_at_ns, "task: created_at_ns", smallest=1)
    _moment(task.due_at_ns, "task: due_at_ns", smallest=1)
    _moment(task.planned_start_ns, "task: planned_start_ns", smallest=0)
    _moment(task.planned_end_ns, "task: planned_end_ns", smallest=task.planned_start_ns)
    _moment(task.changed_at_ns, "task: changed_at_ns", smallest=0)
    _number(task.revision, "task: revision", 1)
    _number(task.work_s, "task: work_s", 0)
    _number(task.downtime_s, "task: downtime_s", 0)
    _number(task.travel_s, "task: travel_s", 0)
    if not 0.0 <= task.priority <= _PRIORITY_MAX:
        raise LimitError(f"task: priority is {task.priority:g}; it must be from 0 to {_PRIORITY_MAX:g}")
    _check_lists(task)
    _check_life(task)


def _check_moments(alert: Alert) -> None:
    is_aside = alert.state.is_aside
    _moment(alert.raised_at_ns, "alert: raised_at_ns", smallest=0 if is_aside else 1)
    if alert.state in _BACK:
        what = f"alert: cleared_at_ns of a {alert.state.value} alert"
        _moment(alert.cleared_at_ns, what, smallest=alert.raised_at_ns)
    elif alert.state.is_active and alert.cleared_at_ns != 0:
        raise LimitError(f"alert: cleared_at_ns is {alert.cleared_at_ns} while {alert.state.value}; it must be 0")
    else:
        _moment(alert.cleared_at_ns, "alert: cleared_at_ns", smallest=0)
    _moment(alert.changed_at_ns, "alert: changed_at_ns", smallest=0)
    _moment(alert.until_ns, "alert: until_ns", smallest=0)
    if (alert.until_ns != 0) != (alert.state is AlertState.SHELVED):
        raise LimitError(
            f"alert: until_ns is {alert.until_ns} while {alert.state.value}; shelving has an end, nothing else has"
        )


def _check_lists(task: Task) -> None:
    _count(len(task.skills), "task: skills", SKILLS_MAX)
    for skill in task.skills:
        check_name(skill, "task: skills")
    if task.skills and task.skill not in task.skills:
        raise LimitError(f"task: skill {task.skill!r} is not among its skills")
    _count(len(task.parts), "task: parts", PARTS_MAX)
    for part in task.parts:
        _text(part.name, "task: parts.name", TAG_BYTES_MAX, empty_allowed=False)
        _number(part.count, "task: parts.count", 1)
    if not task.alert_ids:
        raise LimitError(f"task: has no alert_ids; 1 to {ALERT_IDS_MAX} are allowed")
    _count(len(task.alert_ids), "task: alert_ids", ALERT_IDS_MAX)
    for alert_id in task.alert_ids:
        check_name(alert_id, "task: alert_ids")


def _check_life(task: Task) -> None:
    life = task.remaining_life
    if life is None:
        return
    if not (0.0 <= life.p10_h <= life.p50_h <= life.p90_h < math.inf):
        raise LimitError(
            f"task: remaining_life {life.p10_h:g}, {life.p50_h:g}, {life.p90_h:g} h must be finite and rising"
        )


def _text(text: str, what: str, bytes_max: int, *, empty_allowed: bool = True) -> None:
    if not text and not empty_allowed:
        raise LimitError(f"{what} is empty; name it")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise LimitError(f"{what} {text[:40]!r} is not valid Unicode") from error
    if size > bytes_max:
        raise LimitError(f"{what} has {size} bytes; at most {bytes_max} are allowed")


def _moment(at_ns: int, what: str, *, smallest: int) -> None:
    if not smallest <= at_ns <= _NS_MAX:
        raise LimitError(f"{what} is {at_ns}; it must be Unix time in nanoseconds from {smallest} to {_NS_MAX}")


def _number(value: int, what: str, smallest: int) -> None:
    if not smallest <= value <= _UINT32_MAX:
        raise LimitError(f"{what} {value} must be from {smallest} to {_UINT32_MAX}")


def _count(count: int, what: str, count_max: int) -> None:
    if count > count_max:
        raise LimitError(f"{what} has {count} entries; at most {count_max} are allowed")
