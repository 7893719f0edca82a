"""NATS with nats-py: core (nothing is stored, nothing acknowledged) and JetStream (acknowledged before it is fsynced).

JetStream acknowledges from the page cache and syncs every two minutes by default; that default is what is measured,
because it is what people run. It promises less than our hub does.
"""

import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import Worker, hear, say

__all__ = ["core_path", "jetstream_publish"]

_MODULE = "benchmarks.hub.peers.nats"
_SIZE = 200
_IN_FLIGHT = 256


@contextmanager
def _server() -> Iterator[str]:
    """The address of a fresh nats-server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    binary = Path(sys.executable).parent / "nats-server"
    with tempfile.TemporaryDirectory(prefix="nats-bench-") as data:
        command = [str(binary), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", data]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                _wait_for(port)
                yield f"nats://127.0.0.1:{port}"
            finally:
                server.terminate()


def _wait_for(port: int) -> None:
    give_up_at = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.02)
        else:
            return


def core_path(messages: int) -> dict[str, float]:
    """Fire and forget, publisher to subscriber."""
    with (
        _server() as address,
        Worker(_MODULE, "subscribe", address, messages) as subscriber,
        Worker(_MODULE, "publish", address, messages) as publisher,
    ):
        subscriber.hear()
        publisher.hear()
        publisher.say(go=True)
        return {"delivered": messages / (subscriber.hear()["ended"] - publisher.hear()["began"])}


def jetstream_publish(messages: int) -> dict[str, float]:
    """publish_async with 256 in flight, until the last ack."""
    with _server() as address, Worker(_MODULE, "stream", address, messages) as publisher:
        publisher.hear()
        publisher.say(go=True)
        times = publisher.hear()
        return {"stored": messages / (times["stored"] - times["began"])}


async def subscribe(address: str, count: str) -> None:
    """Take so many messages, by callback: the quicker of nats-py's two ways."""
    import nats

    client = await nats.connect(address)
    taken, done = 0, asyncio.Event()

    async def take(_: Any) -> None:
        nonlocal taken
        taken += 1
        if taken == int(count):
            done.set()

    await client.subscribe("bench.path", cb=take, pending_msgs_limit=-1, pending_bytes_limit=-1)
    await client.flush()
    say(ready=True)
    await done.wait()
    say(ended=time.perf_counter())
    await client.close()


async def publish(address: str, count: str) -> None:
    """Publish so many messages."""
    import nats

    client = await nats.connect(address)
    say(ready=True)
    await asyncio.to_thread(hear)
    content, began = b"x" * _SIZE, time.perf_counter()
    for _ in range(int(count)):
        await client.publish("bench.path", content)
    await client.flush(60)
    say(began=began)
    await client.close()


async def stream(address: str, count: str) -> None:
    """Publish so many messages into a file stream, a window in flight."""
    import nats

    client = await nats.connect(address)
    jetstream = client.jetstream(publish_async_max_pending=_IN_FLIGHT)
    await jetstream.add_stream(name="bench", subjects=["bench.>"])
    say(ready=True)
    await asyncio.to_thread(hear)
    content, began = b"x" * _SIZE, time.perf_counter()
    for _ in range(int(count)):
        await jetstream.publish_async("bench.path", content)
    await jetstream.publish_async_completed()
    say(began=began, stored=time.perf_counter())
    await client.close()


ROLES: dict[str, Callable[..., Any]] = {"subscribe": subscribe, "publish": publish, "stream": stream}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
