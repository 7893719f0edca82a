"""What a gateway costs: a real gateway process polls real Modbus TCP servers and streams to a real hub.

The devices are the simulator's `registers50`, each on a port of its own, as devices with addresses of their own are.
CPU and memory are the gateway's alone, read from /proc after a warm-up; readings are counted once the hub has
acknowledged them. Counting needs the gateway's page of metrics; memory is read in a run of its own without that page,
which is not there unless it is asked for, and which the peers do not have.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness import Worker, cpu_seconds, rss_mib
from fieldline.observe import scrape
from fieldline_edge.spool import read_state

__all__ = ["REGISTERS", "Footprint", "footprint", "gateway", "plant", "resident"]

REGISTERS = 50
_WARM_UP_S = 6.0

Footprint = dict[str, float]


def resident(devices: int, seconds: float) -> float:
    """MiB of memory after so many seconds of polling, without a page of metrics."""
    with tempfile.TemporaryDirectory(prefix="fieldline-edge-bench-") as folder, ExitStack() as stack:
        home = Path(folder)
        hub = stack.enter_context(Worker("benchmarks.hub.worker", "hub", home / "hub"))
        ports = stack.enter_context(plant(home, devices))
        process = stack.enter_context(_gateway_process(home, ports, hub.hear()["port"], {}))
        _heard(process, "reading ")
        time.sleep(_WARM_UP_S + seconds)
        if not read_state(home / "spool.db").readings_acked:
            raise RuntimeError("the hub has acknowledged no readings")
        return rss_mib(process.pid)


def footprint(devices: int, seconds: float) -> Footprint:
    """CPU, memory, readings/s, late polls and bytes of one gateway that polls so many devices once a second."""
    with tempfile.TemporaryDirectory(prefix="fieldline-edge-bench-") as folder, ExitStack() as stack:
        home = Path(folder)
        hub = stack.enter_context(Worker("benchmarks.hub.worker", "hub", home / "hub"))
        ports = stack.enter_context(plant(home, devices))
        pid, metrics = stack.enter_context(gateway(home, ports, hub.hear()["port"]))
        time.sleep(_WARM_UP_S)
        before, cpu, written = scrape(metrics), cpu_seconds(pid), _written(pid)
        time.sleep(seconds)
        after, cpu, written = scrape(metrics), cpu_seconds(pid) - cpu, _written(pid) - written
        readings = _grown("fieldline_edge_readings_acknowledged_total", before, after)
        return {
            "cpu_percent": cpu / seconds * 100,
            "rss_mib": rss_mib(pid),
            "readings_s": readings / seconds,
            "polls": _grown("fieldline_edge_driver_polls_total", before, after),
            "late": _grown("fieldline_edge_driver_polls_late_total", before, after)
            + _grown("fieldline_edge_driver_polls_failed_total", before, after)
            + _grown("fieldline_edge_driver_polls_missed_total", before, after),
            "wire_bytes": _grown("fieldline_edge_uplink_bytes_sent_total", before, after) / max(1, readings),
            "disk_bytes": written / max(1, readings),
        }


def _grown(name: str, before: dict[str, float], after: dict[str, float]) -> float:
    return after[name] - before[name]


def _written(pid: int) -> int:
    with open(f"/proc/{pid}/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("write_bytes"))


@contextmanager
def plant(home: Path, devices: int) -> Iterator[list[int]]:
    """The ports of so many simulated devices."""
    settings = {
        "kind": "plant",
        "step_ms": 500,
        "modbus": {"listen": "127.0.0.1:0", "units_per_listener": 1},
        "machines": [{"name": "device", "area": "hall", "model": "registers50", "serve": "modbus", "count": devices}],
    }
    path = home / "plant.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    with _process("fieldline.cli", "simulate", path) as process:
        assert process.stdout is not None
        yield [int(process.stdout.readline().rpartition(":")[2]) for _ in range(devices)]


@contextmanager
def gateway(home: Path, ports: list[int], hub_port: int) -> Iterator[tuple[int, str]]:
    """(pid, metrics page) of a gateway that polls every register of every device once a second."""
    with _gateway_process(home, ports, hub_port, {"metrics": {"listen": "127.0.0.1:0"}}) as process:
        address = _heard(process, "listening on ").removeprefix("listening on ")
        yield process.pid, f"http://{address}/metrics"


@contextmanager
def _gateway_process(
    home: Path, ports: list[int], hub_port: int, more: dict[str, Any]
) -> Iterator[subprocess.Popen[str]]:
    tags = [{"name": f"r{n:02}", "kind": "holding", "address": n, "type": "uint16"} for n in range(REGISTERS)]
    profile = {
        "kind": "profile",
        "name": "registers50",
        "title": "Bench",
        "what": "50 registers",
        "manual": {"title": "The README of the simulator", "revision": "1", "url": "https://example.org/simulator"},
        "checked": "hardware",
        "tags": tags,
    }
    (home / "registers50.yaml").write_text(yaml.safe_dump(profile, sort_keys=False))
    devices = [
        {
            "driver": "modbus",
            "name": f"device-{number:03}",
            "area": "hall",
            "host": "127.0.0.1",
            "port": port,
            "profile": str(home / "registers50.yaml"),
        }
        for number, port in enumerate(ports)
    ]
    settings = {
        "kind": "gateway",
        "name": "bench",
        "site": "bench",
        "hub": f"127.0.0.1:{hub_port}",
        "spool": {"path": str(home / "spool.db")},
        "devices": devices,
        **more,
    }
    path = home / "gateway.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    with _process("fieldline_edge.cli", "run", path) as process:
        yield process


@contextmanager
def _process(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _heard(process: subprocess.Popen[str], beginning: str) -> str:
    """The first event of its log that begins so; the rest is read and dropped, so that its pipe never fills."""
    assert process.stdout is not None
    for line in process.stdout:
        event = str(json.loads(line)["event"])
        if event.startswith(beginning):
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return event
    raise RuntimeError(f"the gateway ended with exit code {process.wait()}")
