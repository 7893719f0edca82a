"""Alert -> task published, with a real hub and a real agent, while the search for a better plan never stops.

A workshop of 12 technicians has 100 tasks. Alerts of new devices come one at a time; each opens a task and so begins a
search of 2.5 s, which the next alert finds running. A task is cancelled for each that is opened, so that there are 100
all the time. The time is that from before publishing the alert to receiving the first revision of its task, through the
hub both ways, everything stored before it is passed on.
"""

import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import at_most, free_port, row, wait_for_port
from fieldline import Runtime
from fieldline.model import Alert, AlertState, DeviceId, Severity, TaskState, task_id
from fieldline.observe import scrape
from fieldline.wire.plant import decode_task, encode_alert

Rows = list[dict[str, Any]]

_TASKS: Final = 100
_TECHNICIANS: Final = 12
_ALERTS: Final = 300
_ALERTS_QUICK: Final = 40
_GOAL_MS: Final = 1_500.0
_SEED: Final = 5
_CAUSES: Final = ("bearing_wear", "overheating", "pressure_loss", "no_data")
_SKILLS: Final = ("bearings", "electrical", "hydraulics", "inspection")


def run(*, quick: bool, data: Path | None, only: Sequence[str] = ()) -> Rows:
    """Milliseconds from alert to task, beside how busy the planner was; `data` and `only` are not needed."""
    with tempfile.TemporaryDirectory(prefix="fieldline-upkeep-") as folder, ExitStack() as stack:
        home = Path(folder)
        hub, metrics = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        stack.enter_context(_running("hub", "--listen", hub, "--data", str(home / "hub"), port=hub))
        (home / "maintenance.yaml").write_text(_workshop())
        agent = ("agent", "maintenance", str(home / "maintenance.yaml"), "--hub", hub, "--data", str(home / "agent"))
        stack.enter_context(_running(*agent, "--metrics", metrics, port=metrics))
        times_ms = asyncio.run(_measure(hub, _ALERTS_QUICK if quick else _ALERTS))
        samples = scrape(f"http://{metrics}/metrics")
    times_ms.sort()
    count = f"{len(times_ms)} alerts, {_TASKS} tasks, {_TECHNICIANS} technicians"
    return [
        at_most(f"alert -> task published, p50 ({count})", "ms", statistics.median(times_ms), None),
        at_most("alert -> task published, p99, planner busy", "ms", _quantile(times_ms, 0.99), _GOAL_MS),
        at_most("alert -> task published, longest", "ms", times_ms[-1], None),
        row("searches of 2.5 s while measuring", "", samples["fieldline_maintenance_searches_total"], None, None, None),
        row("revisions of other tasks per alert", "", _churn(samples, len(times_ms)), None, None, None),
        at_most("searches that failed", "", samples["fieldline_maintenance_searches_failed_total"], 0),
    ]


async def _measure(hub: str, alerts: int) -> list[float]:
    chance = random.Random(_SEED)
    async with Runtime(hub, name="bench") as runtime, runtime.subscribe("tasks/#") as frames:
        await frames.wait_open()
        tasks = _Tasks()
        listening = asyncio.create_task(tasks.listen(frames))
        for number in range(_TASKS):
            await _alert(runtime, tasks, number, chance)
        times_ms = []
        for number in range(_TASKS, _TASKS + alerts):
            await asyncio.sleep(chance.uniform(0.05, 0.45))
            times_ms.append(await _alert(runtime, tasks, number, chance))
            await _cancel(runtime, tasks.oldest())
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return times_ms


class _Tasks:
    """First revisions by task, as they come."""

    def __init__(self) -> None:
        self._open: dict[str, None] = {}
        self._wanted: dict[str, asyncio.Future[float]] = {}

    async def listen(self, frames: Any) -> None:
        async for message in frames:
            task = decode_task(message.content)
            if task.revision == 1 and task.id in self._wanted:
                self._open[task.id] = None
                self._wanted.pop(task.id).set_result(time.perf_counter())
            if task.state is TaskState.CANCELLED:
                self._open.pop(task.id, None)

    def wait_for(self, task: str) -> asyncio.Future[float]:
        self._wanted[task] = asyncio.get_running_loop().create_future()
        return self._wanted[task]

    def oldest(self) -> str:
        return next(iter(self._open))


async def _alert(runtime: Runtime, tasks: _Tasks, number: int, chance: random.Random) -> float:
    """Milliseconds until the task of one new alert has come."""
    device = DeviceId("bench", f"hall-{number % 8}", f"pump-{number}")
    cause = chance.choice(_CAUSES)
    severity = chance.choices((Severity.WARNING, Severity.CRITICAL), (9, 1))[0]
    alert = Alert(device, "vibration", "hi", cause, severity, AlertState.RAISED, time.time_ns(), "too high")
    came = tasks.wait_for(task_id(alert.id, cause))
    began_s = time.perf_counter()
    await runtime.publish(device.alerts_topic, encode_alert(alert))
    async with asyncio.timeout(60):
        return (await came - began_s) * 1_000


async def _cancel(runtime: Runtime, task: str) -> None:
    order = {"do": "cancel", "id": task, "task": task}
    reply = await runtime.request("ask/tasks", json.dumps(order), timeout_s=60)
    assert json.loads(reply.text)["status"] == "done", reply.text


def _workshop() -> str:
    """The agent's file: skills spread over people in two shifts, travel between eight halls."""
    people = [
        {
            "name": f"technician-{number}",
            "skills": [_SKILLS[number % 4], _SKILLS[(number + 1) % 4], "inspection"],
            "shift": {"start": "06:00" if number % 2 else "14:00", "end": "14:00" if number % 2 else "22:00"},
            "home": "workshop",
        }
        for number in range(_TECHNICIANS)
    ]
    templates = {
        cause: {"title": "Mend {device}", "skill": skill, "work_min": 45 + 15 * index}
        for index, (cause, skill) in enumerate(zip(_CAUSES, _SKILLS, strict=True))
    }
    ways = [
        {"start": f"hall-{one}", "end": f"hall-{other}", "minutes": 4 * abs(one - other)}
        for one in range(8)
        for other in range(one)
    ]
    plan = {"travel_minutes": ways, "travel_min": 15, "search_s": 2.5}
    return json.dumps({"kind": "maintenance", "technicians": people, "templates": templates, "plan": plan})


def _churn(samples: Mapping[str, float], alerts: int) -> float:
    """Beside opening and cancelling, which are two for each alert."""
    return samples["fieldline_maintenance_tasks_changed_total"] / alerts - 1


def _quantile(sorted_: Sequence[float], share: float) -> float:
    return sorted_[min(len(sorted_) - 1, int(share * len(sorted_)))]


@contextmanager
def _running(*words: str, port: str) -> Iterator[None]:
    """`fieldline <words>` until the end of the block."""
    command = [sys.executable, "-c", "from fieldline.cli import main; main()", *words, "--log-level", "error"]
    process = subprocess.Popen(command)
    try:
        wait_for_port(int(port.rpartition(":")[2]), timeout_s=30)
        yield
    finally:
        process.terminate()
        process.wait(20)
