"""The two agents of the how-to page work as they are printed, and say what the page says."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from fieldline_cloud.hub import Hub, HubSettings
from tests.integration.cloud.harness import until

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "ask-another-agent.md"
PROGRAM = PAGE.with_name("ask_another_agent.py")
DEADLINE_S = 30


async def _run(hub: Hub, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        *arguments,
        env={**os.environ, "FIELDLINE_HUB": f"127.0.0.1:{hub.port}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def _said(hub: Hub, pump: str) -> str:
    asker = await _run(hub, pump)
    said, wrong = await asker.communicate()
    assert (asker.returncode, wrong) == (0, b"")
    return said.decode()


async def test_the_agents_of_the_page_ask_and_answer_as_it_says(tmp_path: Path) -> None:
    async with asyncio.timeout(DEADLINE_S), Hub(HubSettings(listen="127.0.0.1:0", data=tmp_path)) as hub:
        expert = await _run(hub)
        await until(lambda: hub.broker.has_receiver("ask/pumps/speed"))
        said = [await _said(hub, "pump-2"), await _said(hub, "pump-9")]
        expert.send_signal(signal.SIGINT)
        _, wrong = await expert.communicate()
        said.append(await _said(hub, "pump-2"))

    assert (expert.returncode, wrong) == (0, b"")
    page = PAGE.read_text()
    assert f"```\n{said[0]}```" in page
    assert f"```\n{said[1]}{said[2]}```" in page
