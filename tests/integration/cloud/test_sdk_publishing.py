"""What a publisher may ask for beyond being stored: to be handled, to expire, to be volatile. Against a real hub."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fieldline import (
    AckTimeout,
    BadTopic,
    BufferFull,
    Closed,
    Coalescing,
    Handled,
    LimitError,
    Nacked,
    NoReceiver,
    Quality,
    Reading,
    Runtime,
    Start,
)
from fieldline.limits import BATCH_READINGS_MAX
from fieldline.testing import HubProcess
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import DEADLINE_S, Client, address, collect, running_hub, until

NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def runtime(hub: Hub) -> AsyncIterator[Runtime]:
    async with Runtime(address(hub), name="agent") as runtime:
        yield runtime


# Readings.


async def test_readings_arrive_as_one_frame_of_readings(hub: Hub, runtime: Runtime) -> None:
    said = [Reading("vibration", 1_000, 2.5), Reading("vibration", 2_000, None, Quality.BAD), Reading("text", 5, "on")]

    await runtime.publish("r/a", "before", key="a")
    await runtime.publish_readings("r/a", said, key="a", stored=True)
    await runtime.publish_readings("r/a", [], stored=True)

    async with runtime.subscribe("r/#", start=Start.EARLIEST) as frames:
        first, second = await frames.next_delivery(), await frames.next_delivery()
    assert first is not None
    assert second is not None
    assert [message.content for message in first.messages()] == [b"before"]
    assert sorted(second.readings(), key=lambda each: each.at_ns) == sorted(said, key=lambda each: each.at_ns)
    assert (second.topic, second.key, runtime.messages_waiting) == ("r/a", "a", 0)


async def test_more_readings_than_a_frame_holds_are_refused(runtime: Runtime) -> None:
    too_many = [Reading("t", n, n) for n in range(BATCH_READINGS_MAX + 1)]

    with pytest.raises(LimitError, match="65537"):
        await runtime.publish_readings("r/a", too_many)

    assert runtime.messages_waiting == 0


# Acknowledged by a subscriber.


async def test_the_publisher_hears_who_has_handled_a_message(hub: Hub, runtime: Runtime) -> None:
    async with (
        Runtime(address(hub), name="worker") as worker,
        worker.subscribe("jobs/#", durable="jobs", ack="manual") as jobs,
    ):
        await jobs.wait_open()
        asking = asyncio.create_task(runtime.publish_with_ack("jobs/a", "x", timeout_s=DEADLINE_S))
        delivery = await jobs.next_delivery()
        assert delivery is not None
        assert not asking.done()
        delivery.ack()
        assert await asking == Handled("worker")


async def test_a_live_subscriber_counts_as_one_who_handles(hub: Hub, runtime: Runtime) -> None:
    async with Runtime(address(hub), name="worker") as worker:
        await worker.subscribe("jobs/#", lambda message: None)
        assert await runtime.publish_with_ack("jobs/a", "x", timeout_s=DEADLINE_S) == Handled("worker")


async def test_a_handler_that_refuses_is_heard(hub: Hub, runtime: Runtime) -> None:
    async with Runtime(address(hub), name="worker") as worker:
        await worker.subscribe("jobs/#", lambda message: message.nack(reason="no stock"), durable="jobs")
        with pytest.raises(Nacked, match="worker refused the message on 'jobs/a': no stock"):
            await runtime.publish_with_ack("jobs/a", "x", timeout_s=DEADLINE_S)


async def test_many_in_one_frame_each_hear(hub: Hub, runtime: Runtime) -> None:
    handled: list[str] = []
    await runtime.subscribe("jobs/#", lambda message: handled.append(message.text), durable="jobs")
    asking = [asyncio.create_task(runtime.publish_with_ack("jobs/a", str(n), timeout_s=DEADLINE_S)) for n in range(50)]
    assert set(await asyncio.gather(*asking)) == {Handled("agent")}
    assert handled == [str(n) for n in range(50)]
    assert hub.broker.tail < 10
    assert len(runtime._source.receipts) == 0


async def test_parts_of_a_frame_that_are_refused_are_told_so_and_the_others_are_handled(
    hub: Hub, runtime: Runtime
) -> None:
    async with Client(address(hub)) as client:
        subscriber = client.subscriber()
        await subscriber.open("jobs/#", durable="jobs")
        asking = [
            asyncio.create_task(runtime.publish_with_ack("jobs/a", str(n), timeout_s=DEADLINE_S)) for n in range(3)
        ]
        (delivery,) = await subscriber.take(1)
        nack = hub_pb2.Nack(offset=delivery.offset, messages=[1], reason="no stock")
        await subscriber.send(hub_pb2.SubscribeRequest(settle=hub_pb2.Settle(nacks=[nack])))
        found = await asyncio.gather(*asking, return_exceptions=True)
    assert [found[0], found[2]] == [Handled("tester")] * 2
    refused = found[1]
    assert (type(refused).__name__, refused.by, refused.reason) == ("Nacked", "tester", "no stock")  # type: ignore[union-attr]  # Nacked


async def test_with_nobody_there_the_publisher_hears_so_at_once_and_the_message_is_stored(
    hub: Hub, runtime: Runtime
) -> None:
    began_s = time.monotonic()
    with pytest.raises(NoReceiver, match="nobody listens to 'jobs/a'"):
        await runtime.publish_with_ack("jobs/a", "x", timeout_s=60)
    assert time.monotonic() - began_s < 10
    assert hub.broker.tail == 1


async def test_a_message_nobody_acknowledges_times_out(runtime: Runtime) -> None:
    async with runtime.subscribe("jobs/#", durable="jobs", ack="manual") as jobs:
        await jobs.wait_open()
        with pytest.raises(AckTimeout) as caught:
            await runtime.publish_with_ack("jobs/a", "x", timeout_s=0.2)
        assert isinstance(caught.value, TimeoutError)
        assert await collect(jobs, 1) == ["x"]
    assert len(runtime._source.receipts) == 0


async def test_a_receipt_lost_with_the_hub_times_out_and_the_message_is_there_once(tmp_path: Path) -> None:
    async with HubProcess(tmp_path) as hub, Runtime(hub.address, name="agent") as runtime:
        async with runtime.subscribe("jobs/#", durable="jobs", ack="manual") as jobs:
            await jobs.wait_open()
            asking = asyncio.create_task(runtime.publish_with_ack("jobs/a", "x", timeout_s=3))
            assert await jobs.next_delivery() is not None
            await hub.kill()
            await hub.start()
            with pytest.raises(AckTimeout):
                await asking
        async with runtime.subscribe("jobs/#", start=Start.EARLIEST) as again:
            await runtime.publish("jobs/a", "last", stored=True)
            assert await collect(again, 2) == ["x", "last"]


async def test_closing_the_runtime_ends_the_wait() -> None:
    async with Runtime(NOWHERE, name="agent", close_timeout_s=0) as runtime:
        asking = asyncio.create_task(runtime.publish_with_ack("t", "x", timeout_s=60))
        await asyncio.sleep(0)
    with pytest.raises(Closed):
        await asking


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf")])
async def test_a_wait_without_end_is_refused(runtime: Runtime, timeout_s: float) -> None:
    with pytest.raises(LimitError, match="timeout_s"):
        await runtime.publish_with_ack("t", "x", timeout_s=timeout_s)


# Time to live.


async def test_what_is_too_old_is_not_delivered(runtime: Runtime) -> None:
    await runtime.publish("t", "short", ttl_s=0.05)
    await runtime.publish("t", "long", ttl_s=3600)
    await runtime.publish_batch("t", ["never ends"], stored=True)
    await asyncio.sleep(0.1)  # that is what it is about
    async with runtime.subscribe("t", start=Start.EARLIEST) as messages:
        assert await collect(messages, 2) == ["long", "never ends"]


async def test_a_time_to_live_over_49_days_is_refused(runtime: Runtime) -> None:
    with pytest.raises(LimitError, match="49 days"):
        await runtime.publish("t", "x", ttl_s=50 * 86_400)


# Bounds.


async def test_a_buffer_full_of_messages_refuses_or_waits_as_asked() -> None:
    coalescing = Coalescing(buffer_messages_max=10)
    async with Runtime(NOWHERE, name="agent", coalescing=coalescing, close_timeout_s=0) as runtime:
        for _ in range(10):
            await runtime.publish("t", b"", wait=False)
        with pytest.raises(BufferFull, match="10 messages"):
            await runtime.publish("t", b"", wait=False)
        waiting = asyncio.create_task(runtime.publish("t", b""))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert runtime.messages_waiting == 10
    with pytest.raises(Closed):
        await waiting


@pytest.mark.parametrize("bounds", [{"in_flight_frames_max": 1}, {"in_flight_bytes_max": 1}])
async def test_with_one_frame_under_way_at_a_time_everything_still_arrives(hub: Hub, bounds: dict[str, int]) -> None:
    coalescing = Coalescing(messages_max=2, **bounds)
    async with Runtime(address(hub), name="agent", coalescing=coalescing) as runtime:
        for n in range(100):
            await runtime.publish("t", str(n))
            await runtime.publish("live", str(n), volatile=True)
        await runtime.flush()
        assert runtime._producer is not None
        assert runtime.volatile_dropped == 0
    assert hub.broker.tail >= 50


# Volatile.


async def test_a_volatile_message_reaches_who_listens_and_leaves_nothing(hub: Hub, runtime: Runtime) -> None:
    async with Runtime(address(hub), name="other") as other, other.subscribe("live/#") as messages:
        await messages.wait_open()
        for n in range(100):
            await runtime.publish("live/a", str(n), key="k", headers={"h": "v"}, volatile=True)
        assert await collect(messages, 100) == [str(n) for n in range(100)]
    await runtime.flush()
    assert hub.broker.tail == 0
    assert runtime.messages_waiting == 0


async def test_the_last_words_of_a_runtime_are_heard(hub: Hub) -> None:
    async with Runtime(address(hub), name="other") as other, other.subscribe("live") as messages:
        await messages.wait_open()
        for n in range(10):
            async with Runtime(address(hub), name="agent") as runtime:
                await runtime.publish("live", str(n), volatile=True)
        assert await collect(messages, 10) == [str(n) for n in range(10)]


async def test_volatile_messages_wait_two_seconds_for_the_link_and_no_longer() -> None:
    async with Runtime(NOWHERE, name="agent", close_timeout_s=0) as runtime:
        await runtime.publish("live", "x", volatile=True)
        assert runtime.volatile_dropped == 0
        await until(lambda: runtime.volatile_dropped)
        assert runtime.volatile_dropped == 1


async def test_an_inbox_is_for_volatile_messages_and_those_are_never_stored(runtime: Runtime) -> None:
    with pytest.raises(BadTopic, match="volatile=True"):
        await runtime.publish("$inbox/agent/1", "x")
    with pytest.raises(ValueError, match="never stored"):
        await runtime.publish("live", "x", volatile=True, stored=True)


# Numbering.


async def test_a_hub_that_has_lost_its_log_goes_on_behind_what_it_had_acknowledged(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "first") as hub:
        port = hub.port
        runtime = await Runtime(address(hub), name="agent").__aenter__()
        for n in range(5):
            await runtime.publish("t", str(n), stored=True)
        assert runtime._source.acked_sequence == 5
    async with running_hub(tmp_path / "second", port=port) as hub:
        await asyncio.wait_for(runtime.publish("t", "5", stored=True), DEADLINE_S)
        await runtime.__aexit__(None, None, None)
        async with Runtime(address(hub), name="reader") as reader, reader.subscribe("t", start=Start.EARLIEST) as found:
            delivery = await asyncio.wait_for(found.next_delivery(), DEADLINE_S)
    assert delivery is not None
    assert (delivery.sequence, delivery.skipped_frames, delivery.messages()[0].text) == (6, 0, "5")
