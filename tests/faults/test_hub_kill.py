"""SIGKILL of the hub at random moments, under load: nothing acknowledged is lost, nothing is there twice.

FIELDLINE_KILLS raises the number of kills, FIELDLINE_SEED repeats a run; both are printed.
"""

import asyncio
import itertools
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from fieldline import Coalescing, Runtime, Start, Subscription
from fieldline.testing import HubProcess
from tests.integration.cloud.harness import address, collect, numbers, running_hub, until

KILLS = int(os.environ.get("FIELDLINE_KILLS", "10"))
SEED = int(os.environ.get("FIELDLINE_SEED", str(random.randrange(1 << 32))))
WORKERS = 6


class Load:
    """Publishers that note what was acknowledged, and a durable subscriber that notes what it has seen."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.acked: list[str] = []
        self.sent: list[str] = []
        self.seen: list[tuple[int, str]] = []  # (offset, text)
        self.done_to = -1  # the last offset the subscriber has finished with
        self.stop = asyncio.Event()
        self.subscription: Subscription

    async def acknowledged(self, more: int) -> None:
        """Wait until so many more messages have been acknowledged."""
        enough = len(self.acked) + more
        await until(lambda: len(self.acked) >= enough, timeout_s=30)

    async def publish(self, worker: int) -> None:
        coalescing = Coalescing(linger_ms=worker % 3, messages_max=8)
        async with Runtime(self.address, name=f"worker-{worker}", coalescing=coalescing, close_timeout_s=30) as runtime:
            for n in itertools.count():
                last = (
                    self.stop.is_set()
                )  # so one message follows the last kill, and the reader is connected at the end
                text = f"{worker}:{n}"
                self.sent.append(text)
                if n % 5 == 4:  # some wait for their ack, with others on the way before them
                    await runtime.publish(f"t/{worker}", text, stored=True)
                    self.acked += [f"{worker}:{m}" for m in range(n - 4, n + 1)]
                else:
                    await runtime.publish(f"t/{worker}", text)
                if last:
                    break

    async def subscribe(self) -> None:
        async with (
            Runtime(self.address, name="reader") as runtime,
            runtime.subscribe("t/#", durable="reader", start=Start.EARLIEST) as messages,
        ):
            self.subscription = messages
            async for delivery in messages.deliveries():
                self.seen += [(delivery.offset, message.text) for message in delivery.messages()]
                self.done_to = delivery.offset


async def test_killing_the_hub_loses_nothing_that_was_acknowledged_and_doubles_nothing(tmp_path: Path) -> None:
    print(f"FIELDLINE_SEED={SEED} FIELDLINE_KILLS={KILLS}")
    chance = random.Random(SEED)
    async with HubProcess(tmp_path) as hub:
        load = Load(hub.address)
        workers = [asyncio.create_task(load.publish(worker)) for worker in range(WORKERS)]
        reader = asyncio.create_task(load.subscribe())
        cursors = [0]
        for _ in range(KILLS):
            await load.acknowledged(chance.randrange(1, 400))
            await asyncio.sleep(chance.uniform(0, 0.05))  # a moment of its own, not just behind an ack
            await hub.kill()
            if chance.random() < 0.5:
                cursors.append(await cursor_on_disk(hub.data))
                assert cursors[-2] <= cursors[-1] <= load.done_to + 1
            await hub.start()
        load.stop.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*workers)
            await until(lambda: len(load.seen) >= len(load.sent), timeout_s=30)
            await load.subscription.close()
            await reader
        assert await hub.stop() == 0

        await recount(hub.data, load)
        assert await cursor_on_disk(hub.data) == load.seen[-1][0] + 1


async def cursor_on_disk(folder: Path) -> int:
    async with running_hub(folder) as hub:
        return hub.broker.engine.cursors().get("reader", 0)


async def recount(folder: Path, load: Load) -> None:
    stored: list[tuple[int, str]] = []
    sequences: dict[tuple[str, int], list[int]] = {}
    async with (
        running_hub(folder) as hub,
        Runtime(address(hub), name="counter") as runtime,
        runtime.subscribe("#", start=Start.EARLIEST) as messages,
    ):
        await messages.wait_open()
        expected = 0
        while (one := await messages.next_delivery(until_offset=messages.end_offset)) is not None:
            assert one.offset == expected, "the log has a hole"
            expected += 1
            sequences.setdefault((one.producer, one.epoch), []).append(one.sequence)
            stored += [(one.offset, message.text) for message in one.messages()]
        assert expected == messages.end_offset

    counted = Counter(text for _, text in stored)
    assert [text for text in load.acked if counted[text] == 0] == [], "acknowledged and lost"
    assert [text for text, times in counted.items() if times > 1] == [], "stored twice"
    assert counted == Counter(load.sent), "published and not stored, although the publishers waited"
    for of_producer in sequences.values():
        assert of_producer == list(range(1, len(of_producer) + 1))
    for worker in range(WORKERS):
        mine = [text for _, text in stored if text.startswith(f"{worker}:")]
        assert mine == [f"{worker}:{n}" for n in range(len(mine))], "out of order"
    assert load.seen == stored, "the subscriber has seen something else than what is stored"


async def test_a_standby_takes_over_when_the_holder_is_killed_with_the_hub(tmp_path: Path) -> None:
    async with (
        HubProcess(tmp_path) as hub,
        Runtime(hub.address, name="one") as one,
        Runtime(hub.address, name="two") as two,
    ):
        holder, standby = one.subscribe("t", durable="d"), two.subscribe("t", durable="d")
        holder.open()
        await holder.wait_open()
        standby.open()
        await hub.kill()
        await holder.close()
        await hub.start()
        await standby.wait_open(timeout_s=15)
        await two.publish_batch("t", numbers(0, 10), stored=True)
        assert await collect(standby, 10) == numbers(0, 10)


async def test_subscribers_of_a_hub_that_lost_its_log_read_the_new_one(tmp_path: Path) -> None:
    async with HubProcess(tmp_path) as hub, Runtime(hub.address, name="agent") as runtime:
        live, durable = runtime.subscribe("t"), runtime.subscribe("t", durable="d")
        for each in (live, durable):
            each.open()
            await each.wait_open()
        for n in range(10):
            await runtime.publish("t", str(n), stored=True)
        for each in (live, durable):
            assert await collect(each, 10) == numbers(0, 10)

        await hub.kill()
        shutil.rmtree(hub.data)
        await hub.start()

        await runtime.publish_batch("t", numbers(10, 15), stored=True)
        for each in (live, durable):
            assert await collect(each, 5) == numbers(10, 15)


async def test_a_hub_that_cannot_start_says_why(tmp_path: Path) -> None:
    async with HubProcess(tmp_path / "one") as hub:
        second = HubProcess(tmp_path / "two")
        second.port = hub.port
        with pytest.raises(RuntimeError, match="choose another port"):
            await second.start()
