"""The processes of the security bench: a hub with TLS and tokens, one honest publisher, and those who misuse it."""

import asyncio
import contextlib
import datetime
import resource
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from benchmarks.harness import hear, say
from fieldline import Runtime, Tls
from fieldline.client.channel import PUBLISH_METHOD
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import ENCODING_MESSAGES, build_frame
from fieldline_cloud.certs import Authority
from fieldline_cloud.hub import Hub, HubSettings
from fieldline_cloud.tokens import add_token

FLOODER_FRAMES_S = 500


async def hub(folder: str) -> None:
    """One door: TLS, tokens. Two identities; the flooder has a rate."""
    home, now = Path(folder), datetime.datetime.now(datetime.UTC)
    authority = Authority(home / "ca")
    authority.create("Bench CA", now=now)
    own = authority.issue_hub("hub", ["127.0.0.1"], days=1, now=now)
    tokens = {
        name: add_token(home / "tokens.json", name, now_s=now.timestamp(), days=1)[0] for name in ("honest", "flooder")
    }
    flooder = {"name": "flooder", "publish": ["flood/#"], "limits": {"frames_s": FLOODER_FRAMES_S}}
    settings = HubSettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "data": home / "hub",
            "tls": {"certificate": own / "hub.crt", "key": own / "hub.key"},
            "auth": {
                "tokens_file": home / "tokens.json",
                "identities": [{"name": "honest", "publish": ["honest/#"]}, flooder],
            },
        }
    )
    async with Hub(settings) as running:
        say(port=running.port, ca=str(authority.certificate_path), tokens=tokens)
        await asyncio.to_thread(sys.stdin.read)


async def honest(address: str, ca: str, token: str) -> None:
    """Whenever asked: publish for so many seconds, one message at a time; say how long each ack took, in ms."""
    async with Runtime(address, name="honest", tls=Tls(ca), token=token) as runtime:
        await runtime.publish("honest/t", b"x" * 200, stored=True)
        say(ready=True)
        while True:
            seconds = (await asyncio.to_thread(hear))["seconds"]
            took_ms = []
            ends = time.perf_counter() + seconds
            while (began := time.perf_counter()) < ends:
                await runtime.publish("honest/t", b"x" * 200, stored=True)
                took_ms.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.005)
            say(took_ms=took_ms)


def _channel(address: str, ca: str) -> grpc.aio.Channel:
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(Path(ca).read_bytes()))


async def flood(address: str, ca: str, token: str) -> None:
    """Frames as fast as they go, again at once when refused, until the bench goes away."""
    frames = [
        build_frame(
            topic="flood/t", key="", sequence=n, count=1, encoding=ENCODING_MESSAGES, body=b"\n\x01x", published_at_ns=1
        )
        for n in range(1, 257)
    ]
    burst = hub_pb2.PublishRequest(frames=hub_pb2.Frames(frames=[hub_pb2.Frame.FromString(one) for one in frames]))
    async with _channel(address, ca) as channel:
        method: Any = channel.stream_stream(PUBLISH_METHOD, response_deserializer=hub_pb2.PublishResponse.FromString)
        say(ready=True)
        while True:
            call = method(metadata=(("authorization", f"Bearer {token}"),))
            hello = hub_pb2.Hello(protocol=1, name="flooder")
            greeting = hub_pb2.PublishHello(hello=hello, producer="flooder", epoch=time.monotonic_ns())
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(hub_pb2.PublishRequest(hello=greeting).SerializeToString())
                while True:
                    await call.write(burst.SerializeToString())
            call.cancel()


async def silent_streams(address: str, ca: str, token: str) -> None:
    """Streams without a hello, as fast as they go, until the bench goes away."""
    async with _channel(address, ca) as channel:
        method: Any = channel.stream_stream(PUBLISH_METHOD)
        say(ready=True)
        calls: list[Any] = []
        while True:
            calls.append(method(metadata=(("authorization", f"Bearer {token}"),)))
            await asyncio.sleep(0)
            if len(calls) >= 2_000:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await calls[0].code()
                calls.pop(0).cancel()


async def connections(address: str, count: str, how: str) -> None:
    """So many TCP connections that say nothing, or a byte of a TLS handshake every second."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    host, _, port = address.rpartition(":")
    hello = _client_hello() if how == "slow" else b""
    writers = [(await asyncio.open_connection(host, int(port)))[1] for _ in range(int(count))]
    say(ready=True)
    for position in range(1_000_000):
        for writer in writers if hello else ():
            with contextlib.suppress(ConnectionError):
                writer.write(hello[position % len(hello) :][:1])
        await asyncio.sleep(1)


def _client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


ROLES: dict[str, Callable[..., Any]] = {
    "hub": hub,
    "honest": honest,
    "flood": flood,
    "silent": silent_streams,
    "connections": connections,
}


async def _until_the_bench_goes(work: Any) -> None:
    """A worker that never asks for anything ends with its standard input."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    task.cancel()


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    work = ROLES[role](*arguments)
    asyncio.run(work if role in ("hub", "honest") else _until_the_bench_goes(work))
