"""Thousands of subscriber streams held at once, every one of them receiving: what the hub needs for them.

Two client processes hold 50 connections with 100 streams on each. Once a second one message goes to all of them; every
stream has to receive every message, once.
"""

import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.harness import Worker, cpu_seconds, hear, peak_rss_mib, raise_file_limit, say
from benchmarks.hub.messages import POOL
from benchmarks.hub.ours import running_hub
from fieldline import Runtime, Subscription

__all__ = ["held"]

_MODULE = "benchmarks.hub.streams"
_TOPIC = "streams/all"
_CLIENTS = 2
_STREAMS_PER_CONNECTION = 100
_PATIENCE_S = 30.0


def held(streams: int, rounds: int) -> dict[str, float]:
    """So many streams, so many messages to each: streams that received all, hub memory and CPU, ms to the last."""
    share = streams // _CLIENTS
    with (
        running_hub() as (address, pid),
        Worker(_MODULE, "hold", address, "a", share, rounds) as first,
        Worker(_MODULE, "hold", address, "b", streams - share, rounds) as second,
        Worker(_MODULE, "announce", address, rounds) as publisher,
    ):
        for worker in (first, second, publisher):
            worker.hear(300)
        used, began = cpu_seconds(pid), time.perf_counter()
        publisher.say(go=True)
        sent = publisher.hear(rounds + 60)["sent"]
        heard = [first.hear(), second.hear()]
        used, took = cpu_seconds(pid) - used, time.perf_counter() - began
        last = [max(times) for times in zip(*(one["last"] for one in heard), strict=True)]
        return {
            "streams": sum(one["whole"] for one in heard),
            "hub_rss_mib": peak_rss_mib(pid),
            "hub_cpu_percent": used / took * 100,
            "last_ms": max(at - from_ for at, from_ in zip(last, sent, strict=True)) * 1000,
        }


async def hold(address: str, name: str, streams: str, rounds: str) -> None:
    """Hold so many streams until each has received as many messages as there are rounds; say how many have."""
    async with AsyncExitStack() as stack:
        subscriptions: list[Subscription] = []
        while len(subscriptions) < int(streams):
            runtime = await stack.enter_async_context(Runtime(address, name=f"{name}-{len(subscriptions)}"))
            wave = [
                runtime.subscribe(_TOPIC)
                for _ in range(min(_STREAMS_PER_CONNECTION, int(streams) - len(subscriptions)))
            ]
            for subscription in wave:
                subscription.open()
            for subscription in wave:
                await subscription.wait_open()
            subscriptions += wave
        say(ready=True)
        takers = [_Taker(int(rounds)) for _ in subscriptions]
        tasks = [asyncio.create_task(one.take(from_)) for one, from_ in zip(takers, subscriptions, strict=True)]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(int(rounds) + _PATIENCE_S):
                await asyncio.gather(*(one.whole.wait() for one in takers))
        await asyncio.sleep(0.25)  # for what should not come
        say(
            whole=sum(len(one.at) == int(rounds) for one in takers),
            last=[max(times) for times in itertools.zip_longest(*(one.at for one in takers), fillvalue=0.0)],
        )
        for task in tasks:
            task.cancel()


class _Taker:
    """When one stream received each message."""

    def __init__(self, rounds: int) -> None:
        self.at: list[float] = []
        self.whole = asyncio.Event()
        self._rounds = rounds

    async def take(self, subscription: Subscription) -> None:
        async for message in subscription:
            assert message.content == POOL[len(self.at)]
            self.at.append(time.perf_counter())
            if len(self.at) == self._rounds:
                self.whole.set()


async def announce(address: str, rounds: str) -> None:
    """One message to everybody each second; say when each was published."""
    async with Runtime(address, name="announcer") as runtime:
        await runtime.publish("warm/up", b"x", stored=True)
        say(ready=True)
        await asyncio.to_thread(hear)
        sent = []
        for number in range(int(rounds)):
            sent.append(time.perf_counter())
            await runtime.publish(_TOPIC, POOL[number])
            await asyncio.sleep(1.0)
        say(sent=sent)


ROLES: dict[str, Callable[..., Any]] = {"hold": hold, "announce": announce}

if __name__ == "__main__":
    raise_file_limit()
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
