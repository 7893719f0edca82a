"""Alerts, verdicts and tasks as bytes and back, in the Protobuf messages of fieldline.v1.

What can be encoded can be decoded: both directions hold the same bounds. Encoding raises LimitError or
BadName, decoding raises DecodeError, and either names the field. Unknown fields are ignored: a newer sender
can be read.
"""

from collections.abc import Sized
from typing import Final, TypeVar

from google.protobuf.message import DecodeError as ProtobufDecodeError

from fieldline.errors import BadName, DecodeError, LimitError
from fieldline.model import (
    Alert,
    AlertState,
    Band,
    Contribution,
    DeviceId,
    Evidence,
    Part,
    Period,
    RemainingLife,
    Severity,
    Task,
    TaskState,
    Verdict,
    VerdictKind,
)
from fieldline.v1 import plant_pb2 as pb
from fieldline.wire._plant_bounds import (
    ALERT_IDS_MAX,
    CONTRIBUTIONS_MAX,
    EVIDENCE_MAX,
    MESSAGE_BYTES_MAX,
    PARTS_MAX,
    PLANT_BYTES_MAX,
    SKILLS_MAX,
    TAG_BYTES_MAX,
    TEXT_BYTES_MAX,
    check_alert,
    check_task,
    check_verdict,
)

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
    "decode_alert",
    "decode_task",
    "decode_verdict",
    "encode_alert",
    "encode_task",
    "encode_verdict",
]

_T = TypeVar("_T")

_ALERT_STATES: Final = {state: pb.AlertState.Value(f"ALERT_STATE_{state.name}") for state in AlertState}
_TASK_STATES: Final = {state: pb.TaskState.Value(f"TASK_STATE_{state.name}") for state in TaskState}
_VERDICT_KINDS: Final = {kind: pb.VerdictKind.Value(f"VERDICT_KIND_{kind.name}") for kind in VerdictKind}
_SEVERITIES: Final = {severity: pb.Severity.Value(f"SEVERITY_{severity.name}") for severity in Severity}
_FROM_ALERT_STATE: Final = {int(wire): state for state, wire in _ALERT_STATES.items()}
_FROM_TASK_STATE: Final = {int(wire): state for state, wire in _TASK_STATES.items()}
_FROM_VERDICT_KIND: Final = {int(wire): kind for kind, wire in _VERDICT_KINDS.items()}
_FROM_SEVERITY: Final = {int(wire): severity for severity, wire in _SEVERITIES.items()}


def encode_alert(alert: Alert) -> bytes:
    """The alert as fieldline.v1.Alert; LimitError names the field that is out of bounds."""
    check_alert(alert)
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
        confidence=alert.confidence,
        window=pb.Period(from_ns=alert.window.from_ns, to_ns=alert.window.to_ns) if alert.window else None,
        band=pb.Band(low=alert.band.low, high=alert.band.high) if alert.band else None,
        contributions=[
            pb.Contribution(tag=c.tag, share=c.share, value=c.value, expected=c.expected) for c in alert.contributions
        ],
        changed_at_ns=alert.changed_at_ns,
        by=alert.by,
        note=alert.note,
        until_ns=alert.until_ns,
    )
    return _bounded(message.SerializeToString(deterministic=True), "alert")


def decode_alert(content: bytes) -> Alert:
    """The alert in `content`; DecodeError says what is wrong with it.

    `id` and `fingerprint` follow from the other fields. A sender may leave them empty; one that fills them in
    must agree, since deduplication stands on them.
    """
    message = pb.Alert()
    _parse(message, content, "alert")
    _few(message.evidence, "alert: evidence", EVIDENCE_MAX)
    _few(message.contributions, "alert: contributions", CONTRIBUTIONS_MAX)
    try:
        alert = _alert_from_pb(message)
        check_alert(alert)
    except (BadName, LimitError) as error:
        raise DecodeError(str(error)) from error
    _agree("alert: fingerprint", message.fingerprint, alert.fingerprint)
    _agree("alert: id", message.id, alert.id)
    return alert


def encode_verdict(verdict: Verdict) -> bytes:
    """The verdict as fieldline.v1.Verdict; LimitError or BadName names the field that is out of bounds."""
    check_verdict(verdict)
    message = pb.Verdict(
        device=_device_to_pb(verdict.device),
        alert_id=verdict.alert_id,
        fingerprint=verdict.fingerprint,
        kind=_VERDICT_KINDS[verdict.kind],
        cause=verdict.cause,
        by=verdict.by,
        at_ns=verdict.at_ns,
        note=verdict.note,
        task_id=verdict.task_id,
    )
    return _bounded(message.SerializeToString(deterministic=True), "verdict")


def decode_verdict(content: bytes) -> Verdict:
    """The verdict in `content`; DecodeError says what is wrong with it."""
    message = pb.Verdict()
    _parse(message, content, "verdict")
    try:
        verdict = Verdict(
            device=_device_from_pb(message.device),
            alert_id=message.alert_id,
            fingerprint=message.fingerprint,
            kind=_named(_FROM_VERDICT_KIND, message.kind, "verdict: kind"),
            by=message.by,
            at_ns=message.at_ns,
            cause=message.cause,
            note=message.note,
            task_id=message.task_id,
        )
        check_verdict(verdict)
    except (BadName, LimitError) as error:
        raise DecodeError(str(error)) from error
    return verdict


def encode_task(task: Task) -> bytes:
    """The task as fieldline.v1.Task; LimitError names the field that is out of bounds."""
    check_task(task)
    life = task.remaining_life
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
        skills=task.skills,
        work_s=task.work_s,
        downtime_s=task.downtime_s,
        parts=[pb.Part(name=part.name, count=part.count) for part in task.parts],
        place=task.place,
        priority=task.priority,
        planned_start_ns=task.planned_start_ns,
        planned_end_ns=task.planned_end_ns,
        travel_s=task.travel_s,
        pinned=task.pinned,
        remaining_life=pb.RemainingLife(p10_h=life.p10_h, p50_h=life.p50_h, p90_h=life.p90_h) if life else None,
        reason=task.reason,
        by=task.by,
        changed_at_ns=task.changed_at_ns,
    )
    return _bounded(message.SerializeToString(deterministic=True), "task")


def decode_task(content: bytes) -> Task:
    """The task in `content`; DecodeError says what is wrong with it."""
    message = pb.Task()
    _parse(message, content, "task")
    _few(message.alert_ids, "task: alert_ids", ALERT_IDS_MAX)
    _few(message.skills, "task: skills", SKILLS_MAX)
    _few(message.parts, "task: parts", PARTS_MAX)
    try:
        task = _task_from_pb(message)
        check_task(task)
    except (BadName, LimitError) as error:
        raise DecodeError(str(error)) from error
    return task


def _alert_from_pb(message: pb.Alert) -> Alert:
    return Alert(
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
        confidence=message.confidence or 1.0,
        window=Period(message.window.from_ns, message.window.to_ns) if message.HasField("window") else None,
        band=Band(message.band.low, message.band.high) if message.HasField("band") else None,
        contributions=tuple(Contribution(c.tag, c.share, c.value, c.expected) for c in message.contributions),
        changed_at_ns=message.changed_at_ns,
        by=message.by,
        note=message.note,
        until_ns=message.until_ns,
    )


def _task_from_pb(message: pb.Task) -> Task:
    return Task(
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
        skills=tuple(message.skills),
        work_s=message.work_s,
        downtime_s=message.downtime_s,
        parts=tuple(Part(part.name, part.count) for part in message.parts),
        place=message.place,
        priority=message.priority,
        planned_start_ns=message.planned_start_ns,
        planned_end_ns=message.planned_end_ns,
        travel_s=message.travel_s,
        pinned=message.pinned,
        remaining_life=_life_from_pb(message.remaining_life) if message.HasField("remaining_life") else None,
        reason=message.reason,
        by=message.by,
        changed_at_ns=message.changed_at_ns,
    )


def _bounded(content: bytes, what: str) -> bytes:
    if len(content) > PLANT_BYTES_MAX:
        raise LimitError(f"{what} has {len(content)} bytes; at most {PLANT_BYTES_MAX} are allowed")
    return content


def _parse(message: pb.Alert | pb.Task | pb.Verdict, content: bytes, what: str) -> None:
    if len(content) > PLANT_BYTES_MAX:
        raise DecodeError(f"{what} has {len(content)} bytes; at most {PLANT_BYTES_MAX} are allowed")
    try:
        message.ParseFromString(content)
    except ProtobufDecodeError as error:
        raise DecodeError(f"{what}: {len(content)} bytes that are not a fieldline.v1.{what.title()}") from error


def _few(entries: Sized, what: str, count_max: int) -> None:
    """Before they are turned into ours one by one."""
    if len(entries) > count_max:
        raise DecodeError(f"{what} has {len(entries)} entries; at most {count_max} are allowed")


def _named(known: dict[int, _T], value: int, what: str) -> _T:
    found = known.get(value)
    if found is None:
        raise DecodeError(f"{what} {value} is unknown; known are {', '.join(map(str, known))}")
    return found


def _agree(what: str, given: str, derived: str) -> None:
    if given and given != derived:
        raise DecodeError(f"{what} is {given[:80]!r}, but the other fields give {derived!r}; leave it empty or mend it")


def _life_from_pb(life: pb.RemainingLife) -> RemainingLife:
    return RemainingLife(life.p10_h, life.p50_h, life.p90_h)


def _device_to_pb(device: DeviceId) -> pb.Device:
    return pb.Device(site=device.site, area=device.area, device=device.device)


def _device_from_pb(device: pb.Device) -> DeviceId:
    return DeviceId(device.site, device.area, device.device)
