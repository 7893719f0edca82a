"""Both agents are killed again and again while machines break: every fault becomes one task, none is forgotten."""

import asyncio
import json
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

from fieldline.model import Alert, AlertState, Task, TaskState
from fieldline.wire.plant import decode_alert, decode_task
from tests.faults.support import (
    AREA,
    LONG,
    SITE,
    Edge,
    Process,
    deliveries,
    fieldline,
    free_port,
    new_random,
    running_hub,
    until,
)

KILLS_EACH = 20 if LONG else 6

# What the fault of a machine must lead to: (kind, machine) -> cause.
CAUSES = {
    ("bearing_wear", "pump-1"): "bearing_wear",
    ("leak", "pump-1"): "pressure_loss",
    ("leak", "pump-2"): "pressure_loss",
    ("dropout", "pump-3"): "no_data",
    ("bearing_wear", "fan-1"): "bearing_wear",
    ("imbalance", "fan-2"): "imbalance",
    ("bearing_wear", "compressor-1"): "bearing_wear",
}
MACHINES = ("pump-1", "pump-2", "pump-3", "pump-4", "fan-1", "fan-2", "compressor-1", "compressor-2")
VIBRATION = {"hi": 4.5, "hi_hi": 7.1, "deadband": 0.3, "on_delay_s": 0.2, "off_delay_s": 2}
RULES: list[dict[str, Any]] = [
    {"match": {"device": "+/+/fan-2", "tag": "vibration"}, "cause": "imbalance", "range": VIBRATION},
    {"match": {"tag": "vibration"}, "cause": "bearing_wear", "range": VIBRATION},
    {
        "match": {"device": "+/+/pump-*", "tag": "pressure"},
        "cause": "pressure_loss",
        "range": {"lo": 3.3, "lo_lo": 3.0, "deadband": 0.1, "on_delay_s": 0.2},
    },
    {"stale": {"after_s": 3}},
]
NIGHT_AND_DAY = {"shift": {"start": "00:00", "end": "24:00"}, "skills": ["inspection"]}


async def test_kills_of_both_agents_leave_one_task_for_each_fault(tmp_path: Path) -> None:
    random = new_random()
    truth = tmp_path / "truth.jsonl"
    async with running_hub(tmp_path / "hub") as hub:
        port = free_port()
        async with (
            _agent(tmp_path, "anomaly", {"rules": RULES, "save_every_s": 0.2, "tick_s": 0.2}, hub.address) as anomaly,
            _agent(tmp_path, "maintenance", _people(), hub.address) as maintenance,
            _plant(tmp_path, port, truth) as plant,
            Edge(tmp_path, hub.address, _devices(port), linger_ms=50),
        ):
            await plant.until_said("listening")
            await asyncio.gather(_kill_often(anomaly, random), _kill_often(maintenance, random))
            await until(lambda: len(_expected(truth)) == len(CAUSES), "every fault has begun")
            found = await _settled(hub.address, _expected(truth))
            assert plant.is_running
    found.check(_expected(truth))


def _agent(folder: Path, kind: str, settings: dict[str, Any], hub: str) -> Process:
    config = folder / f"{kind}.yaml"
    config.write_text(json.dumps({"kind": kind, "hub": hub, "data": str(folder / kind), **settings}))
    return fieldline(folder / f"{kind}.log", "agent", kind, str(config))


def _people() -> dict[str, Any]:
    return {"technicians": [{"name": name, **NIGHT_AND_DAY} for name in ("Amira", "Luca")]}


def _plant(folder: Path, port: int, truth: Path) -> Process:
    stretch = KILLS_EACH / 6
    config = folder / "plant.yaml"
    machines = [{"name": name, "model": name.partition("-")[0], "serve": "modbus"} for name in MACHINES]
    faults = [
        {"kind": kind, "machine": machine, "at_s": 1.5 + 0.9 * stretch * index, "grow_s": 2.0}
        for index, (kind, machine) in enumerate(CAUSES)
    ]
    listen = {"listen": f"127.0.0.1:{port}"}
    config.write_text(json.dumps({"kind": "plant", "modbus": listen, "machines": machines, "faults": faults}))
    return fieldline(folder / "plant.log", "simulate", str(config), "--truth", str(truth))


def _devices(port: int) -> list[dict[str, Any]]:
    tags = [
        {"name": "vibration", "kind": "input", "address": 3, "type": "uint16", "scale": 0.01},
        {"name": "pressure", "kind": "holding", "address": 0, "type": "float32"},
    ]
    orders = {"pump": "ABCD", "fan": "CDAB", "compressor": "BADC"}
    return [
        {
            "driver": "modbus",
            "name": name,
            "area": AREA,
            "host": "127.0.0.1",
            "port": port,
            "unit": unit,
            "period_ms": 100,
            "timeout_ms": 200,
            "retries": 0,
            "tags": [tags[0], {**tags[1], "order": orders[name.partition("-")[0]]}],
        }
        for unit, name in enumerate(MACHINES, 1)
    ]


async def _kill_often(agent: Process, random: Random) -> None:
    subscribed = 0
    for kill in range(KILLS_EACH):
        if kill % 3:  # at work; else maybe while it is still starting
            await agent.until_said("subscribed", times=subscribed + 1)
        await asyncio.sleep(random.uniform(0.0, 1.2))
        await agent.kill()
        subscribed = agent.said.count("subscribed")
        await agent.start()


def _expected(truth: Path) -> set[tuple[str, str]]:
    """(device, cause) of every fault that has begun, by the plant's own record."""
    events = [json.loads(line) for line in truth.read_text().splitlines()]
    begun = {(event["kind"], event["machine"]) for event in events if event["event"] == "start"}
    return {(f"{SITE}/{AREA}/{machine}", CAUSES[kind, machine]) for kind, machine in begun}


class Found:
    """All alerts and tasks in the hub's log."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.tasks: list[Task] = []

    @property
    def newest(self) -> list[Task]:
        return list({task.id: task for task in sorted(self.tasks, key=lambda task: task.revision)}.values())

    def check(self, expected: set[tuple[str, str]]) -> None:
        self._check_tasks(expected)
        self._check_alerts()

    def _check_tasks(self, expected: set[tuple[str, str]]) -> None:
        open_tasks = [task for task in self.newest if task.state is not TaskState.DONE]
        assert sorted((str(task.device), task.cause) for task in open_tasks) == sorted(expected)
        assert all(task.technician for task in open_tasks)
        revisions: dict[str, dict[int, Task]] = defaultdict(dict)
        for task in self.tasks:
            assert revisions[task.id].setdefault(task.revision, task) == task, "one revision says two things"
        for task in open_tasks:
            assert sorted(revisions[task.id]) == list(range(1, task.revision + 1)), "a revision was forgotten"

    def _check_alerts(self) -> None:
        said: dict[tuple[str, AlertState], Alert] = {}
        for alert in self.alerts:
            assert said.setdefault((alert.id, alert.state), alert) == alert, "one alert says two things"
        for alert in self.alerts:
            (task,) = [task for task in self.newest if (task.device, task.cause) == (alert.device, alert.cause)]
            assert alert.id in task.alert_ids, "an alert was forgotten"
        cleared = {alert.id for alert in self.alerts if alert.state is AlertState.CLEARED}
        assert cleared <= {alert.id for alert in self.alerts if alert.state is AlertState.RAISED}


async def _settled(address: str, expected: set[tuple[str, str]]) -> Found:
    """What the log holds once every fault has its task and a second has passed in which nothing changed."""
    before = -1
    async with asyncio.timeout(30):
        while True:
            found = await _read(address)
            places = {(str(task.device), task.cause) for task in found.newest}
            if places >= expected and len(found.alerts) + len(found.tasks) == before:
                return found
            before = len(found.alerts) + len(found.tasks)
            await asyncio.sleep(1)


async def _read(address: str) -> Found:
    found = Found()
    for topic_filter, take in (("alerts/#", _note_alert), ("tasks/#", _note_task)):
        async with deliveries(address, topic_filter) as frames:
            async for frame in frames:
                for message in frame.messages():
                    take(found, message.content)
    return found


def _note_alert(found: Found, content: bytes) -> None:
    found.alerts.append(decode_alert(content))


def _note_task(found: Found, content: bytes) -> None:
    found.tasks.append(decode_task(content))
