"""SIGKILL of the hub at random moments, under load: nothing acknowledged is lost, nothing is there twice.

FIELDLINE_KILLS raises the number of kills, FIELDLINE_SEED repeats a run; both are printed.
"""

import asyncio
import contextlib
import itertools
import os
import random
import sqlite3
from collections import Counter
from pathlib import Path

from fieldline import Coalescing, Runtime, Start
from fieldline.testing import HubProcess
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import open_messages
from fieldline_cloud.hub.engines.sqlite import SqliteEngine
from tests.integration.cloud.harness import collect, numbers, until

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

    async def publish(self, worker: int) -> None:
        coalescing = Coalescing(linger_ms=worker % 3, messages_max=8)
        async with Runtime(self.address, name=f"worker-{worker}", coalescing=coalescing, close_timeout_s=30) as runtime:
            for n in itertools.count():
                text = f"{worker}:{n}"
                self.sent.append(text)
                if n % 5 == 4:  # some wait for their ack, with others on the way before them
                    await runtime.publish(f"t/{worker}", text, stored=True)
                    self.acked += [f"{worker}:{m}" for m in range(n - 4, n + 1)]
                else:
                    await runtime.publish(f"t/{worker}", text)
                if self.stop.is_set():
                    break

    async def subscribe(self) -> None:
        async with Runtime(self.address, name="reader") as runtime:
            async with runtime.subscribe("t/#", durable="reader", start=Start.EARLIEST) as messages:
                async for delivery in messages.deliveries():
                    for message in delivery.messages():
                        self.seen.append((delivery.offset, message.text))
                    self.done_to = delivery.offset
                    if self.stop.is_set() and len(self.seen) >= len(self.sent):
                        delivery.ack()
                        return


async def test_killing_the_hub_loses_nothing_that_was_acknowledged_and_doubles_nothing(tmp_path: Path) -> None:
    print(f"FIELDLINE_SEED={SEED} FIELDLINE_KILLS={KILLS}")
    chance = random.Random(SEED)
    async with HubProcess(tmp_path) as hub:
        load = Load(hub.address)
        workers = [asyncio.create_task(load.publish(worker)) for worker in range(WORKERS)]
        reader = asyncio.create_task(load.subscribe())
        cursors = [0]
        for _ in range(KILLS):
            before = len(load.acked)
            await until(lambda enough=before + chance.randrange(1, 400): len(load.acked) >= enough, timeout_s=30)
            await asyncio.sleep(chance.uniform(0, 0.05))  # a moment of its own, not just behind an ack
            await hub.kill()
            if chance.random() < 0.5:
                cursors.append(cursor_on_disk(tmp_path))
                assert cursors[-2] <= cursors[-1] <= load.done_to + 1
            await hub.start()
        load.stop.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*workers)
            await reader
        assert await hub.stop() == 0

    recount(tmp_path, load)
    assert cursor_on_disk(tmp_path) == load.seen[-1][0] + 1


def cursor_on_disk(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "log.db")) as db:
        row = db.execute("SELECT next_offset FROM cursors WHERE durable='reader'").fetchone()
    return row[0] if row else 0


def recount(folder: Path, load: Load) -> None:
    engine = SqliteEngine(folder / "log.db")
    stored: list[tuple[int, str]] = []
    sequences: dict[tuple[str, int], list[int]] = {}
    offset, end = 0, engine.statistics().next_offset
    while offset < end:
        chunk = engine.read(offset, lambda _: True, bytes_max=1 << 20)
        for record in chunk.records:
            delivery = hub_pb2.Delivery.FromString(record.delivery)
            assert (record.offset, delivery.offset) == (offset, offset)
            offset += 1
            sequences.setdefault((delivery.producer, delivery.epoch), []).append(delivery.frame.sequence)
            stored += [(record.offset, bytes(content).decode()) for content in open_messages(delivery.frame)[0]]
    engine.close()
    assert offset == end

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
        for file in tmp_path.glob("log.db*"):
            file.unlink()
        await hub.start()

        await runtime.publish_batch("t", numbers(10, 15), stored=True)
        for each in (live, durable):
            assert await collect(each, 5) == numbers(10, 15)


async def test_a_hub_that_cannot_start_says_why(tmp_path: Path) -> None:
    async with HubProcess(tmp_path / "one") as hub:
        second = HubProcess(tmp_path / "two")
        second.port = hub.port
        try:
            await second.start()
        except RuntimeError as error:
            assert "choose another port" in str(error)
        else:
            raise AssertionError("two hubs on one port")
