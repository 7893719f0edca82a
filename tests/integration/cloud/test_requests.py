"""Asking and answering between agents, against a real hub."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fieldline import LimitError, NoReceiver, Request, RequestFailed, RequestTimeout, Runtime
from fieldline.testing import HubProcess
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import DEADLINE_S, address, running_hub, until


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def asker(hub: Hub) -> AsyncIterator[Runtime]:
    async with Runtime(address(hub), name="asker") as runtime:
        yield runtime


@pytest.fixture
async def worker(hub: Hub) -> AsyncIterator[Runtime]:
    async with Runtime(address(hub), name="worker") as runtime:
        yield runtime


async def test_a_request_is_answered(hub: Hub, asker: Runtime, worker: Runtime) -> None:
    seen: list[Request] = []

    async def answer(request: Request) -> str:
        seen.append(request)
        return request.text.upper()

    responder = await worker.respond("shout/+", answer)
    reply = await asker.request("shout/a", "hello", timeout_s=DEADLINE_S, key="k", headers={"unit": "°C"})

    assert (reply.text, reply.by, reply.failed, dict(reply.headers)) == ("HELLO", "worker", "", {})
    (request,) = seen
    assert (request.topic, request.key, request.content, request.by) == ("shout/a", "k", b"hello", "asker")
    assert request.headers["unit"] == "°C"
    assert request.headers["fl-reply-to"].startswith("$inbox/asker/")
    assert DEADLINE_S - 10 < request.deadline_s < DEADLINE_S
    assert responder.replies_sent == 1
    assert hub.broker.tail == 0  # nothing of it was stored


async def test_a_thousand_requests_at_a_time_each_get_their_own_reply(asker: Runtime, worker: Runtime) -> None:
    running = most = 0

    async def answer(request: Request) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return request.content

    await worker.respond("echo", answer, concurrency_max=8)
    replies = await asyncio.gather(*(asker.request("echo", str(n), timeout_s=DEADLINE_S) for n in range(1000)))

    assert [reply.text for reply in replies] == [str(n) for n in range(1000)]
    assert most == 8


async def test_more_requests_at_a_time_than_the_queue_holds_wait_and_none_is_dropped(
    asker: Runtime, worker: Runtime
) -> None:
    await worker.respond("echo", lambda request: request.content)
    replies = await asyncio.gather(*(asker.request("echo", bytes(5000), timeout_s=30) for _ in range(2000)))
    assert all(len(reply.content) == 5000 for reply in replies)
    assert asker.volatile_dropped == worker.volatile_dropped == 0


async def test_a_plain_function_answers_too(asker: Runtime, worker: Runtime) -> None:
    await worker.respond("echo", lambda request: request.content)
    assert (await asker.request("echo", b"\xff", timeout_s=DEADLINE_S)).content == b"\xff"


async def test_with_nobody_there_the_asker_hears_so_at_once(asker: Runtime) -> None:
    began_s = time.monotonic()
    with pytest.raises(NoReceiver, match="'nobody'"):
        await asker.request("nobody", "x", timeout_s=60)
    assert time.monotonic() - began_s < 10
    assert await asker.scatter("nobody", "x", timeout_s=60) == []


async def test_what_a_handler_raises_is_told_to_the_asker(asker: Runtime, worker: Runtime) -> None:
    def answer(request: Request) -> str:
        if request.text == "huge":
            return "x" * (2 << 20)
        raise ValueError("no such pump")

    responder = await worker.respond("pumps", answer)
    with pytest.raises(RequestFailed, match="worker could not answer") as caught:
        await asker.request("pumps", "x", timeout_s=DEADLINE_S)
    assert (caught.value.by, caught.value.reason) == ("worker", "ValueError: no such pump")
    with pytest.raises(RequestFailed, match="split it"):
        await asker.request("pumps", "huge", timeout_s=DEADLINE_S)
    assert responder.failed == 2


async def test_a_reply_that_takes_too_long_times_out_and_its_handler_is_stopped(
    asker: Runtime, worker: Runtime
) -> None:
    stopped = asyncio.Event()

    async def answer(request: Request) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return "never"

    responder = await worker.respond("slow", answer)
    with pytest.raises(RequestTimeout) as caught:
        await asker.request("slow", "x", timeout_s=0.2)
    assert isinstance(caught.value, TimeoutError)
    await asyncio.wait_for(stopped.wait(), DEADLINE_S)
    await until(lambda: responder.late == 1)
    assert responder.replies_sent == 0


async def test_requests_over_the_limit_wait_and_are_dropped_once_nobody_waits_for_them(
    asker: Runtime, worker: Runtime
) -> None:
    go_on = asyncio.Event()
    begun: list[str] = []

    async def answer(request: Request) -> str:
        begun.append(request.text)
        await go_on.wait()
        return "done"

    responder = await worker.respond("slow", answer, concurrency_max=1)
    first = asyncio.create_task(asker.request("slow", "first", timeout_s=DEADLINE_S))
    await until(lambda: begun)
    second = asyncio.create_task(asker.request("slow", "second", timeout_s=0.2))
    third = asyncio.create_task(asker.request("slow", "third", timeout_s=DEADLINE_S))
    with pytest.raises(RequestTimeout):
        await second
    go_on.set()
    assert (await first).text == (await third).text == "done"
    assert begun == ["first", "third"]
    assert responder.late == 1


async def test_a_deadline_is_passed_on_to_what_the_handler_asks(hub: Hub, asker: Runtime, worker: Runtime) -> None:
    left_s: list[float] = []
    failures: list[str] = []

    async def deepest(request: Request) -> str:
        left_s.append(request.deadline_s)
        return await asyncio.Event().wait() and ""

    async def middle(request: Request) -> str:
        try:
            await worker.request("deepest", "x", timeout_s=3600)
        except RequestTimeout as error:
            failures.append(str(error))
            raise
        return "never"

    await worker.respond("middle", middle)
    async with Runtime(address(hub), name="third") as third:
        await third.respond("deepest", deepest)
        with pytest.raises(RequestTimeout):
            await asker.request("middle", "x", timeout_s=0.5)
    assert 0 < left_s[0] <= 0.5


async def test_everybody_is_asked_and_what_came_in_time_is_the_answer(hub: Hub, asker: Runtime) -> None:
    async with (
        Runtime(address(hub), name="a") as a,
        Runtime(address(hub), name="b") as b,
        Runtime(address(hub), name="c") as c,
        Runtime(address(hub), name="d") as d,
    ):
        for each in (a, b):
            await each.respond("who", lambda request, name=each.name: name)  # type: ignore[misc]  # bound now

        def fails(request: Request) -> str:
            raise ValueError("ill")

        async def never(request: Request) -> str:
            await asyncio.Event().wait()
            return ""

        await c.respond("who", fails)
        await d.respond("who", never)

        replies = await asker.scatter("who", "?", timeout_s=1.0)
        assert sorted((reply.by, reply.text, reply.failed) for reply in replies) == [
            ("a", "a", ""),
            ("b", "b", ""),
            ("c", "", "ValueError: ill"),
        ]
        began_s = time.monotonic()
        assert len(await asker.scatter("who", "?", timeout_s=60, replies_max=2)) == 2
        assert time.monotonic() - began_s < 10
        assert len(await asker.scatter("who", "?", timeout_s=60, replies_bytes_max=150)) == 1
    with pytest.raises(LimitError, match="replies_max"):
        await asker.scatter("who", "?", timeout_s=1, replies_max=0)


async def test_of_a_group_one_answers_and_the_others_take_over(hub: Hub, asker: Runtime) -> None:
    async with Runtime(address(hub), name="a") as a:
        of_a = await a.respond("who", lambda request: "a", group="experts")
        async with Runtime(address(hub), name="b") as b:
            of_b = await b.respond("who", lambda request: "b", group="experts")
            replies = await asyncio.gather(
                *(asker.request("who", "?", key=f"k{n % 20}", timeout_s=DEADLINE_S) for n in range(200))
            )
            found = [(f"k{n % 20}", reply.text) for n, reply in enumerate(replies)]
            assert of_a.replies_sent + of_b.replies_sent == 200
            assert of_a.replies_sent > 0 < of_b.replies_sent
            assert len(set(found)) == 20  # one key, one member
            assert len(await asker.scatter("who", "?", timeout_s=0.5)) == 1
        await until(lambda: not of_b._subscription.connected)
        assert {(await asker.request("who", "?", key=f"k{n}", timeout_s=DEADLINE_S)).text for n in range(20)} == {"a"}
    with pytest.raises(NoReceiver):
        await asker.request("who", "?", timeout_s=DEADLINE_S)


async def test_what_is_no_request_is_ignored_and_counted(asker: Runtime, worker: Runtime) -> None:
    responder = await worker.respond("echo", lambda request: request.content)
    await asker.publish("echo", "not a request", volatile=True)
    await asker.publish("echo", "x", headers={"fl-reply-to": "plant/valve", "fl-request-id": "1"}, volatile=True)
    await until(lambda: responder.ignored == 2)
    assert responder.replies_sent == 0


async def test_a_reply_to_one_who_is_gone_vanishes(hub: Hub, worker: Runtime) -> None:
    go_on = asyncio.Event()
    begun = asyncio.Event()

    async def answer(request: Request) -> str:
        begun.set()
        await go_on.wait()
        return "too late"

    responder = await worker.respond("slow", answer)
    async with Runtime(address(hub), name="asker") as asker:
        asking = asyncio.create_task(asker.request("slow", "x", timeout_s=DEADLINE_S))
        await begun.wait()
        asking.cancel()
    go_on.set()
    await until(lambda: responder.replies_sent == 1)
    await worker.flush()
    assert hub.broker.tail == 0


async def test_a_late_reply_is_counted_and_nobody_hears_it(asker: Runtime, worker: Runtime) -> None:
    go_on = asyncio.Event()

    async def answer(request: Request) -> str:
        await go_on.wait()
        return "late"

    await worker.respond("slow", answer)
    asking = asyncio.create_task(asker.request("slow", "x", timeout_s=DEADLINE_S))
    await until(lambda: asker._requests is not None and asker._requests._waiting)
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.wait([asking])
    go_on.set()
    await until(lambda: asker._requests is not None and asker._requests.replies_late == 1)


async def test_requests_go_on_after_the_hub_has_come_back(tmp_path: Path) -> None:
    async with (
        HubProcess(tmp_path) as hub,
        Runtime(hub.address, name="asker") as asker,
        Runtime(hub.address, name="worker") as worker,
    ):
        responder = await worker.respond("echo", lambda request: request.content)
        assert (await asker.request("echo", "1", timeout_s=DEADLINE_S)).text == "1"
        await hub.kill()
        await until(lambda: not asker.connected)  # what is sent before that is lost
        asking = asyncio.create_task(asker.request("echo", "2", timeout_s=60))
        await hub.start()
        await until(lambda: responder._subscription.connects == 2)
        with contextlib.suppress(NoReceiver):  # the asker may be back before the responder
            assert (await asking).text == "2"
        assert (await asker.request("echo", "3", timeout_s=60)).text == "3"


async def test_with_the_hub_away_a_request_times_out() -> None:
    async with Runtime("127.0.0.1:1", name="asker", close_timeout_s=0) as asker:
        with pytest.raises(RequestTimeout):
            await asker.request("echo", "x", timeout_s=0.1)
