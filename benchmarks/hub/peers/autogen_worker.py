"""AutoGen's side, run by AutoGen's own interpreter: host, publisher, subscriber and agents.

The same readings as everybody's, as dataclasses, because that is what AutoGen takes; it makes JSON of them itself.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from autogen_core import AgentId, MessageContext, RoutedAgent, TopicId, TypeSubscription, message_handler
from autogen_core import try_get_known_serializers_for_type as serializers_for
from autogen_ext.runtimes.grpc import GrpcWorkerAgentRuntime, GrpcWorkerAgentRuntimeHost

from benchmarks.harness import hear, raise_file_limit, say
from benchmarks.hub.messages import POOL, check_counts


@dataclass
class Sample:
    """A message of the pool. `sent_ns` is for those who measure latency."""

    site: str
    area: str
    device: str
    tag: str
    value: float
    unit: str
    quality: str
    at: str
    id: str
    sent_ns: int = 0


SAMPLES = [Sample(**json.loads(text)) for text in POOL]


class Taker(RoutedAgent):
    """Hands every message to a function."""

    def __init__(self, take: Callable[[Sample], None]) -> None:
        super().__init__("takes messages")
        self._take = take

    @message_handler
    async def on_sample(self, message: Sample, ctx: MessageContext) -> None:
        self._take(message)


async def _runtime(address: str, stack: AsyncExitStack) -> GrpcWorkerAgentRuntime:
    own = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own for every runtime, as our agents have
    runtime = GrpcWorkerAgentRuntime(host_address=address, extra_grpc_config=own)
    runtime.add_message_serializer(serializers_for(Sample))
    await runtime.start()
    stack.push_async_callback(runtime.stop)
    return runtime


async def _take(runtime: GrpcWorkerAgentRuntime, kind: str, topic: str, take: Callable[[Sample], None]) -> None:
    await Taker.register(runtime, kind, lambda: Taker(take))
    await runtime.add_subscription(TypeSubscription(topic_type=topic, agent_type=kind))


async def host(address: str) -> None:
    """AutoGen's host, as it comes."""
    running = GrpcWorkerAgentRuntimeHost(address=address)
    running.start()
    say(ready=True)
    await asyncio.to_thread(sys.stdin.read)
    await running.stop(grace=0)


async def subscribe(address: str, count: str) -> None:
    """Take so many messages."""
    found: Counter[str] = Counter()
    done, ended, left = asyncio.Event(), 0.0, int(count)

    def take(message: Sample) -> None:
        nonlocal ended, left
        found[message.id] += 1
        left -= 1
        if not left:
            ended = time.perf_counter()
            done.set()

    async with AsyncExitStack() as stack:
        runtime = await _runtime(address, stack)
        await _take(runtime, "taker", "path", take)
        say(ready=True)
        await done.wait()
        await asyncio.sleep(0.25)
        check_counts(found, [one.id for one in SAMPLES], int(count))
        say(ended=ended)


async def publish(address: str, count: str) -> None:
    """Publish so many messages, letting the sender work after each hundred."""
    async with AsyncExitStack() as stack:
        runtime = await _runtime(address, stack)
        say(ready=True)
        await asyncio.to_thread(hear)
        began = time.perf_counter()
        for index, message in enumerate(islice(cycle(SAMPLES), int(count))):
            await runtime.publish_message(message, TopicId("path", "bench"))
            if index % 100 == 99:
                await asyncio.sleep(0)
        say(began=began)
        await asyncio.to_thread(sys.stdin.read)  # what it queued is still to be sent


async def agents(address: str, count: str, seconds: str, rate: str, pattern: str) -> None:
    """As our agents: so many runtimes, messages at `rate` in all, to one of them each or to every one."""
    latencies: list[float] = []

    def take(message: Sample) -> None:
        latencies.append((time.perf_counter_ns() - message.sent_ns) / 1e6)

    async with AsyncExitStack() as stack:
        runtimes = [await _runtime(address, stack) for _ in range(int(count))]
        for index, runtime in enumerate(runtimes):
            await _take(runtime, f"agent-{index}", f"to-{index}" if pattern == "one" else "to-all", take)
        messages = int(float(seconds) * float(rate))
        await _paced(runtimes, messages, float(rate), pattern)
        await asyncio.sleep(1.0)
    due = messages * (1 if pattern == "one" else len(runtimes))
    assert len(latencies) == due, f"{due} deliveries were due and {len(latencies)} came"
    say(latencies=latencies)


async def _paced(runtimes: list[GrpcWorkerAgentRuntime], messages: int, rate: float, pattern: str) -> None:
    began = time.perf_counter()
    for index in range(messages):
        await asyncio.sleep(max(0.0, began + index / rate - time.perf_counter()))
        topic = f"to-{(index * 7 + 3) % len(runtimes)}" if pattern == "one" else "to-all"
        message = Sample(**{**vars(SAMPLES[index % len(SAMPLES)]), "sent_ns": time.perf_counter_ns()})
        await runtimes[index % len(runtimes)].publish_message(
            message, TopicId(topic, "bench"), sender=AgentId("bench", "bench")
        )


ROLES: dict[str, Callable[..., Any]] = {"host": host, "subscribe": subscribe, "publish": publish, "agents": agents}

if __name__ == "__main__":
    raise_file_limit()
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
