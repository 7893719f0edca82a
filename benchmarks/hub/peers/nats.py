"""NATS with nats-py: core (nothing is stored, nothing acknowledged) and JetStream (acknowledged before it is fsynced).

JetStream acknowledges from the page cache and syncs every two minutes by default; that default is what is measured,
because it is what people run. It promises less than our hub does. Core NATS drops what a subscriber does not take in
time; here everything arrived, or the figure would be missing.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import Worker, free_port, hear, say, wait_for_port
from benchmarks.hub.messages import check_in_order, expected, publishing

__all__ = ["core_path", "jetstream_publish"]

_MODULE = "benchmarks.hub.peers.nats"
_IN_FLIGHT = 256


@contextmanager
def _server() -> Iterator[str]:
    """The address of a fresh nats-server."""
    port = free_port()
    binary = Path(sys.executable).parent / "nats-server"
    with tempfile.TemporaryDirectory(prefix="nats-bench-") as data:
        command = [str(binary), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", data]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                wait_for_port(port)
                yield f"nats://127.0.0.1:{port}"
            finally:
                server.terminate()


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
    taken, wrong, wanted, done, ended = 0, 0, expected(), asyncio.Event(), 0.0

    async def take(message: Any) -> None:
        nonlocal taken, wrong, ended
        if message.data != next(wanted):
            wrong += 1
        taken += 1
        if taken == int(count):
            ended = time.perf_counter()
            done.set()

    await client.subscribe("bench.path", cb=take, pending_msgs_limit=-1, pending_bytes_limit=-1)
    await client.flush()
    say(ready=True)
    await done.wait()
    await asyncio.sleep(0.25)
    check_in_order(taken, wrong, int(count))
    say(ended=ended)
    await client.close()


async def publish(address: str, count: str) -> None:
    """Publish so many messages."""
    import nats

    client = await nats.connect(address)
    say(ready=True)
    await asyncio.to_thread(hear)
    began = time.perf_counter()
    for content in publishing(int(count)):
        await client.publish("bench.path", content)
    await client.flush(60)
    say(began=began)
    await client.close()


async def stream(address: str, count: str) -> None:
    """Publish so many messages into a file stream, a window in flight; the stream must hold each of them once."""
    import nats

    client = await nats.connect(address)
    jetstream = client.jetstream(publish_async_max_pending=_IN_FLIGHT)
    await jetstream.add_stream(name="bench", subjects=["bench.>"])
    say(ready=True)
    await asyncio.to_thread(hear)
    began = time.perf_counter()
    for content in publishing(int(count)):
        await jetstream.publish_async("bench.path", content)
    await jetstream.publish_async_completed()
    stored = time.perf_counter()
    check_in_order((await jetstream.stream_info("bench")).state.messages, 0, int(count))
    say(began=began, stored=stored)
    await client.close()


ROLES: dict[str, Callable[..., Any]] = {"subscribe": subscribe, "publish": publish, "stream": stream}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
