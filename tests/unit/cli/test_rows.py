"""Deliveries as rows, for people and for programs."""

import io
import json
import math
import zlib
from typing import Any

import pytest

from fieldline import Delivery
from fieldline.cli.sub import _print_delivery, row_writer, rows
from fieldline.cli.text import alert_row, line, message_row, plain_value, task_row, timestamp
from fieldline.client.acks import Nack
from fieldline.errors import DecodeError
from fieldline.model import Alert, AlertState, DeviceId, Reading, Severity, Task, TaskState
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import ENCODING_READINGS, close_messages
from fieldline.wire.plant import encode_alert, encode_task
from fieldline.wire.readings import encode_readings

AT_NS = 1_700_000_000_123_456_789
DEVICE = DeviceId("demo", "hall-a", "pump-1")


class _Nobody:
    """Hears what becomes of deliveries, and does nothing about it."""

    def ack(self, delivery: Delivery) -> None: ...
    def ack_through(self, delivery: Delivery) -> None: ...
    def nack(self, delivery: Delivery, nack: Nack) -> None: ...
    def in_progress(self, delivery: Delivery) -> None: ...


def delivery(topic: str, encoding: int, body: bytes, count: int = 1, **fields: Any) -> Delivery:
    frame = hub_pb2.Frame(
        topic=topic,
        sequence=3,
        count=count,
        encoding=encoding,  # type: ignore[arg-type]  # the enum's stub wants its own int type
        body=body,
        crc32=zlib.crc32(body),
        **fields,
    )
    received = hub_pb2.Delivery(offset=7, producer="p", epoch=1, frame=frame)
    return Delivery(received, _Nobody())


def messages(topic: str, *contents: bytes, headers: dict[int, dict[str, str]] | None = None, key: str = "") -> Delivery:
    encoding, body = close_messages(contents, headers or {}, compress_from_bytes=None)
    return delivery(topic, encoding, body, len(contents), key=key)


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (AT_NS, "2023-11-14T22:13:20.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        ((1 << 63) - 1, "2262-04-11T23:47:16.854Z"),
        (1 << 80, f"{1 << 80}ns"),
    ],
)
def test_a_time_is_told_in_utc_with_milliseconds(at_ns: int, text: str) -> None:
    assert timestamp(at_ns) == text


@pytest.mark.parametrize(
    ("value", "plain"),
    [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (-0.0, -0.0), (True, True), (None, None)],
)
def test_values_json_has_no_word_for_become_strings(value: Any, plain: Any) -> None:
    assert plain_value(value) == plain
    assert json.dumps(plain_value(value), allow_nan=False)


def test_readings_become_one_row_each() -> None:
    body = encode_readings([Reading("a", AT_NS, 1.5), Reading("b", AT_NS, "x")])

    found = list(rows(delivery("readings/demo/hall-a/pump-1", ENCODING_READINGS, body, 2)))

    assert [(row["tag"], row["value"]) for row in found] == [("a", 1.5), ("b", "x")]
    assert {(row["site"], row["area"], row["device"]) for row in found} == {("demo", "hall-a", "pump-1")}


@pytest.mark.parametrize("topic", ["readings", "readings/demo", "readings/a/b/c/d/e"])
def test_readings_on_an_odd_topic_are_shown_all_the_same(topic: str) -> None:
    body = encode_readings([Reading("a", AT_NS, 1.5)])

    (row,) = rows(delivery(topic, ENCODING_READINGS, body))

    assert row["value"] == 1.5


def test_messages_carry_key_headers_and_place() -> None:
    found = list(rows(messages("notes/a", b"one", b"two", headers={1: {"h": "v"}}, key="k")))

    assert [row["index"] for row in found] == [0, 1]
    assert "headers" not in found[0]
    assert found[1] == {
        "topic": "notes/a",
        "offset": 7,
        "producer": "p",
        "sequence": 3,
        "index": 1,
        "text": "two",
        "key": "k",
        "headers": {"h": "v"},
    }


def test_alerts_and_tasks_are_shown_with_their_fields_and_anything_else_there_as_a_message() -> None:
    alert = Alert(DEVICE, "t", "stale", "no_data", Severity.INFO, AlertState.CLEARED, AT_NS, "silent", AT_NS + 10**9)
    task = Task("a" * 12, DEVICE, "c", Severity.INFO, TaskState.OPEN, "Look", "", "s", "", AT_NS, AT_NS, (alert.id,))

    (alert_found,) = rows(messages("alerts/demo/hall-a/pump-1", encode_alert(alert)))
    (task_found,) = rows(messages("tasks/demo/hall-a/x", encode_task(task)))
    (other,) = rows(messages("alerts/demo/hall-a/pump-1", b"\xffhello"))

    assert (alert_found["state"], alert_found["cleared_at"]) == ("cleared", "2023-11-14T22:13:21.123Z")
    assert (task_found["technician"], task_found["alerts"]) == (None, [alert.id])
    assert other["base64"] == "/2hlbGxv"
    assert alert_row(b"\xffhello") == task_row(b"\xffhello") == message_row(b"\xffhello")


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            {"topic": "readings/s/a/d", "tag": "t", "at": "T", "value": 1.5, "quality": "good"},
            "T  s/a/d  t = 1.5",
        ),
        (
            {"topic": "readings/s/a/d", "tag": "t", "at": "T", "value": None, "quality": "bad_timeout"},
            "T  s/a/d  t = None  (bad_timeout)",
        ),
        ({"rule": "r", "raised_at": "T", "severity": "info", "state": "raised", "message": "m"}, "T  INFO raised  m"),
        ({"technician": None, "created_at": "T", "title": "Look", "due_at": "D"}, "T  Look  unassigned  due D"),
        ({"topic": "a", "text": "x\x1b[2J\ny"}, r"a  x\x1b[2J\x0ay"),
        ({"topic": "a", "base64": "/w=="}, "a  /w=="),
    ],
)
def test_a_row_for_people_is_one_line_without_control_characters(row: dict[str, Any], text: str) -> None:
    assert line(row) == text


@pytest.mark.parametrize(
    ("lines_max", "expected"), [(None, (3, True)), (3, (3, True)), (2, (2, False)), (5, (3, True))]
)
def test_a_frame_counts_as_printed_only_when_all_of_it_was(lines_max: int | None, expected: tuple[int, bool]) -> None:
    written: list[dict[str, Any]] = []

    assert _print_delivery(messages("a", b"1", b"2", b"3"), written.append, lines_max) == expected
    assert len(written) == expected[0]


def test_a_frame_that_cannot_be_read_is_named_and_done(capsys: pytest.CaptureFixture[str]) -> None:
    broken = delivery("readings/a/b/c", ENCODING_READINGS, b"\xff\xff")
    with pytest.raises(DecodeError):
        broken.readings()

    assert _print_delivery(broken, print, None) == (0, True)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("readings/a/b/c, offset 7: skipped, ")


def test_json_is_utf_8_whatever_the_terminal_speaks() -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    row_writer(terminal, as_json=True)({"text": "ü"})

    terminal.flush()
    assert terminal.buffer.getvalue() == '{"text": "ü"}\n'.encode()


def test_text_for_people_never_fails_for_a_character_the_terminal_lacks() -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    row_writer(terminal, as_json=False)({"topic": "a", "text": "ü"})

    terminal.flush()
    assert terminal.buffer.getvalue() == b"a  \\xfc\n"
