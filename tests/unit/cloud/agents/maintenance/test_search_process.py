"""The search in a process of its own: found, failed, or killed with whoever waited for it."""

import asyncio
from typing import Any

import pytest

from fieldline_cloud.agents.maintenance import search_process
from fieldline_cloud.agents.maintenance.planboard import Search
from fieldline_cloud.agents.maintenance.search_process import SearchFailed, search
from tests.unit.cloud.agents.maintenance.workshop import AMIRA, ZOE, alert, configured, pump, workshop


def wanted() -> Search:
    shop = workshop(configured(AMIRA + ZOE))
    shop.take(*(alert(device=pump(number)) for number in range(4)))
    found = shop.book.board.search(list(shop.book.works.values()), [], shop.now_ns)
    assert found is not None
    return found


async def test_a_plan_comes_back_with_every_job() -> None:
    given = wanted()
    plan = await search(given, 0.05, seed=1)
    assert {visit.job for visit in plan} == {job.id for job in given.problem.jobs}


async def test_a_search_that_breaks_says_why() -> None:
    broken: Any = None
    with pytest.raises(SearchFailed, match=r"(?s)ended with 1: .*AttributeError"):
        await search(broken, 0.05, seed=1)


async def test_a_search_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_process, "_MORE_S", -9.99)
    with pytest.raises(SearchFailed, match="killed"):
        await search(wanted(), 10.0, seed=1)


async def test_whoever_is_cancelled_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[asyncio.subprocess.Process] = []
    real = asyncio.create_subprocess_exec

    async def watched(*words: Any, **options: Any) -> asyncio.subprocess.Process:
        begun.append(await real(*words, **options))
        return begun[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    waiting = asyncio.create_task(search(wanted(), 60.0, seed=1))
    async with asyncio.timeout(10):
        while not begun:  # noqa: ASYNC110  # the process tells nobody when it is there
            await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert begun[0].returncode == -9
