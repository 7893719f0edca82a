"""The agent against a small hub: no task twice, none forgotten."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fieldline.config import loads
from fieldline.errors import DecodeError
from fieldline.model import (
    Alert,
    AlertState,
    DeviceId,
    Reading,
    RemainingLife,
    Severity,
    TaskState,
    Verdict,
    VerdictKind,
)
from fieldline.wire.plant import decode_verdict, encode_alert, encode_verdict
from fieldline_cloud.agents.database import StorageError
from fieldline_cloud.agents.maintenance.agent import MaintenanceAgent
from fieldline_cloud.agents.maintenance.settings import MaintenanceSettings
from fieldline_cloud.agents.maintenance.store import MaintenanceStore
from fieldline_cloud.prognosis.tags import Prognosis, prognosis_readings
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0, FakeHub, poll

TEXT = """
kind: maintenance
data: {data}
technicians:
  - {{name: Amira, skills: [bearings, inspection], shift: {{start: "06:00", end: "06:00"}}}}
templates:
  bearing_wear: {{title: "Check {{device}}", skill: {skill}}}
"""


@asynccontextmanager
async def running(
    hub: FakeHub, folder: Path, skill: str = "bearings", *, more: str = "", now_ns: Callable[[], int] = lambda: T0
) -> AsyncIterator[MaintenanceAgent]:
    settings = loads(TEXT.format(data=folder, skill=skill) + more, MaintenanceSettings, name="m.yaml")
    agent = MaintenanceAgent(settings, now_ns=now_ns, tick_s=0.01)
    work = asyncio.create_task(agent.run(hub))
    try:
        yield agent
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def alert(rule: str = "range_hi", severity: Severity = Severity.WARNING) -> Alert:
    return Alert(PUMP, "vibration", rule, "bearing_wear", severity, AlertState.RAISED, T0, "too high")


async def ask(hub: FakeHub, question: dict[str, Any] | bytes, *, by: str = "console") -> dict[str, Any]:
    content = question if isinstance(question, bytes) else json.dumps(question).encode()
    return dict(json.loads(await hub.ask("ask/tasks", content, by=by)))


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
    assert "nobody has the skill welding" in caplog.text
    assert hub.tasks[0].state is TaskState.OPEN


async def test_an_order_is_carried_out_published_and_in_the_timeline(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        await say(hub, alert())
        await hub.until(lambda: len(hub.tasks) == 1)
        order = {"do": "done", "id": "o1", "task": hub.tasks[0].id, "verdict": "confirmed", "note": "new bearing"}
        answer = await ask(hub, order, by="phone")
        await hub.until(lambda: len(hub.published) == 3)
        shown = await ask(hub, {"do": "show", "task": hub.tasks[0].id})
    assert (answer["status"], answer["task"]["state"]) == ("done", "done")
    assert (hub.tasks[-1].state, hub.tasks[-1].by, hub.tasks[-1].reason) == (TaskState.DONE, "phone", "new bearing")
    (verdict,) = [decode_verdict(content) for topic, content in hub.published if topic.startswith("verdicts/")]
    assert (verdict.alert_id, verdict.by) == (alert().id, "phone")
    assert [event["kind"] for event in shown["timeline"]] == ["alert", "task", "verdict", "order", "task"]


async def test_an_order_that_comes_again_after_a_restart_is_not_done_twice(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        await say(hub, alert())
        await hub.until(lambda: len(hub.tasks) == 1)
        order = {"do": "accept", "id": "o1", "task": hub.tasks[0].id}
        first = await ask(hub, order)
    hub.responders.clear()
    async with running(hub, tmp_path):
        again = await ask(hub, order)
        other = await ask(hub, {**order, "do": "start"})
    assert again == {**first, "repeated": True}
    assert other["code"] == "id_reused"


async def test_questions_are_answered_and_nonsense_is_refused(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path) as agent:
        await say(hub, alert())
        await hub.until(lambda: len(hub.tasks) == 1)
        listed = await ask(hub, {"do": "list", "technician": "Amira"})
        nobody = await ask(hub, {"do": "list", "technician": "Zoe"})
        people = await ask(hub, {"do": "technicians"})
        events = await ask(hub, {"do": "history", "cause": "bearing_wear"})
        calendar = await ask(hub, {"do": "calendar", "technician": "Amira"})
        refused = [
            await ask(hub, b"\xff"),
            await ask(hub, {"do": "calendar", "technician": "X"}),
        ]
        assert agent.stats.orders_refused == 2
    assert [task["task"] for task in listed["tasks"]] == [hub.tasks[0].id]
    assert nobody["tasks"] == []
    assert people["technicians"][0]["tasks"] == 1
    assert [event["kind"] for event in events["events"]] == ["task", "alert"]
    assert "SUMMARY:Check pump-2" in calendar["calendar"]
    assert [answer["code"] for answer in refused] == ["bad_request", "unknown_technician"]


async def test_a_prognosis_moves_the_due_date(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        await hub.append(f"prognoses/{PUMP}", prognosis_readings("vibration", Prognosis(100.0, 200.0, 300.0), T0))
        await hub.until(lambda: hub.cursors.get("maintenance.context") == 1)
        await say(hub, alert())
        await hub.until(lambda: len(hub.tasks) == 1)
    assert hub.tasks[0].remaining_life == RemainingLife(100.0, 200.0, 300.0)
    assert hub.tasks[0].due_at_ns == T0 + 50 * 3_600 * SECOND


async def test_what_is_no_prognosis_and_no_verdict_is_skipped(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        await hub.append(f"prognoses/{PUMP}", DecodeError("cut"))
        await hub.append(f"verdicts/{PUMP}", [b"\xff"])
        await hub.append(f"prognoses/{PUMP}", [Reading("vibration.remaining_h.p10", T0, float("nan"))])
        await hub.until(lambda: hub.cursors.get("maintenance.context") == 3)


async def test_a_verdict_of_somebody_else_is_in_the_history(tmp_path: Path) -> None:
    hub = FakeHub()
    said = Verdict(PUMP, alert().id, alert().fingerprint, VerdictKind.FALSE_ALARM, "console", T0)
    async with running(hub, tmp_path):
        await hub.append(said.topic, [encode_verdict(said)])
        await hub.until(lambda: hub.cursors.get("maintenance.context") == 1)
        answer = await ask(hub, {"do": "history", "kind": "verdict"})
    assert [(event["by"], event["text"]) for event in answer["events"]] == [("console", "false_alarm")]


async def test_time_alone_escalates_what_nobody_accepts(tmp_path: Path) -> None:
    hub, now_ns = FakeHub(), [T0]
    async with running(hub, tmp_path, now_ns=lambda: now_ns[0]) as agent:
        await say(hub, alert(severity=Severity.CRITICAL))
        await hub.until(lambda: len(hub.tasks) == 1)
        now_ns[0] += 11 * 60 * SECOND
        await poll(lambda: agent.stats.escalations == 1)
        now_ns[0] += 3_600 * SECOND
        await poll(lambda: agent.stats.escalations == 3)


async def test_a_better_plan_is_searched_for_beside_everything_else(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path, more="plan: {search_s: 0.2, move_cost_min: 0}\n") as agent:
        for number in range(6):
            pump = DeviceId("demo", "hall-" + "ab"[number % 2], f"pump-{number}")
            await hub.append(pump.alerts_topic, [encode_alert(replace(alert(), device=pump))], producer="anomaly")
        await hub.until(lambda: hub.cursors.get("maintenance") == 6)
        await poll(lambda: agent.stats.searches >= 1, timeout_s=20)
        answer = await ask(hub, {"do": "list"})
    assert len(answer["tasks"]) == 6
    assert agent.stats.searches_failed == 0


async def test_a_calendar_feed_opens_with_its_secret_alone(tmp_path: Path) -> None:
    hub, token = FakeHub(), "0123456789abcdef"
    text = TEXT.replace("}}}}\ntemplates", '}}, calendar_token: "0123456789abcdef"}}\ntemplates')
    settings = loads(text.format(data=tmp_path, skill="bearings"), MaintenanceSettings, name="m.yaml")
    agent = MaintenanceAgent(settings, now_ns=lambda: T0)
    work = asyncio.create_task(agent.run(hub))
    await hub.until(lambda: "ask/tasks" in hub.responders)
    pages = [
        await asyncio.to_thread(agent.page, path, query)
        for path, query in (
            ("/calendar/Amira.ics", f"token={token}"),
            ("/calendar/Amira.ics", "token=wrong"),
            ("/calendar/Amira.ics", ""),
            ("/calendar/Zoe.ics", f"token={token}"),
            ("/calendar/Zoe.ics", "token="),
            ("/secrets", f"token={token}"),
        )
    ]
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    assert pages[0] is not None
    assert pages[0][1].startswith(b"BEGIN:VCALENDAR\r\n")
    assert pages[1:] == [None] * 5


async def test_a_state_that_cannot_be_kept_ends_the_agent_and_the_order_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub()

    async def full(*_: object, **__: object) -> int:
        raise StorageError("maintenance.db: disk is full; make room")

    settings = loads(TEXT.format(data=tmp_path, skill="bearings"), MaintenanceSettings, name="m.yaml")
    agent = MaintenanceAgent(settings, now_ns=lambda: T0)
    work = asyncio.create_task(agent.run(hub))
    await say(hub, alert())
    await hub.until(lambda: len(hub.tasks) == 1 and hub.cursors.get("maintenance") == 1)
    monkeypatch.setattr(MaintenanceStore, "save", full)
    answer = await ask(hub, {"do": "accept", "id": "o1", "task": hub.tasks[0].id})
    with pytest.raises(StorageError, match="disk is full"):
        await work
    assert (answer["status"], answer["code"]) == ("refused", "storage")
