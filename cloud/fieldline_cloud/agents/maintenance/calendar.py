"""The iCalendar feed of a technician (RFC 5545): one event for each task, the same UID in every revision. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from fieldline_cloud.agents.maintenance.notify.message import clean
from fieldline_cloud.agents.maintenance.shifts import EPOCH
from fieldline_cloud.agents.maintenance.timeline import Event

__all__ = ["feed"]

_LINE_BYTES_MAX: Final = 75
"""Of a line with its continuation mark and without its end (RFC 5545, 3.1)."""


def feed(technician: str, slots: Iterable[tuple[Event, bool, str]], now_ns: int) -> str:
    """The calendar as text with CRLF line ends.

    `slots`: for each task the event of its slot, whether it is still this technician's (else it is shown as cancelled,
    so that phones take it away), and its title.
    """
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Fieldline//Maintenance//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"X-WR-CALNAME:{_text(f'Maintenance: {technician}')}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT15M",
    ]
    for event, is_theirs, title in slots:
        lines += _event(event, is_theirs, title, now_ns)
    lines.append("END:VCALENDAR")
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


def _event(event: Event, is_theirs: bool, title: str, now_ns: int) -> list[str]:
    data = event.data
    return [
        "BEGIN:VEVENT",
        f"UID:task-{event.task}@fieldline",
        f"SEQUENCE:{data['revision']}",
        f"DTSTAMP:{_utc(now_ns)}",
        f"LAST-MODIFIED:{_utc(event.at_ns)}",
        f"DTSTART:{_utc(data['planned_start_ns'])}",
        f"DTEND:{_utc(data['planned_end_ns'])}",
        f"SUMMARY:{_text(title or event.cause)}",
        f"LOCATION:{_text(event.device)}",
        f"DESCRIPTION:{_text(_words(event))}",
        f"STATUS:{'CONFIRMED' if is_theirs else 'CANCELLED'}",
        "END:VEVENT",
    ]


def _utc(at_ns: int) -> str:
    return datetime.strftime(EPOCH + timedelta(microseconds=at_ns // 1_000), "%Y%m%dT%H%M%SZ")


def _text(text: str) -> str:
    """A value of type TEXT: nothing invisible, and the four characters that mean something escaped."""
    text = clean(text, 500)
    return text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")


def _folded(line: str) -> Iterator[str]:
    """The line in pieces of at most 75 bytes; every piece but the first begins with a blank."""
    piece = ""
    for character in line:
        if len((piece + character).encode()) > _LINE_BYTES_MAX:
            yield piece
            piece = " "
        piece += character
    yield piece


def _words(event: Event) -> str:
    return f"{event.cause} at {event.device}: {event.data['state']}. Task {event.task}."
