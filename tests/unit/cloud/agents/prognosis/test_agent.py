"""The agent against a small hub: what a crash, a repetition and a closed door lead to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fieldline.config import loads
from fieldline.errors import ConfigError, DecodeError
from fieldline.model import Reading
from fieldline.wire.readings import decode_readings
from fieldline_cloud.agents.database import StorageError
from fieldline_cloud.agents.prognosis.agent import PrognosisAgent
from fieldline_cloud.agents.prognosis.learning import learn
from fieldline_cloud.agents.prognosis.settings import PrognosisSettings
from fieldline_cloud.demo.fleet import STRANGER, pump, readings_of, write_histories
from fieldline_cloud.prognosis.tags import Prognosis, read_prognosis
from tests.unit.cloud.agents.doubles import T0, FakeHub, poll
from tests.unit.cloud.agents.prognosis.test_forecaster import HOUR, worn

SETTINGS = """
kind: prognosis
data: {data}
save_every_s: 0.05
publish_every_s: 0
tags:
  - {{match: {{tag: vibration}}, limit: 7.1, warmup: 12}}
"""


@asynccontextmanager
async def running(hub: FakeHub, folder: Path) -> AsyncIterator[PrognosisAgent]:
    """An agent at work; leaving is what a SIGTERM does."""
    agent = PrognosisAgent(loads(SETTINGS.format(data=folder), PrognosisSettings, name="p.yaml"))
    work = asyncio.create_task(agent.run(hub))
    try:
        yield agent
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def said(hub: FakeHub) -> list[Prognosis | None]:
    return [read_prognosis(decode_readings(content))["vibration"] for _, content in hub.published]


async def test_readings_of_a_worn_machine_become_a_prognosis_and_are_acknowledged(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path):
        await hub.readings(*worn(0, 50))
        await hub.until(lambda: hub.cursors.get("prognosis") == 1)

    assert [topic for topic, _ in hub.published] == ["prognoses/demo/hall-a/pump-2"]
    (prognosis,) = said(hub)
    assert prognosis is not None


async def test_frames_that_lead_to_nothing_are_acknowledged_after_a_while_too(tmp_path: Path) -> None:
    hub = FakeHub()
    async with running(hub, tmp_path) as agent:
        await hub.readings(*worn(0, 5))
        await hub.append("readings/nowhere", worn(0, 1))
        await hub.append("readings/demo/hall-a/pump-2", DecodeError("cut"))
        await hub.until(lambda: hub.cursors.get("prognosis") == 3)

    assert hub.published == []
    assert (agent.stats.frames, agent.stats.frames_misplaced, agent.stats.frames_undecodable) == (3, 1, 1)


async def test_no_frame_is_acknowledged_before_its_prognosis_is_with_the_hub(tmp_path: Path) -> None:
    hub = FakeHub()
    hub.publish_gate.clear()
    async with running(hub, tmp_path) as agent:
        await hub.readings(*worn(0, 50))
        await poll(lambda: agent.stats.saves > 0)
        assert hub.cursors == {}
        hub.publish_gate.set()
        await hub.until(lambda: hub.cursors.get("prognosis") == 1)

    assert len(said(hub)) == 1


async def test_a_run_cut_in_two_says_what_a_whole_one_says(tmp_path: Path) -> None:
    whole, cut = FakeHub(), FakeHub()
    async with running(whole, tmp_path / "whole"):
        for hour in range(0, 60, 5):
            await whole.readings(*worn(hour, hour + 5))
        await whole.until(lambda: whole.cursors.get("prognosis") == 12)
    async with running(cut, tmp_path / "cut"):
        for hour in range(0, 45, 5):
            await cut.readings(*worn(hour, hour + 5))
        await cut.until(lambda: cut.cursors.get("prognosis") == 9)
    cut.cursors.clear()  # the hub has forgotten, and delivers everything again
    async with running(cut, tmp_path / "cut") as agent:
        for hour in range(45, 60, 5):
            await cut.readings(*worn(hour, hour + 5))
        await cut.until(lambda: cut.cursors.get("prognosis") == 12)

    assert agent.stats.frames_repeated == 9
    assert said(cut) == said(whole) != []


async def test_what_was_decided_before_a_crash_is_published_after_it(tmp_path: Path) -> None:
    hub = FakeHub()
    hub.publish_gate.clear()
    async with running(hub, tmp_path) as agent:
        await hub.readings(*worn(0, 50))
        await poll(lambda: agent.stats.saves > 0)
    hub.publish_gate.set()
    async with running(hub, tmp_path):
        await hub.until(lambda: hub.cursors.get("prognosis") == 1)

    assert len(said(hub)) == 1


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    agent = PrognosisAgent(loads(SETTINGS.format(data=tmp_path / "file"), PrognosisSettings, name="p.yaml"))

    with pytest.raises(StorageError, match="check that the folder is writable"):
        await agent.run(FakeHub())


MODELS = """
kind: prognosis
data: {data}
save_every_s: 0.05
publish_every_s: 0
tags:
  - {{match: {{tag: vibration}}, limit: 7.1, warmup: 12}}
models:
  - {{device: "demo/hall-a/pump-9", histories: {histories}, step_s: 3600, publish_as: vibration, warmup_steps: 100}}
"""


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pumps")
    write_histories(folder, 12)
    return folder


def learner(folder: Path, histories: Path) -> PrognosisAgent:
    """An agent with a model for pump-9."""
    text = MODELS.format(data=folder, histories=histories)
    return PrognosisAgent(loads(text, PrognosisSettings, name="p.yaml"))


async def replayed(hub: FakeHub, agent: PrognosisAgent, *frames: list[Reading]) -> None:
    work = asyncio.create_task(agent.run(hub))
    for frame in frames:
        await hub.append(STRANGER.readings_topic, frame)
    await hub.until(lambda: hub.cursors.get("prognosis") == len(hub.log), timeout_s=60.0)  # 0.02 s of work a step
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def test_a_model_foretells_what_is_left_also_in_a_run_cut_in_two(
    tmp_path: Path, histories: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleets = learn(learner(tmp_path, histories).settings.models)
    monkeypatch.setattr("fieldline_cloud.agents.prognosis.agent.learn", lambda models: fleets)  # once is enough
    rows = pump(1_000)[:-20].tolist()
    frames = [readings_of([row], T0 // HOUR * HOUR + hour * HOUR) for hour, row in enumerate(rows)]
    whole, cut = FakeHub(), FakeHub()
    await replayed(whole, learner(tmp_path / "whole", histories), *frames)
    await replayed(cut, learner(tmp_path / "cut", histories), *frames[:105])
    await replayed(cut, learner(tmp_path / "cut", histories), *frames[105:])

    assert said(cut) == said(whole)
    assert len(said(whole)) == len(rows) - 100
    last = said(whole)[-1]
    assert last is not None
    assert last.p50_h == pytest.approx(21, abs=6)
    assert "learned from 12 machines" in last.trend


async def test_histories_that_cannot_be_read_end_the_agent_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; name a folder with one CSV"):
        await learner(tmp_path, tmp_path / "none").run(FakeHub())
