"""Hub and edge are killed at random moments while five devices are read fast: no reading is lost or there twice."""

import asyncio
import time
from pathlib import Path

from tests.faults.support import (
    KILLS,
    Devices,
    Edge,
    check_nothing_lost,
    check_what_kills_cost,
    new_random,
    read_log,
    running_hub,
    stop_and_account,
    until,
)

PERIOD_MS = 50


async def test_kills_of_the_hub_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    random = new_random()
    async with Devices(5) as devices, running_hub(tmp_path / "hub") as hub:
        edge = Edge(tmp_path, hub.address, devices.settings(period_ms=PERIOD_MS, noise_tags=4))
        async with edge:
            for kill in range(KILLS):
                if kill % 2 == 0:  # in the middle of traffic; else maybe before the edge has come back
                    await edge.until_delivering()
                await asyncio.sleep(random.uniform(0, 0.4))
                await hub.kill()
                await asyncio.sleep(random.uniform(0, 0.2))
                await hub.start()
            status, log = await stop_and_account(edge, hub)
    check_nothing_lost(status, log, devices)
    assert len(log.ledger.producers) == 1, "a hub that comes back is no reason for another numbering"


async def test_kills_of_the_edge_lose_only_what_was_in_its_hands(tmp_path: Path) -> None:
    random = new_random()
    async with Devices(5) as devices, running_hub(tmp_path / "hub") as hub:
        edge = Edge(tmp_path, hub.address, devices.settings(period_ms=PERIOD_MS), linger_ms=200)
        kills: list[float] = []
        safe: list[int] = []
        async with edge:
            for kill in range(KILLS):
                if kill % 4 < 3:  # in the middle of traffic; else maybe while it is still starting
                    await edge.until_polling()
                await asyncio.sleep(random.uniform(0, 0.6))
                kills.append(time.monotonic())
                await edge.kill()
                safe.append(edge.state().readings_spooled)
                await edge.start_only()
            await edge.until_polling()
            status, log = await stop_and_account(edge, hub)
    assert safe == sorted(safe)
    assert status["readings_spooled"] == status["readings_acked"] == log.ledger.readings > safe[-1]
    log.check_once_and_in_order()
    assert len(log.ledger.producers) == 1, "the numbering goes on after a kill"
    for unit in devices.units:
        check_what_kills_cost(edge, log, devices, unit, kills, period_ms=PERIOD_MS)


async def test_a_stop_of_edge_and_hub_at_once_in_the_middle_of_traffic_loses_nothing(tmp_path: Path) -> None:
    random = new_random()
    async with Devices(5) as devices, running_hub(tmp_path / "hub") as hub:
        edge = Edge(tmp_path, hub.address, devices.settings(period_ms=PERIOD_MS, noise_tags=4), shutdown_drain_s=1)
        async with edge:
            for _ in range(3):
                await edge.until_delivering()
                await asyncio.sleep(random.uniform(0, 0.3))
                assert set(await asyncio.gather(edge.stop(), hub.stop())) == {0}
                await asyncio.gather(edge.start(), hub.start())
            await edge.until_polling()
            await until(lambda: edge.metrics().get("uplink_connected") == 1, "the edge is connected")
            assert await edge.stop() == 0
        status, log = await edge.status(), await read_log(hub.address)
    check_nothing_lost(status, log, devices)
