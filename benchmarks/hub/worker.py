"""Our side of the hub bench: hub, publisher, subscribers and agents, each a process of its own."""

import asyncio
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.harness import hear, say
from fieldline import Message, Runtime, Start
from fieldline_cloud.hub import Hub, HubSettings


def payload(size: int) -> bytes:
    """A JSON-looking message of `size` bytes that does not compress into nothing."""
    text = b'{"device":"pump-2","tag":"vibration","value":2.4183,"unit":"mm/s","id":"' + os.urandom(size).hex().encode()
    return text[: size - 2] + b'"}'


async def hub(data: str) -> None:
    """A hub as `fieldline hub` runs it."""
    async with Hub(HubSettings(listen="127.0.0.1:0", data=Path(data))) as running:
        say(port=running.port)
        await asyncio.to_thread(sys.stdin.read)


async def publish(address: str, topic: str, count: str, size: str) -> None:
    """Publish one message after the other; say when the last was accepted and when the last was stored."""
    content = payload(int(size))
    async with Runtime(address, name="publisher") as runtime:
        await runtime.publish(topic, content, stored=True)
        say(ready=True)
        while True:
            await asyncio.to_thread(hear)
            began = time.perf_counter()
            for _ in range(int(count)):
                await runtime.publish(topic, content)
            await runtime.flush()
            say(began=began, stored=time.perf_counter())


async def subscribe(address: str, topic: str, count: str, subscribers: str, durable: str) -> None:
    """Take `count` messages on each of so many subscriptions, each message on its own; say when the last was taken."""
    async with Runtime(address, name="subscriber") as runtime:
        opened = [
            await AsyncExitStack().enter_async_context(
                runtime.subscribe(topic, durable=f"{durable}-{number}" if durable != "-" else "", start=Start.LIVE)
            )
            for number in range(int(subscribers))
        ]
        for one in opened:
            await one.wait_open()
        say(ready=True)
        await asyncio.gather(*(_take(one, int(count)) for one in opened))
        say(ended=time.perf_counter())


async def _take(subscription: Any, count: int) -> None:
    taken = 0
    async for delivery in subscription.deliveries():
        for message in delivery.messages():
            assert message.content
            taken += 1
        if taken >= count:
            return


async def replay(address: str, topic: str, count: str) -> None:
    """Read the history from disk with a new durable; say how long it took."""
    async with (
        Runtime(address, name="replay") as runtime,
        runtime.subscribe(topic, durable="replay", start=Start.EARLIEST) as subscription,
    ):
        began = time.perf_counter()
        await _take(subscription, int(count))
        say(seconds=time.perf_counter() - began)


async def agents(address: str, count: str, seconds: str, rate: str, pattern: str) -> None:
    """So many agents, a connection each; messages at `rate` per second in all, durable.

    `pattern` one: each message goes to one agent; all: each goes to every agent. Says the latencies in ms.
    """
    number, latencies = int(count), []

    def take(message: Message) -> None:
        sent = struct.unpack_from("q", message.content)[0]
        latencies.append((time.perf_counter_ns() - sent) / 1e6)

    async with AsyncExitStack() as stack:
        runtimes = []
        for index in range(number):
            runtime = await stack.enter_async_context(Runtime(address, name=f"agent-{index}"))
            await runtime.subscribe(f"agents/{index}" if pattern == "one" else "agents/all", take)
            runtimes.append(runtime)
        for index, runtime in enumerate(runtimes):  # every publish stream is open before the clock runs
            await runtime.publish(f"warm/{index}", b"x", stored=True)
        await _paced(runtimes, int(float(seconds) * float(rate)), float(rate), pattern)
        await asyncio.sleep(0.5)
    say(latencies=latencies)


async def _paced(runtimes: list[Runtime], messages: int, rate: float, pattern: str) -> None:
    began = time.perf_counter()
    for index in range(messages):
        await asyncio.sleep(max(0.0, began + index / rate - time.perf_counter()))
        topic = f"agents/{(index * 7 + 3) % len(runtimes)}" if pattern == "one" else "agents/all"
        content = struct.pack("q", time.perf_counter_ns()) + b"x" * 192
        await runtimes[index % len(runtimes)].publish(topic, content)


ROLES: dict[str, Callable[..., Any]] = {
    "hub": hub,
    "publish": publish,
    "subscribe": subscribe,
    "replay": replay,
    "agents": agents,
}

if __name__ == "__main__":
    threading.stack_size(1 << 20)
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
