"""Every role, every verb, every topic; and grants that change while the hub runs."""

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from fieldline.client.channel import ADMIN_SERVICE, ATTEND_METHOD
from fieldline.client.status import ERROR_KEY
from fieldline.testing import HubProcess
from fieldline.topics import matches
from fieldline.v1 import admin_pb2, hub_pb2
from fieldline_cloud.hub import Hub, HubSettings
from fieldline_cloud.hub.core.access import covers
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.rpc.server import HubServer
from fieldline_cloud.tokens import add_token
from tests.integration.cloud.fuzzing import ending
from tests.integration.cloud.harness import (
    Client,
    Publisher,
    Stream,
    Subscriber,
    address,
    frame,
    hello,
    running_hub,
    until,
)
from tests.integration.cloud.secure import Pki, TlsClient, mtls_hub, now

DENIED = hub_pb2.ERROR_CODE_PERMISSION_DENIED

ROLES: dict[str, dict[str, Any]] = {
    "gateway": {"publish": ["readings/site/gateway/#"], "subscribe": ["commands/gateway/#"]},
    "agent": {"publish": ["alerts/#"], "subscribe": ["readings/#", "alerts/#"], "durables": ["shared-*"]},
    "reader": {"subscribe": ["readings/site/+/pump"]},
    "all": {"publish": ["#"], "subscribe": ["#"], "producers": ["*"], "durables": ["*"]},
    "nothing": {},
    "operator": {"admin": True},
}
TOPICS = (
    "readings/site/gateway/pump",
    "readings/site/other/pump",
    "readings",
    "alerts/site/x",
    "commands/gateway/stop",
    "commands/other/stop",
    "tasks/t",
)
FILTERS = (
    "#",
    "+/+",
    "readings/#",
    "readings/site/+/pump",
    "alerts/+/x",
    "commands/gateway/+",
    "commands/#",
    "tasks/t",
)
ADMIN = {
    "ListTopics": admin_pb2.ListTopicsRequest(),
    "ListSubscriptions": admin_pb2.ListSubscriptionsRequest(),
    "ListDeadLetters": admin_pb2.ListDeadLettersRequest(durable="d"),
    "ReplayDeadLetters": admin_pb2.DeadLettersRequest(durable="d"),
    "DropDeadLetters": admin_pb2.DeadLettersRequest(durable="d"),
    "DeleteDurable": admin_pb2.DeleteDurableRequest(durable="d"),
    "Purge": admin_pb2.PurgeRequest(),
    "Backup": admin_pb2.BackupRequest(),
}
NAMES = ("gateway", "gateway.two", "agent", "agent.x", "shared-1", "reader", "all", "nothing", "gatewayx")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def owns(role: str, name: str, granted: str) -> bool:
    """Written anew, and simply: what the names of `role` are by the rules on the page."""
    patterns = ROLES.get(role, {}).get(granted, ())
    return (
        name == role
        or name.startswith(f"{role}.")
        or any(one == "*" or (one.endswith("*") and name.startswith(one[:-1])) for one in patterns)
    )


async def outcome(client: Client, name: str, verb: str, what: str) -> str:
    """`yes`, or the name of the error code."""
    if verb == "admin":
        return await administered(client, what)
    if verb == "attend":
        return await attended(client, what)
    stream: Any = client.publisher() if verb in ("publish", "produce") else client.subscriber()
    try:
        answer = await (say_hello if verb in ("publish", "produce") else open_with)(stream, name, verb, what)
    except grpc.aio.AioRpcError:  # it has ended before all was said
        answer = None
    if answer:
        stream.call.cancel()
        return "yes"
    _, error = await stream.refusal()
    return hub_pb2.ErrorCode.Name(error.code).removeprefix("ERROR_CODE_")


async def administered(client: Client, method: str) -> str:
    """`yes` if the call was let in, whatever it then found."""
    ask: Any = client.channel.unary_stream
    call = ask(f"{ADMIN_SERVICE}/{method}", response_deserializer=bytes)(ADMIN[method].SerializeToString())
    with contextlib.suppress(grpc.aio.AioRpcError):
        async for _ in call:
            pass
    for key, value in await call.trailing_metadata():
        if key == ERROR_KEY and hub_pb2.Error.FromString(value).code == DENIED:
            return "PERMISSION_DENIED"
    return "yes"


async def attended(client: Client, name: str) -> str:
    """Join as an agent of that name."""
    stream = Stream(client.channel, ATTEND_METHOD, hub_pb2.AttendResponse.FromString)
    join = hub_pb2.Join(hello=hello(name), kind="test", heartbeat_ms=60_000)
    try:
        await stream.send(hub_pb2.AttendRequest(join=join))
        answer = await stream.read()
    except grpc.aio.AioRpcError:
        answer = None
    if answer:
        await stream.half_close()
        await stream.status()
        return "yes"
    return hub_pb2.ErrorCode.Name((await stream.refusal())[1].code).removeprefix("ERROR_CODE_")


async def say_hello(stream: Publisher, name: str, verb: str, what: str) -> Any:
    """Say hello, with a producer's name or then a frame; the last answer."""
    producer = what if verb == "produce" else name
    greeting = hub_pb2.PublishHello(hello=hello(name), producer=producer, epoch=1)
    await stream.send(hub_pb2.PublishRequest(hello=greeting))
    answer = await stream.read()
    if answer and verb == "publish":
        await stream.publish(frame(answer.welcome.last_sequence + 1, what))
        answer = await stream.read()
    return answer


async def open_with(stream: Subscriber, name: str, verb: str, what: str) -> Any:
    """Open with a filter or a durable; the answer."""
    filters, durable = ([what], "") if verb == "subscribe" else (own_filters(name), what)
    opening = hub_pb2.SubscribeOpen(hello=hello(name), filters=filters, durable=durable)
    await stream.send(hub_pb2.SubscribeRequest(open=opening))
    return await stream.read()


def own_filters(role: str) -> list[str]:
    return list(ROLES.get(role, {}).get("subscribe", ())) or ["readings/site/x/pump"]


def expected(role: str, verb: str, what: str) -> bool:
    grants = ROLES.get(role, {})
    if verb == "publish":
        return any(matches(one, what) for one in grants.get("publish", ()))
    if verb == "subscribe":
        return any(covers(one, what) for one in grants.get("subscribe", ()))
    if verb == "admin":
        return bool(grants.get("admin"))
    if verb in ("produce", "attend"):
        return role in ROLES and owns(role, what, "producers")
    return bool(grants.get("subscribe")) and owns(role, what, "durables")


CELLS = {
    "publish": TOPICS,
    "subscribe": FILTERS,
    "produce": NAMES,
    "durable": NAMES,
    "attend": NAMES,
    "admin": tuple(ADMIN),
}


@pytest.mark.parametrize("role", [*ROLES, "stranger"])
async def test_every_role_may_do_with_every_topic_and_name_what_it_was_granted_and_nothing_else(
    role: str, tmp_path: Path, pki: Pki
) -> None:
    identities = [{"name": name, **grants} for name, grants in ROLES.items()]
    async with mtls_hub(tmp_path, pki, *identities) as hub, TlsClient(address(hub), pki.client(role)) as client:
        wrong = []
        for verb, whats in CELLS.items():
            for what in whats:
                found = await outcome(client, role, verb, what)
                wanted = "yes" if expected(role, verb, what) else "PERMISSION_DENIED"
                if found != wanted:
                    wrong.append((role, verb, what, found))
        stored = sum(expected(role, "publish", topic) for topic in TOPICS)

        assert wrong == []
        assert hub.broker.tail == stored, "what was refused is not stored"


class GrantsHub:
    """A hub started from a file, with tokens for everybody; `grant` rewrites the file."""

    def __init__(self, folder: Path, hub: Hub, tokens: Mapping[str, str]) -> None:
        self.hub = hub
        self.config = folder / "hub.yaml"
        self.tokens = tokens

    def grant(self, identities: object) -> None:
        content = json.loads(self.config.read_text())
        content["auth"]["identities"] = identities
        self.write(json.dumps(content))

    def write(self, text: str) -> None:
        new = self.config.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.config)


@asynccontextmanager
async def grants_hub(folder: Path, *identities: Mapping[str, Any], every_s: float = 0.05) -> AsyncIterator[GrantsHub]:
    tokens = {
        name: add_token(folder / "tokens.json", name, now_s=now().timestamp(), days=1)[0]
        for name in ("one", "two", "three")
    }
    auth = {"identities": identities, "tokens_file": str(folder / "tokens.json"), "check_every_s": every_s}
    settings = {"kind": "hub", "listen": "127.0.0.1:0", "data": str(folder / "data"), "auth": auth, "drain_s": 1.0}
    config = folder / "hub.yaml"
    config.write_text(json.dumps(settings))
    async with Hub(HubSettings.model_validate(settings), config=config) as hub:
        yield GrantsHub(folder, hub, tokens)


class TokenClient(Client):
    """As Client, with a token in every call."""

    def __init__(self, hub: GrantsHub, name: str) -> None:
        super().__init__(address(hub.hub))
        self._channel = _WithToken(self._channel, hub.tokens[name])  # type: ignore[assignment]  # has what Client uses


class _WithToken:
    def __init__(self, channel: Any, token: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {token}"),)

    def stream_stream(self, *arguments: Any, **more: Any) -> Any:
        method = self._channel.stream_stream(*arguments, **more)
        return lambda: method(metadata=self._metadata)

    async def close(self) -> None:
        await self._channel.close()


ONE = {"name": "one", "publish": ["a/#"], "subscribe": ["a/#", "b/#"], "durables": ["shared"], "producers": ["lent"]}
TWO = {"name": "two", "publish": ["#"], "subscribe": ["#"]}


async def test_a_grant_that_was_added_holds_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with grants_hub(tmp_path, ONE) as hub, TokenClient(hub, "one") as client, TokenClient(hub, "two") as new:
        assert await outcome(new, "two", "publish", "x") == "PERMISSION_DENIED"
        assert await outcome(client, "one", "publish", "x") == "PERMISSION_DENIED"

        hub.grant([{**ONE, "publish": ["a/#", "x"]}, TWO])

        await until(lambda: "grants were read again" in caplog.text)
        assert await outcome(new, "two", "publish", "x") == "yes"
        assert await outcome(client, "one", "publish", "x") == "yes"


SHRUNK: dict[str, tuple[list[str], dict[str, Any], dict[str, Any], str]] = {
    "a filter": (["b/#"], {}, {"subscribe": ["a/#"]}, "may not subscribe to 'b/#'"),
    "a durable": (["a/#"], {"durable": "shared"}, {"durables": []}, "durable name 'shared'"),
    "a client name": (["a/#"], {"hello": hello("lent")}, {"producers": []}, "client name 'lent'"),
}


@pytest.mark.parametrize("case", SHRUNK)
async def test_an_open_stream_that_uses_what_was_taken_is_sent_away_and_others_stay(case: str, tmp_path: Path) -> None:
    filters, opening, change, says = SHRUNK[case]
    async with (
        grants_hub(tmp_path, ONE, TWO) as hub,
        TokenClient(hub, "one") as client,
        TokenClient(hub, "two") as other,
    ):
        going, staying, others = client.subscriber(), client.subscriber(), other.subscriber()
        await going.open(*filters, **{"hello": hello("one"), **opening})
        await staying.open("a/x", hello=hello("one"))
        await others.open("#", hello=hello("two"))

        hub.grant([{**ONE, **change}, TWO])

        status, error = await going.refusal()
        assert (status, error.code) == ("PERMISSION_DENIED", DENIED)
        assert says in error.message
        assert not staying.call.done()
        assert not others.call.done()
        assert hub.hub.refusals == {"permission_denied": 1}


async def test_a_publisher_is_refused_the_topic_that_was_taken_at_its_next_frame(tmp_path: Path) -> None:
    lent = {**ONE, "producers": ["tester"], "publish": ["a/#", "b/#"]}
    async with grants_hub(tmp_path, lent) as hub, TokenClient(hub, "one") as client:
        publisher = client.publisher()
        await publisher.greet("one")
        await publisher.publish(frame(1, "a/x"), frame(2, "b/x"))
        await publisher.acked(2)

        hub.grant([{**lent, "publish": ["a/#"]}])
        await hub.hub.reload()

        await publisher.publish(frame(3, "a/x"))
        await publisher.acked(3)
        await publisher.publish(frame(4, "b/x"))
        assert (await publisher.refusal())[1].code == DENIED
        assert hub.hub.broker.tail == 3


async def test_an_identity_that_was_taken_out_is_sent_away_and_gets_no_new_stream(tmp_path: Path) -> None:
    async with grants_hub(tmp_path, ONE, TWO) as hub, TokenClient(hub, "one") as client:
        stream = client.subscriber()
        await stream.open("a/#", hello=hello("one"))

        hub.grant([TWO])

        status, error = await stream.refusal()
        assert (status, error.code) == ("PERMISSION_DENIED", DENIED)
        assert "taken out" in error.message
        assert await outcome(client, "one", "subscribe", "a/#") == "PERMISSION_DENIED"


BROKEN = {
    "no YAML": "kind: hub\nauth: [",
    "an unknown key": '{"kind": "hub", "auth": {"identities": [], "tokens_file": "t", "colour": 1}}',
    "no auth": '{"kind": "hub"}',
    "an identity twice": '{"kind": "hub", "auth": {"tokens_file": "t", "identities": [{"name": "a"}, {"name": "a"}]}}',
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_file_leaves_the_old_grants_in_force_and_says_why(
    case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with grants_hub(tmp_path, ONE) as hub, TokenClient(hub, "one") as client:
        stream = client.subscriber()
        await stream.open("b/#", hello=hello("one"))

        hub.write(BROKEN[case])
        await until(lambda: hub.hub.reload_failures["grants"] == 1)

        assert await outcome(client, "one", "publish", "a/x") == "yes"
        assert not stream.call.done()
        assert "the old ones stay in force: " in caplog.text
        hub.write(json.dumps({"kind": "hub", "auth": {"tokens_file": "t", "identities": [TWO]}}))
        assert (await stream.refusal())[1].code == DENIED
        assert hub.hub.reload_failures["grants"] == 1


async def test_sighup_reads_grants_at_once(tmp_path: Path) -> None:
    token, _ = add_token(tmp_path / "tokens.json", "one", now_s=now().timestamp(), days=1)
    auth = {"identities": [ONE], "tokens_file": str(tmp_path / "tokens.json"), "check_every_s": 60}
    async with HubProcess(tmp_path / "run", settings={"auth": auth}) as hub, Client(hub.address) as client:
        client._channel = _WithToken(client._channel, token)  # type: ignore[assignment]  # has what Client uses
        stream = client.subscriber()
        await stream.open("b/#", hello=hello("one"))
        config = tmp_path / "run" / "hub.yaml"
        config.write_text(config.read_text().replace('"b/#"', '"c/#"'))

        os.kill(hub.pid, signal.SIGHUP)

        assert (await stream.refusal())[1].code == DENIED
        assert await outcome(client, "one", "subscribe", "c/#") == "yes"
        assert '"grants were read again"' in hub.errors


@pytest.mark.parametrize("moment", range(5))
async def test_who_is_sent_away_in_the_middle_of_a_first_answer_hears_why(moment: int, tmp_path: Path) -> None:
    """Cut short while it was written, such an answer once left the client waiting for ever."""
    async with running_hub(tmp_path) as hub, Client(address(hub)) as client:
        server = hub._server
        streams = [client.subscriber() for _ in range(50)]
        opening = hub_pb2.SubscribeRequest(open=hub_pb2.SubscribeOpen(hello=hello(), filters=["#"]))
        await asyncio.gather(*(one.send(opening) for one in streams))
        sent: set[object] = set()
        async with asyncio.timeout(10):
            while len(sent) < len(streams):
                for work in server._streams.keys() - sent:
                    sent.add(work)
                    asyncio.get_running_loop().call_soon(later, moment, server, work)
                await asyncio.sleep(0)
        codes = [(await ending(one))[1] for one in streams]

        assert codes == ["PERMISSION_DENIED"] * len(streams)


def later(turns: int, server: HubServer, work: asyncio.Future[Any]) -> None:
    """Send it away in so many turns of the loop."""
    if turns:
        asyncio.get_running_loop().call_soon(later, turns - 1, server, work)
    else:
        server._send_away(work, HubRefusal.denied("no longer"))


async def test_a_hub_without_auth_has_no_grants_to_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    config = tmp_path / "hub.yaml"
    config.write_text(json.dumps({"kind": "hub"}))
    settings = HubSettings.model_validate({"listen": "127.0.0.1:0", "data": tmp_path / "data"})
    async with Hub(settings, config=config) as hub, Client(address(hub)) as client:
        await hub.reload()

        assert await outcome(client, "anybody", "publish", "x") == "yes"
        assert hub.reload_failures == {}
    assert "grants" not in caplog.text
