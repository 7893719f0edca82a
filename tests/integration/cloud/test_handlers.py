"""Handlers of every sort: plain, coroutine, and plain ones that return something to wait for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest

from fieldline import Message, Runtime
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import address, numbers, running_hub, until


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def runtime(hub: Hub) -> AsyncIterator[Runtime]:
    async with Runtime(address(hub), name="one") as runtime:
        yield runtime


async def test_a_plain_handler_gets_everything_once_and_in_order_in_small_pieces_and_large(
    hub: Hub, runtime: Runtime
) -> None:
    seen: list[str] = []
    await runtime.subscribe("t", lambda message: seen.append(message.text), durable="d")
    for n in range(20):
        await runtime.publish("t", str(n), stored=True)
    await runtime.publish_batch("t", numbers(20, 5_000), stored=True)
    await until(lambda: len(seen) == 5_000)
    assert seen == numbers(0, 5_000)
    await until(lambda: hub.broker.durables.desk("d").core.pending == 0)


async def test_a_plain_handler_may_return_something_to_wait_for_now_and_then(hub: Hub, runtime: Runtime) -> None:
    seen: list[str] = []

    async def slowly(message: Message) -> None:
        await asyncio.sleep(0.001)
        seen.append(message.text)

    def handle(message: Message) -> Awaitable[None] | None:
        if int(message.text) % 7 == 3:
            return slowly(message)
        seen.append(message.text)
        return None

    await runtime.subscribe("t", handle, durable="d")
    for n in range(0, 40, 4):
        await runtime.publish_batch("t", numbers(n, n + 4), stored=n % 8 == 0)
    await until(lambda: len(seen) == 40)
    assert seen == numbers(0, 40)
    await until(lambda: hub.broker.durables.desk("d").core.pending == 0)


async def test_what_a_plain_handler_raises_is_raised_from_the_runtime(hub: Hub) -> None:
    def handle(message: Message) -> None:
        if message.text == "2":
            raise ZeroDivisionError("no")

    async def live() -> None:
        async with Runtime(address(hub), name="two") as runtime:
            await runtime.subscribe("t", handle)
            await runtime.publish_batch("t", numbers(0, 5), stored=True)
            await asyncio.Event().wait()

    with pytest.raises(ZeroDivisionError, match="no"):
        await live()


async def test_a_plain_handler_that_publishes_is_no_deadlock(hub: Hub, runtime: Runtime) -> None:
    answers: list[str] = []
    await runtime.subscribe("answer", lambda message: answers.append(message.text))
    await runtime.subscribe("ask", lambda message: runtime.publish("answer", message.text))
    await runtime.publish_batch("ask", numbers(0, 50))
    await until(lambda: answers == numbers(0, 50))


async def test_a_plain_handler_that_cannot_always_is_given_the_message_again(hub: Hub, runtime: Runtime) -> None:
    seen: list[str] = []

    def handle(message: Message) -> None:
        seen.append(message.text)
        if message.text in "13" and seen.count(message.text) == 1:
            raise ValueError("not yet")

    await runtime.subscribe("t", handle, durable="d", on_error="nack")
    await runtime.publish_batch("t", numbers(0, 4), stored=True)
    await until(lambda: seen == ["0", "1", "2", "3", "1", "3"])
