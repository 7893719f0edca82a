"""Our side of the hub bench: hub, publisher, subscribers and agents, each a process of its own."""

import asyncio
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.harness import hear, raise_file_limit, say
from benchmarks.hub.messages import POOL, check_in_order, expected, publishing
from fieldline import Message, Runtime, Start, Subscription
from fieldline_cloud.hub import Hub, HubSettings
from fieldline_cloud.hub.memory import keep_memory_flat
from fieldline_cloud.hub.settings import HubLimits, Retention

# All clients of a bench come from one address.
_LIMITS = HubLimits(streams_per_peer_max=20_000)
_SURPLUS_S = 0.25  # how long a subscriber that has everything listens for what should not come


async def hub(data: str, log_bytes_max: str = "") -> None:
    """A hub as `fieldline hub` runs it; its log bounded, if told so."""
    keep_memory_flat()
    retention = Retention(bytes_max=int(log_bytes_max)) if log_bytes_max else Retention()
    async with Hub(HubSettings(listen="127.0.0.1:0", data=Path(data), retention=retention, limits=_LIMITS)) as running:
        say(port=running.port)
        await asyncio.to_thread(sys.stdin.read)


async def publish(address: str, topic: str, count: str) -> None:
    """Publish one message after the other; say when that began and when the last was stored."""
    async with Runtime(address, name="publisher") as runtime:
        await _warm(runtime)
        say(ready=True)
        await asyncio.to_thread(hear)
        began = time.perf_counter()
        for content in publishing(int(count)):
            await runtime.publish(topic, content)
        await runtime.flush()
        say(began=began, stored=time.perf_counter())


async def pace(address: str, topic: str, rate: str, seconds: str) -> None:
    """Publish at a steady rate; say how long it took until the last was stored."""
    lot_s = 0.01
    async with Runtime(address, name="publisher") as runtime:
        await _warm(runtime)
        say(ready=True)
        await asyncio.to_thread(hear)
        contents = publishing(int(float(rate) * float(seconds)))
        began, lots = time.perf_counter(), 0
        while lot := list(islice(contents, max(1, int(float(rate) * lot_s)))):
            await asyncio.sleep(max(0.0, began + lots * lot_s - time.perf_counter()))
            lots += 1
            for content in lot:
                await runtime.publish(topic, content)
        await runtime.flush()
        say(seconds=time.perf_counter() - began)


async def _warm(runtime: Runtime) -> None:
    """The stream is open before the clock runs."""
    await runtime.publish("warm/up", b"x", stored=True)


async def subscribe(address: str, topic: str, count: str, subscribers: str, durable: str) -> None:
    """Take `count` messages on each of so many subscriptions, each message on its own; say when the last was taken."""
    async with Runtime(address, name="subscriber") as runtime, AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(runtime.subscribe(topic, durable=f"{durable}-{number}", start=Start.LIVE))
            for number in range(int(subscribers))
        ]
        for one in opened:
            await one.wait_open()
        say(ready=True)
        ended = await asyncio.gather(*(_take(one, int(count)) for one in opened))
        say(ended=max(ended))


async def replay(address: str, topic: str, count: str) -> None:
    """Read the history from disk with a new durable; say how long it took."""
    async with (
        Runtime(address, name="replay") as runtime,
        runtime.subscribe(topic, durable="replay", start=Start.EARLIEST) as subscription,
    ):
        began = time.perf_counter()
        say(seconds=await _take(subscription, int(count)) - began)


async def _take(subscription: Subscription, count: int) -> float:
    """When the last of `count` messages had been looked at. AssertionError if any is lost, repeated or another."""
    wanted, taken, wrong, gaps, sequence = expected(), 0, 0, 0, 0
    async for delivery in subscription.deliveries():
        gaps += delivery.sequence != sequence + 1 and sequence != 0
        sequence = delivery.sequence
        messages = delivery.messages()
        for message, content in zip(messages, wanted, strict=False):
            if message.content != content:
                wrong += 1
        taken += len(messages)
        if taken >= count:
            break
    ended = time.perf_counter()
    try:
        async with asyncio.timeout(_SURPLUS_S):
            surplus = await subscription.next_delivery()
            taken += surplus.count if surplus else 0
    except TimeoutError:
        pass  # nothing came, as it should be
    check_in_order(taken, wrong, count)
    assert not gaps, f"{gaps} frames did not follow on the one before"
    return ended


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
        for runtime in runtimes:
            await _warm(runtime)
        messages = int(float(seconds) * float(rate))
        await _paced(runtimes, messages, float(rate), pattern)
        await asyncio.sleep(0.5)
    due = messages * (1 if pattern == "one" else number)
    assert len(latencies) == due, f"{due} deliveries were due and {len(latencies)} came"
    say(latencies=latencies)


async def _paced(runtimes: list[Runtime], messages: int, rate: float, pattern: str) -> None:
    began = time.perf_counter()
    for index in range(messages):
        await asyncio.sleep(max(0.0, began + index / rate - time.perf_counter()))
        topic = f"agents/{(index * 7 + 3) % len(runtimes)}" if pattern == "one" else "agents/all"
        content = struct.pack("q", time.perf_counter_ns()) + POOL[index % len(POOL)][8:]
        await runtimes[index % len(runtimes)].publish(topic, content)


ROLES: dict[str, Callable[..., Any]] = {
    "hub": hub,
    "publish": publish,
    "pace": pace,
    "subscribe": subscribe,
    "replay": replay,
    "agents": agents,
}

if __name__ == "__main__":
    threading.stack_size(1 << 20)
    raise_file_limit()
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
