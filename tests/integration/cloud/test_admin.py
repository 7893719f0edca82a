"""Looking after a real hub: what it lists, what it changes, who may, and what it refuses."""

import logging
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from fieldline import AdminClient, HubUnavailable, Purged, Refused
from fieldline.client.channel import ADMIN_SERVICE
from fieldline.v1 import admin_pb2, hub_pb2
from fieldline_cloud.hub import Hub
from fieldline_cloud.hub.metrics import HubCollector
from tests.integration.cloud.harness import DEADLINE_S, Client, Subscriber, address, frame, running_hub, until
from tests.integration.cloud.secure import Pki, mtls_hub

INVALID = "INVALID_ARGUMENT"
OPERATOR = {"name": "operator", "admin": True}
METHODS = admin_pb2.DESCRIPTOR.services_by_name["Admin"].methods_by_name


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def client(hub: Hub) -> AsyncIterator[Client]:
    async with Client(address(hub)) as client:
        yield client


@pytest.fixture
async def admin(hub: Hub) -> AsyncIterator[AdminClient]:
    async with AdminClient(address(hub), connect_timeout_s=DEADLINE_S) as admin:
        yield admin


async def published(client: Client, *topics: str) -> None:
    publisher = client.publisher()
    begin = (await publisher.greet()).last_sequence + 1
    await publisher.publish(*(frame(sequence, topic) for sequence, topic in enumerate(topics, begin)))
    await publisher.acked(begin + len(topics) - 1)
    await publisher.half_close()


async def opened(client: Client, *filters: str, **fields: Any) -> Subscriber:
    subscriber = client.subscriber()
    await subscriber.open(*filters, **fields)
    return subscriber


async def gave_up(client: Client, hub: Hub, durable: str, *topics: str) -> Subscriber:
    """A durable's subscriber that has given up one frame of each topic."""
    subscriber = await opened(client, "t/#", durable=durable, start=hub_pb2.Start(earliest=True))
    await published(client, *topics)
    deliveries = await subscriber.take(len(topics))
    nacks = [hub_pb2.Nack(offset=one.offset, reason="no such pump", give_up=True) for one in deliveries]
    await subscriber.send(hub_pb2.SubscribeRequest(settle=hub_pb2.Settle(nacks=nacks)))
    await until(lambda: hub.broker.tail == 2 * len(topics))  # each has its letter
    return subscriber


async def call(client: Client, method: str, request: Message | bytes) -> tuple[str, str]:
    """(gRPC status, error code) of an admin call that is refused."""
    streams = METHODS[method].server_streaming
    make: Any = client.channel.unary_stream if streams else client.channel.unary_unary
    data = request if isinstance(request, bytes) else request.SerializeToString()
    rpc = make(f"{ADMIN_SERVICE}/{method}")(data)
    status = (await rpc.code()).name
    for key, value in await rpc.trailing_metadata():
        if key == "fieldline-error-bin":
            return status, hub_pb2.ErrorCode.Name(hub_pb2.Error.FromString(value).code).removeprefix("ERROR_CODE_")
    return status, ""


# What it lists.


async def test_topics_are_listed_with_those_who_read_them(client: Client, admin: AdminClient) -> None:
    await published(client, "t/a", "t/b", "x")
    await opened(client, "t/+")

    everything = {one.topic: one.subscribers async for one in admin.topics()}
    some = [one.topic async for one in admin.topics("t/#")]

    assert everything == {"t/a": 1, "t/b": 1, "x": 0}
    assert some == ["t/a", "t/b"]


async def test_a_topic_says_what_was_stored_of_it_and_which_policy_it_has(tmp_path: Path) -> None:
    topics = [{"filter": "t/+", "partitions": 4}]
    async with (
        running_hub(tmp_path, topics=topics) as hub,
        Client(address(hub)) as client,
        AdminClient(address(hub)) as admin,
    ):
        await published(client, "t/a", "x", "t/a")
        first, second = [one async for one in admin.topics()]

    assert (first.topic, first.policy, first.partitions, first.durable) == ("t/a", "t/+", 4, True)
    assert (first.frames, first.last_offset, first.bytes > 0) == (2, 2, True)
    assert (second.policy, second.partitions, second.last_offset) == ("", 1, 1)
    async with running_hub(tmp_path) as hub, AdminClient(address(hub)) as admin:
        assert [(one.topic, one.frames, one.last_offset) async for one in admin.topics()] == [
            ("t/a", 0, 2),
            ("x", 0, 1),
        ]


async def test_purged_frames_are_gone_for_every_reader(client: Client, admin: AdminClient) -> None:
    await published(client, "t/a", "t/b", "x", "t/a")

    assert await admin.purge("t/#", below_offset=3) == Purged(2, 3)
    assert await admin.purge("t/#", below_offset=3) == Purged(0, 3)
    assert await admin.purge("#", before_ms=1_000) == Purged(0, 0)

    reader = await opened(client, "#", start=hub_pb2.Start(earliest=True))
    assert [one.frame.topic for one in await reader.take(2)] == ["x", "t/a"]


async def test_subscriptions_are_listed_held_or_not_with_their_members_and_backlog(
    client: Client, admin: AdminClient
) -> None:
    options = hub_pb2.DurableOptions(group=True, ack_wait_ms=5000, deliveries_max=3, backoff_ms=[10, 20], hold=True)
    left = await opened(client, "t/#", durable="left", start=hub_pb2.Start(earliest=True))
    await left.half_close()
    await left.status()
    await opened(client, "t/#", durable="group", options=options)
    await opened(client, "t/#", durable="group", options=options)
    await opened(client, "x/+", "y")
    await published(client, "t/a", "t/b")

    found = {one.durable: one async for one in admin.subscriptions()}
    durable = [one.durable async for one in admin.subscriptions(only_durable=True)]

    assert durable == ["group", "left"]
    assert (found["left"].members, found["left"].backlog, found["left"].filters) == ((), 2, ("t/#",))
    group = found["group"]
    assert (group.group, group.ack_wait_ms, group.deliveries_max) == (True, 5000, 3)
    assert (group.backoff_ms, group.hold) == ((10, 20), True)
    assert [one.client for one in group.members] == ["tester", "tester"]
    assert (group.pending, sum(one.pending for one in group.members), group.end_offset) == (2, 2, 2)
    assert found[""].filters == ("x/+", "y")
    (member,) = found[""].members
    assert member.peer.startswith("ipv")
    assert member.since_ms > 1_700_000_000_000


async def test_dead_letters_are_listed_with_the_reason_and_where_they_came_from(
    hub: Hub, client: Client, admin: AdminClient
) -> None:
    await gave_up(client, hub, "d", "t/a", "t/b")

    first, second = [one async for one in admin.dead_letters("d")]

    assert (first.topic, second.topic, first.durable) == ("t/a", "t/b", "d")
    assert (first.reason, first.deliveries, first.count, first.messages) == ("no such pump", 1, 1, ())
    assert (first.original_offset, first.producer, first.sequence) == (0, "p", 1)
    assert (first.offset, second.offset) == (2, 3)
    assert first.stored_at_ms > 1_700_000_000_000
    assert [one.offset async for one in admin.dead_letters(limit=1)] == [2]


# What it changes.


async def test_a_durable_is_forgotten_once_nobody_holds_it(hub: Hub, client: Client, admin: AdminClient) -> None:
    holder = await opened(client, "t/#", durable="d")
    with pytest.raises(HubUnavailable, match="durable 'd' is in use by client 'tester'"):
        await admin.delete_durable("d")
    await holder.half_close()
    await holder.status()

    await admin.delete_durable("d")

    assert [one async for one in admin.subscriptions()] == []
    with pytest.raises(Refused) as refused:
        await admin.delete_durable("d")
    assert refused.value.code == "NOT_FOUND"


async def test_replayed_dead_letters_come_again_to_their_durable_and_leave_the_list(
    hub: Hub, client: Client, admin: AdminClient
) -> None:
    subscriber = await gave_up(client, hub, "d", "t/a", "t/b")
    other = await opened(client, "t/#", durable="other")

    assert await admin.replay("d", [2]) == 1

    (again,) = await subscriber.take(1)
    assert again.frame.body == frame(1).body
    assert [one.offset async for one in admin.dead_letters("d")] == [3]
    assert await admin.replay("d", []) == 0
    assert await admin.replay("d") == 1
    await subscriber.take(1)
    await published(client, "t/new")
    assert [one.frame.topic for one in await other.take(1)] == ["t/new"]


async def test_dropped_dead_letters_leave_the_list(hub: Hub, client: Client, admin: AdminClient) -> None:
    await gave_up(client, hub, "d", "t/a", "t/b", "t/c")

    assert await admin.drop("d", [5, 4]) == 2
    assert [one.offset async for one in admin.dead_letters("d")] == [3]
    with pytest.raises(Refused, match="no open dead letter at offset 4"):
        await admin.drop("d", [4])
    assert await admin.drop("d") == 1
    assert [one async for one in admin.dead_letters("d")] == []


# Backups: the engine's own part is tested with the engine.


class Pieces:
    """Stands for an engine's backup: counts what is asked of it, and knows its end."""

    def __init__(self, count: int, size: int = 1 << 20) -> None:
        self.made = 0
        self.closed = threading.Event()
        self._count, self._size = count, size

    def __call__(self) -> Iterator[bytes]:
        try:
            for number in range(self._count):
                self.made += 1
                yield bytes([number % 256]) * self._size
        finally:
            self.closed.set()


async def test_a_backup_comes_whole_and_in_order(hub: Hub, admin: AdminClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.broker.engine, "backup", Pieces(7, (2 << 20) + 5))

    data = b"".join([piece async for piece in admin.backup()])

    assert data == b"".join(bytes([number]) * ((2 << 20) + 5) for number in range(7))


async def test_a_backup_nobody_reads_stops_where_it_is_and_holds_up_nobody(
    hub: Hub, client: Client, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = Pieces(1000)
    monkeypatch.setattr(hub.broker.engine, "backup", pieces)
    async with aclosing(admin.backup()) as backup:
        await anext(backup)
        await published(client, *["t/a"] * 200)
        assert [one.topic async for one in admin.topics()] == ["t/a"]
        with pytest.raises(HubUnavailable, match="a backup is under way"):
            _ = [piece async for piece in admin.backup()]
        assert pieces.made < 100
    await until(pieces.closed.is_set)
    monkeypatch.setattr(hub.broker.engine, "backup", Pieces(1))
    await until(lambda: not hub._server.admin._backing_up)
    assert len([piece async for piece in admin.backup()]) == 1


async def test_who_reads_nothing_for_too_long_is_given_up(
    hub: Hub, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = Pieces(1000)
    monkeypatch.setattr(hub.broker.engine, "backup", pieces)
    monkeypatch.setattr(hub._server.admin, "_stalled_s", 0.2)
    ask: Any = client.channel.unary_stream(f"{ADMIN_SERVICE}/Backup")
    backup = ask(b"")
    await backup.read()

    await until(pieces.closed.is_set)
    await until(lambda: hub.refusals == {"timed_out": 1})
    backup.cancel()


async def test_a_hub_that_is_stopped_ends_a_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Pieces(1000)
    async with AsyncExitHub(tmp_path) as hub, AdminClient(address(hub)) as admin:
        monkeypatch.setattr(hub.broker.engine, "backup", pieces)
        async with aclosing(admin.backup()) as backup:
            await anext(backup)
            await hub.stop()
            assert pieces.closed.is_set()


class AsyncExitHub(Hub):
    """A hub that the test stops itself."""

    def __init__(self, folder: Path) -> None:
        from fieldline_cloud.hub import HubSettings

        super().__init__(HubSettings.model_validate({"listen": "127.0.0.1:0", "data": folder, "drain_s": 1.0}))

    async def __aexit__(self, *_: object) -> None:
        pass


# Who may.


@pytest.mark.parametrize("method", METHODS)
async def test_only_an_identity_with_admin_may_call(
    tmp_path: Path, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    pki = Pki(tmp_path)
    async with mtls_hub(tmp_path / "hub", pki, {"name": "edge-7", "subscribe": ["#"]}) as hub:
        async with AdminClient(address(hub), tls=pki.client("edge-7")) as admin:
            request = getattr(admin_pb2, METHODS[method].input_type.name)()
            link = admin._open_link()
            with pytest.raises(Refused, match="identity 'edge-7' may not look after this hub; give it admin: true"):
                async for _ in link.ask_many(f"{ADMIN_SERVICE}/{method}", request, bytes):
                    pass
            assert await admin.agents() == []  # that is for everybody
        assert hub.refusals == {"permission_denied": 1}
        assert sum(hub.admin_calls.values()) == 0
    said = [one for one in caplog.records if one.name == "fieldline.audit"]
    assert [one.__dict__["identity"] for one in said] == ["edge-7"]


async def test_what_an_operator_changes_leaves_a_line_in_the_audit_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pki = Pki(tmp_path)
    with caplog.at_level(logging.INFO, logger="fieldline.audit"):
        async with (
            mtls_hub(tmp_path / "hub", pki, OPERATOR) as hub,
            AdminClient(address(hub), tls=pki.client("operator")) as admin,
        ):
            assert [one async for one in admin.topics()] == []
            with pytest.raises(Refused):
                await admin.delete_durable("nothing")

    (said,) = [one for one in caplog.records if one.name == "fieldline.audit"]
    assert said.getMessage() == "admin call: DeleteDurable"
    assert (said.__dict__["identity"], said.__dict__["request"]) == ("operator", 'durable: "nothing"')


# What it refuses.

LONG = [1] * 10_001
BAD_REQUESTS: dict[str, tuple[str, Message | bytes, str, str]] = {
    **{f"bytes that are no {name}": (name, b"\xff\xff", INVALID, "PROTOCOL") for name in METHODS},
    "topics of a bad filter": ("ListTopics", admin_pb2.ListTopicsRequest(filter="a/#/b"), INVALID, "BAD_FILTER"),
    "a durable without a name": ("DeleteDurable", admin_pb2.DeleteDurableRequest(), INVALID, "BAD_NAME"),
    "a durable with a bad name": ("DeleteDurable", admin_pb2.DeleteDurableRequest(durable="../x"), INVALID, "BAD_NAME"),
    "a durable that is not there": (
        "DeleteDurable",
        admin_pb2.DeleteDurableRequest(durable="d"),
        "NOT_FOUND",
        "NOT_FOUND",
    ),
    "letters of a bad name": ("ListDeadLetters", admin_pb2.ListDeadLettersRequest(durable="/"), INVALID, "BAD_NAME"),
    "letters of nobody": (
        "ListDeadLetters",
        admin_pb2.ListDeadLettersRequest(durable="d"),
        "NOT_FOUND",
        "NOT_FOUND",
    ),
    "too many letters": ("ListDeadLetters", admin_pb2.ListDeadLettersRequest(limit=10_001), INVALID, "PROTOCOL"),
    "a replay of nobody's": ("ReplayDeadLetters", admin_pb2.DeadLettersRequest(), INVALID, "BAD_NAME"),
    "a replay of too many": (
        "ReplayDeadLetters",
        admin_pb2.DeadLettersRequest(durable="d", offsets=LONG),
        INVALID,
        "PROTOCOL",
    ),
    "a drop of what no log has": (
        "DropDeadLetters",
        admin_pb2.DeadLettersRequest(durable="d", offsets=[1 << 63]),
        INVALID,
        "PROTOCOL",
    ),
    "a drop of a durable that is not there": (
        "DropDeadLetters",
        admin_pb2.DeadLettersRequest(durable="d"),
        "NOT_FOUND",
        "NOT_FOUND",
    ),
    "a purge of nothing": ("Purge", admin_pb2.PurgeRequest(), INVALID, "BAD_FILTER"),
    "a purge of a bad filter": ("Purge", admin_pb2.PurgeRequest(filter="a#"), INVALID, "BAD_FILTER"),
    "a purge before time": ("Purge", admin_pb2.PurgeRequest(filter="a", before_ms=-1), INVALID, "PROTOCOL"),
    "a purge beyond every log": (
        "Purge",
        admin_pb2.PurgeRequest(filter="a", below_offset=1 << 63),
        INVALID,
        "PROTOCOL",
    ),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
async def test_a_call_that_cannot_be_is_refused_with_its_code(
    hub: Hub, client: Client, admin: AdminClient, name: str
) -> None:
    method, request, status, code = BAD_REQUESTS[name]

    assert await call(client, method, request) == (status, code)

    assert hub.refusals == {code.lower(): 1}
    assert [one async for one in admin.topics()] == []


async def test_metrics_count_admin_calls_by_method(hub: Hub, admin: AdminClient) -> None:
    _ = [one async for one in admin.topics()]
    _ = [one async for one in admin.topics()]
    (family,) = [one for one in HubCollector(hub).collect() if one.name == "fieldline_hub_admin_calls"]

    counts = {one.labels["method"]: one.value for one in family.samples if one.name.endswith("_total")}
    assert counts == {**dict.fromkeys(METHODS, 0), "ListTopics": 2}


async def test_the_service_is_listed_and_healthy(hub: Hub, client: Client) -> None:
    check: Any = client.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert await check(b"\n\x12fieldline.v1.Admin") == b"\x08\x01"


async def test_a_hub_that_is_not_there_is_named() -> None:
    with pytest.raises(HubUnavailable, match=r"no hub answers at 127\.0\.0\.1:1 within 0\.2 s"):
        async with AdminClient("127.0.0.1:1", connect_timeout_s=0.2):
            pass
    async with AdminClient("127.0.0.1:1") as admin:
        with pytest.raises(HubUnavailable, match=r"hub at 127\.0\.0\.1:1 is not available"):
            await admin.delete_durable("d")
