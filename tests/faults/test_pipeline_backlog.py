"""A backlog drained newest-first, against kills of both sides and power cuts: what was safe is stored, once."""

import asyncio
import time
from pathlib import Path

from tests.faults.power import Disk
from tests.faults.support import (
    LONG,
    Devices,
    Edge,
    Log,
    check_what_kills_cost,
    new_random,
    running_hub,
    stop_and_account,
    until,
)

KILLS = 12 if LONG else 4
PERIOD_MS = 50
NEWEST_FIRST = {"drain": "newest_first"}


def check_once_in_each_numbering(log: Log) -> None:
    """Each (producer, epoch, sequence) once and growing; the order between numberings is what newest-first changes."""
    assert log.ledger.duplicated == 0
    assert log.ledger.missing_frames == 0
    for sequences in log.sequences.values():
        assert sequences == sorted(set(sequences))
    for device in log.readings:
        assert len(log.counts(device)) == len(set(log.counts(device))), f"{device} has something twice"


async def test_newest_first_outages_and_kills_of_the_hub_lose_and_repeat_nothing(tmp_path: Path) -> None:
    random = new_random()
    async with Devices(4) as devices, running_hub(tmp_path / "hub") as hub:
        edge = Edge(tmp_path, hub.address, devices.settings(period_ms=PERIOD_MS, noise_tags=4), spool=NEWEST_FIRST)
        async with edge:
            for kill in range(KILLS):
                await edge.until_delivering()
                await asyncio.sleep(random.uniform(0, 0.4))
                await hub.kill()
                await asyncio.sleep(6.0 if kill % 2 else random.uniform(0, 0.3))  # long enough for a lane of its own
                await hub.start()
            await until(lambda: edge.metrics()["spool_lanes"] == 2, "the backlog is sent")
            status, log = await stop_and_account(edge, hub)
    check_once_in_each_numbering(log)
    assert len(log.ledger.producers) > 1, "an outage has a numbering of its own"
    assert status["readings_dropped"] == log.declared == 0
    assert status["readings_polled"] == status["readings_acked"] == log.ledger.readings
    for unit in devices.units:
        assert sorted(log.counts(f"counter-{unit}")) == list(range(1, devices.answered(unit) + 1))


async def test_newest_first_kills_of_the_edge_repeat_nothing_that_was_safe(tmp_path: Path) -> None:
    random = new_random()
    async with Devices(4) as devices, running_hub(tmp_path / "hub") as hub:
        edge = Edge(tmp_path, hub.address, devices.settings(period_ms=PERIOD_MS), spool=NEWEST_FIRST)
        async with edge:
            for _ in range(KILLS):
                await edge.until_polling()
                await asyncio.sleep(random.uniform(0, 0.6))
                await edge.kill()
                await edge.start_only()
            await edge.until_polling()
            await until(lambda: edge.metrics().get("spool_lanes") == 2, "the backlog is sent")
            status, log = await stop_and_account(edge, hub)
    check_once_in_each_numbering(log)
    assert status["readings_spooled"] == status["readings_acked"] == log.ledger.readings


async def test_newest_first_what_the_edge_calls_spooled_survives_power_cuts(tmp_path: Path) -> None:
    random = new_random()
    with Disk(tmp_path / "disk") as disk:
        async with Devices(4) as devices, running_hub(tmp_path / "hub") as hub:
            spool_path = disk.folder / "spool.db"
            settings = devices.settings(period_ms=PERIOD_MS)
            async with Edge(tmp_path, hub.address, settings, spool_path=spool_path, spool=NEWEST_FIRST) as edge:
                for cut in range(KILLS // 2):
                    await edge.until_polling()
                    await asyncio.sleep(random.uniform(0.2, 0.7))
                    if cut % 2:
                        await hub.kill()
                    called_safe = (await asyncio.to_thread(edge.metrics))["readings_spooled_total"]
                    await disk.cut(edge.pid)
                    await edge.kill()
                    disk.restore()
                    assert edge.state().readings_spooled >= called_safe > 0
                    if cut % 2:
                        await hub.start()
                    await edge.start()
                await until(lambda: edge.metrics().get("spool_lanes") == 2, "the backlog is sent")
                status, log = await stop_and_account(edge, hub)
    check_once_in_each_numbering(log)
    assert status["readings_spooled"] == status["readings_acked"] == log.ledger.readings


async def test_a_kill_costs_a_slow_device_at_most_the_poll_in_hand(tmp_path: Path) -> None:
    """With the default linger and commit: 250 + 50 ms are less than the second between two polls."""
    random = new_random()
    async with Devices(5) as devices, running_hub(tmp_path / "hub") as hub:
        settings = devices.settings(period_ms=1000)
        kills: list[float] = []
        async with Edge(tmp_path, hub.address, settings, linger_ms=250, spool={"commit_ms_max": 50}) as edge:
            for _ in range(KILLS):
                await edge.until_polling()
                await asyncio.sleep(random.uniform(0, 1.5))
                kills.append(time.monotonic())
                await edge.kill()
                await edge.start_only()
            await edge.until_polling()
            _, log = await stop_and_account(edge, hub)
    log.check_once_and_in_order()
    for unit in devices.units:
        check_what_kills_cost(edge, log, devices, unit, kills, period_ms=1000)
        missing = devices.answered(unit) - len(log.counts(f"counter-{unit}"))
        assert missing <= len(kills), "more than one poll was lost to a kill"
