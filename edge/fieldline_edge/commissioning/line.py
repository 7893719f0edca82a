"""A connection of one's own to a line, for as long as a command runs."""

import errno
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fieldline_edge.commissioning.looking import Look, Row
from fieldline_edge.drivers.base import DriverStats, SystemClock
from fieldline_edge.drivers.modbus.client import Connection, ModbusTrouble, NoAnswer, NoConnection
from fieldline_edge.drivers.modbus.line import Line
from fieldline_edge.drivers.modbus.plan import Block
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

__all__ = ["connected", "look", "why"]


@asynccontextmanager
async def connected(line: Line) -> AsyncIterator[Connection]:
    """A connection that is closed at the end; it connects with the first request."""
    connection = Connection(
        line, backoff_max_s=0.001, clock=SystemClock(), stats=DriverStats(), source=random.Random("commissioning")
    )
    try:
        yield connection
    finally:
        connection.close()


def why(trouble: ModbusTrouble) -> str:
    """What is wrong, for a person: a serial port that somebody else has open is said to be busy."""
    cause = trouble.__cause__
    if isinstance(cause, OSError) and cause.errno in (errno.EAGAIN, errno.EBUSY):
        return "the serial port is busy: another program has it open, maybe the gateway"
    return str(trouble) or type(trouble).__name__


async def _read(connection: Connection, block: Block, device: ModbusDeviceSettings) -> Sequence[int]:
    tries = 1 + device.retries
    while True:
        try:
            return await connection.read(block, unit=device.unit, timeout_s=device.timeout_ms / 1000)
        except NoAnswer:
            tries -= 1
            if not tries:
                raise


async def look(connection: Connection, what: Look) -> list[Row]:
    """Read a device once: a row for each of its tags, those without an answer with the reason.

    A request nobody answers is asked again as often as the device's `retries` say, as the gateway would.
    """
    rows: list[Row] = []
    device = what.device
    gone = ""
    for position, block in enumerate(what.blocks):
        begun = time.monotonic()
        answer: Sequence[int] | str = gone
        if not gone:
            try:
                answer = await _read(connection, block, device)
            except ModbusTrouble as trouble:
                answer = why(trouble)
                gone = answer if isinstance(trouble, NoConnection) else ""
        took_ms = (time.monotonic() - begun) * 1000
        rows += what.rows(position, answer, at_ns=time.time_ns(), took_ms=took_ms)
    return rows
