"""The agent against a small hub: what a crash, a repetition and a closed door lead to."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldline.config import loads
from fieldline.errors import DecodeError
from fieldline.model import Alert, AlertState, DeviceId, Reading, Severity, Verdict, VerdictKind
from fieldline.wire.plant import encode_verdict
from fieldline_cloud.agents.anomaly.agent import AnomalyAgent
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.database import StorageError
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0, FakeHub, poll

RULES = """
kind: anomaly
data: {data}
tick_s: 0.05
save_every_s: 0.05
rules:
  - match: {{tag: vibration}}
    cause: bearing_wear
    range: {{hi: 4.5, hi_hi: 7.1, deadband: 0.3}}
  - stale: {{after_s: 10}}
"""


class Clock:
    """Starts at T0 and moves when told."""

    def __init__(self) -> None:
        self.now_ns = T0

    def __call__(self) -> int:
        return self.now_ns


@asynccontextmanager
async def running(hub: FakeHub, folder: Path, **kwargs: Any) -> AsyncIterator[AnomalyAgent]:
    """An agent at work; leaving is what a SIGTERM does."""
    agent = AnomalyAgent(loads(RULES.format(data=folder), AnomalySettings, name="a.yaml"), **kwargs)
    work = asyncio.create_task(agent.run(hub))
    try:
        yield agent
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def vibration(value: float, second: int) -> Reading:
    return Reading("vibration", T0 + second * SECOND, value)


async def test_a_high_reading_becomes_an_alert_and_its_frame_is_acknowledged(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        await hub.readings(vibration(5.0, 1))
        await hub.until(lambda: hub.cursors.get("anomaly") == 1)
    (alert,) = hub.alerts
    assert hub.published[0][0] == "alerts/demo/hall-a/pump-2"
    assert (alert.rule, alert.cause, alert.raised_at_ns) == ("range_hi", "bearing_wear", T0 + SECOND)


async def test_quiet_frames_are_acknowledged_after_a_while_too(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        for second in range(3):
            await hub.readings(vibration(1.0, second))
        await hub.until(lambda: hub.cursors.get("anomaly") == 3)
    assert hub.alerts == []


async def test_no_frame_is_acknowledged_before_its_alert_is_with_the_hub(tmp_path: Path) -> None:
    hub = FakeHub()
    hub.publish_gate.clear()
    async with running(hub, tmp_path) as agent:
        await hub.readings(vibration(5.0, 1))
        await poll(lambda: agent.stats.saves > 1)
        assert hub.cursors == {}
        hub.publish_gate.set()
        await hub.until(lambda: hub.cursors.get("anomaly") == 1)
    assert len(hub.alerts) == 1


async def test_an_agent_that_dies_before_publishing_publishes_at_its_next_start_once(tmp_path: Path) -> None:
    hub = FakeHub()
    hub.publish_gate.clear()
    async with running(hub, tmp_path) as agent:
        await hub.readings(vibration(5.0, 1))
        await poll(lambda: agent.stats.saves > 1)
    hub.publish_gate.set()
    async with running(hub, tmp_path) as agent:
        await hub.readings(vibration(1.0, 2))
        await hub.until(lambda: hub.cursors.get("anomaly") == 2)
        assert agent.stats.frames_repeated == 1  # it was never acknowledged, so it came again
    assert [alert.state for alert in hub.alerts] == [AlertState.RAISED, AlertState.CLEARED]
    assert hub.alerts[0].id == hub.alerts[1].id


async def test_the_same_frames_judged_from_the_same_state_give_the_same_alert_id(tmp_path: Path) -> None:
    first, second = FakeHub(), FakeHub()
    async with running(first, tmp_path / "one"):
        await first.readings(vibration(5.0, 1))
        await first.until(lambda: first.cursors.get("anomaly") == 1)
    async with running(second, tmp_path / "two"):
        await second.readings(vibration(5.0, 1))
        await second.until(lambda: second.cursors.get("anomaly") == 1)
    assert first.alerts[0].id == second.alerts[0].id


async def test_a_frame_delivered_twice_is_judged_once(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path) as agent:
        await hub.readings(vibration(5.0, 1))
        await hub.until(lambda: hub.cursors.get("anomaly") == 1)
        await hub.append(PUMP.readings_topic, [vibration(1.0, 2)], sequence=1)
        await hub.until(lambda: hub.cursors.get("anomaly") == 2)
        assert agent.stats.frames_repeated == 1
    assert len(hub.alerts) == 1


async def test_a_hub_that_starts_with_an_empty_log_is_not_taken_for_a_repetition(tmp_path: Path) -> None:
    old, new = FakeHub(), FakeHub()
    async with running(old, tmp_path):
        for second in range(5):
            await old.readings(vibration(1.0, second))
        await old.until(lambda: old.cursors.get("anomaly") == 5)
    async with running(new, tmp_path):
        await new.append(PUMP.readings_topic, [vibration(5.0, 9)], sequence=6)  # the gateway goes on counting
        await new.until(lambda: len(new.alerts) == 1)


async def test_frames_that_are_no_readings_are_skipped_and_counted(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path) as agent:
        await hub.append(PUMP.readings_topic, DecodeError("cut"))
        await hub.append("readings/demo/too/many/levels", [vibration(9.0, 1)])
        await hub.readings(vibration(5.0, 1))
        await hub.until(lambda: hub.cursors.get("anomaly") == 3)
        assert (agent.stats.frames_undecodable, agent.stats.frames_misplaced) == (1, 1)
    assert len(hub.alerts) == 1


async def test_silence_is_noticed_while_the_link_is_up(tmp_path: Path) -> None:
    hub, clock = FakeHub(), Clock()
    async with running(hub, tmp_path, now_ns=clock) as agent:
        await hub.readings(vibration(1.0, 0))
        await hub.until(lambda: hub.cursors.get("anomaly") == 1)
        while not hub.alerts:
            clock.now_ns += SECOND
            await asyncio.sleep(0.06)  # one tick of the agent
            assert clock.now_ns < T0 + 60 * SECOND
        await hub.readings(vibration(1.0, 20))
        await hub.until(lambda: len(hub.alerts) == 2)
        assert agent.monitor.raised == ()
    assert [(alert.rule, alert.state.value) for alert in hub.alerts] == [("stale", "raised"), ("stale", "cleared")]


async def test_nobody_is_blamed_while_history_is_still_to_come_unless_the_hub_says_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, clock = FakeHub(), Clock()
    hub.history = 1_000  # more than it will ever send: what else the log holds does not match the filter
    async with running(hub, tmp_path, now_ns=clock) as agent:
        await hub.readings(vibration(1.0, 0))
        await hub.until(lambda: hub.cursors.get("anomaly") == 1)
        graces = agent.stats.graces
        await poll(lambda: agent.stats.graces > graces + 3)
        monkeypatch.setattr("fieldline_cloud.agents.anomaly.agent.QUIET_S_MIN", 0.05)
        while not hub.alerts:
            clock.now_ns += SECOND
            await asyncio.sleep(0.06)  # one tick of the agent
            assert clock.now_ns < T0 + 60 * SECOND
    assert [alert.rule for alert in hub.alerts] == ["stale"]


async def test_nobody_is_blamed_for_silence_while_the_link_is_down(tmp_path: Path) -> None:
    hub, clock = FakeHub(), Clock()
    async with running(hub, tmp_path, now_ns=clock) as agent:
        await hub.readings(vibration(1.0, 0))
        await hub.until(lambda: hub.cursors.get("anomaly") == 1)
        hub.connected = False
        graces = agent.stats.graces
        async with asyncio.timeout(5):
            while agent.stats.graces < graces + 10:
                clock.now_ns += 3 * SECOND
                await asyncio.sleep(0.06)
    assert hub.alerts == []


async def test_an_unusable_folder_ends_the_agent_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    agent = AnomalyAgent(loads(RULES.format(data=tmp_path / "file"), AnomalySettings, name="a.yaml"))
    with pytest.raises(StorageError, match="check that the folder is writable"):
        await agent.run(FakeHub())


async def test_tags_of_many_devices_are_kept_apart(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        for number in range(3):
            await hub.readings(vibration(5.0, 1), device=DeviceId("demo", "hall-a", f"pump-{number}"))
        await hub.until(lambda: len(hub.alerts) == 3)
    assert len({alert.id for alert in hub.alerts}) == 3


HIGH = "demo/hall-a/pump-2:vibration:range_hi"


async def test_an_order_is_answered_once_its_alert_is_with_the_hub(tmp_path: Path) -> None:
    hub = FakeHub()
    order = json.dumps({"do": "acknowledge", "alarm": HIGH, "by": "anna"}).encode()
    async with running(hub, tmp_path):
        await hub.readings(vibration(5.0, 1))
        await hub.until(lambda: len(hub.alerts) == 1)
        reply = json.loads(await hub.ask("ask/alarms", order))
        answered = hub.alerts
    assert (reply["status"], reply["changed"]) == ("done", 1)
    assert [(alert.state, alert.by) for alert in answered] == [
        (AlertState.RAISED, ""),
        (AlertState.ACKNOWLEDGED, "anna (console)"),
    ]


async def test_an_order_whose_asker_went_away_is_carried_out_whole(tmp_path: Path) -> None:
    hub = FakeHub()
    order = json.dumps({"do": "acknowledge", "alarm": HIGH}).encode()
    async with running(hub, tmp_path):
        await hub.readings(vibration(5.0, 1))
        await hub.until(lambda: len(hub.alerts) == 1)
        hub.publish_gate.clear()
        asking = asyncio.create_task(hub.ask("ask/alarms", order))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asking, 0.2)  # the deadline of the one who asks
        hub.publish_gate.set()
        await hub.until(lambda: len(hub.alerts) == 2)
    assert hub.alerts[1].state is AlertState.ACKNOWLEDGED


async def test_what_people_said_outlives_the_process(tmp_path: Path) -> None:
    hub = FakeHub()
    shelve = {"do": "shelve", "alarm": HIGH, "for_s": 600, "note": "fitter comes"}
    async with running(hub, tmp_path, now_ns=Clock()):
        await hub.readings(vibration(5.0, 1))
        await hub.until(lambda: len(hub.alerts) == 1)
        await hub.ask("ask/alarms", json.dumps(shelve).encode())
    hub.responders.clear()
    async with running(hub, tmp_path, now_ns=Clock()):
        reply = json.loads(await hub.ask("ask/alarms", b'{"do": "list"}'))
    assert [(one["state"], one["note"]) for one in reply["alarms"]] == [("shelved", "fitter comes")]
    assert len(hub.alerts) == 2


async def test_an_agent_that_may_not_answer_watches_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = FakeHub()
    hub.no_answers = True
    async with running(hub, tmp_path):
        await hub.readings(vibration(5.0, 1))
        await hub.until(lambda: len(hub.alerts) == 1)
    assert "nobody can ask this agent" in caplog.text


async def test_a_verdict_moves_a_threshold_once_and_is_kept(tmp_path: Path) -> None:
    hub = FakeHub()
    alert = Alert(PUMP, "flow", "surprise", "anomaly", Severity.WARNING, AlertState.RAISED, T0, "odd")
    verdict = Verdict(PUMP, alert.id, alert.fingerprint, VerdictKind.FALSE_ALARM, "Amira", T0 + SECOND)
    async with running(hub, tmp_path, now_ns=Clock()) as agent:
        agent.watch.thresholds.raised(alert)
        for sequence in (1, 2):  # it comes twice
            await hub.append(verdict.topic, [encode_verdict(verdict)], producer="desk", sequence=sequence)
        await hub.append(verdict.topic, [b"no verdict"], producer="desk", sequence=3)
        await hub.until(lambda: hub.cursors.get("anomaly-verdicts") == 3)
        assert agent.watch.learn_stats.thresholds_raised == 1
        answer = json.loads(await hub.ask("ask/detectors", b'{"do": "thresholds"}'))
    assert answer == {"status": "done", "thresholds": [{"fingerprint": alert.fingerprint, "factor": 1.25}]}
    async with running(hub, tmp_path, now_ns=Clock()) as agent:
        await hub.until(lambda: "ask/detectors" in hub.responders)
        await poll(lambda: agent.stats.saves > 0)
        assert agent.watch.thresholds.factor(alert.fingerprint, T0) == pytest.approx(1.25)
    with contextlib.closing(sqlite3.connect(tmp_path / "anomaly.db")) as database:
        kept = database.execute("SELECT said_by, kind, refused, factor_after FROM verdicts").fetchall()
    assert kept == [("Amira", "false_alarm", None, 1.25), ("Amira", "false_alarm", "said before", 1.25)]


async def test_what_was_learned_outlives_the_agent(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path) as agent:
        for second in range(50):
            await hub.readings(Reading("flow", T0 + second * SECOND, float(second % 5)))
        await hub.until(lambda: hub.cursors.get("anomaly") == 50)
        assert agent.watch.learned is not None
        before = agent.watch.learned.snapshot(PUMP)
    async with running(hub, tmp_path) as agent:
        await poll(lambda: agent.stats.saves > 0)
        assert agent.watch.learned is not None
        assert agent.watch.learned.snapshot(PUMP) == before


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"no json", "bad_request"),
        (b'{"do": "dance"}', "bad_request"),
        (b'{"do": "relearn", "device": "too/short"}', "bad_request"),
        (b'{"do": "relearn", "device": "demo/hall-a/pump-2"}', "unknown"),
    ],
)
async def test_a_wrong_order_on_detectors_is_refused(tmp_path: Path, request_: bytes, code: str) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        answer = json.loads(await hub.ask("ask/detectors", request_))
    assert (answer["status"], answer["code"]) == ("refused", code)
