"""Alerts and tasks as bytes and back, in the Protobuf messages of fieldline.v1.

What can be encoded can be decoded: both directions hold the same bounds. Encoding raises LimitError or
BadName, decoding raises DecodeError, and either names the field. Unknown fields are ignored: a newer sender
can be read.
"""

from typing import Final, TypeVar

from google.protobuf.message import DecodeError as ProtobufDecodeError

from fieldline.errors import BadName, DecodeError, LimitError
from fieldline.model import Alert, AlertState, DeviceId, Evidence, Severity, Task, TaskState
from fieldline.topics import check_name
from fieldline.v1 import plant_pb2 as pb

__all__ = [
    "ALERT_IDS_MAX",
    "EVIDENCE_MAX",
    "MESSAGE_BYTES_MAX",
    "PLANT_BYTES_MAX",
    "TAG_BYTES_MAX",
    "TEXT_BYTES_MAX",
    "decode_alert",
    "decode_task",
    "encode_alert",
    "encode_task",
]

_T = TypeVar("_T")

PLANT_BYTES_MAX: Final = 64 << 10
"""Bytes of one encoded alert or task; checked before anything is parsed."""
TAG_BYTES_MAX: Final = 256
MESSAGE_BYTES_MAX: Final = 1_024
TEXT_BYTES_MAX: Final = 8_192
"""Bytes of a task's instructions."""
EVIDENCE_MAX: Final = 64
ALERT_IDS_MAX: Final = 256
_REVISION_MAX: Final = (1 << 32) - 1
_NS_MAX: Final = (1 << 63) - 1

_ALERT_STATES: Final = {
    AlertState.RAISED: pb.ALERT_STATE_RAISED,
    AlertState.CLEARED: pb.ALERT_STATE_CLEARED,
}
_TASK_STATES: Final = {
    TaskState.OPEN: pb.TASK_STATE_OPEN,
    TaskState.ASSIGNED: pb.TASK_STATE_ASSIGNED,
    TaskState.DONE: pb.TASK_STATE_DONE,
}
_SEVERITIES: Final = {
    Severity.INFO: pb.SEVERITY_INFO,
    Severity.WARNING: pb.SEVERITY_WARNING,
    Severity.CRITICAL: pb.SEVERITY_CRITICAL,
}
_FROM_ALERT_STATE: Final = {int(wire): state for state, wire in _ALERT_STATES.items()}
_FROM_TASK_STATE: Final = {int(wire): state for state, wire in _TASK_STATES.items()}
_FROM_SEVERITY: Final = {int(wire): severity for severity, wire in _SEVERITIES.items()}


def encode_alert(alert: Alert) -> bytes:
    """The alert as fieldline.v1.Alert; LimitError names the field that is out of bounds."""
    _check_alert(alert)
    message = pb.Alert(
        id=alert.id,
        fingerprint=alert.fingerprint,
        device=_device_to_pb(alert.device),
        tag=alert.tag,
        rule=alert.rule,
        cause=alert.cause,
        severity=_SEVERITIES[alert.severity],
        state=_ALERT_STATES[alert.state],
        raised_at_ns=alert.raised_at_ns,
        cleared_at_ns=alert.cleared_at_ns,
        message=alert.message,
        evidence=[pb.Evidence(tag=e.tag, at_ns=e.at_ns, value=e.value, limit=e.limit) for e in alert.evidence],
    )
    return _bounded(message.SerializeToString(deterministic=True), "alert")


def decode_alert(content: bytes) -> Alert:
    """The alert in `content`; DecodeError says what is wrong with it.

    `id` and `fingerprint` follow from the other fields. A sender may leave them empty; one that fills them in
    must agree, since deduplication stands on them.
    """
    message = pb.Alert()
    _parse(message, content, "alert")
    if len(message.evidence) > EVIDENCE_MAX:
        raise DecodeError(f"alert: evidence has {len(message.evidence)} entries; at most {EVIDENCE_MAX} are allowed")
    try:
        alert = Alert(
            device=_device_from_pb(message.device),
            tag=message.tag,
            rule=message.rule,
            cause=message.cause,
            severity=_named(_FROM_SEVERITY, message.severity, "alert: severity"),
            state=_named(_FROM_ALERT_STATE, message.state, "alert: state"),
            raised_at_ns=message.raised_at_ns,
            message=message.message,
            cleared_at_ns=message.cleared_at_ns,
            evidence=tuple(Evidence(e.tag, e.at_ns, e.value, e.limit) for e in message.evidence),
        )
        _check_alert(alert)
    except (BadName, LimitError) as error:
        raise DecodeError(str(error)) from error
    _agree("alert: fingerprint", message.fingerprint, alert.fingerprint)
    _agree("alert: id", message.id, alert.id)
    return alert


def encode_task(task: Task) -> bytes:
    """The task as fieldline.v1.Task; LimitError names the field that is out of bounds."""
    _check_task(task)
    message = pb.Task(
        id=task.id,
        device=_device_to_pb(task.device),
        cause=task.cause,
        severity=_SEVERITIES[task.severity],
        state=_TASK_STATES[task.state],
        title=task.title,
        instructions=task.instructions,
        technician=task.technician,
        skill=task.skill,
        created_at_ns=task.created_at_ns,
        due_at_ns=task.due_at_ns,
        alert_ids=task.alert_ids,
        revision=task.revision,
        condition_cleared=task.condition_cleared,
    )
    return _bounded(message.SerializeToString(deterministic=True), "task")


def decode_task(content: bytes) -> Task:
    """The task in `content`; DecodeError says what is wrong with it."""
    message = pb.Task()
    _parse(message, content, "task")
    if len(message.alert_ids) > ALERT_IDS_MAX:
        raise DecodeError(f"task: has {len(message.alert_ids)} alert_ids; at most {ALERT_IDS_MAX} are allowed")
    try:
        task = Task(
            id=message.id,
            device=_device_from_pb(message.device),
            cause=message.cause,
            severity=_named(_FROM_SEVERITY, message.severity, "task: severity"),
            state=_named(_FROM_TASK_STATE, message.state, "task: state"),
            title=message.title,
            instructions=message.instructions,
            skill=message.skill,
            technician=message.technician,
            created_at_ns=message.created_at_ns,
            due_at_ns=message.due_at_ns,
            alert_ids=tuple(message.alert_ids),
            revision=message.revision,
            condition_cleared=message.condition_cleared,
        )
        _check_task(task)
    except (BadName, LimitError) as error:
        raise DecodeError(str(error)) from error
    return task


def _check_alert(alert: Alert) -> None:
    _name(alert.rule, "alert: rule")
    _name(alert.cause, "alert: cause")
    _text(alert.tag, "alert: tag", TAG_BYTES_MAX, empty_allowed=False)
    _text(alert.message, "alert: message", MESSAGE_BYTES_MAX)
    _moment(alert.raised_at_ns, "alert: raised_at_ns", smallest=1)
    if alert.state is AlertState.CLEARED:
        _moment(alert.cleared_at_ns, "alert: cleared_at_ns of a cleared alert", smallest=alert.raised_at_ns)
    elif alert.cleared_at_ns != 0:
        raise LimitError(f"alert: cleared_at_ns is {alert.cleared_at_ns} while raised; it must be 0")
    if len(alert.evidence) > EVIDENCE_MAX:
        raise LimitError(f"alert: evidence has {len(alert.evidence)} entries; at most {EVIDENCE_MAX} are allowed")
    for evidence in alert.evidence:
        _text(evidence.tag, "alert: evidence.tag", TAG_BYTES_MAX, empty_allowed=False)
        _moment(evidence.at_ns, "alert: evidence.at_ns", smallest=-_NS_MAX)


def _check_task(task: Task) -> None:
    _name(task.id, "task: id")
    _name(task.cause, "task: cause")
    _name(task.skill, "task: skill")
    _text(task.title, "task: title", MESSAGE_BYTES_MAX)
    _text(task.instructions, "task: instructions", TEXT_BYTES_MAX)
    _text(task.technician, "task: technician", TAG_BYTES_MAX)
    if task.state is TaskState.ASSIGNED and not task.technician:
        raise LimitError("task: is assigned, but technician is empty; name one or leave the state open")
    _moment(task.created_at_ns, "task: created_at_ns", smallest=1)
    _moment(task.due_at_ns, "task: due_at_ns", smallest=1)
    if not 1 <= task.revision <= _REVISION_MAX:
        raise LimitError(f"task: revision {task.revision} must be from 1 to {_REVISION_MAX}")
    if not 1 <= len(task.alert_ids) <= ALERT_IDS_MAX:
        raise LimitError(f"task: has {len(task.alert_ids)} alert_ids; 1 to {ALERT_IDS_MAX} are allowed")
    for alert_id in task.alert_ids:
        _name(alert_id, "task: alert_ids")


def _name(text: str, what: str) -> None:
    check_name(text, what)


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


def _bounded(content: bytes, what: str) -> bytes:
    if len(content) > PLANT_BYTES_MAX:
        raise LimitError(f"{what} has {len(content)} bytes; at most {PLANT_BYTES_MAX} are allowed")
    return content


def _parse(message: pb.Alert | pb.Task, content: bytes, what: str) -> None:
    if len(content) > PLANT_BYTES_MAX:
        raise DecodeError(f"{what} has {len(content)} bytes; at most {PLANT_BYTES_MAX} are allowed")
    try:
        message.ParseFromString(content)
    except ProtobufDecodeError as error:
        raise DecodeError(f"{what}: {len(content)} bytes that are not a fieldline.v1.{what.title()}") from error


def _named(known: dict[int, _T], value: int, what: str) -> _T:
    found = known.get(value)
    if found is None:
        raise DecodeError(f"{what} {value} is unknown; known are {', '.join(map(str, known))}")
    return found


def _agree(what: str, given: str, derived: str) -> None:
    if given and given != derived:
        raise DecodeError(f"{what} is {given[:80]!r}, but the other fields give {derived!r}; leave it empty or mend it")


def _device_to_pb(device: DeviceId) -> pb.Device:
    return pb.Device(site=device.site, area=device.area, device=device.device)


def _device_from_pb(device: pb.Device) -> DeviceId:
    return DeviceId(device.site, device.area, device.device)
