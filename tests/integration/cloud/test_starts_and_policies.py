"""Where a subscription begins, how long frames live, and what hub.yaml says of single topics."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fieldline import LimitError, Runtime, Start
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import Client, address, collect, frame, numbers, running_hub, until


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def runtime(hub: Hub) -> AsyncIterator[Runtime]:
    async with Runtime(address(hub), name="one") as runtime:
        yield runtime


async def test_a_subscription_starts_at_a_moment(hub: Hub, runtime: Runtime) -> None:
    await runtime.publish_batch("t", numbers(0, 5), stored=True)
    await asyncio.sleep(0.02)
    moment = datetime.now(UTC)
    await asyncio.sleep(0.02)
    await runtime.publish_batch("t", numbers(5, 10), stored=True)
    for durable in ("", "d"):
        async with runtime.subscribe("t", durable=durable, start=Start.since(moment)) as messages:
            assert await collect(messages, 5) == numbers(5, 10)
    async with runtime.subscribe("t", start=Start.since(0)) as messages:
        assert await collect(messages, 10) == numbers(0, 10)
    async with runtime.subscribe("t", start=Start.since(4e9)) as messages:
        await messages.wait_open()
        await runtime.publish("t", "new")
        assert await collect(messages, 1) == ["new"]
    with pytest.raises(LimitError, match="time zone"):
        Start.since(datetime(2026, 1, 1))  # that is the mistake


async def test_the_last_values_come_first_then_what_is_new(hub: Hub, runtime: Runtime) -> None:
    for topic in ("v/a", "v/b", "w/c"):
        await runtime.publish_batch(topic, [f"{topic} {n}" for n in range(4)], stored=True)
    await runtime.publish("v/a", "v/a last", stored=True)
    async with runtime.subscribe("v/+", start=Start.LAST_VALUES) as messages:
        deliveries = [await messages.next_delivery() for _ in range(2)]
        assert [[one.text for one in each.messages()] for each in deliveries if each] == [["v/b 3"], ["v/a last"]]
        assert all(each.is_last_value for each in deliveries if each)
        await runtime.publish("v/b", "new")
        assert await collect(messages, 1) == ["new"]


async def test_an_expired_frame_is_delivered_neither_live_nor_from_the_log(hub: Hub) -> None:
    async with Client(address(hub)) as client:
        publisher, waiting = client.publisher(), client.subscriber()
        await publisher.greet()
        await waiting.open("t/a", durable="d", frames=0)
        await publisher.publish(frame(1, ttl_ms=50), frame(2), frame(3, ttl_ms=60_000))
        await publisher.acked(3)
        await asyncio.sleep(0.1)
        late = client.subscriber()
        await late.open("t/a", start=hub_pb2.Start(earliest=True))
        assert [one.frame.sequence for one in await late.take(2)] == [2, 3]
        await waiting.half_close()
        await until(lambda: not any(desk.seats for desk in hub.broker.durables.desks))
        durable = client.subscriber()
        await durable.open("t/a", durable="d")
        assert [one.frame.sequence for one in await durable.take(2)] == [2, 3]
        await durable.ack(2)
        await until(lambda: hub.broker.engine.cursors()["d"] == 3)
        assert hub.broker.durables.desk("d").core.counts.expired == 1


async def test_a_topic_that_is_not_durable_is_acknowledged_and_leaves_nothing(tmp_path: Path) -> None:
    topics = [{"filter": "live/#", "durable": False}]
    async with (
        running_hub(tmp_path, topics=topics) as hub,
        Runtime(address(hub), name="one") as runtime,
        runtime.subscribe("live/#") as messages,
    ):
        await messages.wait_open()
        await runtime.publish("live/x", "a", stored=True)
        await runtime.publish("kept", "b", stored=True)
        await runtime.publish("live/x", "c", stored=True)
        assert await collect(messages, 2) == ["a", "c"]
        assert hub.broker.tail == 1
        await runtime.publish("live/x", "d", stored=True)
    async with running_hub(tmp_path, topics=topics) as hub, Client(address(hub)) as client:
        publisher = client.publisher()
        await publisher.greet("p", 1)
        await publisher.publish(frame(1, "live/x"), frame(2, "live/x"))
        await publisher.acked(2)
    async with running_hub(tmp_path, topics=topics) as hub, Client(address(hub)) as client:
        publisher = client.publisher()
        welcome = await publisher.greet("p", 1, acked_sequence=2)
        assert welcome.last_sequence == 2, "the log has forgotten what it was not to keep, and the publisher says so"
        await publisher.publish(frame(3, "kept"))
        await publisher.acked(3)


async def test_a_topic_has_bounds_of_its_own_on_frames_and_messages(tmp_path: Path) -> None:
    topics = [
        {"filter": "small/#", "frame_bytes_max": 1024},
        {"filter": "short/#", "message_bytes_max": 10},
    ]
    async with running_hub(tmp_path, topics=topics) as hub, Client(address(hub)) as client:
        for topic, body, says in (
            ("small/x", bytes(2000), "frame for 'small/x' has"),
            ("short/x", b"\n\x0b" + b"x" * 11, "message for 'short/x' has 11 bytes"),
            ("short/x", b"\xff", "not a block of messages"),
        ):
            stream = client.publisher()
            await stream.greet(f"p{len(body)}")
            await stream.publish(frame(1, topic, body))
            assert says in (await stream.refusal())[1].message
        stream = client.publisher()
        await stream.greet("fine")
        await stream.publish(frame(1, "short/x", b"\n\x0a" + b"x" * 10), frame(2, "any", b"\n\x0b" + b"x" * 11))
        await stream.acked(2)


async def test_retention_keeps_what_a_durable_that_holds_has_not_acknowledged(tmp_path: Path) -> None:
    retention = {"bytes_max": 1 << 20, "check_every_s": 3600}
    async with (
        running_hub(tmp_path, retention=retention) as hub,
        Runtime(address(hub), name="one") as runtime,
    ):
        async with runtime.subscribe("held/#", durable="d", hold=True) as messages:
            await messages.wait_open()
        for n in range(40):
            await runtime.publish("other", os.urandom(100_000), stored=True)
            if n == 10:
                await runtime.publish("held/x", "precious", stored=True)
        await hub.broker.trim()
        first = hub.broker.engine.statistics().first_offset
        assert 0 < first <= 11, "what lies before what it wants is not held"
        assert hub.broker.engine.statistics().held_bytes > 0
        async with runtime.subscribe("held/#", durable="d", hold=True) as messages:
            delivery = await messages.next_delivery()
            assert delivery is not None
            assert [one.text for one in delivery.messages()] == ["precious"]
            delivery.ack()
        await until(lambda: hub.broker.engine.cursors()["d"] >= 12)
        await hub.broker.trim()
        await hub.broker.trim()
        assert hub.broker.engine.statistics().first_offset > 12
        assert hub.broker.engine.statistics().held_bytes == 0


async def test_a_hub_restored_from_an_old_copy_goes_on_behind_what_it_acknowledged(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, Client(address(hub)) as client:
        publisher = client.publisher()
        await publisher.greet("p", 7)
        await publisher.publish(frame(1), frame(2))
        await publisher.acked(2)
        again = client.publisher()
        welcome = await again.greet("p", 7, acked_sequence=5)
        assert welcome.last_sequence == 5
        await again.publish(frame(6))
        await again.acked(6)
