"""Rows of the edge bench: a real gateway process polls real Modbus TCP servers and streams to a real hub.

The devices are the simulator's `registers50`, each on a port of its own, as devices with addresses of their own are.
CPU and memory are the gateway's alone, read from /proc after a warm-up; readings are counted at the hub.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.edge import outage
from benchmarks.harness import Worker, at_least, at_most, cpu_seconds, rss_mib
from fieldline.observe import scrape

_REGISTERS = 50
_WARM_UP_S = 6.0


GROUPS = {"devices": "what polling costs, by number of devices", "outage": "a backlog's size, draining, flash wear"}


def run(*, quick: bool, data: Path | None, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows of the wanted groups; `data` is not needed here."""
    rows: list[dict[str, Any]] = []
    if not only or "devices" in only:
        rows += _devices(quick=quick)
    if not only or "outage" in only:
        rows += outage.run(quick=quick)
    return rows


def _devices(*, quick: bool) -> list[dict[str, Any]]:
    """One row of figures for each size."""
    seconds = 10.0 if quick else 30.0
    one = _measure(1, seconds)
    hundred = _measure(100, seconds)
    return [
        at_most("1 device x 50 registers at 1 Hz: RSS", "MiB", one["rss_mib"], 55),
        at_most("100 devices x 50 registers at 1 Hz: CPU", "% of a core", hundred["cpu_percent"], 10.5),
        at_most("100 devices x 50 registers at 1 Hz: RSS", "MiB", hundred["rss_mib"], 61),
        at_least("100 devices x 50 registers at 1 Hz: readings at the hub", "readings/s", hundred["readings_s"], 4_900),
        at_most("100 devices x 50 registers at 1 Hz: late or failed polls", "polls", hundred["late"], 0),
        at_most("100 devices x 50 registers at 1 Hz: frames on the wire", "B/reading", hundred["wire_bytes"], None),
        at_most("100 devices x 50 registers at 1 Hz: written to flash", "B/reading", hundred["disk_bytes"], None),
    ]


def _measure(devices: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="fieldline-edge-bench-") as folder, ExitStack() as stack:
        home = Path(folder)
        hub = stack.enter_context(Worker("benchmarks.hub.worker", "hub", home / "hub"))
        ports = stack.enter_context(_plant(home, devices))
        gateway, metrics = stack.enter_context(_gateway(home, ports, hub.hear()["port"]))
        time.sleep(_WARM_UP_S)
        before, cpu, written = scrape(metrics), cpu_seconds(gateway), _written(gateway)
        time.sleep(seconds)
        after, cpu, written = scrape(metrics), cpu_seconds(gateway) - cpu, _written(gateway) - written
        readings = _grown("fieldline_edge_readings_acknowledged_total", before, after)
        return {
            "cpu_percent": cpu / seconds * 100,
            "rss_mib": rss_mib(gateway),
            "readings_s": readings / seconds,
            "late": _grown("fieldline_edge_driver_polls_late_total", before, after)
            + _grown("fieldline_edge_driver_polls_failed_total", before, after),
            "wire_bytes": _grown("fieldline_edge_uplink_bytes_sent_total", before, after) / max(1, readings),
            "disk_bytes": written / max(1, readings),
        }


def _grown(name: str, before: dict[str, float], after: dict[str, float]) -> float:
    return after[name] - before[name]


def _written(pid: int) -> int:
    with open(f"/proc/{pid}/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("write_bytes"))


@contextmanager
def _plant(home: Path, devices: int) -> Iterator[list[int]]:
    """The ports of so many simulated devices."""
    plant = {
        "kind": "plant",
        "step_ms": 500,
        "modbus": {"listen": "127.0.0.1:0", "units_per_listener": 1},
        "machines": [{"name": "device", "area": "hall", "model": "registers50", "serve": "modbus", "count": devices}],
    }
    path = home / "plant.yaml"
    path.write_text(yaml.safe_dump(plant, sort_keys=False))
    with _process("fieldline.cli", "simulate", path) as process:
        assert process.stdout is not None
        yield [int(process.stdout.readline().rpartition(":")[2]) for _ in range(devices)]


@contextmanager
def _gateway(home: Path, ports: list[int], hub_port: int) -> Iterator[tuple[int, str]]:
    """(pid, metrics page) of a gateway that polls every register of every device once a second."""
    tags = [{"name": f"r{n:02}", "kind": "holding", "address": n, "type": "uint16"} for n in range(_REGISTERS)]
    devices = [
        {
            "driver": "modbus",
            "name": f"device-{number:03}",
            "area": "hall",
            "host": "127.0.0.1",
            "port": port,
            "period_ms": 1000,
            "tags": tags,
        }
        for number, port in enumerate(ports)
    ]
    gateway = {
        "kind": "gateway",
        "name": "bench",
        "site": "bench",
        "hub": f"127.0.0.1:{hub_port}",
        "spool": {"path": str(home / "spool.db")},
        "metrics": {"listen": "127.0.0.1:0"},
        "devices": devices,
    }
    path = home / "gateway.yaml"
    dumper = yaml.SafeDumper
    dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]  # the tags are written out
    path.write_text(yaml.dump(gateway, Dumper=dumper, sort_keys=False))
    with _process("fieldline_edge.cli", "run", path) as process:
        yield process.pid, _metrics_page(process)


@contextmanager
def _process(module: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _metrics_page(process: subprocess.Popen[str]) -> str:
    """From the gateway's own first log line; what it says later is read and dropped, so that its pipe never fills."""
    assert process.stdout is not None
    for line in process.stdout:
        event = str(json.loads(line)["event"])
        if event.startswith("listening on "):
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return f"http://{event.removeprefix('listening on ')}/metrics"
    raise RuntimeError(f"the gateway ended with exit code {process.wait()}")
