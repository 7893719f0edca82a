"""The prognosis agent with a real hub: from readings on the wire to remaining hours, through a kill."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fieldline import Runtime, Start
from fieldline.model import DeviceId
from fieldline_cloud.demo.fleet import STRANGER, pump, readings_of, write_histories
from fieldline_cloud.hub import Hub
from fieldline_cloud.prognosis.tags import Prognosis, prognosis_topic, read_prognosis
from tests.integration.cloud.harness import DEADLINE_S, address, running_hub
from tests.unit.cloud.agents.doubles import PUMP, T0
from tests.unit.cloud.agents.prognosis.test_forecaster import HOUR, worn

LEARNS_WITHIN_S = 120.0
"""Until an agent subscribes: with histories it learns before, which takes its time on a busy machine."""
CONFIG = """
kind: prognosis
save_every_s: 0.05
publish_every_s: 14400
tags:
  - {match: {tag: vibration}, limit: 7.1, warmup: 12}
"""


@asynccontextmanager
async def agent(hub: Hub, folder: Path, text: str = CONFIG) -> AsyncIterator[asyncio.subprocess.Process]:
    """`fieldline agent prognosis`; killed at the end if it still runs."""
    config = folder / "prognosis.yaml"
    config.write_text(text)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from fieldline.cli import main; main()", "agent", "prognosis", str(config)),
        *("--hub", address(hub), "--data", str(folder / "prognosis")),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(LEARNS_WITHIN_S):
            while line := await process.stderr.readline():
                if b"subscribed" in line:
                    break
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def prognoses(
    runtime: Runtime, count: int, device: DeviceId = PUMP, tag: str = "vibration"
) -> list[Prognosis | None]:
    """The first `count` prognoses of the tag, from the beginning of the log."""
    found: list[Prognosis | None] = []
    async with (
        asyncio.timeout(DEADLINE_S),
        runtime.subscribe(prognosis_topic(device), start=Start.EARLIEST) as frames,
    ):
        while len(found) < count:
            delivery = await frames.next_delivery()
            assert delivery is not None
            found.append(read_prognosis(delivery.readings())[tag])
    return found


async def test_a_wear_is_foretold_through_a_kill(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, Runtime(address(hub), name="test") as runtime:
        async with agent(hub, tmp_path) as killed:
            await runtime.publish_readings(PUMP.readings_topic, worn(0, 50), key="pump-2", stored=True)
            (first,) = await prognoses(runtime, 1)
            killed.kill()
        await runtime.publish_readings(PUMP.readings_topic, worn(50, 60), key="pump-2", stored=True)
        async with agent(hub, tmp_path) as stopped:
            again, second = await prognoses(runtime, 2)
            stopped.send_signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE_S):
                await stopped.communicate()

    assert again == first
    assert first is not None
    assert second is not None
    assert second.p50_h < first.p50_h - 5
    assert stopped.returncode == 0


async def test_a_learned_life_is_foretold_through_a_kill(tmp_path: Path) -> None:
    write_histories(tmp_path / "pumps", 12)
    config = (
        "kind: prognosis\nsave_every_s: 0.05\nmodels:\n"
        f"  - {{device: '+/+/pump-*', histories: {tmp_path}/pumps, step_s: 3600}}\n"
    )
    history, begin_ns = pump(1_000).tolist(), T0 // HOUR * HOUR
    halves = (readings_of(history[:60], begin_ns), readings_of(history[60:110], begin_ns + 60 * HOUR))
    topic = STRANGER.readings_topic
    async with running_hub(tmp_path) as hub, Runtime(address(hub), name="test") as runtime:
        async with agent(hub, tmp_path, config) as killed:
            await runtime.publish_readings(topic, halves[0], key=STRANGER.device, stored=True)
            (first,) = await prognoses(runtime, 1, STRANGER, "machine")
            killed.kill()
        await runtime.publish_readings(topic, halves[1], key=STRANGER.device, stored=True)
        async with agent(hub, tmp_path, config) as stopped:
            again, second = await prognoses(runtime, 2, STRANGER, "machine")
            stopped.send_signal(signal.SIGTERM)
            async with asyncio.timeout(DEADLINE_S):
                await stopped.communicate()

    assert stopped.returncode == 0
    assert again == first
    assert first is not None
    assert second is not None
    assert second.trend.startswith("109 steps old")  # the 60 of the first run are among them
    assert second.p10_h <= len(history) - 110 <= second.p90_h + 6
