"""What the fuzzers of the hub's streams share: a hub in a loop of its own, and how a stream has ended."""

import asyncio
import tempfile
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import grpc

from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub
from tests.integration.cloud.bystander import Bystander
from tests.integration.cloud.harness import Client, Publisher, Stream, Subscriber, address, running_hub

T = TypeVar("T")

ERRORS = {
    "PROTOCOL",
    "PROTOCOL_VERSION",
    "BAD_NAME",
    "BAD_TOPIC",
    "BAD_FILTER",
    "BAD_FRAME",
    "FRAME_TOO_LARGE",
    "SEQUENCE_GAP",
    "BAD_ACK",
    "DURABLE_IN_USE",
}


class World:
    """One hub, one client and one bystander, in a loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._folder = tempfile.TemporaryDirectory(prefix="fieldline-fuzz-")
        self._stack = AsyncExitStack()
        self.do(self._start())

    async def _start(self) -> None:
        enter = self._stack.enter_async_context
        self.hub: Hub = await enter(running_hub(Path(self._folder.name)))
        self.client = await enter(Client(address(self.hub)))
        self.bystander = await enter(Bystander(address(self.hub)))

    async def publisher(self) -> Publisher:
        return self.client.publisher()

    async def subscriber(self) -> Subscriber:
        return self.client.subscriber()

    def do(self, work: Awaitable[T]) -> T:
        async def within() -> T:
            async with asyncio.timeout(20):
                return await work

        return self._loop.run_until_complete(within())

    def close(self) -> None:
        self.do(self._stack.aclose())
        self.do(self._settle())
        self._loop.close()
        self._folder.cleanup()

    async def _settle(self) -> None:
        """Let gRPC's own tasks of streams that were cut short come to their end."""
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=0.05)
            for task in others:
                task.cancel()


async def ending(stream: Stream) -> tuple[str, str]:
    """(gRPC status, error code) of a stream; reads away what was said before it ended."""
    while True:
        try:
            if await stream.read() is grpc.aio.EOF:
                break
        except grpc.aio.AioRpcError:
            break
    status, error = await stream.refusal()
    return status, hub_pb2.ErrorCode.Name(error.code).removeprefix("ERROR_CODE_")


@contextmanager
def a_world() -> Iterator[World]:
    world = World()
    try:
        yield world
    finally:
        world.close()
