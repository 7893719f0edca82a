"""The hub's disk loses its power, or its space, under load: what was acknowledged is there afterwards, once.

FIELDLINE_CUTS raises the number of power cuts, FIELDLINE_SEED repeats a run; both are printed.
"""

import asyncio
import os
import random
from pathlib import Path

from fieldline import Runtime
from fieldline.observe import scrape
from tests.faults.hub_load import Load, Recount, opened_log, records
from tests.faults.power import Disk
from tests.faults.spawned import SpawnedHub, spawned_hub
from tests.faults.strace import Call, Strace
from tests.faults.support import ballast, free_port, new_random, small_disk, until

CUTS = int(os.environ.get("FIELDLINE_CUTS", "15"))
WORKERS = 4
_LIES_S = 0.1  # a hub that acknowledges without a disk would do so in that time


async def test_power_cuts_lose_nothing_that_was_acknowledged_and_double_nothing(tmp_path: Path) -> None:
    print(f"FIELDLINE_CUTS={CUTS}")
    chance = new_random()
    with Disk(tmp_path / "disk") as disk:
        async with SpawnedHub(tmp_path, data=disk.folder / "hub", retention={"bytes_max": 16 << 20}) as hub:
            load = Load(hub.address, workers=WORKERS, body_bytes=200)
            recount = Recount(load)
            await hub.start()
            async with load.running():
                for _ in range(CUTS):
                    await load.acknowledged(chance.randrange(1, 200))
                    await asyncio.sleep(chance.uniform(0, 0.1))
                    await maybe_kill_first(hub, chance)
                    await disk.cut(hub.pid)
                    await asyncio.sleep(_LIES_S)
                    await hub.kill()
                    disk.restore()
                    if chance.random() < 0.5:  # else the hub itself is the first to see what the cut has left
                        with opened_log(hub.data) as engine:
                            recount.check(engine)
                    await hub.start()
            assert await hub.stop() == 0
            with opened_log(hub.data) as engine:
                recount.check_all(engine)
            print(f"{len(load.acked)} messages acknowledged, {len(recount.stored)} stored")


async def maybe_kill_first(hub: SpawnedHub, chance: random.Random) -> None:
    """Half of the time the power goes just after a hub that was killed has come back."""
    if chance.random() < 0.5:
        await hub.kill()
        await hub.start()
        await asyncio.sleep(chance.uniform(0, 0.3))


async def test_what_a_killed_hub_had_written_and_not_synced_is_safe_once_it_is_acknowledged(tmp_path: Path) -> None:
    """The hub finds a frame in its log that only the page cache holds, and tells the publisher that it has it."""
    with Disk(tmp_path / "disk") as disk:
        async with SpawnedHub(tmp_path, data=disk.folder / "hub") as hub:
            strace = Strace(tmp_path / "strace.log", at=Call("fdatasync", 2), fault="signal=KILL")
            await hub.begin(before=strace.attach)
            assert await hub.listening()
            async with Runtime(hub.address, name="publisher") as runtime:
                await runtime.publish("t", "first", stored=True)
                second = asyncio.create_task(runtime.publish("t", "second", stored=True))
                assert await hub.ended() == -9
                await hub.start()
                await second
                await disk.cut(hub.pid)
                await hub.kill()
            disk.restore()
            with opened_log(hub.data) as engine:
                assert [text for stored in records(engine) for text in stored.texts] == ["first", "second"]


async def test_a_full_disk_makes_publishers_wait_and_costs_nothing_even_if_the_hub_is_killed(
    tmp_path: Path,
) -> None:
    metrics_port = free_port()

    def failures() -> float:
        return scrape(f"http://127.0.0.1:{metrics_port}/metrics").get("fieldline_hub_commit_failures_total", 0)

    with small_disk(tmp_path / "disk", kib=16_384) as disk:
        async with spawned_hub(tmp_path, data=disk / "hub", metrics=f"127.0.0.1:{metrics_port}") as hub:
            load = Load(hub.address, workers=WORKERS, body_bytes=200)
            recount = Recount(load)
            async with load.running():
                await load.acknowledged(100)
                with ballast(disk):
                    await until(lambda: failures() >= 3, "failed commits are counted")
                    await hub.kill()
                    with opened_log(hub.data) as engine:
                        recount.check(engine)
                    await hub.start()
                    await until(lambda: failures() >= 3, "failed commits are counted")
                await load.acknowledged(100)
            assert await hub.stop() == 0
            with opened_log(hub.data) as engine:
                recount.check_all(engine)
            assert "log can be written again" in hub.errors
