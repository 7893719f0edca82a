"""The SDK against a hub in the same process: publishing, subscribing, acknowledging, and how errors surface."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fieldline import (
    BadTopic,
    BufferFull,
    Closed,
    Coalescing,
    Delivery,
    HubUnavailable,
    LimitError,
    Message,
    Refused,
    Runtime,
    Start,
)
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import address, collect, numbers, running_hub, until

NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def runtime(hub: Hub) -> AsyncIterator[Runtime]:
    async with Runtime(address(hub), name="agent") as runtime:
        yield runtime


async def test_a_message_arrives_as_it_was_published(runtime: Runtime) -> None:
    before_ns = time.time_ns()
    async with runtime.subscribe(["a/+", "b"]) as messages:
        await messages.wait_open()
        await runtime.publish("a/1", b"\x00\xff", key="k", headers={"unit": "°C"}, stored=True)
        await runtime.publish("b", "text ü")
        await runtime.publish("c", "not asked for")
        await runtime.publish("b", bytearray(b"array"))  # type: ignore[arg-type]  # taken, though not promised
        found = []
        async for message in messages:
            found.append(message)
            if len(found) == 3:
                break
    first, second, third = found
    assert (first.topic, first.key, first.content, first.headers) == ("a/1", "k", b"\x00\xff", {"unit": "°C"})
    assert (second.text, dict(second.headers), third.content) == ("text ü", {}, b"array")
    assert first.delivery.producer == "agent"
    assert before_ns <= first.delivery.published_at_ns <= time.time_ns()


async def test_order_is_kept_per_topic_and_key(runtime: Runtime) -> None:
    async with runtime.subscribe("#") as messages:
        await messages.wait_open()
        for n in range(2000):
            await runtime.publish(f"t/{n % 3}", str(n), key=f"k{n % 2}")
        found: dict[tuple[str, str], list[int]] = {}
        count = 0
        async for message in messages:
            found.setdefault((message.topic, message.key), []).append(int(message.text))
            count += 1
            if count == 2000:
                break
    assert len(found) == 6
    assert all(each == sorted(each) for each in found.values())


async def test_stored_means_it_is_in_the_log(hub: Hub, runtime: Runtime) -> None:
    await runtime.publish("t", "x", stored=True)
    assert hub.broker.engine.statistics().next_offset == 1
    await runtime.publish_batch("t", numbers(0, 5000), stored=True)
    assert hub.broker.statistics.messages_stored == 5001


async def test_flush_waits_for_what_was_published_before_it_and_no_longer(hub: Hub) -> None:
    async with Runtime(address(hub), name="agent", coalescing=Coalescing(linger_ms=60_000)) as runtime:
        await runtime.publish("t", "x")
        assert hub.broker.tail == 0

        async def never_silent() -> None:
            while True:
                await runtime.publish("other", "y")
                await asyncio.sleep(0)

        noise = asyncio.create_task(never_silent())
        await asyncio.wait_for(runtime.flush(), 5)
        noise.cancel()
        assert hub.broker.tail >= 1
        await runtime.flush()
        assert runtime.bytes_waiting == 0
        await runtime.flush()


async def test_a_full_buffer_refuses_or_waits_as_asked() -> None:
    coalescing = Coalescing(bytes_max=100, buffer_bytes_max=1000)
    async with Runtime(NOWHERE, name="agent", coalescing=coalescing, close_timeout_s=0) as runtime:
        while runtime.bytes_waiting < 1000:
            await runtime.publish("t", bytes(50), wait=False)
        with pytest.raises(BufferFull, match="buffer_bytes_max"):
            await runtime.publish("t", bytes(50), wait=False)
        assert 1000 <= runtime.bytes_waiting < 1100
        waiting = [asyncio.create_task(runtime.publish("t", b"x")) for _ in range(3)]
        waiting.append(asyncio.create_task(runtime.publish_batch("t", [b"x"])))
        await asyncio.sleep(0)
        assert not any(one.done() for one in waiting)
    found = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert [type(one) for one in found] == [Closed] * 4


async def test_closing_with_the_hub_away_warns_and_ends_in_time(caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    async with Runtime(NOWHERE, name="agent", close_timeout_s=0.3) as runtime:
        await runtime.publish("t", b"12345678")
        stored = asyncio.create_task(runtime.publish("t", "x", stored=True))
        async with runtime.subscribe("t") as messages:
            with pytest.raises(TimeoutError):
                await messages.wait_open(timeout_s=0.01)
    assert 0.3 <= time.monotonic() - began < 2.0
    assert any("had not acknowledged" in one.getMessage() for one in caplog.records)
    with pytest.raises(Closed):
        await stored


async def test_nothing_is_accepted_before_or_after_the_runtime_is_open(hub: Hub) -> None:
    runtime = Runtime(address(hub), name="agent")
    with pytest.raises(Closed):
        await runtime.publish("t", "x")
    async with runtime:
        await runtime.publish("t", "x", stored=True)
    with pytest.raises(Closed):
        await runtime.publish("t", "x", stored=True)
    with pytest.raises(Closed):
        await runtime.publish_batch("t", ["x"])


async def test_a_hub_that_is_not_there_in_time_is_said_so() -> None:
    with pytest.raises(HubUnavailable, match="start one with"):
        await Runtime(NOWHERE, name="agent", connect_timeout_s=0.1).__aenter__()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"topic": "a/#", "content": b""}, BadTopic),
        ({"topic": "a", "content": bytes(2 << 20)}, LimitError),
        ({"topic": "a", "content": "\ud800"}, LimitError),
        ({"topic": "a", "content": b"", "key": "k" * 256}, LimitError),
        ({"topic": "a", "content": b"", "headers": {"h": "v" * 5000}}, LimitError),
    ],
)
async def test_what_no_hub_would_take_is_refused_at_once_and_the_rest_goes_on(
    given: dict[str, Any], error: type[Exception], runtime: Runtime
) -> None:
    with pytest.raises(error):
        await runtime.publish(**given)
    await runtime.publish("t", "sound", stored=True)


async def test_a_batch_with_a_bad_message_sends_what_came_before_it(hub: Hub, runtime: Runtime) -> None:
    with pytest.raises(LimitError):
        await runtime.publish_batch("t", [b"good", bytes(2 << 20), b"never"])
    await until(lambda: hub.broker.statistics.messages_stored == 1)


async def test_a_refusal_ends_the_body_with_its_error(tmp_path: Path) -> None:
    reached = False
    async with running_hub(tmp_path) as hub:
        with pytest.raises(Refused) as caught:  # noqa: PT012  # the error comes out of the whole context
            async with Runtime(address(hub), name="agent") as runtime:
                await runtime.publish("$sys/mine", "x")
                await asyncio.sleep(30)
                reached = True
    assert caught.value.code == "BAD_TOPIC"
    assert not reached


async def test_a_refused_publisher_wakes_those_who_wait_for_it(hub: Hub) -> None:
    with pytest.raises(Refused):
        async with Runtime(address(hub), name="agent") as runtime:
            await runtime.publish("$sys/mine", "x", stored=True)


async def test_a_refused_subscription_is_raised_where_it_is_read(hub: Hub) -> None:
    async with Runtime(address(hub), name="agent") as runtime:
        filters = ["a"] * 65
        with pytest.raises(Refused) as caught:
            await collect(await _opened(runtime, filters), 1)
        assert caught.value.code == "BAD_FILTER"


async def _opened(runtime: Runtime, filters: list[str]) -> Any:
    subscription = runtime.subscribe(filters)
    subscription.open()
    return subscription


async def test_an_error_in_a_handler_surfaces(hub: Hub) -> None:
    def handler(message: Message) -> None:
        raise ZeroDivisionError(message.text)

    with pytest.raises(ZeroDivisionError, match="boom"):  # noqa: PT012  # the error comes out of the whole context
        async with Runtime(address(hub), name="agent") as runtime:
            await runtime.subscribe("t", handler)
            await runtime.publish("t", "boom")
            await asyncio.sleep(30)


async def test_an_error_in_the_body_is_raised_as_it_is(hub: Hub) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  # the error comes out of the whole context
        async with Runtime(address(hub), name="agent") as runtime:
            await runtime.publish("t", "x")
            raise ZeroDivisionError


async def test_a_handler_may_be_plain_or_async_and_runs_until_the_runtime_closes(hub: Hub) -> None:
    plain: list[str] = []
    waited: list[str] = []

    async def slow(message: Message) -> None:
        await asyncio.sleep(0)
        waited.append(message.text)

    async with Runtime(address(hub), name="agent") as runtime:
        await runtime.subscribe("t", lambda message: plain.append(message.text))
        await runtime.subscribe("t", slow)
        await runtime.publish_batch("t", numbers(0, 50), stored=True)
        await until(lambda: len(plain) == len(waited) == 50)
    assert plain == waited == numbers(0, 50)


async def test_every_start_gives_what_it_promises(runtime: Runtime) -> None:
    for n in range(10):
        await runtime.publish("t", str(n), stored=True)
    async with runtime.subscribe("t", start=Start.EARLIEST) as messages:
        assert await collect(messages, 10) == numbers(0, 10)
        assert messages.end_offset == 10
    async with runtime.subscribe("t", start=Start.at(7)) as messages:
        assert await collect(messages, 3) == numbers(7, 10)
    async with runtime.subscribe("t") as messages:
        await messages.wait_open()
        await runtime.publish("t", "live")
        assert await collect(messages, 1) == ["live"]


async def test_history_ends_where_it_was_asked_to(runtime: Runtime) -> None:
    for n in range(10):
        await runtime.publish("t" if n % 2 else "other", str(n), stored=True)
    async with runtime.subscribe("t", start=Start.EARLIEST) as messages:
        await messages.wait_open()
        found = []
        while (delivery := await messages.next_delivery(until_offset=messages.end_offset)) is not None:
            found.append(delivery.offset)
        assert found == [1, 3, 5, 7, 9]
    async with runtime.subscribe("nothing/here", start=Start.EARLIEST) as messages:
        await messages.wait_open()
        assert await asyncio.wait_for(messages.next_delivery(until_offset=messages.end_offset), 5) is None


async def frames(runtime: Runtime, count: int, *, first: int = 0) -> None:
    for n in range(first, first + count):
        await runtime.publish("t", str(n), stored=True)


async def deliveries(subscription: Any, count: int) -> list[Delivery]:
    async with asyncio.timeout(15):
        return [await subscription.next_delivery() for _ in range(count)]


async def test_auto_ack_moves_the_cursor_when_the_loop_asks_for_more(hub: Hub, runtime: Runtime) -> None:
    async with runtime.subscribe("t", durable="d") as messages:
        await messages.wait_open()
        await frames(runtime, 5)
        assert await collect(messages, 3) == numbers(0, 3)  # left in the middle of the third
    assert hub.broker.engine.cursors() == {"d": 2}
    async with runtime.subscribe("t", durable="d") as messages:
        assert await collect(messages, 3) == numbers(2, 5)


async def test_manual_acks_in_any_order_move_the_cursor_over_what_is_unbroken(hub: Hub, runtime: Runtime) -> None:
    async with runtime.subscribe("t", durable="d", ack="manual") as messages:
        await messages.wait_open()
        await frames(runtime, 6)
        got = await deliveries(messages, 6)
        for index in (1, 4, 2):
            got[index].ack()
        await asyncio.sleep(0.05)
        assert hub.broker.engine.cursors() == {"d": 0}
        got[0].ack()
        await until(lambda: hub.broker.engine.cursors() == {"d": 3})
    async with runtime.subscribe("t", durable="d", ack="manual") as messages:
        again = await deliveries(messages, 2)
        assert [one.offset for one in again] == [3, 5], "4 was done, although 3 was not"
        again[1].ack_through()
    assert hub.broker.engine.cursors() == {"d": 6}


async def test_a_standby_takes_over_where_the_holder_left(hub: Hub, runtime: Runtime) -> None:
    async with Runtime(address(hub), name="standby") as other:
        holder = runtime.subscribe("t", durable="d")
        holder.open()
        await holder.wait_open()
        standby = other.subscribe("t", durable="d")
        standby.open()
        await frames(runtime, 20)
        assert await collect(holder, 10) == numbers(0, 10)
        assert not standby.connected
        await holder.close()
        await standby.wait_open(timeout_s=15)
        assert await collect(standby, 11) == numbers(9, 20)


async def test_closing_while_the_hub_is_away_is_immediate() -> None:
    async with Runtime(NOWHERE, name="agent") as runtime:
        subscription = runtime.subscribe("t", durable="d")
        subscription.open()
        opening = asyncio.create_task(subscription.wait_open())
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await subscription.close()
        assert time.monotonic() - began < 0.5
        with pytest.raises(Closed):
            await asyncio.wait_for(opening, 5)
        assert await subscription.next_delivery() is None


async def test_a_live_subscriber_that_does_not_read_is_told_what_it_missed(tmp_path: Path) -> None:
    async with (
        running_hub(tmp_path, limits={"queue_frames_max": 5}) as hub,
        Runtime(address(hub), name="agent") as runtime,
        runtime.subscribe("t", frames_max=4) as messages,
    ):
        await messages.wait_open()
        await frames(runtime, 200)
        found = await deliveries(messages, 9)
        await frames(runtime, 1, first=200)
        while found[-1].offset < 200:
            found += await deliveries(messages, 1)
        assert messages.missed_frames + len(found) == 201
        assert messages.missed_frames == sum(one.missed_frames for one in found) >= 180


async def test_a_slow_durable_subscriber_gets_everything(tmp_path: Path) -> None:
    async with (
        running_hub(tmp_path, limits={"queue_frames_max": 5}) as hub,
        Runtime(address(hub), name="agent") as runtime,
        runtime.subscribe("t", durable="d", frames_max=4) as messages,
    ):
        await messages.wait_open()
        await frames(runtime, 200)
        assert await collect(messages, 200) == numbers(0, 200)
        assert messages.missed_frames == 0


async def test_frames_greater_than_the_window_pass_one_by_one(runtime: Runtime) -> None:
    async with runtime.subscribe("t", frames_max=1, bytes_max=1) as messages:
        await messages.wait_open()
        for n in range(5):
            await runtime.publish("t", bytes([n]) * 300_000)
        assert [one.messages()[0].content[0] for one in await deliveries(messages, 5)] == [0, 1, 2, 3, 4]


async def test_closed_subscriptions_are_forgotten(runtime: Runtime) -> None:
    for _ in range(5):
        async with runtime.subscribe("t") as messages:
            await messages.wait_open()
    assert len(runtime._subscriptions) <= 1


async def test_compressed_messages_are_opened_on_arrival(hub: Hub) -> None:
    coalescing = Coalescing(compress_from_bytes=100, linger_ms=5)
    async with (
        Runtime(address(hub), name="agent", coalescing=coalescing) as runtime,
        runtime.subscribe("t") as messages,
    ):
        await messages.wait_open()
        await runtime.publish_batch("t", ["x" * 1000] * 50)
        assert await collect(messages, 50) == ["x" * 1000] * 50
    assert hub.broker.statistics.bytes_stored < 5_000


async def test_a_typed_error_never_shows_grpc(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="grpc")
    async with Runtime(address(hub), name="agent") as runtime:
        with pytest.raises(Refused):
            await collect(await _opened(runtime, []), 1)
    assert not [one for one in caplog.records if one.name.startswith("grpc")]
    assert hub.refusals == {"bad_filter": 1}
    assert hub_pb2.ERROR_CODE_BAD_FILTER == 5
