"""What the tests of Modbus lines share: a device that misbehaves in any framing, serial lines, and a connection."""

import asyncio
import os
import random
import shutil
import struct
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, Self

import pytest

from benchmarks.contest import Absent
from benchmarks.edge.libmodbus import build_server
from fieldline_edge.drivers.base import DriverStats, SystemClock
from fieldline_edge.drivers.modbus.client import Connection
from fieldline_edge.drivers.modbus.line import Framing, Line, Network
from fieldline_edge.drivers.modbus.plan import Block
from fieldline_edge.drivers.modbus.protocol import ascii_frame, rtu_frame
from fieldline_edge.drivers.modbus.settings import RegisterKind

DEADLINE_S = 10.0
PATIENT_S = 5.0  # for answers that come
BRIEF_S = 0.06  # for answers that do not

FRAMINGS = [pytest.param(framing, id=framing.value) for framing in Framing]
BUSES = [pytest.param(framing, id=framing.value) for framing in (Framing.RTU, Framing.ASCII)]


def missing(reason: str) -> NoReturn:
    """Skip a test that lacks a part; where CI=true it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Ask:
    """One request as it arrived, and what its answer looks like."""

    framing: Framing
    number: int
    transaction: int
    unit: int
    pdu: bytes

    @property
    def address(self) -> int:
        return int.from_bytes(self.pdu[1:3], "big")

    @property
    def count(self) -> int:
        return int.from_bytes(self.pdu[3:5], "big")

    def pack(self, pdu: bytes, *, unit: int | None = None, transaction: int | None = None) -> bytes:
        unit = self.unit if unit is None else unit
        if self.framing is Framing.RTU:
            return rtu_frame(unit, pdu)
        if self.framing is Framing.ASCII:
            return ascii_frame(unit, pdu)
        transaction = self.transaction if transaction is None else transaction
        return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu

    def words(self, *words: int) -> bytes:
        """The PDU with these registers, right or wrong."""
        return struct.pack(f">BB{len(words)}H", self.pdu[0], 2 * len(words), *words)

    @property
    def right(self) -> bytes:
        """The right PDU: each register holds its own address; a write is confirmed."""
        if self.pdu[0] in (3, 4):
            return self.words(*range(self.address, self.address + self.count))
        return self.pdu[:5]

    @property
    def good(self) -> bytes:
        """The right frame."""
        return self.pack(self.right)


Say = Callable[[bytes], None]
Behaviour = Callable[[Ask, Say], Coroutine[Any, Any, None] | None]


class FaultLine:
    """A TCP server in any framing that answers by `behaviour`; without one, right."""

    def __init__(self, framing: Framing, behaviour: Behaviour | None = None) -> None:
        self.framing = framing
        self.behaviour = behaviour
        self.asks: list[Ask] = []
        self.asked = asyncio.Event()
        self.connections = 0
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
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
        self.hang_up()
        await self._server.wait_closed()
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self) -> None:
        """Close the connections that are."""
        for writer in list(self._writers):
            writer.transport.abort()

    def say(self, data: bytes) -> None:
        """Say something that nobody asked for."""
        for writer in self._writers:
            writer.write(data)

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.asks) < times:
                self.asked.clear()
                await self.asked.wait()

    @property
    def line(self) -> Line:
        """How to reach it, with a short quiet time."""
        return Line(Network("127.0.0.1", self.port), self.framing, quiet_s=0.0 if self.framing is Framing.TCP else 0.03)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        self._keep(asyncio.current_task())
        try:
            while True:
                ask = await self._next(reader)
                self.asks.append(ask)
                self.asked.set()
                if self.behaviour is None:
                    writer.write(ask.good)
                elif (answering := self.behaviour(ask, writer.write)) is not None:
                    self._keep(asyncio.create_task(answering))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._writers.discard(writer)

    def _keep(self, task: asyncio.Task[None] | None) -> None:
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _next(self, reader: asyncio.StreamReader) -> Ask:
        number = len(self.asks)
        if self.framing is Framing.TCP:
            transaction, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
            return Ask(self.framing, number, transaction, unit, await reader.readexactly(length - 1))
        if self.framing is Framing.ASCII:
            octets = bytes.fromhex((await reader.readuntil(b"\r\n"))[1:-2].decode())
            return Ask(self.framing, number, 0, octets[0], octets[1:-1])
        head = await reader.readexactly(6)
        rest = 1 + (await reader.readexactly(1))[0] if head[1] in (15, 16) else 0
        body = head if not rest else head + bytes([rest - 1]) + await reader.readexactly(rest - 1)
        assert rtu_frame(body[0], body[1:])[-2:] == await reader.readexactly(2)
        return Ask(self.framing, number, 0, body[0], body[1:])


def silence(_: Ask, __: Say) -> None:
    """Never answers."""


@dataclass
class Client:
    """A connection and its counters."""

    connection: Connection
    stats: DriverStats

    async def read(
        self, address: int, count: int = 2, *, unit: int = 1, timeout_s: float = PATIENT_S, kind: str = "holding"
    ) -> list[int]:
        block = Block(RegisterKind(kind), address, count, ())
        return list(await self.connection.read(block, unit=unit, timeout_s=timeout_s))


@asynccontextmanager
async def client_of(line: Line, **options: Any) -> AsyncIterator[Client]:
    """A connection to a line, closed after the test."""
    stats = DriverStats()
    given = {"backoff_max_s": 0.02, "clock": SystemClock(), "stats": stats, "source": random.Random(1), **options}
    client = Client(Connection(line, **given), stats)
    try:
        yield client
    finally:
        client.connection.close()
        await asyncio.sleep(0)  # the socket is closed in the next turn of the loop


@lru_cache(maxsize=1)
def _libmodbus_program() -> Path | str:
    folder = Path(tempfile.mkdtemp(prefix="fieldline-libmodbus-"))
    try:
        return build_server(folder)
    except Absent as error:
        shutil.rmtree(folder)
        return str(error)


def libmodbus_program() -> Path:
    """The C device; without compiler or library the test is skipped, and fails where CI=true."""
    program = _libmodbus_program()
    return program if isinstance(program, Path) else missing(program)


class Cable:
    """Two serial ports, joined by socat. Pulled out, both are gone; plugged in again they have the same names."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.theirs = folder / "ours", folder / "theirs"
        self._process: asyncio.subprocess.Process | None = None

    async def plug_in(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            "socat", f"pty,raw,echo=0,link={self.ours}", f"pty,raw,echo=0,link={self.theirs}"
        )
        async with asyncio.timeout(DEADLINE_S):
            while not (self.ours.exists() and self.theirs.exists()):
                assert self._process.returncode is None, "socat ended at once"
                await asyncio.sleep(0.01)

    async def pull_out(self) -> None:
        assert self._process is not None
        self._process.terminate()
        await self._process.wait()
        for end in (self.ours, self.theirs):
            end.unlink(missing_ok=True)


@asynccontextmanager
async def cable(folder: Path) -> AsyncIterator[Cable]:
    """A cable, plugged in."""
    if shutil.which("socat") is None:
        missing("socat is not installed; run: apt-get install socat")
    made = Cable(folder)
    await made.plug_in()
    try:
        yield made
    finally:
        await made.pull_out()
