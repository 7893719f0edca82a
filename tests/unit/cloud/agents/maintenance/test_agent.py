"""The agent against a small hub: no task twice, none forgotten."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fieldline.config import loads
from fieldline.errors import DecodeError
from fieldline.model import Alert, AlertState, Severity, TaskState
from fieldline.wire.plant import encode_alert
from fieldline_cloud.agents.maintenance.agent import MaintenanceAgent
from fieldline_cloud.agents.maintenance.settings import MaintenanceSettings
from tests.unit.cloud.agents.doubles import PUMP, T0, FakeHub, poll

TEXT = """
kind: maintenance
data: {data}
technicians:
  - {{name: Amira, skills: [bearings, inspection], shift: {{start: "06:00", end: "06:00"}}}}
templates:
  bearing_wear: {{title: "Check {{device}}", skill: {skill}}}
"""


@asynccontextmanager
async def running(hub: FakeHub, folder: Path, skill: str = "bearings") -> AsyncIterator[MaintenanceAgent]:
    settings = loads(TEXT.format(data=folder, skill=skill), MaintenanceSettings, name="m.yaml")
    agent = MaintenanceAgent(settings, now_ns=lambda: T0)
    work = asyncio.create_task(agent.run(hub))
    try:
        yield agent
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def alert(rule: str = "range_hi", severity: Severity = Severity.WARNING) -> Alert:
    return Alert(PUMP, "vibration", rule, "bearing_wear", severity, AlertState.RAISED, T0, "too high")


async def say(hub: FakeHub, *alerts: Alert) -> None:
    await hub.append(PUMP.alerts_topic, [encode_alert(each) for each in alerts], producer="anomaly")


async def test_an_alert_becomes_a_task_and_is_then_acknowledged(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        await say(hub, alert())
        await hub.until(lambda: hub.cursors.get("maintenance") == 1)
    (task,) = hub.tasks
    assert (task.technician, task.state, task.title) == ("Amira", TaskState.ASSIGNED, "Check pump-2")
    assert hub.published[0][0] == f"tasks/demo/hall-a/{task.id}"


async def test_alerts_of_one_frame_are_dealt_with_in_order(tmp_path: Path) -> None:
    hub = FakeHub()
    worse = alert("range_hi_hi", Severity.CRITICAL)
    all_clear = [replace(each, state=AlertState.CLEARED, cleared_at_ns=T0 + 1) for each in (worse, alert())]
    async with running(hub, tmp_path):
        await say(hub, alert(), worse, *all_clear)
        await hub.until(lambda: hub.cursors.get("maintenance") == 1)
    assert [(task.revision, task.severity.name, task.condition_cleared) for task in hub.tasks] == [
        (1, "WARNING", False),
        (2, "CRITICAL", False),
        (3, "CRITICAL", True),
    ]


async def test_an_alert_delivered_again_makes_no_second_task(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path) as agent:
        await say(hub, alert())
        await say(hub, alert())
        await hub.until(lambda: hub.cursors.get("maintenance") == 2)
        assert agent.stats.alerts_repeated == 1
    hub.cursors.clear()  # the acknowledgements were lost: everything comes again
    async with running(hub, tmp_path):
        await hub.until(lambda: hub.cursors.get("maintenance") == 2)
    assert len(hub.tasks) == 1


async def test_a_restart_remembers_what_is_open(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        await say(hub, alert())
        await hub.until(lambda: hub.cursors.get("maintenance") == 1)
    async with running(hub, tmp_path):
        await say(hub, alert("rate"))
        await say(hub, *(replace(alert(r), state=AlertState.CLEARED, cleared_at_ns=T0) for r in ("rate", "range_hi")))
        await hub.until(lambda: hub.cursors.get("maintenance") == 3)
    assert [(task.revision, task.condition_cleared) for task in hub.tasks] == [(1, False), (2, False), (3, True)]
    assert len({task.id for task in hub.tasks}) == 1


async def test_a_task_that_could_not_be_published_is_published_at_the_next_start(tmp_path: Path) -> None:
    hub = FakeHub()
    hub.publish_gate.clear()
    async with running(hub, tmp_path) as agent:
        await say(hub, alert())
        await poll(lambda: agent.stats.tasks_opened == 1)
        assert hub.cursors == {}
    hub.publish_gate.set()
    async with running(hub, tmp_path):
        await hub.until(lambda: hub.cursors.get("maintenance") == 1)
    assert [task.revision for task in hub.tasks] == [1]


async def test_what_is_no_alert_is_skipped_and_the_rest_is_not(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path) as agent:
        await hub.append(PUMP.alerts_topic, DecodeError("cut"))
        await hub.append(PUMP.alerts_topic, [b"\xff\xff", encode_alert(alert()), b""])
        await hub.until(lambda: hub.cursors.get("maintenance") == 2)
        assert agent.stats.alerts_undecodable == 3
    assert len(hub.tasks) == 1


async def test_a_task_without_technician_is_given_out_when_one_is_configured(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path, skill="welding"):
        await say(hub, alert())
        await hub.until(lambda: hub.cursors.get("maintenance") == 1)
    assert "nobody has the skill and a shift" in caplog.text
    assert hub.tasks[0].state is TaskState.OPEN
