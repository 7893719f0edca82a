"""What a client may get wrong: a typed error for it alone, counted; everybody else is served on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
import pytest

from fieldline.limits import FILTERS_PER_SUBSCRIPTION_MAX, FRAME_BYTES_MAX, GRPC_MESSAGE_BYTES_MAX
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import Client, Publisher, Subscriber, address, frame, hello, running_hub, until

INVALID, PRECONDITION = "INVALID_ARGUMENT", "FAILED_PRECONDITION"
INT64_MAX = (1 << 63) - 1


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[Client]:
    async with Client(address(hub)) as client:
        yield client


@pytest.fixture
async def others(hub: Hub) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Somebody who publishes and somebody who subscribes; calling it shows that they are served."""
    async with Client(address(hub)) as client:
        publisher, subscriber = client.publisher(), client.subscriber()
        await publisher.greet("other")
        await subscriber.open("other")
        sequence = 0

        async def served() -> None:
            nonlocal sequence
            sequence += 1
            await publisher.publish(frame(sequence, "other"))
            await publisher.acked(sequence)
            assert (await subscriber.take(1))[0].frame.sequence == sequence

        await served()
        yield served
        await served()


def greeting(**fields: object) -> hub_pb2.PublishRequest:
    given = {"hello": hello(), "producer": "p", "epoch": 1, **fields}
    return hub_pb2.PublishRequest(hello=hub_pb2.PublishHello(**given))  # type: ignore[arg-type]  # values of every kind, wrong ones too


def frames(*given: hub_pb2.Frame) -> hub_pb2.PublishRequest:
    return hub_pb2.PublishRequest(frames=hub_pb2.Frames(frames=given))


def opening(*filters: str, **fields: object) -> hub_pb2.SubscribeRequest:
    return hub_pb2.SubscribeRequest(
        open=hub_pb2.SubscribeOpen(**{"hello": hello(), "filters": filters, **fields})  # type: ignore[arg-type]  # values of every kind, wrong ones too
    )


BAD_GREETINGS = {
    "frames before the hello": (frames(frame(1)), INVALID, "PROTOCOL"),
    "an empty message": (b"", INVALID, "PROTOCOL"),
    "an old protocol": (greeting(hello=hello(protocol=0)), PRECONDITION, "PROTOCOL_VERSION"),
    "a newer protocol": (greeting(hello=hello(protocol=2)), PRECONDITION, "PROTOCOL_VERSION"),
    "no client name": (greeting(hello=hello("")), INVALID, "BAD_NAME"),
    "a client name that leaves its folder": (greeting(hello=hello("..")), INVALID, "BAD_NAME"),
    "no producer": (greeting(producer=""), INVALID, "BAD_NAME"),
    "a producer with a slash": (greeting(producer="a/b"), INVALID, "BAD_NAME"),
    "a producer of 65 characters": (greeting(producer="p" * 65), INVALID, "BAD_NAME"),
    "an epoch of 64 bits": (greeting(epoch=1 << 63), INVALID, "PROTOCOL"),
    "the greatest epoch": (greeting(epoch=(1 << 64) - 1), INVALID, "PROTOCOL"),
}


@pytest.mark.parametrize("case", BAD_GREETINGS)
async def test_a_bad_greeting_is_refused(
    case: str, hub: Hub, client: Client, others: Callable[[], Awaitable[None]]
) -> None:
    request, status, code = BAD_GREETINGS[case]
    stream = client.publisher()
    await stream.send(request)
    await assert_refused(stream, hub, status, code)


BAD_FRAMES = {
    "a second hello": (greeting(), "PROTOCOL"),
    "no topic": (frames(frame(1, "")), "BAD_TOPIC"),
    "a topic with a wildcard": (frames(frame(1, "a/#")), "BAD_TOPIC"),
    "a topic with an empty level": (frames(frame(1, "a//b")), "BAD_TOPIC"),
    "a topic of the hub": (frames(frame(1, "$sys/agents")), "BAD_TOPIC"),
    "a topic of 256 bytes": (frames(frame(1, "t" * 256)), "BAD_TOPIC"),
    "a topic with a control character": (frames(frame(1, "a\x00b")), "BAD_TOPIC"),
    "a wrong checksum": (frames(frame(1, crc32=1)), "BAD_FRAME"),
    "no message": (frames(frame(1, count=0)), "BAD_FRAME"),
    "too many messages": (frames(frame(1, count=65_537)), "BAD_FRAME"),
    "no encoding": (frames(frame(1, encoding=0)), "BAD_FRAME"),
    "an unknown encoding": (frames(frame(1, encoding=99)), "BAD_FRAME"),
    "a numbered frame for an inbox": (frames(frame(1, "$inbox/me/1")), "BAD_TOPIC"),
    "a volatile frame for a topic of the hub": (frames(frame(0, "$sys/agents")), "BAD_TOPIC"),
    "a volatile frame that skips": (frames(frame(0, skipped_frames=1)), "BAD_FRAME"),
    "a dead letter": (frames(frame(1, dead_letter=hub_pb2.DeadLetter(durable="d"))), "BAD_FRAME"),
    "a sequence of 64 bits": (frames(frame(1 << 63)), "BAD_FRAME"),
    "the greatest sequence": (frames(frame((1 << 64) - 1)), "BAD_FRAME"),
    "more frames skipped than there are": (frames(frame(5, skipped_frames=5)), "BAD_FRAME"),
    "a key of 256 bytes": (frames(frame(1, key="ü" * 128)), "BAD_FRAME"),
    "a frame that is no Protobuf": (b"\x12\x05\x0a\x03\xff\xff\xff", "BAD_FRAME"),
    "a topic that is no UTF-8": (b"\x12\x06\x0a\x04\x0a\x02\xff\xfe", "BAD_FRAME"),
    "a frame over the limit": (frames(frame(1, body=bytes(FRAME_BYTES_MAX + 1))), "FRAME_TOO_LARGE"),
    "more frames than one request may have": (frames(*[frame(1)] * 4_097), "PROTOCOL"),
    "a bad frame behind a good one": (frames(frame(1), frame(2, crc32=1)), "BAD_FRAME"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
async def test_a_bad_frame_is_refused_and_not_stored(
    case: str, hub: Hub, client: Client, others: Callable[[], Awaitable[None]]
) -> None:
    request, code = BAD_FRAMES[case]
    stream = client.publisher()
    await stream.greet()
    tail = hub.broker.tail

    await stream.send(request)
    await assert_refused(stream, hub, INVALID, code)
    assert hub.broker.tail == tail


BAD_OPENINGS = {
    "taken before the open": (
        hub_pb2.SubscribeRequest(taken=hub_pb2.Taken(frames=1)),
        INVALID,
        "PROTOCOL",
    ),
    "an empty message": (b"", INVALID, "PROTOCOL"),
    "an old protocol": (opening("#", hello=hello(protocol=7)), PRECONDITION, "PROTOCOL_VERSION"),
    "no hello": (opening("#", hello=None), PRECONDITION, "PROTOCOL_VERSION"),
    "a bad client name": (opening("#", hello=hello("a b")), INVALID, "BAD_NAME"),
    "no filter": (opening(), INVALID, "BAD_FILTER"),
    "an empty filter": (opening(""), INVALID, "BAD_FILTER"),
    "a filter with # inside": (opening("a/#/b"), INVALID, "BAD_FILTER"),
    "a filter with half a level of +": (opening("a/b+"), INVALID, "BAD_FILTER"),
    "one bad filter of two": (opening("a", "b//c"), INVALID, "BAD_FILTER"),
    "too many filters": (opening(*["a"] * (FILTERS_PER_SUBSCRIPTION_MAX + 1)), INVALID, "BAD_FILTER"),
    "a bad durable": (opening("#", durable="../up"), INVALID, "BAD_NAME"),
    "a durable of dots": (opening("#", durable=".."), INVALID, "BAD_NAME"),
}


@pytest.mark.parametrize("case", BAD_OPENINGS)
async def test_a_bad_opening_is_refused(
    case: str, hub: Hub, client: Client, others: Callable[[], Awaitable[None]]
) -> None:
    request, status, code = BAD_OPENINGS[case]
    stream = client.subscriber()
    await stream.send(request)
    await assert_refused(stream, hub, status, code)
    assert len(hub.broker.subscribers) == 1  # the other one


BAD_REQUESTS = {
    "a second open": (opening("a"), "PROTOCOL"),
    "an empty message": (b"", "PROTOCOL"),
    "an ack of nothing": (hub_pb2.SubscribeRequest(ack=hub_pb2.SubscribeAck(up_to_offset=0)), "BAD_ACK"),
    "an ack from the future": (hub_pb2.SubscribeRequest(ack=hub_pb2.SubscribeAck(up_to_offset=1 << 63)), "BAD_ACK"),
    "the greatest ack": (hub_pb2.SubscribeRequest(ack=hub_pb2.SubscribeAck(up_to_offset=(1 << 64) - 1)), "BAD_ACK"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
async def test_a_bad_request_ends_the_subscription_alone(
    case: str, hub: Hub, client: Client, others: Callable[[], Awaitable[None]]
) -> None:
    request, code = BAD_REQUESTS[case]
    stream = client.subscriber()
    await stream.open("never", durable="d")

    await stream.send(request)
    await assert_refused(stream, hub, INVALID, code)
    await until(lambda: len(hub.broker.subscribers) == 1)
    assert hub.broker.engine.cursors() == {"d": 1}


@pytest.mark.parametrize("half", ["publish", "subscribe"])
@pytest.mark.parametrize("request_bytes", [b"\xff", b"\x0a\xff\xff\xff\x0f", b"\x12\x03abc", b"\x0a\x05\x0a\x03\xff"])
async def test_bytes_that_are_no_request_are_refused(
    half: str, request_bytes: bytes, hub: Hub, client: Client, others: Callable[[], Awaitable[None]]
) -> None:
    stream = client.publisher() if half == "publish" else client.subscriber()
    await stream.send(request_bytes)
    await assert_refused(stream, hub, INVALID, "PROTOCOL")


async def test_a_request_over_the_grpc_limit_ends_the_stream_alone(
    hub: Hub, others: Callable[[], Awaitable[None]]
) -> None:
    async with grpc.aio.insecure_channel(address(hub), options=[("grpc.max_send_message_length", -1)]) as channel:
        stream = Publisher(channel)
        await stream.greet()
        await stream.send(frames(*[frame(n, body=bytes(1 << 20)) for n in range(1, 6)]))
        assert GRPC_MESSAGE_BYTES_MAX < 5 << 20
        assert await stream.status() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_gap_is_refused_with_the_number_that_is_missing(hub: Hub, client: Client) -> None:
    stream = client.publisher()
    await stream.greet()
    await stream.publish(frame(1), frame(2))
    await stream.acked(2)

    await stream.publish(frame(3), frame(5))

    await stream.acked(3)
    status, error = await stream.refusal()
    assert (status, error.code) == (PRECONDITION, hub_pb2.ERROR_CODE_SEQUENCE_GAP)
    assert error.expected_sequence == 4
    assert hub.broker.tail == 3


async def test_frames_skipped_on_purpose_are_no_gap(hub: Hub, client: Client) -> None:
    stream = client.publisher()
    await stream.greet()
    await stream.publish(frame(1), frame(10, skipped_frames=8, skipped_count=80))
    await stream.acked(10)


async def test_the_greatest_sequence_and_epoch_that_fit_are_stored(client: Client) -> None:
    stream = client.publisher()
    await stream.greet(epoch=INT64_MAX)
    await stream.publish(frame(INT64_MAX))
    await stream.acked(INT64_MAX)
    again = client.publisher()
    assert (await again.greet(epoch=INT64_MAX)).last_sequence == INT64_MAX


@pytest.mark.parametrize("durable", ["", "d"])
@pytest.mark.parametrize("offset", [5, INT64_MAX, INT64_MAX + 1, (1 << 64) - 1])
async def test_a_start_beyond_the_log_is_its_end(
    durable: str, offset: int, hub: Hub, client: Client, others: Callable[[], Awaitable[None]]
) -> None:
    subscriber, publisher = client.subscriber(), client.publisher()
    opened = await subscriber.open("t/#", durable=durable, start=hub_pb2.Start(offset=offset))
    assert opened.next_offset == opened.end_offset == 1

    await publisher.greet()
    await publisher.publish(frame(1))
    assert (await subscriber.take(1))[0].offset == 1


async def test_a_stream_without_a_word_ends_quietly(client: Client) -> None:
    for stream in (client.publisher(), client.subscriber()):
        await stream.half_close()
        assert await stream.status() is grpc.StatusCode.OK


async def test_no_more_is_delivered_than_the_window_holds(hub: Hub, client: Client) -> None:
    publisher, slow, fed = client.publisher(), client.subscriber(), client.subscriber()
    await publisher.greet()
    await slow.open("#", frames=3)
    await fed.open("#")
    await publisher.publish(*[frame(n) for n in range(1, 11)])
    await fed.take(10)

    assert [one.offset for one in await slow.take(3)] == [0, 1, 2]
    reading = asyncio.create_task(slow.read())
    assert hub.broker.statistics.frames_delivered == 13
    await slow.taken(2)
    assert [one.offset for one in (await reading).deliveries.deliveries] == [3, 4]


@pytest.mark.parametrize("window", [{"frames": 0}, {"nbytes": 0}])
async def test_a_window_without_room_gets_nothing(window: dict[str, int], hub: Hub, client: Client) -> None:
    publisher, starved, fed = client.publisher(), client.subscriber(), client.subscriber()
    await publisher.greet()
    await starved.open("#", **window)
    await fed.open("#")
    await publisher.publish(frame(1))
    await fed.take(1)
    assert hub.broker.statistics.frames_delivered == 1


async def test_an_endless_window_is_only_a_number(client: Client) -> None:
    publisher, subscriber = client.publisher(), client.subscriber()
    await subscriber.open("#", frames=(1 << 32) - 1, nbytes=(1 << 64) - 1)
    await publisher.greet()
    await publisher.publish(frame(1))
    assert len(await subscriber.take(1)) == 1


async def test_taking_more_than_was_delivered_is_refused(client: Client) -> None:
    subscriber = client.subscriber()
    await subscriber.open("#")
    await subscriber.taken(1)
    status, error = await subscriber.refusal()
    assert (status, error.code) == ("INVALID_ARGUMENT", hub_pb2.ERROR_CODE_PROTOCOL)


async def test_streams_over_the_limit_are_refused_and_room_comes_back(tmp_path: Path) -> None:
    async with running_hub(tmp_path, limits={"streams_max": 2}) as hub, Client(address(hub)) as client:
        first = client.subscriber()
        await first.open("#")
        await client.publisher().greet()
        third = client.subscriber()
        status, error = await third.refusal()
        assert (status, error.code) == ("RESOURCE_EXHAUSTED", hub_pb2.ERROR_CODE_TOO_MANY)

        await first.half_close()
        assert await first.status() is grpc.StatusCode.OK
        await client.subscriber().open("#")


async def test_topics_and_durables_over_the_limit_are_refused(tmp_path: Path) -> None:
    limits = {"topics_max": 2, "durables_max": 1}
    async with running_hub(tmp_path, limits=limits) as hub, Client(address(hub)) as client:
        publisher = client.publisher()
        await publisher.greet()
        await publisher.publish(frame(1, "a"), frame(2, "b"))
        await publisher.acked(2)
        await publisher.publish(frame(3, "b"), frame(4, "c"))
        assert (await publisher.refusal())[1].code == hub_pb2.ERROR_CODE_TOO_MANY

        await client.subscriber().open("#", durable="one")
        second = client.subscriber()
        await second.send(opening("#", durable="two"))
        status, error = await second.refusal()
        assert (status, error.code) == ("RESOURCE_EXHAUSTED", hub_pb2.ERROR_CODE_TOO_MANY)


async def assert_refused(stream: Publisher | Subscriber, hub: Hub, status: str, code: str) -> None:
    found, error = await stream.refusal()
    assert (found, hub_pb2.ErrorCode.Name(error.code)) == (status, f"ERROR_CODE_{code}")
    assert error.message
    assert hub.refusals == {code.lower(): 1}
