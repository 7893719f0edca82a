"""What comes goes: after many clients the hub holds exactly what it held before.

Counts that can be exact are exact: files, threads, tasks, streams, subscribers. Objects are counted by type, after as
many cycles as it takes for caches to fill, and may grow by less than one for every ten cycles.
"""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from fieldline import Runtime, Start
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import Client, address, frame, running_hub, until

CYCLES = int(os.environ.get("FIELDLINE_CYCLES", "200"))
WARM_UP = 20
GROWTH_MAX = CYCLES // 10
# asyncio lets up to a hundred cancelled timers (a hello came in time, say) lie until they would have been due.
OF_TIMERS = (
    "_contextvars.Context",
    "asyncio.events.TimerHandle",
    "builtins.builtin_function_or_method",
    "weakref.ReferenceType",
)
CANCELLED_TIMERS_MAX = 150
DURABLES = 5
_POOLS = ("hub-reader", "asyncio_")  # bounded, and filled as they are needed


@dataclass(frozen=True)
class Holdings:
    """What the hub's process holds; nothing of it may grow with the number of clients that came and went."""

    files: int
    threads: int
    tasks: int
    publish_streams: int
    subscribe_streams: int
    subscribers: int
    seats: int
    members: int
    receipts: int
    durables: int


def holdings(hub: Hub) -> Holdings:
    broker = hub.broker
    desks = broker.durables.desks
    return Holdings(
        files=len(os.listdir("/proc/self/fd")),
        threads=sum(not thread.name.startswith(_POOLS) for thread in threading.enumerate()),
        tasks=len(asyncio.all_tasks()),
        publish_streams=broker.statistics.publish_streams,
        subscribe_streams=broker.statistics.subscribe_streams,
        subscribers=len(broker.subscribers),
        seats=sum(len(desk.seats) for desk in desks),
        members=sum(len(desk.core.members) for desk in desks),
        receipts=len(broker.receipts),
        durables=len(broker.engine.durables()),
    )


def objects() -> Counter[str]:
    gc.collect()
    return Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())


async def check_nothing_stays(hub: Hub, cycle: Callable[[int], Awaitable[None]]) -> None:
    """Run the cycle until everything is warm, and then many times: the hub holds what it held."""
    for n in range(WARM_UP):
        await cycle(n)
    await until(lambda: not hub.broker.subscribers)
    before, objects_before = await settled(hub), objects()
    for n in range(CYCLES):
        await cycle(n)
    await until(lambda: not hub.broker.subscribers)
    after = await settled(hub, like=before)
    assert after == before
    grown = objects() - objects_before
    assert {kind: more for kind, more in grown.items() if more > _growth_max(kind)} == {}


def _growth_max(kind: str) -> int:
    return CANCELLED_TIMERS_MAX if kind in OF_TIMERS else GROWTH_MAX


async def settled(hub: Hub, like: Holdings | None = None) -> Holdings:
    """What the hub holds once that stays the same for a moment, or is `like` this."""
    found = holdings(hub)
    for _ in range(200):
        await asyncio.sleep(0.01)
        earlier, found = found, holdings(hub)
        if found == like or (like is None and found == earlier):
            break
    return found


async def test_subscribers_that_come_and_go_leave_nothing(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, Client(address(hub)) as steady:
        publisher = steady.publisher()
        await publisher.greet()

        async def cycle(n: int) -> None:
            durable = f"d{n % DURABLES}" if n % 2 else ""
            async with (
                Runtime(address(hub), name=f"agent-{n % 7}") as runtime,
                runtime.subscribe("t/#", start=Start.EARLIEST, durable=durable) as messages,
            ):
                await messages.wait_open()

        await check_nothing_stays(hub, cycle)


async def test_a_group_whose_members_come_and_go_leaves_nothing(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        async with Runtime(address(hub), name="publisher") as runtime:
            await runtime.publish_batch("t/a", [str(n) for n in range(50)], stored=True)

        async def cycle(n: int) -> None:
            async with (
                Runtime(address(hub), name="one") as one,
                one.subscribe("t/#", group="g", start=Start.EARLIEST, ack="manual") as first,
                one.subscribe("t/#", group="g", start=Start.EARLIEST, ack="manual") as second,
            ):
                await first.wait_open()
                await second.wait_open()

        await check_nothing_stays(hub, cycle)


async def test_a_publisher_that_reconnects_leaves_nothing(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        sequence = 0

        async def cycle(_: int) -> None:
            nonlocal sequence
            async with Client(address(hub)) as client:
                publisher = client.publisher()
                await publisher.greet("steady")
                sequence += 1
                await publisher.publish(frame(sequence))
                await publisher.acked(sequence)
            await until(lambda: hub.broker.statistics.publish_streams == 0)

        await check_nothing_stays(hub, cycle)


async def test_a_client_killed_in_mid_stream_leaves_nothing(tmp_path: Path) -> None:
    """A process of its own, killed while it reads a backlog and publishes: no goodbye, frames on the way both ways."""
    script = f"""
import asyncio
from fieldline import Runtime, Start
async def main():
    async with Runtime("127.0.0.1:%s", name="killed") as runtime:
        live = runtime.subscribe("t/#", start=Start.EARLIEST, frames_max=4)
        durable = runtime.subscribe("t/#", durable="d0", start=Start.EARLIEST, frames_max=4)
        group = runtime.subscribe("t/#", group="g", start=Start.EARLIEST, frames_max=4)
        for each in (live, durable, group):
            each.open()
            await each.wait_open()
        await runtime.publish("u", "x", stored=True)
        print("open", flush=True)
        while True:
            await runtime.publish("u", bytes({100_000}))
            await live.next_delivery()
asyncio.run(main())
"""
    async with running_hub(tmp_path) as hub:
        async with Runtime(address(hub), name="publisher") as runtime:
            for _ in range(60):
                await runtime.publish("t/a", bytes(50_000))
            await runtime.flush()

        async def killed() -> None:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", script % hub.port), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"open\n"
            assert hub.broker.subscribers
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
            process._transport.close()  # type: ignore[attr-defined]  # or the pipe stays open until it is collected
            await until(lambda: not hub.broker.subscribers)

        await killed()
        before = await settled(hub)
        for _ in range(3):
            await killed()
        assert await settled(hub, like=before) == before
        assert before.publish_streams == before.subscribe_streams == before.members == 0


async def test_streams_that_are_cancelled_at_any_point_leave_nothing(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, Client(address(hub)) as client:
        publisher = client.publisher()
        await publisher.greet()
        for n in range(1, 31):
            await publisher.publish(frame(n, body=b"\n\x01x"))
        await publisher.acked(30)

        async def cycle(n: int) -> None:
            """Before the hello, in the hello, after it, with frames on the way."""
            subscriber, other = client.subscriber(), client.publisher()
            step = n % 4
            if step:
                opening = asyncio.create_task(
                    subscriber.open("#", durable="d" if n % 8 < 4 else "", start={"earliest": True})
                )
                greeting = asyncio.create_task(other.greet("other", epoch=1))
                if step > 1:
                    await asyncio.gather(opening, greeting)
                if step > 2:
                    await other.publish(frame(1 + n))
                    await subscriber.read()
                else:
                    await asyncio.sleep(0)
                opening.cancel()
                greeting.cancel()
                await asyncio.wait([opening, greeting])
            subscriber.call.cancel()
            other.call.cancel()
            client._streams.clear()
            client._streams.append(publisher)
            await until(lambda: not hub.broker.subscribers)

        await check_nothing_stays(hub, cycle)
