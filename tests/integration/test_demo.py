"""The demo as a user runs it: real processes, real Modbus and MQTT, and nothing left behind however it ends."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from fieldline.observe import scrape
from fieldline_cloud.demo.plan import DEFAULT_PORTS

PROGRAM = Path(sys.executable).with_name("fieldline")
DEADLINE_S = 180.0
"""For a machine that is busy with other things; each wait ends with what it waits for."""
MILL = {"mill-plant", "mill-edge", "mill-anomaly", "mill-prognosis", "mill-maintenance"}
CHILDREN = {"mqtt-broker", "plant", "hub", "anomaly", "maintenance", "edge"} | MILL

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to look for processes")


@dataclass(frozen=True)
class Run:
    """A demo that has been started, and the folder that marks its processes."""

    process: subprocess.Popen[str]
    data: Path

    def children(self) -> dict[int, dict[str, str]]:
        """The environment of every process this run has started and that is still there."""
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                environment = environment_of(folder)
                if environment.get("FIELDLINE_DATA") == str(self.data):
                    found[int(folder.name)] = environment
        return found

    def wait_until_all_run(self) -> dict[str, str]:
        """Wait until the last child, the gateway, has begun its work; returns what the children were told."""
        give_up_at = time.monotonic() + DEADLINE_S
        log = self.data / "logs" / "edge.log"
        while not (log.exists() and "reading " in log.read_text()):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < give_up_at, "the demo does not start"
            time.sleep(0.05)
        return next(iter(self.children().values()))

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err

    def wait_until_none_is_left(self) -> None:
        give_up_at = time.monotonic() + DEADLINE_S
        while left := self.children():
            assert time.monotonic() < give_up_at, f"still there: {sorted(left)}"
            time.sleep(0.02)


def environment_of(folder: Path) -> dict[str, str]:
    try:
        entries = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}  # it has just ended, or is not ours
    return dict(entry.partition("=")[::2] for entry in entries if entry)


def start(data: Path, *words: object) -> Run:
    process = subprocess.Popen(
        [str(PROGRAM), "demo", "--data", str(data), *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    return Run(process, data)


def changed_config(folder: Path, name: str, old: str, new: str) -> Path:
    """The demo's configuration in a new folder below `folder`, with `new` in place of `old` in one file."""
    config = folder / "config"
    shutil.copytree("config/demo", config)
    text = (config / name).read_text()
    assert old in text
    (config / name).write_text(text.replace(old, new))
    return config


def wait_until_readings_are_stored(metrics_port: str) -> None:
    give_up_at = time.monotonic() + DEADLINE_S
    while not scrape(f"http://127.0.0.1:{metrics_port}/metrics").get("fieldline_edge_readings_acknowledged_total"):
        assert time.monotonic() < give_up_at, "no reading is stored"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One whole run of 30 s. It holds its ports while the shorter ones beside it are tested."""
    folder = tmp_path_factory.mktemp("demo")
    run = start(folder / "data", "--duration", 30, "--report", folder / "report.json")
    try:
        run.wait_until_all_run()
        yield run
    finally:
        run.process.kill()
        run.process.communicate()


def test_ports_that_are_taken_are_replaced_by_others_and_ctrl_c_ends_everything(long_run: Run, tmp_path: Path) -> None:
    taken = next(iter(long_run.children().values()))
    run = start(tmp_path / "data")
    told = run.wait_until_all_run()
    wait_until_readings_are_stored(told["FIELDLINE_EDGE_METRICS_PORT"])

    run.process.send_signal(signal.SIGINT)
    code, out, err = run.finish()

    assert {told[name] for name in DEFAULT_PORTS}.isdisjoint({taken[name] for name in DEFAULT_PORTS})
    assert (code, err) == (0, "")
    assert " 0 lost, 0 twice;" in out
    assert run.children() == {}


def test_a_demo_that_is_killed_takes_its_children_with_it(long_run: Run, tmp_path: Path) -> None:
    run = start(tmp_path / "data")
    run.wait_until_all_run()
    assert len(run.children()) == len(CHILDREN)

    run.process.kill()

    run.finish()
    run.wait_until_none_is_left()


def test_a_child_that_cannot_start_is_named_with_its_log_and_the_others_are_stopped(
    long_run: Run, tmp_path: Path
) -> None:
    config = changed_config(tmp_path, "gateway.yaml", "linger_ms:", "lingerms:")

    run = start(tmp_path / "data", "--config", config, "--duration", 5)
    code, out, err = run.finish()

    assert (code, out) == (1, "")
    first, *log = err.splitlines()
    assert first == "error: edge ended with exit code 2:"
    assert len(log) == 1
    assert log[0].endswith(": batch.lingerms: is not a known key; did you mean 'linger_ms'?")
    assert run.children() == {}


def test_a_run_that_is_too_short_for_the_fault_fails_and_says_how_long_it_must_be(
    long_run: Run, tmp_path: Path
) -> None:
    config = changed_config(tmp_path, "plant.yaml", "at_s: 10,", "at_s: 600,")  # a start may take ten seconds

    run = start(tmp_path / "data", "--config", config, "--duration", 1)
    code, out, err = run.finish()

    assert (code, err) == (1, "failed: the run ended before a fault was injected; give it at least 30 s\n")
    assert " 0 lost, 0 twice;" in out
    assert run.children() == {}


def test_a_data_folder_that_is_in_use_is_refused(long_run: Run) -> None:
    code, _, err = start(long_run.data).finish()

    assert code == 2
    assert "is not empty; choose another folder" in err


def test_a_whole_run_loses_nothing_and_turns_the_fault_into_a_task(long_run: Run) -> None:
    code, out, err = long_run.finish()
    report = json.loads((long_run.data.parent / "report.json").read_text())

    assert (code, err) == (0, "")
    assert set(report) >= {"readings", "alerts", "tasks", "bytes_per_reading", "latency_ms", "duration_s"}
    readings = report["readings"]
    assert set(readings) == {"polled", "published", "stored", "lost", "duplicated"}
    assert readings["polled"] == readings["published"] == readings["stored"] > 1000
    assert (readings["lost"], readings["duplicated"]) == (0, 0)
    assert 0 < report["bytes_per_reading"] < 100
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"] < 10_000
    assert report["duration_s"] > 29
    assert {(fault["kind"], fault["device"]) for fault in report["faults"]} == {("bearing_wear", "hall-a/pump-2")}
    task = next(one for one in report["tasks"] if one["device"] == "demo/hall-a/pump-2")
    assert task["technician"]
    assert task["due"] > min(alert["raised_at"] for alert in report["alerts"])
    assert set(task["alerts"]) <= {alert["id"] for alert in report["alerts"]}
    assert f"{readings['polled']} readings polled" in out
    assert long_run.children() == {}


def test_the_mill_s_bearing_is_found_days_before_it_fails_gets_a_slot_and_is_verified_by_its_signal(
    long_run: Run,
) -> None:
    long_run.process.wait(DEADLINE_S)
    report = json.loads((long_run.data.parent / "report.json").read_text())

    assert report["found_before_failure_h"] > 48
    assert report["technician"] in {"Nadia Brandt", "Tomas Novak"}  # the two who may open a bearing
    assert report["verified"] is True
    found, planned = (line["at"] for line in report["story"] if line["what"].startswith(("found", "planned")))
    assert found < planned < report["planned_start"] < report["story"][-1]["at"]
    assert 8 <= datetime.fromisoformat(report["planned_start"]).hour < 20  # the pumps stand still by day
    assert report["remaining_life_h"]
    assert report["problems"] == []  # above all: nothing came only after the failure
    assert {alert["device"] for alert in report["alerts"]} == {"demo/hall-a/pump-2", "mill/hall-c/pump-7"}


def test_the_children_wrote_no_error_in_their_logs(long_run: Run) -> None:
    long_run.process.wait(DEADLINE_S)
    logs = {path.stem: path.read_text() for path in (long_run.data / "logs").glob("*.log")}

    assert set(logs) == CHILDREN
    for name in CHILDREN - {"mqtt-broker"}:
        assert "Traceback" not in logs[name]
        assert '"level": "error"' not in logs[name]
