"""Readings, alerts and tasks as rows for people and programs."""

import base64
import math
from datetime import UTC, datetime
from typing import Any

from fieldline.errors import DecodeError
from fieldline.model import Value
from fieldline.wire.plant import decode_alert, decode_task

__all__ = ["alert_row", "harmless", "line", "message_row", "plain_value", "task_row", "timestamp"]

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def timestamp(at_ns: int) -> str:
    """ISO 8601 in UTC with milliseconds; a time no calendar knows is given as its nanoseconds."""
    try:
        moment = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    except (OverflowError, OSError, ValueError):
        return f"{at_ns}ns"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ns % 1_000_000_000 // 1_000_000:03d}Z"


def plain_value(value: Value) -> Value:
    """A value that JSON can carry: NaN and the infinities become the strings Protobuf's JSON mapping uses."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def alert_row(content: bytes) -> dict[str, Any]:
    """An alert; content that is none is shown as a plain message."""
    try:
        alert = decode_alert(content)
    except DecodeError:
        return message_row(content)
    return {
        "id": alert.id,
        "device": str(alert.device),
        "tag": alert.tag,
        "rule": alert.rule,
        "cause": alert.cause,
        "severity": alert.severity.name.lower(),
        "state": alert.state.value,
        "raised_at": timestamp(alert.raised_at_ns),
        "cleared_at": timestamp(alert.cleared_at_ns) if alert.cleared_at_ns else None,
        "message": alert.message,
        "confidence": alert.confidence,
        "by": alert.by or None,
        "until": timestamp(alert.until_ns) if alert.until_ns else None,
        "band": [plain_value(alert.band.low), plain_value(alert.band.high)] if alert.band else None,
        "contributions": [
            {"tag": one.tag, "share": one.share, "value": plain_value(one.value), "expected": plain_value(one.expected)}
            for one in alert.contributions
        ],
        "evidence": [
            {
                "tag": one.tag,
                "at": timestamp(one.at_ns),
                "value": plain_value(one.value),
                "limit": plain_value(one.limit),
            }
            for one in alert.evidence
        ],
    }


def task_row(content: bytes) -> dict[str, Any]:
    """A task; content that is none is shown as a plain message."""
    try:
        task = decode_task(content)
    except DecodeError:
        return message_row(content)
    return {
        "id": task.id,
        "device": str(task.device),
        "cause": task.cause,
        "severity": task.severity.name.lower(),
        "state": task.state.value,
        "title": task.title,
        "instructions": task.instructions,
        "technician": task.technician or None,
        "skill": task.skill,
        "created_at": timestamp(task.created_at_ns),
        "due_at": timestamp(task.due_at_ns),
        "alerts": list(task.alert_ids),
        "revision": task.revision,
        "condition_cleared": task.condition_cleared,
        "planned_start": timestamp(task.planned_start_ns) if task.planned_start_ns else None,
        "planned_end": timestamp(task.planned_end_ns) if task.planned_end_ns else None,
        "priority": task.priority,
        "reason": task.reason or None,
    }


def message_row(content: bytes) -> dict[str, Any]:
    """Text as text, anything else as base64."""
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def line(row: dict[str, Any]) -> str:
    """A row for people, on one line."""
    return harmless(_sentence(row))


def harmless(text: str) -> str:
    """On one line, with control characters shown, not obeyed: the terminal is not the publisher's."""
    return text.translate(_CONTROL)


def _sentence(row: dict[str, Any]) -> str:
    if "tag" in row and "quality" in row:
        quality = "" if row["quality"] == "good" else f"  ({row['quality']})"
        return f"{row['at']}  {row['topic'].removeprefix('readings/')}  {row['tag']} = {row['value']}{quality}"
    if "rule" in row:
        return f"{row['raised_at']}  {row['severity'].upper()} {row['state']}  {row['message']}"
    if "technician" in row:
        return f"{row['created_at']}  {row['title']}  {row['technician'] or 'unassigned'}  due {row['due_at']}"
    return f"{row['topic']}  {row.get('text', row.get('base64'))}"
