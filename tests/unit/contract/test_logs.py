import io
import json
import logging
from collections.abc import Iterator

import pytest

from fieldline.logs import JsonFormatter, PrettyFormatter, setup_logging


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
