"""Rows about Modbus alone: how many transactions a second one client makes, ours against bare pymodbus.

The server is libmodbus, so the client is what is measured. Each contender reads 50 registers again and again over one
connection, one request at a time, for a few seconds; CPU is the client process's own.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.contest import Contest, Goal, more_is_better
from benchmarks.edge.libmodbus import build_server, serving
from benchmarks.harness import at_most

__all__ = ["rows"]

_REGISTERS = 50
_PYMODBUS = "pymodbus"
_CPU_US_MAX = 60


def rows(*, quick: bool) -> list[dict[str, Any]]:
    """Transactions a second beside pymodbus, and what one of ours costs."""
    seconds, runs = (1.0, 3) if quick else (3.0, 5)
    with tempfile.TemporaryDirectory(prefix="fieldline-edge-bench-") as folder:
        program = build_server(Path(folder))
        with serving(program, "tcp") as port:
            contest = Contest.of(
                runs,
                lambda: asyncio.run(_ours(port, seconds)),
                {_PYMODBUS: lambda: asyncio.run(_pymodbus(port, seconds))},
            )
    return [
        more_is_better(
            f"one client, one connection: reads of {_REGISTERS} registers",
            "transactions/s",
            contest,
            "reads_s",
            Goal(_PYMODBUS, "reads_s", 0.8),
        ),
        at_most("client CPU for each of these reads", "us", contest.middle("cpu_us"), _CPU_US_MAX),
    ]


async def _ours(port: int, seconds: float) -> Mapping[str, float]:
    from fieldline_edge.drivers.base import DriverStats, SystemClock
    from fieldline_edge.drivers.modbus.client import Connection
    from fieldline_edge.drivers.modbus.line import Framing, Line, Network
    from fieldline_edge.drivers.modbus.plan import Block
    from fieldline_edge.drivers.modbus.settings import RegisterKind

    connection = Connection(
        Line(Network("127.0.0.1", port), Framing.TCP),
        backoff_max_s=1.0,
        clock=SystemClock(),
        stats=DriverStats(),
        source=random.Random(0),
    )
    block = Block(RegisterKind.HOLDING, 0, _REGISTERS, (0,))

    async def read() -> int:
        return len(await connection.read(block, unit=1, timeout_s=1.0))

    try:
        return await _measure(read, seconds)
    finally:
        connection.close()
        await asyncio.sleep(0)


async def _pymodbus(port: int, seconds: float) -> Mapping[str, float]:
    from pymodbus.client import AsyncModbusTcpClient

    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    if not await client.connect():
        raise RuntimeError("pymodbus made no connection")

    async def read() -> int:
        return len((await client.read_holding_registers(0, count=_REGISTERS)).registers)

    try:
        return await _measure(read, seconds)
    finally:
        client.close()
        await asyncio.sleep(0)


async def _measure(read: Callable[[], Awaitable[int]], seconds: float) -> Mapping[str, float]:
    for _ in range(200):
        await read()
    count, begun_s, cpu_s = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - begun_s < seconds:
        for _ in range(50):
            if await read() != _REGISTERS:
                raise RuntimeError("a short answer")
        count += 50
    took_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
    return {"reads_s": count / took_s, "cpu_us": cpu_s / count * 1e6}
