"""Agents at a real hub: they join, are listed, leave, fall silent, and come back after the hub does."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from fieldline import Agent, AgentInfo, Runtime
from fieldline.client.channel import ATTEND_METHOD, LIST_AGENTS_METHOD
from fieldline.errors import HubUnavailable, Refused
from fieldline.testing import HubProcess
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import open_messages
from fieldline_cloud.hub import Hub
from fieldline_cloud.hub.metrics import HubCollector
from tests.integration.cloud.harness import DEADLINE_S, Client, Stream, Subscriber, address, hello, running_hub, until
from tests.integration.cloud.secure import Pki, TlsClient, mtls_hub

INVALID = "INVALID_ARGUMENT"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[Client]:
    async with Client(address(hub)) as client:
        yield client


def attending(client: Client) -> Stream:
    return client.stream(ATTEND_METHOD, hub_pb2.AttendResponse.FromString)


def joining(name: str = "agent-1", **fields: Any) -> hub_pb2.AttendRequest:
    given = {"hello": hello(name), "kind": "k", "version": "1", "heartbeat_ms": 60_000, **fields}
    return hub_pb2.AttendRequest(join=hub_pb2.Join(**given))


HEARTBEAT = hub_pb2.AttendRequest(heartbeat=hub_pb2.Heartbeat())


async def joined(client: Client, name: str = "agent-1", **fields: Any) -> Stream:
    stream = attending(client)
    await stream.send(joining(name, **fields))
    assert (await stream.read()).joined.protocol == 1
    return stream


async def listed(runtime: Runtime, serving: str = "") -> list[str]:
    return [one.name for one in await runtime.agents(serving)]


async def eventually(runtime: Runtime, *names: str, serving: str = "") -> list[AgentInfo]:
    """The agents, once they are these."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                found = await runtime.agents(serving)
            except HubUnavailable:
                found = []
            if [one.name for one in found] == list(names):
                return found
            await asyncio.sleep(0.02)


async def listening(client: Client) -> Subscriber:
    """Somebody who hears who comes and goes."""
    subscriber = client.subscriber()
    await subscriber.open("$sys/agents")
    return subscriber


async def next_event(subscriber: Subscriber) -> dict[str, Any]:
    (delivery,) = await subscriber.take(1)
    assert delivery.volatile
    (content,), _ = open_messages(delivery.frame)
    event: dict[str, Any] = json.loads(content)
    return event


async def test_an_agent_is_listed_with_all_it_says_of_itself(hub: Hub) -> None:
    agent = Agent("pump-watch", "1.2", {"serves": "jobs/pump/#", "area": "hall-a"}, heartbeat_s=0.5)
    async with (
        Runtime(address(hub), name="watch-1", agent=agent) as runtime,
        runtime.subscribe(["readings/#", "notes/+"]) as subscription,
    ):
        await subscription.wait_open()
        (found,) = await eventually(runtime, "watch-1")

        assert (found.kind, found.version, found.capabilities) == ("pump-watch", "1.2", agent.capabilities)
        assert found.filters == ("readings/#", "notes/+")
        assert found.peer.startswith(("ipv4:127.0.0.1:", "ipv6:[::1]:"))
        assert (found.identity, found.software[:17]) == ("", "fieldline-python/")
        await until(lambda: hub.attendance.registry.present[0].heard_s > hub.attendance.registry.present[0].joined_s)
        assert (await runtime.agents())[0].heard_at_ms > found.joined_at_ms

        assert await listed(runtime, "jobs/pump/7") == ["watch-1"]
        assert await listed(runtime, "notes/x") == ["watch-1"]
        assert await listed(runtime, "jobs/fan") == []
    await until(lambda: not hub.attendance.registry.present)


async def test_coming_and_going_is_said_on_a_topic_of_its_own(hub: Hub, client: Client) -> None:
    listener = await listening(client)
    stream = await joined(client, "agent-1", capabilities={"c": "v"})
    first = await next_event(listener)
    await stream.half_close()
    second = await next_event(listener)

    at_ms = first.pop("at_ms")
    assert first == {"event": "joined", "name": "agent-1", "kind": "k", "version": "1", "capabilities": {"c": "v"}}
    assert (second["event"], second["name"]) == ("left", "agent-1")
    assert second["at_ms"] >= at_ms
    assert await stream.status() is grpc.StatusCode.OK


@pytest.mark.parametrize("end", ["half_close", "cancel", "connection"])
async def test_an_agent_leaves_however_its_stream_ends(hub: Hub, end: str) -> None:
    async with Client(address(hub)) as other:
        stream = await joined(other)
        assert len(hub.attendance.registry) == 1
        if end == "half_close":
            await stream.half_close()
        elif end == "cancel":
            stream.call.cancel()
        else:
            await other.channel.close()
        await until(lambda: len(hub.attendance.registry) == 0)
    assert hub.attendance.statistics.leaves == 1


async def test_an_agent_without_heartbeats_times_out_and_is_told_so(hub: Hub, client: Client) -> None:
    listener = await listening(client)
    silent = await joined(client, "silent", heartbeat_ms=1)
    living = await joined(client, "living", heartbeat_ms=60_000)
    events = [await next_event(listener) for _ in range(3)]

    assert [(one["event"], one["name"]) for one in events] == [
        ("joined", "silent"),
        ("joined", "living"),
        ("timed_out", "silent"),
    ]
    status, error = await silent.refusal()
    assert (status, hub_pb2.ErrorCode.Name(error.code)) == ("DEADLINE_EXCEEDED", "ERROR_CODE_TIMED_OUT")
    assert error.message.startswith("agent 'silent': nothing heard for ")
    assert not living.call.done()
    assert (hub.attendance.statistics.timeouts, hub.attendance.statistics.leaves) == (1, 0)


async def test_heartbeats_keep_an_agent_present(hub: Hub, client: Client) -> None:
    stream = await joined(client, heartbeat_ms=500)
    async with asyncio.timeout(DEADLINE_S):
        for _ in range(9):
            await stream.send(HEARTBEAT)
            await asyncio.sleep(0.25)  # the time that passes is what is tested: more than three intervals in all

    assert len(hub.attendance.registry) == 1


async def test_the_hub_says_which_heartbeat_it_wants(client: Client) -> None:
    for number, (asked_ms, given_ms) in enumerate([(1, 500), (0, 5000), (7000, 7000), (1 << 31, 60_000)]):
        stream = attending(client)
        await stream.send(joining(f"a{number}", heartbeat_ms=asked_ms))
        assert (await stream.read()).joined == hub_pb2.Joined(protocol=1, heartbeat_ms=given_ms)


async def test_a_name_that_is_present_is_in_use_until_it_has_gone(hub: Hub, client: Client) -> None:
    first = await joined(client)
    second = attending(client)
    await second.send(joining())
    status, error = await second.refusal()
    assert (status, hub_pb2.ErrorCode.Name(error.code)) == ("ALREADY_EXISTS", "ERROR_CODE_NAME_IN_USE")
    assert "agent 'agent-1' is present already" in error.message
    assert hub.refusals["name_in_use"] == 1

    await first.half_close()
    await first.status()
    await joined(client)


async def test_a_runtime_whose_name_is_in_use_waits_for_its_turn(hub: Hub, client: Client) -> None:
    first = await joined(client, "twin")
    async with Runtime(address(hub), name="twin", agent=Agent("second")) as runtime:
        await until(lambda: hub.refusals.get("name_in_use"))
        await first.half_close()
        await until(lambda: [one.agent.kind for one in hub.attendance.registry.present] == ["second"])
        assert await listed(runtime) == ["twin"]


async def test_an_agent_joins_again_after_the_hub_was_killed(tmp_path: Path) -> None:
    async with (
        HubProcess(tmp_path) as hub,
        Runtime(hub.address, name="steady", agent=Agent("k")) as runtime,
    ):
        await eventually(runtime, "steady")
        await hub.kill()
        await hub.start()
        await eventually(runtime, "steady")
        assert await hub.stop() == 0


async def test_agents_above_the_bound_are_refused(tmp_path: Path) -> None:
    async with running_hub(tmp_path, limits={"agents_max": 1}) as hub, Client(address(hub)) as client:
        await joined(client, "a")
        stream = attending(client)
        await stream.send(joining("b"))
        status, error = await stream.refusal()
        assert (status, hub_pb2.ErrorCode.Name(error.code)) == ("RESOURCE_EXHAUSTED", "ERROR_CODE_TOO_MANY")
        assert "limits.agents_max" in error.message


BAD_JOINS: dict[str, tuple[Any, str, str]] = {
    "a heartbeat before the join": (HEARTBEAT, INVALID, "PROTOCOL"),
    "an empty message": (b"", INVALID, "PROTOCOL"),
    "bytes that are no message": (b"\xff\xff", INVALID, "PROTOCOL"),
    "an old protocol": (joining(hello=hello(protocol=0)), "FAILED_PRECONDITION", "PROTOCOL_VERSION"),
    "no name": (joining(""), INVALID, "BAD_NAME"),
    "no kind": (joining(kind=""), INVALID, "BAD_NAME"),
    "a long version": (joining(version="x" * 65), INVALID, "PROTOCOL"),
    "too many capabilities": (joining(capabilities={str(n): "" for n in range(33)}), INVALID, "PROTOCOL"),
    "a long capability": (joining(capabilities={"k": "x" * 256}), INVALID, "PROTOCOL"),
    "a capability that serves no topic": (joining(capabilities={"serves": "a/#/b"}), INVALID, "BAD_FILTER"),
}


@pytest.mark.parametrize("name", BAD_JOINS)
async def test_a_join_that_cannot_be_is_refused_with_its_code(hub: Hub, client: Client, name: str) -> None:
    request, status, code = BAD_JOINS[name]
    stream = attending(client)

    await stream.send(request)

    told, error = await stream.refusal()
    assert (told, hub_pb2.ErrorCode.Name(error.code)) == (status, f"ERROR_CODE_{code}")
    assert hub.refusals == {code.lower(): 1}
    assert len(hub.attendance.registry) == 0


async def test_a_second_join_ends_the_stream(client: Client) -> None:
    stream = await joined(client)
    await stream.send(joining())
    assert hub_pb2.ErrorCode.Name((await stream.error()).code) == "ERROR_CODE_PROTOCOL"


async def test_a_flood_of_heartbeats_is_held_to_a_rate(hub: Hub, client: Client) -> None:
    stream = await joined(client)
    other = await joined(client, "other")
    with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
        for _ in range(60):
            await stream.send(HEARTBEAT)
    await until(lambda: hub.refusals == {"rate_limited": 1})  # the flooder itself may only see a broken stream
    assert not other.call.done()
    assert len(hub.attendance.registry) == 1


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (hub_pb2.ListAgentsRequest(serving_topic="a/#").SerializeToString(), "BAD_TOPIC"),
        (b"\xff\xff", "PROTOCOL"),
    ],
)
async def test_a_question_that_cannot_be_is_refused_with_its_code(
    hub: Hub, client: Client, request_bytes: bytes, code: str
) -> None:
    ask: Any = client.channel.unary_unary(LIST_AGENTS_METHOD)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(request_bytes)

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert hub.refusals == {code.lower(): 1}


async def test_an_agent_may_only_use_names_of_its_identity(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    tls = pki.client("edge-7")
    async with mtls_hub(tmp_path / "hub", pki, {"name": "edge-7"}) as hub:
        async with TlsClient(address(hub), tls) as client:
            stream = attending(client)
            await stream.send(joining("edge-8"))
            assert (await stream.refusal())[0] == "PERMISSION_DENIED"
        with pytest.raises(Refused, match="may not use the client name 'edge-8'"):
            async with Runtime(address(hub), name="edge-8", tls=tls, agent=Agent("k")):
                await asyncio.Event().wait()
        async with Runtime(address(hub), name="edge-7.x", tls=tls, agent=Agent("k")) as runtime:
            (found,) = await eventually(runtime, "edge-7.x")
            assert found.identity == "edge-7"


async def test_metrics_count_who_comes_and_goes(hub: Hub, client: Client) -> None:
    stream = await joined(client)
    values = {f.name: f.samples[0].value for f in HubCollector(hub).collect() if "agent" in f.name}
    assert values == {
        "fieldline_hub_agents": 1,
        "fieldline_hub_agent_joins": 1,
        "fieldline_hub_agent_leaves": 0,
        "fieldline_hub_agent_timeouts": 0,
    }
    await stream.half_close()
    await stream.status()
    assert hub.attendance.statistics.leaves == 1
