"""Too much of everything: silent streams, ten thousand of them, idle connections, huge messages. Others are served."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc import StatusCode as Code

from fieldline.client.channel import ATTEND_METHOD, PUBLISH_METHOD, SUBSCRIBE_METHOD
from fieldline.testing import HubProcess
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.core.lobby import GRACE_S
from tests.faults.support import rss_bytes
from tests.integration.cloud.bystander import Bystander
from tests.integration.cloud.harness import DEADLINE_S, Client, Stream, address, frame, running_hub, until
from tests.integration.cloud.secure import Pki

MIB = 1 << 20


@pytest.mark.parametrize("method", [PUBLISH_METHOD, SUBSCRIBE_METHOD, ATTEND_METHOD])
async def test_a_stream_that_says_nothing_ends_with_a_typed_error(method: str, tmp_path: Path) -> None:
    async with (
        running_hub(tmp_path, limits={"hello_s_max": 0.2}) as hub,
        Client(address(hub)) as client,
    ):
        stream = Stream(client.channel, method, bytes)

        status, error = await stream.refusal()

        assert (status, error.code) == ("DEADLINE_EXCEEDED", hub_pb2.ERROR_CODE_TIMED_OUT)
        assert "within 0.2 s" in error.message
        assert hub.refusals == {"timed_out": 1}
        assert hub.half_open_streams == 0


async def test_who_has_said_hello_may_keep_silent_as_long_as_it_likes(tmp_path: Path) -> None:
    async with running_hub(tmp_path, limits={"hello_s_max": 0.2}) as hub, Client(address(hub)) as client:
        publisher, subscriber = client.publisher(), client.subscriber()
        await publisher.greet()
        await subscriber.open("#")
        late = client.publisher()

        assert (await late.refusal())[1].code == hub_pb2.ERROR_CODE_TIMED_OUT
        await publisher.publish(frame(1))
        assert len(await subscriber.take(1)) == 1


async def test_a_silent_stream_ends_when_the_hub_stops(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        client = Client(address(hub))
        stream = client.publisher()
        await until(lambda: hub.half_open_streams == 1)
    async with client:
        assert (await stream.refusal())[1].code == hub_pb2.ERROR_CODE_SHUTTING_DOWN


async def test_of_too_many_silent_streams_the_longest_silent_goes_and_who_speaks_gets_in(tmp_path: Path) -> None:
    async with running_hub(tmp_path, limits={"half_open_max": 3}) as hub, Client(address(hub)) as client:
        async with Bystander(address(hub)) as other:
            silent = []
            for _ in range(3):
                silent.append(client.publisher())
                await until(lambda: hub.half_open_streams == len(silent))
            await asyncio.sleep(GRACE_S)  # it is what time does here that is tested
            speaking = client.publisher()
            await speaking.greet()

            status, error = await silent[0].refusal()
            assert (status, error.code) == ("RESOURCE_EXHAUSTED", hub_pb2.ERROR_CODE_TOO_MANY)
            assert "limits.half_open_max" in error.message
            assert hub.half_open_streams == 2
            assert not silent[1].call.done()
            await other.is_served()
        assert hub.refusals == {"too_many": 1}


async def test_streams_from_one_address_are_bounded(tmp_path: Path) -> None:
    async with running_hub(tmp_path, limits={"streams_per_peer_max": 2}) as hub, Client(address(hub)) as client:
        first = client.subscriber()
        await first.open("#")
        await client.publisher().greet()

        status, error = await client.subscriber().refusal()
        assert (status, error.code) == ("RESOURCE_EXHAUSTED", hub_pb2.ERROR_CODE_TOO_MANY)
        assert "limits.streams_per_peer_max" in error.message

        await first.half_close()
        assert await first.status() is Code.OK
        await client.subscriber().open("#")


async def test_ten_thousand_silent_streams_of_one_client_cost_bounded_memory_and_others_are_served(
    tmp_path: Path,
) -> None:
    limits = {"hello_s_max": 3}
    async with (
        HubProcess(tmp_path, settings={"limits": limits}) as hub,
        Bystander(hub.address) as other,
        Client(hub.address) as client,
    ):
        await other.is_served()
        before = rss_bytes(hub.pid)
        streams = []
        for number in range(10_000):
            streams.append(Stream(client.channel, PUBLISH_METHOD if number % 2 else SUBSCRIBE_METHOD, bytes))
            if number % 500 == 499:
                await other.is_served()
        codes = Counter(await asyncio.gather(*(one.call.code() for one in streams)))
        await other.is_served()

        grown = rss_bytes(hub.pid) - before
        print(f"10,000 silent streams: {dict(codes)}, hub RSS +{grown / MIB:.1f} MiB")
        # What gRPC itself cuts off, because too many have not even begun, it calls CANCELLED.
        assert codes.keys() <= {Code.RESOURCE_EXHAUSTED, Code.CANCELLED, Code.DEADLINE_EXCEEDED}
        assert codes[Code.RESOURCE_EXHAUSTED] > 0
        assert grown < 150 * MIB


@contextlib.asynccontextmanager
async def idle_connections(port: int, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """TCP connections that say nothing."""
    async with contextlib.AsyncExitStack() as stack:
        readers = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            readers.append(reader)
        yield readers


async def closed_by_the_hub(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 16):
                pass


@pytest.mark.parametrize("first_bytes", [b"", b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n", bytes(10)])
async def test_a_connection_that_never_becomes_http2_is_closed(first_bytes: bytes, tmp_path: Path) -> None:
    async with running_hub(tmp_path, limits={"hello_s_max": 0.5}) as hub, Bystander(address(hub)) as other:
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(first_bytes)

        await closed_by_the_hub(reader)

        writer.close()
        await other.is_served()


async def test_a_connection_without_a_stream_is_closed_after_a_while(tmp_path: Path) -> None:
    async with running_hub(tmp_path, limits={"connection_idle_s_max": 1}) as hub, Bystander(address(hub)) as other:
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))  # preface, empty SETTINGS

        await closed_by_the_hub(reader)

        writer.close()
        await other.is_served()


async def test_a_slow_tls_handshake_is_cut_off(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    tls = {key: str(value) for key, value in pki.hub_pair().items()}
    async with running_hub(tmp_path / "hub", tls=tls, limits={"hello_s_max": 1}) as hub:
        hello = client_hello()
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        closed = asyncio.create_task(closed_by_the_hub(reader))
        for byte in hello:  # a byte at a time: it would take minutes
            if closed.done():
                break
            with contextlib.suppress(ConnectionError):
                writer.write(bytes([byte]))
                await writer.drain()
            await asyncio.wait([closed], timeout=0.1)

        assert closed.done()
        await closed
        writer.close()


def client_hello() -> bytes:
    """The first bytes a TLS client would say."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def test_connections_over_their_bound_are_closed_and_those_before_are_served(tmp_path: Path) -> None:
    limits = {"connections_max": 20, "hello_s_max": 1}
    async with (
        running_hub(tmp_path, limits=limits) as hub,
        Bystander(address(hub)) as other,
        idle_connections(hub.port, 60) as readers,
    ):
        await asyncio.gather(*map(closed_by_the_hub, readers[-30:]))
        await other.is_served()

        await asyncio.gather(*map(closed_by_the_hub, readers))  # the others have had their time
        async with Client(address(hub)) as client:
            await client.publisher().greet()


async def test_thousands_of_idle_connections_cost_bounded_memory_and_others_are_served(tmp_path: Path) -> None:
    async with HubProcess(tmp_path) as hub, Bystander(hub.address) as other:
        await other.is_served()
        before = rss_bytes(hub.pid)
        async with idle_connections(hub.port, 2_000):
            await other.is_served()
            grown = rss_bytes(hub.pid) - before
        print(f"2,000 idle connections: hub RSS +{grown / MIB:.1f} MiB")
        assert grown < 100 * MIB


@pytest.mark.parametrize("half", ["publish", "subscribe"])
async def test_messages_of_five_mebibytes_cost_bounded_memory_and_others_are_served(half: str, tmp_path: Path) -> None:
    async with HubProcess(tmp_path) as hub, Bystander(hub.address) as other:
        await other.is_served()
        before = rss_bytes(hub.pid)
        for _ in range(20):
            options = [("grpc.max_send_message_length", -1)]
            async with grpc.aio.insecure_channel(hub.address, options=options) as channel:
                stream = Stream(channel, PUBLISH_METHOD if half == "publish" else SUBSCRIBE_METHOD, bytes)
                await stream.send(bytes(5 * MIB))
                assert await stream.status() is Code.RESOURCE_EXHAUSTED
        grown = rss_bytes(hub.pid) - before
        print(f"20 messages of 5 MiB: hub RSS +{grown / MIB:.1f} MiB")
        assert grown < 60 * MIB
        await other.is_served()
