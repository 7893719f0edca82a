"""Claims about recorded traces: the shapes recorders write are understood, and others are refused with the cure."""

import gzip
from pathlib import Path

import pytest

from fieldline.config import loads
from fieldline.errors import ConfigError
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.drivers.simulator.trace import parse_trace
from fieldline_edge.drivers.simulator.trace_files import load_traces, new_plant


@pytest.mark.parametrize(
    ("text", "times", "column"),
    [
        ("time,a\n0,1.5\n2,2.5\n", [0, 2], [1.5, 2.5]),
        ("datetime;a;anomaly\n2020-02-08 13:30:47;1;0\n2020-02-08 13:30:48;2;1\n", [0, 1], [1, 2]),
        ("timestamp,a\n2013-12-02 21:15:00,73.9\n2013-12-02 21:20:00,74.9\n", [0, 300], [73.9, 74.9]),
        ("a\tts\n1\t1700000000000\n2\t1700000000500\n", [0, 0.5], [1, 2]),
        ("ts,a\n1700000000000000000,1\n1700000001000000000,2\n", [0, 1], [1, 2]),
        ("\ufefftime,a,name\n0,1,x\n1,,x\n2,nan,x\n3,4,x\n", [0, 1, 2, 3], [1, 1, 1, 4]),
        ("time,a\r\n0,1\r\n\r\n1,2\r\n", [0, 1], [1, 2]),
    ],
)
def test_usual_recordings_are_understood(text: str, times: list[float], column: list[float]) -> None:
    trace = parse_trace(text.splitlines(keepends=True))

    assert list(trace.times_s) == pytest.approx(times)
    assert list(trace.columns["a"]) == column
    assert "name" not in trace.columns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has no two columns in its first line"),
        ("time,a\n", "has no row with a number"),
        ("time,a\nsoon,1\n", "row 2: 'soon' is no time; set time_column: or time_format:"),
        ("time,a\n2,1\n1,1\n", "row 3: time goes back; set sort: true"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_cure(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse_trace(text.splitlines(keepends=True))


def test_rows_are_put_in_order_where_asked_and_times_read_as_they_are_written() -> None:
    text = "when,a\n02.01.2026 00:00,2\n01.01.2026 00:00,\n31.12.2025 00:00,0\n"

    trace = parse_trace(text.splitlines(), sort=True, time_format="%d.%m.%Y %H:%M")

    assert list(trace.times_s) == [0, 86_400, 172_800]
    assert list(trace.columns["a"]) == [0, 0, 2]


def plant_text(file: Path, more: str = "", faults: str = "") -> PlantSettings:
    text = (
        f"kind: plant\nmachines: [{{name: a, model: replay, serve: modbus, replay: {{file: {file}{more}}}}}]\n{faults}"
    )
    return loads(text, PlantSettings, name="plant.yaml", environment={})


def told(settings: PlantSettings, seconds: int, folder: Path = Path()) -> list[float]:
    made = new_plant(settings, load_traces(settings, folder))
    values = []
    for _ in range(seconds):
        made.step(1.0)
        values.append(float(made.machines["a"].values["x"]))
    return values


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text("time,x,who\n0,10,a\n1,11,b\n2,12,a\n")
    return path


def test_a_trace_is_played_over_and_over(recording: Path) -> None:
    assert told(plant_text(recording), 7) == [11, 12, 10, 11, 12, 10, 11]


def test_once_means_that_the_last_row_stays(recording: Path) -> None:
    assert told(plant_text(recording, ", loop: false"), 5) == [11, 12, 12, 12, 12]


def test_speed_plays_faster(recording: Path) -> None:
    assert told(plant_text(recording, ", speed: 2"), 3) == [12, 11, 10]


def test_only_chooses_rows_and_columns_gives_names(recording: Path) -> None:
    settings = plant_text(recording, ", only: {who: a}, columns: {y: x, x: x}")

    made = new_plant(settings, load_traces(settings, Path()))
    made.step(1.0)

    assert made.machines["a"].values == {"y": 10.0, "x": 10.0}


def test_a_packed_file_beside_the_plant_file_is_found(recording: Path) -> None:
    packed = recording.with_name("trace.csv.gz")
    packed.write_bytes(gzip.compress(recording.read_bytes()))

    assert told(plant_text(Path("trace.csv.gz")), 2, folder=recording.parent) == [11, 12]


def test_a_replayed_signal_can_be_faulty(recording: Path) -> None:
    settings = plant_text(recording, "", "faults: [{kind: stuck, machine: a, at_s: 1, signal: x}]")

    assert told(settings, 4) == [11, 11, 11, 11]


@pytest.mark.parametrize(
    ("content", "more", "faults", "expected"),
    [
        (None, "", "", "cannot be read: No such file"),
        (b"\xff\xfe\x00", "", "", "is not UTF-8 text; export the recording as CSV"),
        (b"time,x\n0,1\n", ", columns: {x: z}", "", "has no column 'z'; it has: time, x"),
        (b"time,x\n0,1\n", ", registers: {y: {address: 0}}", "", "a: registers of 'y', which is no signal"),
        (b"time,x\n0,1\n", "", "faults: [{kind: leak, machine: a, at_s: 1}]", "leak cannot happen to a replay"),
    ],
)
def test_a_mistake_is_told_with_its_cure(
    tmp_path: Path, content: bytes | None, more: str, faults: str, expected: str
) -> None:
    path = tmp_path / "trace.csv"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=expected):
        told(plant_text(path, more, faults), 1)
