"""The power goes: whatever was acknowledged by the hub, or called safe by the edge, is there afterwards."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from fieldline import Runtime
from tests.faults.power import Disk
from tests.faults.support import (
    LONG,
    Devices,
    Edge,
    check_nothing_lost,
    check_what_kills_cost,
    deliveries,
    new_random,
    running_hub,
    stop_and_account,
    until,
)

CUTS = 10 if LONG else 3
PERIOD_MS = 50


class Recorder:
    """Publishes numbers one by one and remembers, in the test's memory, which the hub has acknowledged."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.acknowledged: list[int] = []
        self._following = 0

    @contextlib.asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        work = asyncio.create_task(self._publish())
        try:
            yield
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def until_acknowledged(self, more: int) -> None:
        enough = len(self.acknowledged) + more
        await until(lambda: len(self.acknowledged) >= enough, "numbers are acknowledged")

    async def _publish(self) -> None:
        async with Runtime(self._address, name="recorder", close_timeout_s=0) as runtime:
            while True:
                number, self._following = self._following, self._following + 1
                await runtime.publish("numbers/acknowledged", str(number), stored=True)
                self.acknowledged.append(number)


async def test_what_the_hub_has_acknowledged_survives_power_cuts(tmp_path: Path) -> None:
    random = new_random()
    with Disk(tmp_path / "disk") as disk:
        async with Devices(5) as devices, running_hub(disk.folder / "hub", says=tmp_path / "hub.log") as hub:
            async with Edge(tmp_path, hub.address, devices.settings(period_ms=PERIOD_MS, noise_tags=4)) as edge:
                recorder = Recorder(hub.address)
                for _ in range(CUTS):
                    async with recorder.publishing():
                        await recorder.until_acknowledged(20)
                        await edge.until_delivering()
                        await asyncio.sleep(random.uniform(0, 0.5))
                        await disk.cut(hub.pid)
                        await asyncio.sleep(0.2)  # a hub that acknowledges without a disk would do so now
                        await hub.kill()
                    disk.restore()
                    await hub.start()
                status, log = await stop_and_account(edge, hub)
            async with deliveries(hub.address, "numbers/#") as frames:
                stored = [int(message.content) async for frame in frames for message in frame.messages()]
            await hub.stop()
    print(f"{len(recorder.acknowledged)} acknowledged, {len(stored)} stored")
    assert set(recorder.acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))
    check_nothing_lost(status, log, devices)


async def test_what_the_edge_calls_spooled_survives_power_cuts(tmp_path: Path) -> None:
    random = new_random()
    ended_s: list[float] = []
    lost_s = 0.0
    with Disk(tmp_path / "disk") as disk:
        async with Devices(5) as devices, running_hub(tmp_path / "hub") as hub:
            settings = devices.settings(period_ms=PERIOD_MS)
            async with Edge(tmp_path, hub.address, settings, spool_path=disk.folder / "spool.db") as edge:
                await edge.until_delivering()
                await hub.kill()  # so that what is spooled is nowhere else
                for _ in range(CUTS):
                    await edge.until_polling()
                    await asyncio.sleep(random.uniform(0.2, 0.7))
                    called_safe = await _called_safe(edge)
                    cut_s = time.monotonic()
                    await disk.cut(edge.pid)
                    await asyncio.sleep(0.2)  # an edge that calls readings safe without a disk would do so now
                    called_safe = max(called_safe, await _called_safe(edge))
                    assert edge.is_running
                    ended_s.append(time.monotonic())
                    await edge.kill()
                    lost_s = max(lost_s, ended_s[-1] - cut_s)
                    disk.restore()
                    assert edge.state().readings_spooled >= called_safe > 0
                    await edge.start()
                await hub.start()
                await edge.until_delivering()
                status, log = await stop_and_account(edge, hub)
    log.check_once_and_in_order()
    assert status["readings_spooled"] == log.ledger.readings == status["readings_acked"]
    for unit in devices.units:
        check_what_kills_cost(edge, log, devices, unit, ended_s, period_ms=PERIOD_MS, lost_s=lost_s)


async def _called_safe(edge: Edge) -> float:
    """How many readings the edge says are on its disk, over all its lives."""
    return (await asyncio.to_thread(edge.metrics))["readings_spooled_total"]
