"""The workers of the how-to page share jobs as it says, and what nobody can do is put aside."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from fieldline_cloud.hub import Hub, HubSettings
from tests.integration.cloud.harness import until

PROGRAM = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "share_work.py"
DEADLINE_S = 60


async def run(hub: Hub, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        *arguments,
        env={**os.environ, "FIELDLINE_HUB": f"127.0.0.1:{hub.port}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_workers_of_the_page_share_jobs_and_put_the_impossible_aside(tmp_path: Path) -> None:
    async with asyncio.timeout(DEADLINE_S), Hub(HubSettings(listen="127.0.0.1:0", data=tmp_path)) as hub:
        workers = [await run(hub, name) for name in ("worker-1", "worker-2")]
        await until(lambda: len(hub.broker.subscribers) == 2, timeout_s=30)
        foreman = await run(hub, "order", "pump-1:oil", "pump-2:oil", "pump-1:test run", "pump-3:impossible")
        assert await foreman.wait() == 0
        desk = hub.broker.durables.desk("workers")
        await until(lambda: desk.core.counts.given_up == 1 and desk.core.pending == 0, timeout_s=30)
        letters = await hub.broker.durables.dead_letters("workers", 10)
        assert [one.topic for one in letters] == ["$dead/workers/jobs/repairs"]
        for worker in workers:
            worker.send_signal(signal.SIGINT)
        said = [(await worker.communicate())[0].decode().splitlines() for worker in workers]

    assert sorted(line for lines in said for line in lines) == ["pump-1: oil", "pump-1: test run", "pump-2: oil"]
    assert any([line for line in lines if "pump-1" in line] == ["pump-1: oil", "pump-1: test run"] for lines in said)
