"""The event for a single waiter."""

import asyncio

import pytest

from fieldline_cloud.hub.wake import Wake


async def test_it_wakes_who_waits_and_is_used_up_by_it() -> None:
    wake = Wake()
    waiting = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    wake.set()
    wake.set()
    await waiting
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await wake.wait()


async def test_what_was_set_before_is_not_waited_for_unless_it_was_cleared() -> None:
    wake = Wake()
    wake.set()
    await wake.wait()
    wake.set()
    wake.clear()
    waiting = asyncio.create_task(wake.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    wake.set()
    await wake.wait()
