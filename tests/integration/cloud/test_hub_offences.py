"""One table of what clients may do wrong: each offence is a typed error to its client alone, and one count more.

All of it happens at one mTLS hub with a second door for tokens, while somebody on another connection publishes, and
reads with a durable: everything of that one arrives.
"""

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from fieldline.client.channel import PUBLISH_METHOD, open_channel
from fieldline.limits import FRAME_BYTES_MAX
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub
from fieldline_cloud.hub.core.lobby import GRACE_S
from fieldline_cloud.hub.metrics import HubCollector
from fieldline_cloud.hub.subscribers import LiveSubscriber
from fieldline_cloud.tokens import add_token
from tests.integration.cloud.bystander import Bystander
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
from tests.integration.cloud.secure import Pki, TlsClient, credentials, mtls_hub, now

NAME = "offender"
HALF_OPEN_MAX = 5


@dataclass
class Scene:
    """A hub, somebody who offends, and how to become somebody else."""

    hub: Hub
    client: Client
    pki: Pki
    closing: list[Client]

    def publisher(self) -> Publisher:
        return self.client.publisher()

    async def greeted(self) -> Publisher:
        stream = self.publisher()
        await stream.send(greeting())
        assert (await stream.read()).welcome.protocol == 1
        return stream

    async def opened(self, *filters: str, **fields: Any) -> Subscriber:
        stream = self.client.subscriber()
        await stream.open(*filters, hello=hello(NAME), **fields)
        return stream

    def by_token(self, token: str) -> Stream:
        """A stream through the door for tokens."""
        where = f"127.0.0.1:{self.hub.token_port}"
        client = TlsClient(where, self.pki.only_ca())
        self.closing.append(client)
        method: Any = client.channel.stream_stream(PUBLISH_METHOD, response_deserializer=bytes)
        stream = Stream.__new__(Stream)
        stream.call = method(metadata=(("authorization", f"Bearer {token}"),))
        return stream

    def as_client(self, tls: Any) -> Client:
        client = TlsClient(address(self.hub), tls)
        self.closing.append(client)
        return client


def greeting(**fields: Any) -> hub_pb2.PublishRequest:
    given = {"hello": hello(NAME), "producer": NAME, "epoch": 1, **fields}
    return hub_pb2.PublishRequest(hello=hub_pb2.PublishHello(**given))


Offence = Callable[[Scene], Awaitable[Stream]]


async def malformed_frame(scene: Scene) -> Stream:
    stream = await scene.greeted()
    await stream.send(b"\x12\x05\x0a\x03\xff\xff\xff")
    return stream


async def wrong_checksum(scene: Scene) -> Stream:
    stream = await scene.greeted()
    await stream.publish(frame(1, crc32=1))
    return stream


async def wrong_sequence(scene: Scene) -> Stream:
    stream = await scene.greeted()
    await stream.publish(frame(1))
    await stream.acked(1)
    await stream.publish(frame(7))
    return stream


async def unknown_version(scene: Scene) -> Stream:
    stream = scene.publisher()
    await stream.send(greeting(hello=hello(NAME, protocol=99)))
    return stream


async def frame_too_large(scene: Scene) -> Stream:
    stream = await scene.greeted()
    await stream.publish(frame(1, body=bytes(FRAME_BYTES_MAX + 1)))
    return stream


async def bad_topic(scene: Scene) -> Stream:
    stream = await scene.greeted()
    await stream.publish(frame(1, "t/+"))
    return stream


async def bad_filter(scene: Scene) -> Stream:
    stream = scene.client.subscriber()
    opening = hub_pb2.SubscribeOpen(hello=hello(NAME), filters=["a/#/b"])
    await stream.send(hub_pb2.SubscribeRequest(open=opening))
    return stream


async def bad_name(scene: Scene) -> Stream:
    stream = scene.publisher()
    await stream.send(greeting(producer="../x"))
    return stream


async def bad_token(scene: Scene) -> Stream:
    return scene.by_token("flt_" + "A" * 43)


async def no_token(scene: Scene) -> Stream:
    return scene.by_token("")


async def certificate_expires(scene: Scene) -> Stream:
    soon = now() - datetime.timedelta(days=1) + datetime.timedelta(seconds=1.5)
    stream = scene.as_client(scene.pki.client(NAME, days=1, at=soon)).subscriber()
    await stream.open("never", hello=hello(NAME))
    return stream


async def not_granted(scene: Scene) -> Stream:
    stream = await scene.greeted()
    await stream.publish(frame(1, "bystander/t"))
    return stream


async def someone_elses_name(scene: Scene) -> Stream:
    stream = scene.publisher()
    await stream.send(greeting(producer="tester"))
    return stream


async def someone_elses_durable(scene: Scene) -> Stream:
    stream = scene.client.subscriber()
    opening = hub_pb2.SubscribeOpen(hello=hello(NAME), filters=["#"], durable="tester")
    await stream.send(hub_pb2.SubscribeRequest(open=opening))
    return stream


async def silence(scene: Scene) -> Stream:
    return scene.publisher()


async def half_open_flood(scene: Scene) -> Stream:
    streams = [scene.publisher()]
    while len(streams) < HALF_OPEN_MAX:
        await until(lambda: scene.hub.half_open_streams == len(streams))
        streams.append(scene.publisher())
    await until(lambda: scene.hub.half_open_streams == HALF_OPEN_MAX)
    await asyncio.sleep(GRACE_S)  # it is what time does here that is tested
    await scene.greeted()  # one more, that speaks: the first of the silent ones must go
    for other in streams[1:]:
        other.call.cancel()
    return streams[0]


async def ack_of_what_never_came(scene: Scene) -> Stream:
    stream = await scene.opened("never", durable=NAME)
    await stream.ack(1_000)
    return stream


async def taken_what_never_came(scene: Scene) -> Stream:
    stream = await scene.opened("never")
    await stream.taken(1)
    return stream


async def settles_what_never_came(scene: Scene) -> Stream:
    stream = await scene.opened("never", durable=NAME)
    await stream.send(hub_pb2.SubscribeRequest(settle=hub_pb2.Settle(done=[5])))
    return stream


async def refuses_what_never_came(scene: Scene) -> Stream:
    stream = await scene.opened("never", durable=NAME)
    await stream.send(hub_pb2.SubscribeRequest(settle=hub_pb2.Settle(nacks=[hub_pb2.Nack(offset=5)])))
    return stream


async def too_many_backoffs(scene: Scene) -> Stream:
    stream = scene.client.subscriber()
    options = hub_pb2.DurableOptions(backoff_ms=range(1_000))
    opening = hub_pb2.SubscribeOpen(hello=hello(NAME), filters=["t"], durable=NAME, options=options)
    await stream.send(hub_pb2.SubscribeRequest(open=opening))
    return stream


async def no_message_at_all(scene: Scene) -> Stream:
    stream = scene.client.subscriber()
    await stream.send(b"\xff\xff\xff")
    return stream


async def over_its_rate(scene: Scene) -> Stream:
    stream = await scene.greeted()
    await stream.publish(*[frame(n) for n in range(1, 40)])
    while await answer(stream):
        pass
    return stream


async def answer(stream: Stream) -> Any:
    try:
        return await stream.read()
    except grpc.aio.AioRpcError:
        return None


OFFENCES: dict[str, tuple[Offence, str, str]] = {
    "a malformed frame": (malformed_frame, "INVALID_ARGUMENT", "BAD_FRAME"),
    "a frame with a wrong checksum": (wrong_checksum, "INVALID_ARGUMENT", "BAD_FRAME"),
    "a wrong sequence": (wrong_sequence, "FAILED_PRECONDITION", "SEQUENCE_GAP"),
    "an unknown protocol version": (unknown_version, "FAILED_PRECONDITION", "PROTOCOL_VERSION"),
    "a frame that is too large": (frame_too_large, "INVALID_ARGUMENT", "FRAME_TOO_LARGE"),
    "a bad topic": (bad_topic, "INVALID_ARGUMENT", "BAD_TOPIC"),
    "a bad filter": (bad_filter, "INVALID_ARGUMENT", "BAD_FILTER"),
    "a bad name": (bad_name, "INVALID_ARGUMENT", "BAD_NAME"),
    "a bad token": (bad_token, "UNAUTHENTICATED", "UNAUTHENTICATED"),
    "no token": (no_token, "UNAUTHENTICATED", "UNAUTHENTICATED"),
    "an expired certificate": (certificate_expires, "UNAUTHENTICATED", "UNAUTHENTICATED"),
    "a topic that is not granted": (not_granted, "PERMISSION_DENIED", "PERMISSION_DENIED"),
    "another's producer": (someone_elses_name, "PERMISSION_DENIED", "PERMISSION_DENIED"),
    "another's durable": (someone_elses_durable, "PERMISSION_DENIED", "PERMISSION_DENIED"),
    "no hello": (silence, "DEADLINE_EXCEEDED", "TIMED_OUT"),
    "a flood of half-open streams": (half_open_flood, "RESOURCE_EXHAUSTED", "TOO_MANY"),
    "an ack of what never came": (ack_of_what_never_came, "INVALID_ARGUMENT", "BAD_ACK"),
    "settling what never came": (settles_what_never_came, "INVALID_ARGUMENT", "BAD_ACK"),
    "refusing what never came": (refuses_what_never_came, "INVALID_ARGUMENT", "BAD_ACK"),
    "a backoff list without end": (too_many_backoffs, "INVALID_ARGUMENT", "PROTOCOL"),
    "taking what never came": (taken_what_never_came, "INVALID_ARGUMENT", "PROTOCOL"),
    "bytes that are no message": (no_message_at_all, "INVALID_ARGUMENT", "PROTOCOL"),
    "more than its rate": (over_its_rate, "RESOURCE_EXHAUSTED", "RATE_LIMITED"),
}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def scene(tmp_path: Path, pki: Pki) -> AsyncIterator[Scene]:
    add_token(tmp_path / "tokens.json", NAME, now_s=now().timestamp(), days=1)
    bystander = {"name": "tester", "publish": ["bystander/#"], "subscribe": ["bystander/#"]}
    offender = {"name": NAME, "publish": ["t/#"], "subscribe": ["#"], "limits": {"frames_s": 20}}
    auth = {
        "identities": [bystander, offender],
        "tokens_file": tmp_path / "tokens.json",
        "token_listen": "127.0.0.1:0",
        "check_every_s": 0.05,
    }
    limits = {"hello_s_max": 3.0, "half_open_max": HALF_OPEN_MAX}
    async with (
        mtls_hub(tmp_path / "hub", pki, auth=auth, limits=limits) as hub,
        Bystander(address(hub), client=TlsClient(address(hub), pki.client("tester")), name="tester") as other,
        TlsClient(address(hub), pki.client(NAME)) as client,
    ):
        scene = Scene(hub, client, pki, [])
        yield scene
        await other.is_served()
        for each in scene.closing:
            await each.__aexit__()


@pytest.mark.parametrize("case", OFFENCES)
async def test_an_offence_is_a_typed_error_to_its_client_alone_and_counted(case: str, scene: Scene) -> None:
    offend, status, code = OFFENCES[case]
    before = refusals(scene.hub)

    stream = await offend(scene)

    found, error = await stream.refusal()
    assert (found, hub_pb2.ErrorCode.Name(error.code)) == (status, f"ERROR_CODE_{code}")
    assert error.message
    assert (error.retry_after_ms > 0) == (code == "RATE_LIMITED")
    assert (error.expected_sequence == 2) == (code == "SEQUENCE_GAP")
    before[code.lower()] = before.get(code.lower(), 0) + 1
    assert refusals(scene.hub) == before


def refusals(hub: Hub) -> dict[str, float]:
    """The metric, by code."""
    [family] = [one for one in HubCollector(hub).collect() if one.name == "fieldline_hub_refusals"]
    return {sample.labels["code"]: sample.value for sample in family.samples if sample.name.endswith("_total")}


async def test_a_handshake_with_an_expired_certificate_never_becomes_a_stream(scene: Scene) -> None:
    expired = scene.pki.client(NAME, days=1, at=now() - datetime.timedelta(days=2))
    channel = open_channel(address(scene.hub), credentials(expired))
    stream = Publisher(channel)

    assert await stream.status() is grpc.StatusCode.UNAVAILABLE
    assert refusals(scene.hub) == {}
    await channel.close()


@pytest.mark.parametrize("lossy", [False, True])
async def test_a_subscriber_that_never_reads_holds_no_more_than_its_queue_and_delays_nobody(
    lossy: bool, tmp_path: Path
) -> None:
    limits = {"queue_frames_max": 16, "queue_bytes_max": 1 << 16}
    async with (
        running_hub(tmp_path, limits=limits) as hub,
        Bystander(address(hub)) as other,
        Client(address(hub)) as client,
    ):
        deaf, publisher = client.subscriber(), client.publisher()
        window = hub_pb2.Window(frames=(1 << 32) - 1, bytes=(1 << 64) - 1)
        opening = hub_pb2.SubscribeOpen(hello=hello(), filters=["t/#"], window=window, lossy=lossy)
        await deaf.send(hub_pb2.SubscribeRequest(open=opening))
        await publisher.greet()
        for sequence in range(1, 401):
            await publisher.publish(frame(sequence, body=bytes(1 << 14)))
            if sequence % 50 == 0:
                await publisher.acked(sequence)
                await other.is_served()
        [outlet] = [one.outlet for one in hub.broker.subscribers if isinstance(one, LiveSubscriber)]

        assert outlet.queued_bytes < limits["queue_bytes_max"] + (2 << 20), "behind, it holds one piece of the log more"
        assert (outlet.missed_total > 0) if lossy else outlet.behind
        assert not deaf.call.done(), "it is slow, which is no error"


async def test_a_publisher_that_never_reads_its_acks_delays_nobody(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, Bystander(address(hub)) as other, Client(address(hub)) as client:
        publisher = client.publisher()
        await publisher.send(greeting())
        for sequence in range(1, 5_001):
            await publisher.publish(frame(sequence, "t/a"))
        await until(lambda: hub.broker.statistics.frames_stored >= 5_000)
        await other.is_served()


async def test_many_offenders_at_once_do_no_harm(scene: Scene) -> None:
    cases = [malformed_frame, unknown_version, bad_filter, bad_token, ack_of_what_never_came] * 10
    # Streams of one offender share its client: where one is refused early, its next words find it closed.
    streams = await asyncio.gather(*(offend(scene) for offend in cases), return_exceptions=True)
    codes = await asyncio.gather(*(one.status() for one in streams if isinstance(one, Stream)))

    assert grpc.StatusCode.OK not in codes
    assert {"bad_frame", "protocol_version", "bad_filter", "unauthenticated", "bad_ack"} <= refusals(scene.hub).keys()
