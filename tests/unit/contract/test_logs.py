import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldline.logs import JournalFormatter, JsonFormatter, PrettyFormatter, is_journal, setup_logging


@pytest.fixture
def record() -> logging.LogRecord:
    made = logging.LogRecord("fieldline.spool", logging.WARNING, "", 0, "spool holds %d", (3,), None)
    made.__dict__["frames"] = 7
    return made


@pytest.fixture
def _root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("pymodbus", "asyncio")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, number in levels.items():
        logging.getLogger(name).setLevel(number)


def test_a_json_line_has_the_event_and_its_fields(record: logging.LogRecord) -> None:
    line = json.loads(JsonFormatter().format(record))

    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "warning", "logger": "fieldline.spool", "event": "spool holds 3", "frames": 7}


def test_a_pretty_line_reads_like_a_sentence(record: logging.LogRecord) -> None:
    assert PrettyFormatter().format(record).endswith(" warning spool holds 3  frames=7")


def test_control_characters_cannot_forge_a_line(record: logging.LogRecord) -> None:
    record.msg, record.args = "a\nb\x1b[31m", ()

    assert "\n" not in PrettyFormatter().format(record)
    assert "\x1b" not in PrettyFormatter().format(record)
    assert "\n" not in JsonFormatter().format(record)


def test_an_exception_comes_with_its_traceback(record: logging.LogRecord) -> None:
    try:
        raise KeyError("lost")
    except KeyError as error:
        record.exc_info = (KeyError, error, error.__traceback__)

    assert "KeyError: 'lost'" in json.loads(JsonFormatter().format(record))["exception"]
    assert PrettyFormatter().format(record).endswith("KeyError: 'lost'")


@pytest.mark.usefixtures("_root_as_it_was")
def test_a_file_gets_json_and_the_level_holds() -> None:
    stream = io.StringIO()

    setup_logging("warning", stream=stream)
    logging.getLogger("x").info("not said")
    logging.getLogger("x").warning("said", extra={"frames": 1})

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "said"


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="use debug, info, warning or error"):
        setup_logging("loud")


def test_a_journal_line_has_a_priority_and_no_time(record: logging.LogRecord) -> None:
    assert JournalFormatter().format(record) == "<4>spool holds 3  frames=7"


@pytest.mark.parametrize(
    ("level", "priority"), [("CRITICAL", 3), ("ERROR", 3), ("WARNING", 4), ("INFO", 6), ("DEBUG", 7)]
)
def test_levels_are_the_priorities_of_syslog(record: logging.LogRecord, level: str, priority: int) -> None:
    record.levelno = logging.getLevelNamesMapping()[level]

    assert JournalFormatter().format(record).startswith(f"<{priority}>")


def test_each_line_of_a_traceback_has_its_priority_in_the_journal(record: logging.LogRecord) -> None:
    try:
        raise KeyError("lost")
    except KeyError as error:
        record.exc_info = (KeyError, error, error.__traceback__)

    lines = JournalFormatter().format(record).splitlines()

    assert len(lines) > 3
    assert all(line.startswith("<4>") for line in lines)


def test_only_the_stream_that_systemd_names_is_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        found = os.fstat(stream.fileno())
        right = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}

        assert is_journal(stream, right)
        assert not is_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not is_journal(stream, {})
    assert not is_journal(io.StringIO(), right)


def test_a_process_under_systemd_logs_for_the_journal() -> None:
    read, write = os.pipe()
    found = os.fstat(write)
    environment = os.environ | {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
    code = "import logging; from fieldline.logs import setup_logging; setup_logging(); logging.warning('disk is full')"

    subprocess.run([sys.executable, "-c", code], stderr=write, env=environment, check=True, timeout=30)
    os.close(write)

    with os.fdopen(read) as journal:
        assert journal.read() == "<4>disk is full\n"
