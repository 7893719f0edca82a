"""The `fieldline` command against a real hub: what a person or a script at a terminal meets."""

import asyncio
import contextlib
import json
import math
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldline import Alert, AlertState, DeviceId, Evidence, FrameProducer, Quality, Reading, Runtime, Severity
from fieldline.wire.frames import ENCODING_READINGS, build_frame
from fieldline.wire.plant import encode_alert
from fieldline.wire.readings import encode_readings
from tests.integration.command_line import DEADLINE_S, finish, run, start

PUMP = DeviceId("demo", "hall-a", "pump-1")
AT_NS = 1_700_000_000_123_000_000


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a hub that `fieldline hub` runs on a free port; it must end with 0 when asked to."""
    process = start("hub", "--listen", "127.0.0.1:0", "--data", tmp_path_factory.mktemp("hub"))
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        assert line.startswith("listening on 127.0.0.1:"), line
        yield line.split()[-1]
    finally:
        process.terminate()
        code, out, err = finish(process)
    assert (code, out, err) == (0, "", "")


class OneFrame:
    """A source with one frame: what a gateway's spool would send."""

    producer = "gateway-x"

    def __init__(self, frame: bytes) -> None:
        self.epoch = time.time_ns()
        self.stored = asyncio.Event()
        self._frame = frame

    async def resume(self, last_sequence: int) -> None:
        assert last_sequence == 0

    async def read(self, after: int, *, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        return [(1, self._frame)] if after == 0 else []

    async def wait(self, after: int) -> None:
        if after:
            await asyncio.Event().wait()

    async def acknowledged(self, sequence: int) -> None:
        if sequence == 1:
            self.stored.set()


async def send_frame(hub: str, topic: str, body: bytes, count: int) -> None:
    frame = build_frame(
        topic=topic, key="", sequence=1, count=count, encoding=ENCODING_READINGS, body=body, published_at_ns=AT_NS
    )
    source = OneFrame(frame)
    sending = asyncio.ensure_future(FrameProducer(hub, name="gateway-x", source=source).run())
    async with asyncio.timeout(DEADLINE_S):
        await source.stored.wait()
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending


def test_every_line_of_standard_input_becomes_a_message(hub: str) -> None:
    assert run("pub", "lines/a", hub=hub, given="one\n\nthree, with ümläuts") == (0, [], [])

    code, out, _ = run("sub", "lines/a", "--json", "--from", "start", "--until-end", hub=hub)

    rows = [json.loads(line) for line in out]
    assert code == 0
    assert [row["text"] for row in rows] == ["one", "", "three, with ümläuts"]
    assert {row["producer"] for row in rows} == {"fieldline-pub"}


def test_lines_of_a_pipe_that_stays_open_are_sent_as_they_come(hub: str) -> None:
    publishing = start("pub", "pipe/a", hub=hub, stdin=subprocess.PIPE)
    assert publishing.stdin is not None
    publishing.stdin.write("first\n")
    publishing.stdin.flush()

    code, out, _ = run("sub", "pipe/a", "--from", "start", "--count", 1, hub=hub)

    assert (code, out) == (0, ["pipe/a  first"])
    assert publishing.poll() is None
    assert finish(publishing)[0] == 0


def test_a_file_as_standard_input_is_read_to_its_end(hub: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("a\n" * 3000)
    with (tmp_path / "in").open() as file:
        assert finish(start("pub", "file/a", hub=hub, stdin=file))[0] == 0

    assert len(run("sub", "file/a", "--from", "start", "--until-end", hub=hub)[1]) == 3000


def test_bytes_that_are_no_text_travel_too(hub: str, tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"\xff\x00\n")
    with path.open() as file:
        assert finish(start("pub", "bytes/a", hub=hub, stdin=file))[0] == 0

    _, out, _ = run("sub", "bytes/a", "--json", "--from", "start", "--until-end", hub=hub)

    assert json.loads(out[0])["base64"] == "/wA="


def test_a_message_cannot_take_over_the_terminal(hub: str) -> None:
    run("pub", "escape/a", "\x1b]0;owned\x07\x9b2J\nsecond", hub=hub)

    _, out, _ = run("sub", "escape/a", "--from", "start", "--until-end", hub=hub)

    assert out == [r"escape/a  \x1b]0;owned\x07\x9b2J\x0asecond"]


async def test_readings_are_one_json_line_each_with_values_json_can_carry(hub: str) -> None:
    values: list[float | int | bool | str | None] = [1.5, math.nan, math.inf, -math.inf, 1 << 62, True, "läuft", None]
    readings = [
        Reading(f"t{index}", AT_NS + index, value, Quality.GOOD if value is not None else Quality.BAD_TIMEOUT)
        for index, value in enumerate(values)
    ]
    await send_frame(hub, PUMP.readings_topic, encode_readings(readings), len(readings))

    code, out, _ = await asyncio.to_thread(
        run, "sub", "readings/#", "--json", "--durable", "export", "--from", "start", "--until-end", hub=hub
    )

    rows = sorted((json.loads(line, parse_constant=pytest.fail) for line in out), key=lambda row: row["tag"])
    assert code == 0
    assert [row["value"] for row in rows] == [1.5, "NaN", "Infinity", "-Infinity", 1 << 62, True, "läuft", None]
    assert rows[0] == {
        "topic": "readings/demo/hall-a/pump-1",
        "offset": rows[0]["offset"],
        "producer": "gateway-x",
        "sequence": 1,
        "site": "demo",
        "area": "hall-a",
        "device": "pump-1",
        "tag": "t0",
        "at": "2023-11-14T22:13:20.123Z",
        "at_ns": AT_NS,
        "value": 1.5,
        "quality": "good",
    }
    assert rows[-1]["quality"] == "bad_timeout"


async def test_a_frame_that_cannot_be_read_is_named_and_passed_over(hub: str) -> None:
    await send_frame(hub, "broken/demo/hall-a/pump-1", b"no batch at all", 1)
    await asyncio.to_thread(run, "pub", "broken/after", "still here", hub=hub)

    code, out, err = await asyncio.to_thread(run, "sub", "broken/#", "--from", "start", "--until-end", hub=hub)

    assert (code, out) == (0, ["broken/after  still here"])
    assert len(err) == 1
    assert re.match(r"broken/demo/hall-a/pump-1, offset \d+: skipped, ", err[0])


async def test_alerts_are_one_json_line_each(hub: str) -> None:
    alert = Alert(
        device=PUMP,
        tag="vibration",
        rule="range.hi_hi",
        cause="bearing_wear",
        severity=Severity.CRITICAL,
        state=AlertState.RAISED,
        raised_at_ns=AT_NS,
        message="vibration 9.1 mm/s",
        evidence=(Evidence("vibration", AT_NS, 9.1, 7.1),),
    )
    async with Runtime(hub, name="tester") as runtime:
        await runtime.publish(PUMP.alerts_topic, encode_alert(alert), stored=True)

    _, out, _ = await asyncio.to_thread(run, "sub", "alerts/#", "--json", "--from", "start", "--until-end", hub=hub)

    (row,) = [json.loads(line) for line in out]
    assert (row["id"], row["severity"], row["state"]) == (alert.id, "critical", "raised")
    assert (row["device"], row["cause"], row["cleared_at"]) == ("demo/hall-a/pump-1", "bearing_wear", None)
    assert row["evidence"] == [{"tag": "vibration", "at": "2023-11-14T22:13:20.123Z", "value": 9.1, "limit": 7.1}]


def test_a_durable_goes_on_where_it_ended_and_repeats_a_frame_printed_in_part(hub: str) -> None:
    run("pub", "durable/a", hub=hub, given="1\n2\n3\n")
    run("pub", "durable/a", hub=hub, given="4\n")
    words = ("sub", "durable/a", "--durable", "reader", "--from", "start")

    part = run(*words, "--count", 2, hub=hub)[1]
    whole = run(*words, "--count", 3, hub=hub)[1]
    rest = run(*words, "--until-end", hub=hub)[1]
    nothing = run(*words, "--until-end", hub=hub)[1]

    texts = [[line.split()[-1] for line in lines] for lines in (part, whole, rest, nothing)]
    assert texts == [["1", "2"], ["1", "2", "3"], ["4"], []]


def test_an_offset_is_a_place_to_start(hub: str) -> None:
    for text in ("a", "b"):
        run("pub", "offset/a", text, hub=hub)
    first = json.loads(run("sub", "offset/a", "--json", "--from", "start", "--count", 1, hub=hub)[1][0])

    _, out, _ = run("sub", "offset/a", "--from", first["offset"] + 1, "--until-end", hub=hub)

    assert out == ["offset/a  b"]


def test_a_reader_that_goes_away_is_no_error(hub: str) -> None:
    run("pub", "head/a", hub=hub, given="line\n" * 50_000)
    process = start("sub", "head/a", "--from", "start", hub=hub)
    assert process.stdout is not None
    assert process.stderr is not None

    assert process.stdout.readline() == "head/a  line\n"
    process.stdout.close()

    assert process.wait(DEADLINE_S) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sub_ends_cleanly_when_told_to_stop(hub: str, number: signal.Signals) -> None:
    run("pub", f"signal/{number.name}", "x", hub=hub)
    process = start("sub", f"signal/{number.name}", "--from", "start", hub=hub)
    assert process.stdout is not None
    process.stdout.readline()

    process.send_signal(number)

    assert finish(process) == (0, "", "")


def test_a_hub_ends_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    process = start("hub", "--listen", "127.0.0.1:0", "--data", tmp_path, "--metrics", "127.0.0.1:0")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on 127.0.0.1:")
    assert re.fullmatch(r"metrics on http://127\.0\.0\.1:\d+/metrics\n", process.stdout.readline())

    process.send_signal(signal.SIGINT)

    assert finish(process) == (0, "", "")


def test_a_hub_that_is_not_there_is_named_within_a_few_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        hub = f"127.0.0.1:{taken.getsockname()[1]}"
    began_s = time.monotonic()

    ended = [finish(process) for process in (start("pub", "a", "b", hub=hub), start("sub", "a", hub=hub))]

    sentence = f"error: no hub answers at {hub} within 5 s; start one with 'fieldline hub', or check the address\n"
    assert ended == [(3, "", sentence)] * 2
    assert time.monotonic() - began_s < 10


def test_a_second_hub_on_the_same_address_or_data_is_refused(hub: str, tmp_path: Path) -> None:
    code, _, err = run("hub", "--listen", hub, "--data", tmp_path)

    assert code == 2
    assert err == [f"listen: cannot listen on {hub}: is another hub running there? choose another port"]
