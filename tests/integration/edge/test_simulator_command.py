"""Claims about `fieldline simulate` and `fieldline plant`, run as a user runs them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fieldline_edge.drivers.simulator.truth import read_truth
from tests.integration.edge.simulating import DEADLINE_S, DEMO, PLANTS, free_port


@pytest.fixture
def fieldline() -> str:
    found = shutil.which("fieldline", path=str(Path(sys.executable).parent))
    assert found, "the package is not installed; run: pip install -e '.[dev]'"
    return found


def test_the_command_records_without_serving(fieldline: str, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = subprocess.run(
        [fieldline, "simulate", PLANTS[0], "--record", out, "--duration", "600", "--every", "60"],
        capture_output=True,
        timeout=DEADLINE_S,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(out.read_text().splitlines()) == 1 + 10 * 8


def test_the_command_begins_a_fault_in_a_running_plant(fieldline: str, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    environment = os.environ | {"PLANT_MODBUS_PORT": "0", "PLANT_MQTT_PORT": str(free_port())}
    command = [fieldline, "simulate", str(DEMO), "--control", "127.0.0.1:0", "--truth", str(truth)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        control = process.stdout.readline().split()[-1]
        words = [fieldline, "plant", "fault", "fan-1", "clogged_filter", "--control", control]
        told = subprocess.run(words, capture_output=True, timeout=DEADLINE_S, text=True, check=False)
        until_s = time.monotonic() + DEADLINE_S
        while "clogged_filter" not in truth.read_text() and time.monotonic() < until_s:
            time.sleep(0.02)  # the plant tells nobody else that it has taken its next step
        process.terminate()
        process.communicate(timeout=DEADLINE_S)

    assert told.returncode == 0
    assert told.stdout.startswith("fault 2: clogged_filter on fan-1 at ")
    assert "clogged_filter" in truth.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_listens_and_ends_cleanly(fieldline: str, number: int) -> None:
    environment = os.environ | {"PLANT_MODBUS_PORT": "0", "PLANT_MQTT_PORT": str(free_port())}
    with subprocess.Popen(
        [fieldline, "simulate", str(DEMO)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.removeprefix("listening on 127.0.0.1:"))
        socket.create_connection(("127.0.0.1", port)).close()

        process.send_signal(number)
        rest, _ = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, rest) == (0, "")


def test_the_command_stops_after_its_duration_and_writes_the_truth(fieldline: str, tmp_path: Path) -> None:
    plant = tmp_path / "plant.yaml"
    plant.write_text(
        'kind: plant\nmodbus: {listen: "127.0.0.1:0"}\nmachines: [{name: p, model: pump, serve: modbus}]\n'
        "faults: [{kind: leak, machine: p, at_s: 0.1}]\n"
    )
    truth = tmp_path / "truth.jsonl"
    done = subprocess.run(
        [fieldline, "simulate", plant, "--duration", "1", "--truth", truth, "--seed", "3"],
        capture_output=True,
        timeout=DEADLINE_S,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert [each.kind for each in read_truth(truth.read_text().splitlines()).faults] == ["leak"]


def test_the_command_refuses_a_wrong_file_with_one_line_and_2(fieldline: str, tmp_path: Path) -> None:
    plant = tmp_path / "plant.yaml"
    plant.write_text("kind: plant\nmachines: [{name: p, model: pump, serve: modbus, unti: 1}]\n")

    done = subprocess.run(
        [fieldline, "simulate", plant], capture_output=True, timeout=DEADLINE_S, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr == f"{plant}:2: machines[0].unti: is not a known key; did you mean 'unit'?\n"


def test_the_command_names_a_port_in_use_and_ends_with_1(fieldline: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = os.environ | {"PLANT_MODBUS_PORT": port}
        done = subprocess.run(
            [fieldline, "simulate", DEMO],
            env=environment,
            capture_output=True,
            timeout=DEADLINE_S,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}: the port is in use" in done.stderr
