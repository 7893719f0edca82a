"""What the driver tests share: a sink that can be waited on, a Modbus server that misbehaves on purpose."""

import asyncio
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from fieldline.model import DeviceId, Quality, Reading
from fieldline_edge.drivers.base import Driver

DEADLINE_S = 8.0


class Collector:
    """A sink that keeps everything and can be waited on."""

    def __init__(self) -> None:
        self.by_device: dict[str, list[Reading]] = defaultdict(list)
        self.puts: dict[str, list[list[Reading]]] = defaultdict(list)
        self._changed = asyncio.Event()

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        self.by_device[device.device].extend(readings)
        self.puts[device.device].append(list(readings))
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; it is looked at after every put."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def of(self, device: str, tag: str) -> list[Reading]:
        return [reading for reading in self.by_device[device] if reading.tag == tag]

    def qualities(self, device: str, tag: str) -> list[Quality]:
        return [reading.quality for reading in self.of(device, tag)]

    async def until_quality(self, device: str, tag: str, quality: Quality, times: int = 1) -> None:
        await self.until(lambda: self.qualities(device, tag).count(quality) >= times)

    async def until_good_after(self, device: str, tag: str, seen: int) -> None:
        """Wait for a good reading beyond the first `seen` ones."""
        await self.until(lambda: any(q.is_good for q in self.qualities(device, tag)[seen:]))


@asynccontextmanager
async def running(driver: Driver) -> AsyncIterator[None]:
    """Run a driver for the length of the block, and see that it ends by cancellation and nothing else."""
    task = asyncio.create_task(driver.run())
    try:
        yield
    finally:
        assert not task.done(), task.exception()
        task.cancel()
        async with asyncio.timeout(DEADLINE_S):
            with suppress(asyncio.CancelledError):
                await task


@dataclass(frozen=True)
class Request:
    """One Modbus TCP request as it arrived."""

    transaction: int
    unit: int
    function: int
    address: int
    count: int

    def frame(self, pdu: bytes) -> bytes:
        return struct.pack(">HHHB", self.transaction, 0, len(pdu) + 1, self.unit) + pdu

    def words(self, *words: int) -> bytes:
        """The answer with these registers, right or wrong."""
        return self.frame(struct.pack(f">BB{len(words)}H", self.function, 2 * len(words), *words))

    def good(self) -> bytes:
        """The right answer: each register holds its own address."""
        return self.words(*range(self.address, self.address + self.count))

    def exception(self, code: int) -> bytes:
        return self.frame(bytes([self.function | 0x80, code]))


class Reset(Exception):
    """A behaviour that closes the connection with a reset."""


Behaviour = Callable[[Request], bytes | None]


def silent(_: Request) -> None:
    """Never answers."""


class FaultServer:
    """Answers each unit by its behaviour; units without one answer right."""

    def __init__(self, **behaviours: Behaviour) -> None:
        self.behaviours: dict[int, Behaviour] = {int(k.removeprefix("unit")): v for k, v in behaviours.items()}
        self.requests: list[Request] = []
        self.connections = 0
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.vanish()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def vanish(self) -> None:
        """Close everything; the port refuses connections from now on."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            while True:
                head = await reader.readexactly(12)
                transaction, _, _, unit, function, address, count = struct.unpack(">HHHBBHH", head)
                request = Request(transaction, unit, function, address, count)
                self.requests.append(request)
                answer = self.behaviours.get(unit, Request.good)(request)
                if answer:
                    writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Reset:
            writer.transport.abort()
        finally:
            writer.close()
            self._writers.discard(writer)


def holding(name: str, address: int, **options: Any) -> dict[str, Any]:
    return {"name": name, "address": address, "type": "uint16", **options}
