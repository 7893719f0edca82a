"""SIGKILL of the hub at random moments, under load: nothing acknowledged is lost, nothing is there twice.

FIELDLINE_KILLS raises the number of kills, FIELDLINE_SEED repeats a run; both are printed.
"""

import asyncio
import os
import random
import shutil
from pathlib import Path

import pytest

from fieldline import Runtime
from fieldline.testing import HubProcess
from tests.faults.hub_load import Load, Recount, opened_log
from tests.faults.spawned import SpawnedHub
from tests.integration.cloud.harness import collect, numbers

KILLS = int(os.environ.get("FIELDLINE_KILLS", "100"))
SEED = int(os.environ.get("FIELDLINE_SEED", str(random.randrange(1 << 32))))
WORKERS = 6


# An eighth of retention.bytes_max is one segment: small enough that a run sees several.
async def test_killing_the_hub_loses_nothing_that_was_acknowledged_and_doubles_nothing(tmp_path: Path) -> None:
    print(f"FIELDLINE_SEED={SEED} FIELDLINE_KILLS={KILLS}")
    chance = random.Random(SEED)
    async with SpawnedHub(tmp_path, retention={"bytes_max": max(8, KILLS >> 2) << 20}) as hub:
        load = Load(hub.address, workers=WORKERS, body_bytes=200)
        recount = Recount(load)
        await hub.start()
        async with load.running():
            for _ in range(KILLS):
                await load.acknowledged(chance.randrange(1, 200))
                await asyncio.sleep(chance.uniform(0, 0.05))  # a moment of its own, not just behind an ack
                await hub.kill()
                if chance.random() < 0.5:  # else the hub itself is the first to see what the kill has left
                    with opened_log(hub.data) as engine:
                        recount.check(engine)
                await start_with_trouble(hub, chance)
        assert await hub.stop() == 0
        with opened_log(hub.data) as engine:
            recount.check_all(engine)
        print(
            f"{hub.lives} lives, {len(load.acked)} messages acknowledged, {len(recount.stored)} stored, "
            f"{hub.errors.count('of an unfinished commit')} torn commits, "
            f"{len(list((hub.data / 'log').glob('*.log')))} segments"
        )


async def start_with_trouble(hub: SpawnedHub, chance: random.Random) -> None:
    """Start the hub; one time in ten it is killed while it reads its log, and started again."""
    while chance.random() < 0.1:
        await hub.begin()
        await asyncio.sleep(chance.uniform(0, 0.012))
        await hub.kill()
    await hub.start()


async def test_a_standby_takes_over_when_the_holder_is_killed_with_the_hub(tmp_path: Path) -> None:
    async with (
        HubProcess(tmp_path) as hub,
        Runtime(hub.address, name="one") as one,
        Runtime(hub.address, name="two") as two,
    ):
        holder, standby = one.subscribe("t", durable="d"), two.subscribe("t", durable="d")
        holder.open()
        await holder.wait_open()
        standby.open()
        await hub.kill()
        await holder.close()
        await hub.start()
        await standby.wait_open(timeout_s=15)
        await two.publish_batch("t", numbers(0, 10), stored=True)
        assert await collect(standby, 10) == numbers(0, 10)


async def test_subscribers_of_a_hub_that_lost_its_log_read_the_new_one(tmp_path: Path) -> None:
    async with HubProcess(tmp_path) as hub, Runtime(hub.address, name="agent") as runtime:
        live, durable = runtime.subscribe("t"), runtime.subscribe("t", durable="d")
        for each in (live, durable):
            each.open()
            await each.wait_open()
        for n in range(10):
            await runtime.publish("t", str(n), stored=True)
        for each in (live, durable):
            assert await collect(each, 10) == numbers(0, 10)

        await hub.kill()
        shutil.rmtree(hub.data)
        await hub.start()

        await runtime.publish_batch("t", numbers(10, 15), stored=True)
        for each in (live, durable):
            assert await collect(each, 5) == numbers(10, 15)


async def test_a_hub_that_cannot_start_says_why(tmp_path: Path) -> None:
    async with HubProcess(tmp_path / "one") as hub:
        second = HubProcess(tmp_path / "two")
        second.port = hub.port
        with pytest.raises(RuntimeError, match="choose another port"):
            await second.start()
