"""Publishing and subscribing by hand: what is acknowledged, what is stored once, who is given what."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import Client, Publisher, address, frame, offsets, running_hub, until

EARLIEST = hub_pb2.Start(earliest=True)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[Client]:
    async with Client(address(hub)) as client:
        yield client


async def store(client: Client, count: int, topic: str = "t/a", *, first: int = 1, producer: str = "p") -> None:
    publisher = client.publisher()
    await publisher.greet(producer)
    for begin in range(first, first + count, 100):
        await publisher.publish(*[frame(n, topic) for n in range(begin, min(begin + 100, first + count))])
    await publisher.half_close()
    await publisher.acked(first + count - 1)
    assert await publisher.status() is grpc.StatusCode.OK


async def test_a_publisher_that_closes_its_half_gets_every_ack_and_then_ok(hub: Hub, client: Client) -> None:
    publisher = client.publisher()
    await publisher.greet()
    for begin in range(1, 1001, 50):
        await publisher.publish(*[frame(n) for n in range(begin, begin + 50)])
    await publisher.half_close()

    await publisher.acked(1000)
    assert await publisher.read() is grpc.aio.EOF
    assert await publisher.status() is grpc.StatusCode.OK
    assert hub.broker.tail == 1000


async def test_what_is_sent_again_is_acknowledged_and_not_stored_again(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, Client(address(hub)) as client:
        await store(client, 10)
        again = client.publisher()
        assert (await again.greet()).last_sequence == 10
        await again.publish(*[frame(n) for n in range(5, 13)])
        await again.acked(12)
        assert (hub.broker.tail, hub.broker.statistics.frames_duplicate) == (12, 6)

    async with running_hub(tmp_path) as hub, Client(address(hub)) as client:
        again = client.publisher()
        assert (await again.greet()).last_sequence == 12
        await again.publish(frame(12), frame(13))
        await again.acked(13)
        assert hub.broker.tail == 13

        subscriber = client.subscriber()
        await subscriber.open("#", start=EARLIEST)
        assert [one.frame.sequence for one in await subscriber.take(13)] == list(range(1, 14))


async def test_a_request_of_nothing_but_resent_frames_is_acknowledged(client: Client) -> None:
    await store(client, 3)
    again = client.publisher()
    await again.greet()
    await again.publish(frame(1), frame(2))
    await again.half_close()
    assert await again.read() is grpc.aio.EOF  # the welcome has said it already
    assert await again.status() is grpc.StatusCode.OK


async def test_epochs_and_producers_are_numbered_apart(hub: Hub, client: Client) -> None:
    for producer, epoch in (("p", 1), ("p", 2), ("q", 1)):
        publisher = client.publisher()
        assert (await publisher.greet(producer, epoch)).last_sequence == 0
        await publisher.publish(frame(1), frame(2))
        await publisher.acked(2)
    assert hub.broker.tail == 6


async def test_an_unknown_producer_may_begin_anywhere(client: Client) -> None:
    publisher = client.publisher()
    await publisher.greet()
    await publisher.publish(frame(500), frame(501))
    await publisher.acked(501)


async def test_a_frame_travels_as_it_was_published(client: Client) -> None:
    subscriber, publisher = client.subscriber(), client.publisher()
    await subscriber.open("site/#")
    await publisher.greet("gateway.7", 42)
    sent = frame(1, "site/ü/°C", key="k", published_at_ns=-5, count=3, skipped_frames=0, skipped_count=9)
    await publisher.publish(sent)

    (delivery,) = await subscriber.take(1)
    assert delivery.frame == sent
    assert (delivery.offset, delivery.producer, delivery.epoch, delivery.missed_frames) == (0, "gateway.7", 42, 0)


async def test_every_start_begins_where_it_says(client: Client) -> None:
    await store(client, 300)
    for start, first in ((EARLIEST, 0), (hub_pb2.Start(offset=123), 123), (hub_pb2.Start(offset=0), 0)):
        subscriber = client.subscriber()
        opened = await subscriber.open("#", start=start)
        assert (opened.next_offset, opened.end_offset) == (first, 300)
        assert offsets(await subscriber.take(300 - first)) == list(range(first, 300))
    live = client.subscriber()
    assert (await live.open("#")).next_offset == 300
    await store(client, 1, first=301)
    assert offsets(await live.take(1)) == [300]


async def test_filters_that_overlap_deliver_once_and_dollar_topics_are_hidden(client: Client) -> None:
    subscriber, live = client.subscriber(), client.subscriber()
    filters = ("a/#", "a/+", "a/b", "+/b", "#")
    await live.open(*filters)
    await store(client, 5, "a/b")
    await store(client, 5, "c", producer="q")
    await subscriber.open(*filters, start=EARLIEST)
    for each in (live, subscriber):
        assert offsets(await each.take(10)) == list(range(10))


async def test_a_filter_sees_its_topics_alone_and_is_told_how_far_it_is(client: Client) -> None:
    for index in range(20):
        await store(client, 5, f"t/{index}", producer=f"p{index}")
    subscriber = client.subscriber()
    await subscriber.open("t/3", "t/7", start=EARLIEST)
    assert offsets(await subscriber.take(10)) == [*range(15, 20), *range(35, 40)]
    assert (await subscriber.read_or_end()).progress.next_offset == 100

    silent = client.subscriber()
    await silent.open("nothing", start=EARLIEST)
    assert (await silent.read_or_end()).progress.next_offset == 100


async def test_a_durable_goes_on_behind_its_last_ack(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, Client(address(hub)) as client:
        subscriber = client.subscriber()
        await subscriber.open("#", durable="d")
        await store(client, 20)
        await subscriber.take(20)
        await subscriber.ack(9)
        await subscriber.half_close()
        assert await subscriber.status() is grpc.StatusCode.OK
        assert hub.broker.engine.cursors() == {"d": 10}

        again = client.subscriber()
        assert (await again.open("#", durable="d", start=EARLIEST)).next_offset == 10
        assert offsets(await again.take(10)) == list(range(10, 20))
        await again.ack(14)
        await again.ack(12)  # back: nothing moves
        await until(lambda: hub.broker.engine.cursors() == {"d": 15})

    async with running_hub(tmp_path) as hub, Client(address(hub)) as client:
        again = client.subscriber()
        assert (await again.open("#", durable="d")).next_offset == 15
        assert offsets(await again.take(5)) == list(range(15, 20))


async def test_a_new_live_durable_is_known_before_it_is_opened(hub: Hub, client: Client) -> None:
    await store(client, 4)
    await client.subscriber().open("#", durable="d")
    assert hub.broker.engine.cursors() == {"d": 4}


async def test_a_second_holder_of_a_durable_is_refused_until_the_first_has_gone(hub: Hub, client: Client) -> None:
    await store(client, 10)
    holder = client.subscriber()
    await holder.open("#", durable="d", start=EARLIEST)
    await holder.take(10)

    second = client.subscriber()
    await second.send(
        hub_pb2.SubscribeRequest(
            open=hub_pb2.SubscribeOpen(
                hello=hub_pb2.Hello(protocol=1, name="second"), filters=["#"], durable="d", start=EARLIEST
            )
        )
    )
    status, error = await second.refusal()
    assert (status, error.code) == ("ALREADY_EXISTS", hub_pb2.ERROR_CODE_DURABLE_IN_USE)
    assert "'tester'" in error.message

    for offset in range(10):  # acks in full flight when it goes: none is lost to the one that follows
        await holder.ack(offset)
    await holder.half_close()
    assert await holder.status() is grpc.StatusCode.OK
    assert (await client.subscriber().open("#", durable="d")).next_offset == 10


async def test_a_holder_that_breaks_off_sets_its_durable_free(hub: Hub, client: Client) -> None:
    async with Client(address(hub)) as other:
        await other.subscriber().open("#", durable="d")
    await until(lambda: not hub.broker.subscribers)
    await client.subscriber().open("#", durable="d")


async def test_two_that_open_a_new_durable_at_once_do_not_both_get_it(client: Client) -> None:
    opening = [client.subscriber().open("#", durable="d") for _ in range(8)]
    refused = [one for one in await asyncio.gather(*opening, return_exceptions=True) if isinstance(one, Exception)]
    assert len(refused) == 7
    assert all("ALREADY_EXISTS" in str(one) for one in refused)


async def test_a_lossy_subscriber_that_does_not_read_loses_frames_and_is_told_how_many(tmp_path: Path) -> None:
    limits = {"queue_frames_max": 10}
    async with running_hub(tmp_path, limits=limits) as hub, Client(address(hub)) as client:
        lossy = client.subscriber()
        await lossy.open("#", lossy=True, frames=5)
        await store(client, 200)

        taken = await lossy.read_on(5)
        while not all(not one.queued_bytes for one in hub.broker.subscribers):
            taken += await lossy.read_on(5)
        await store(client, 1, first=201)
        while taken[-1].frame.sequence != 201:
            taken += await lossy.read_on(1)
        assert len(taken) + sum(one.missed_frames for one in taken) == 201
        assert sum(one.missed_frames for one in taken) >= 180
        expected = 0
        for one in taken:  # each gap is told by the very frame behind it
            assert one.offset == expected + one.missed_frames
            expected = one.offset + 1


@pytest.mark.parametrize("durable", ["", "d"])
async def test_a_slow_subscriber_falls_behind_and_gets_everything(durable: str, tmp_path: Path) -> None:
    limits = {"queue_frames_max": 10}
    async with running_hub(tmp_path, limits=limits) as hub, Client(address(hub)) as client:
        slow = client.subscriber()
        await slow.open("#", durable=durable, frames=5)
        await store(client, 500)
        await until(lambda: all(one.behind for one in hub.broker.subscribers))
        taken = await slow.take(5)
        while len(taken) < 500:
            await slow.taken(5)
            taken += await slow.take(5)
        assert offsets(taken) == list(range(500))
        await slow.taken(5)
        await store(client, 1, first=501)
        assert offsets(await slow.take(1)) == [500]


async def test_a_subscriber_that_never_reads_costs_bounded_memory_and_nobody_else(tmp_path: Path) -> None:
    limits = {"queue_frames_max": 100, "queue_bytes_max": 1 << 20}
    async with (
        running_hub(tmp_path, limits=limits) as hub,
        Client(address(hub)) as client,
        Client(address(hub)) as dead,
    ):
        await dead.subscriber().open("#", nbytes=1 << 40, frames=1 << 30)
        fed = client.subscriber()
        await fed.open("#", nbytes=1 << 40, frames=1 << 30)
        publisher = client.publisher()
        await publisher.greet()
        body = bytes(200_000)
        reading = asyncio.create_task(fed.take(200))
        for n in range(1, 201):
            await publisher.publish(frame(n, body=body))
        await publisher.acked(200)
        assert offsets(await reading) == list(range(200))
        # The queue, one piece of the log read for it (2 MiB and a chunk of up to 2 MiB), no more.
        assert all(one.queued_bytes < 6 << 20 for one in hub.broker.subscribers)


async def test_one_publisher_alone_cannot_fill_the_hub(tmp_path: Path) -> None:
    limits = {"in_flight_bytes_max": 1 << 20}
    async with running_hub(tmp_path, limits=limits) as hub, Client(address(hub)) as client:
        publisher = client.publisher()
        assert (await publisher.greet()).limits.in_flight_bytes_max == 1 << 20
        held = threading.Event()
        holding = asyncio.create_task(hub.broker.committer.call(lambda: held.wait(15)))
        sending = asyncio.create_task(_send(publisher, 60))
        await until(lambda: hub.broker.committer.pending_bytes >= 1 << 20)
        await asyncio.sleep(0.2)  # time in which it must not grow
        assert hub.broker.committer.pending_bytes < 2 << 20
        held.set()
        await holding
        await sending
        await publisher.acked(60)


async def _send(publisher: Publisher, count: int) -> None:
    for n in range(1, count + 1):
        await publisher.publish(frame(n, body=bytes(200_000)))


async def test_nothing_stays_of_clients_that_have_gone(hub: Hub) -> None:
    async def one_life(number: int, client: Client) -> None:
        publisher, subscriber = client.publisher(), client.subscriber()
        await publisher.greet("p", number + 1)
        await subscriber.open("#", durable=f"d{number % 5}" if number % 2 else "")
        await publisher.publish(frame(1))
        await publisher.acked(1)
        if number % 3 == 0:
            await publisher.half_close()
            await subscriber.half_close()
        else:
            publisher.call.cancel()
            subscriber.call.cancel()

    async def gone() -> None:
        await until(
            lambda: (
                not (
                    hub.broker.subscribers
                    or hub._server._streams
                    or any(one.seats for one in hub.broker.durables.desks)
                )
            )
        )
        await until(lambda: hub.broker.statistics.publish_streams + hub.broker.statistics.subscribe_streams == 0)

    async with Client(address(hub)) as client:
        await one_life(0, client)
    await gone()
    before = len(asyncio.all_tasks())
    for number in range(1, 200, 10):
        async with Client(address(hub)) as client:
            for step in range(10):
                await one_life(number + step, client)
                await gone()
    await until(lambda: len(asyncio.all_tasks()) <= before)
    assert not hub.broker._index._root.below
    assert not hub.broker._index._root.rest
