"""The hub is away for long while many readings come: the edge keeps them, says so, and catches up."""

import asyncio
import time
from pathlib import Path

from tests.faults.support import (
    LONG,
    Devices,
    Edge,
    check_nothing_lost,
    rss_bytes,
    running_hub,
    stop_and_account,
    until,
)

AWAY_S = 60.0 if LONG else 20.0
WARM_S = 5.0


async def test_a_long_outage_of_the_hub_is_kept_on_disk_and_caught_up(tmp_path: Path) -> None:
    async with Devices(8) as devices, running_hub(tmp_path / "hub") as hub:
        edge = Edge(tmp_path, hub.address, devices.settings(period_ms=50, noise_tags=20))
        async with edge:
            await edge.until_delivering()
            await hub.kill()
            away_since_s = time.monotonic()
            backlogs, memory = [], []
            while (away_s := time.monotonic() - away_since_s) < AWAY_S:
                await asyncio.sleep(1)
                sample = await asyncio.to_thread(edge.metrics)
                backlogs.append(sample["spool_backlog_frames"])
                if away_s > WARM_S:
                    memory.append(rss_bytes(edge.pid))
            assert sample["uplink_connected"] == 0
            assert sample["spool_oldest_age_seconds"] > AWAY_S - 2
            await hub.start()
            await until(lambda: edge.metrics()["spool_backlog_frames"] < 50, "the backlog is sent")
            caught_up_s = time.monotonic() - away_since_s - AWAY_S
            status, log = await stop_and_account(edge, hub)
    check_nothing_lost(status, log, devices)
    print(f"backlog {backlogs[-1]:g} frames, caught up in {caught_up_s:.1f} s, memory {max(memory) >> 20} MiB")
    assert backlogs == sorted(backlogs)
    assert backlogs[-1] > 10 * AWAY_S
    assert max(memory) - memory[0] < 8 << 20, "the backlog belongs on disk, not into memory"
    assert caught_up_s < AWAY_S / 2 + 10
