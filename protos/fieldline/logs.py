"""Logging in the house style: an event and its fields; pretty on a terminal, with a priority and without a time in
systemd's journal, one JSON object per line otherwise.

Write `log.info("spool trimmed", extra={"frames": 3})`. Field names must not be those of a LogRecord (name,
msg, args…).
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

__all__ = ["JournalFormatter", "JsonFormatter", "PrettyFormatter", "is_journal", "setup_logging"]

_RECORD_FIELDS = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {
    "message",
    "asctime",
    "taskName",
}
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))  # syslog's, see sd-daemon(3)
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


class JsonFormatter(logging.Formatter):
    """One line of JSON: time, level, logger, event, then the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        for name, value in _fields(record).items():
            line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class PrettyFormatter(logging.Formatter):
    """For people: time, level where it matters, event, fields. Control characters are shown, not obeyed."""

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and the traceback below it if there is one."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = record.levelname.lower()
        if self._colour and record.levelname in _COLOURS:
            level = f"{_COLOURS[record.levelname]}{level}\x1b[0m"
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        line = f"{time} {level} {(record.getMessage() + fields).translate(_CONTROL)}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JournalFormatter(logging.Formatter):
    """For systemd's journal: the priority as sd-daemon(3) wants it, event, fields. The journal keeps the time."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and the traceback below it; each line has its priority, or journald would guess."""
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        lines = [(record.getMessage() + fields).translate(_CONTROL)]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in lines)


def is_journal(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `stream` leads to systemd's journal: JOURNAL_STREAM has its device and inode, see systemd.exec(5)."""
    said = environment.get("JOURNAL_STREAM", "")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return said == f"{found.st_dev}:{found.st_ino}"


def setup_logging(level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Send the log to `stream` (stderr), once: calling again replaces what the last call set up.

    `level` is debug, info, warning or error, in any case; ValueError otherwise.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"log level {level!r} is not known; use debug, info, warning or error")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(stream))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    if number > logging.DEBUG:
        logging.getLogger("asyncio").setLevel(logging.WARNING)  # it tells of what we handle


def _formatter(stream: TextIO) -> logging.Formatter:
    if stream.isatty():
        return PrettyFormatter(colour=True)
    return JournalFormatter() if is_journal(stream) else JsonFormatter()


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _RECORD_FIELDS}
