"""What is said to people: texts without anything that could harm a terminal, a header or a phone. Pure."""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from fieldline.model import Severity
from fieldline_cloud.agents.maintenance.notices import Notice, NoticeKind
from fieldline_cloud.agents.maintenance.notify.routes import Routing

__all__ = ["Delivery", "clean", "deliveries_of"]

_TITLE_CHARACTERS_MAX: Final = 160
_BODY_CHARACTERS_MAX: Final = 1_500

_SENTENCES: Final[Mapping[NoticeKind, str]] = {
    NoticeKind.ASSIGNED: "A task for you",
    NoticeKind.MOVED: "Your task has another time",
    NoticeKind.WITHDRAWN: "No longer your task",
    NoticeKind.REMINDED: "Please accept your task",
    NoticeKind.ESCALATED: "Nobody has accepted",
    NoticeKind.UNPLANNED: "Nobody can do",
    NoticeKind.REOPENED: "The repair did not hold",
    NoticeKind.TEST: "A test of this channel",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one channel, from the moment `due_ns` on. `attempts` have failed so far."""

    key: str
    channel: str
    due_ns: int
    kind: NoticeKind
    task: str
    technician: str
    severity: Severity
    title: str
    body: str
    round: int = 0
    attempts: int = 0


def deliveries_of(notice: Notice, routing: Routing) -> list[Delivery]:
    """The messages a notice leads to, one for each channel that hears of it."""
    title, body = _words(notice, routing.local)
    return [
        Delivery(
            notice.key,
            channel,
            due_ns,
            notice.kind,
            notice.task.id,
            notice.technician,
            notice.task.severity,
            title,
            body,
            notice.round,
        )
        for channel, due_ns in routing.channels(notice).items()
    ]


def clean(text: str, characters_max: int, *, lines: bool = False) -> str:
    """The text without control, format and other invisible characters, cut with an ellipsis.

    Alerts come from machines and may hold anything: escape sequences, line breaks that would end a header, characters
    that turn the direction of reading.
    """
    kept = "".join(_shown(character, lines) for character in text[: 4 * characters_max])
    kept = "\n".join(line.strip() for line in kept.split("\n")).strip() if lines else " ".join(kept.split())
    return kept if len(kept) <= characters_max else kept[: characters_max - 1] + "…"


def _shown(character: str, lines: bool) -> str:
    if character == "\n" and lines:
        return character
    return " " if unicodedata.category(character).startswith(("C", "Z")) else character


def _words(notice: Notice, local: Callable[[int], str]) -> tuple[str, str]:
    task = notice.task
    title = f"{_SENTENCES[notice.kind]}: {task.title} [{task.severity.name.lower()}]"
    lines = [f"{task.device} ({task.cause})"]
    if notice.technician:
        lines.append(f"Technician: {notice.technician}")
    if task.planned_start_ns:
        lines.append(f"Planned: {local(task.planned_start_ns)} to {local(task.planned_end_ns)}")
    lines.append(f"Due: {local(task.due_at_ns)}")
    if task.reason:
        lines.append(f"Why: {clean(task.reason, 300)}")
    lines += [f"Task: {task.id}, revision {task.revision}", "", task.instructions]
    return clean(title, _TITLE_CHARACTERS_MAX), clean("\n".join(lines), _BODY_CHARACTERS_MAX, lines=True)
