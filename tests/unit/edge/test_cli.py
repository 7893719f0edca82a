import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldline_edge.spool import Bounds
from fieldline_edge.spool.policy import Entry, Writing
from fieldline_edge.spool.store import Store

PROGRAM = str(Path(sys.executable).with_name("fieldline-edge"))


def edge(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )


@pytest.fixture
def spool_file(tmp_path: Path) -> Path:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(1 << 20))
    store.commit(Writing([Entry(b"", 5, 10**18)], readings_polled=15))
    store.commit(Writing([Entry(b"", 5, 10**18)] * 2, readings_polled=15))
    store.commit(Writing(readings_polled=15, acked={1: 1}))
    store.close()
    return tmp_path / "spool.db"


@pytest.mark.parametrize("command", [["run"], ["check"], ["spool", "status"], ["spool", "export"], ["spool", "import"]])
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    told = edge(*command, "--help")

    assert told.returncode == 0
    assert "Example: fieldline-edge " + " ".join(command) in told.stdout
    assert "Exit codes:" in told.stdout


def test_check_says_what_would_be_done() -> None:
    told = edge("check", "config/gateway.yaml")

    assert told.returncode == 0
    assert told.stdout.splitlines()[-1] == (
        "  hall-a/meter-1: modbus 127.0.0.1:502 unit 1, 4 tags in 3 requests every 1000 ms"
    )


def test_check_shows_the_plan_of_every_poll_group() -> None:
    told = edge("check", "edge/fieldline_edge/drivers/modbus/sample.yaml")

    assert told.stdout.splitlines()[-5:-1] == [
        "  hall-a/meter-1: modbus 127.0.0.1:502 unit 1, 8 tags in 3 groups",
        "    no group: 5 tags in 1 request every 1000 ms, 4 addresses read over",
        "    group fast: 1 tags in 1 request every 200 ms",
        "    group nameplate: 2 tags in 1 request once",
    ]


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_file_is_named_with_line_key_and_cure(tmp_path: Path, command: str) -> None:
    file = tmp_path / "g.yaml"
    file.write_text(Path("config/gateway.yaml").read_text().replace("linger_ms", "lingerms"))

    told = edge(command, file)

    assert told.returncode == 2
    assert told.stderr.startswith(f"{file}:15: batch.lingerms: is not a known key; did you mean 'linger_ms'?")
    assert not (tmp_path / "data").exists()


def test_status_prints_the_numbers_of_a_spool(spool_file: Path) -> None:
    told = edge("spool", "status", spool_file, "--json")

    numbers = json.loads(told.stdout)
    assert list(numbers) == [
        "epoch",
        "next_sequence",
        "acked_sequence",
        "frames",
        "bytes",
        "readings_polled",
        "readings_spooled",
        "readings_acked",
        "readings_dropped",
        "frames_dropped",
        "oldest_age_s",
        "lanes",
    ]
    assert numbers["epoch"] > 0
    assert numbers["oldest_age_s"] > 0
    assert [numbers[name] for name in ("next_sequence", "frames", "readings_spooled", "readings_acked")] == [
        4,
        2,
        15,
        5,
    ]


def test_status_finds_the_spool_of_a_gateway_file(tmp_path: Path, spool_file: Path) -> None:
    file = tmp_path / "g.yaml"
    text = Path("config/gateway.yaml").read_text()
    file.write_text(text.replace("data/gateway-1/spool.db", str(spool_file)))

    told = edge("spool", "status", file)

    assert told.returncode == 0
    assert "next_sequence      4" in told.stdout


def test_status_of_nothing_says_what_to_do(tmp_path: Path) -> None:
    told = edge("spool", "status", tmp_path / "none.db")

    assert told.returncode == 2
    assert "does not exist; start its gateway once" in told.stderr


def test_an_unknown_log_level_is_refused() -> None:
    told = edge("run", "config/gateway.yaml", "--log-level", "loud")

    assert told.returncode == 2
    assert "use debug, info, warning or error" in told.stderr


def test_a_backlog_is_exported_once_and_nothing_is_written_over(spool_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "carried.backlog"

    nameless = edge("spool", "export", spool_file, target)
    told = edge("spool", "export", spool_file, target, "--name", "gateway-1")
    again = edge("spool", "export", spool_file, target, "--name", "gateway-1")

    assert (nameless.returncode, told.returncode, again.returncode) == (2, 0, 2)
    assert told.stdout == f"2 frames with 0 readings are in {target}\n"
    assert "exists already" in again.stderr


def test_import_names_what_is_no_backlog_and_a_hub_that_is_not_there(spool_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "carried.backlog"
    edge("spool", "export", spool_file, target, "--name", "gateway-1")

    no_backlog = edge("spool", "import", spool_file)
    no_hub = edge("spool", "import", target, "--hub", "127.0.0.1:1")

    assert (no_backlog.returncode, no_hub.returncode) == (2, 3)
    assert "is no exported backlog" in no_backlog.stderr
    assert "no hub at 127.0.0.1:1" in no_hub.stderr
