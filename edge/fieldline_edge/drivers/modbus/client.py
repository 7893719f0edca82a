"""One TCP connection to a Modbus host, shared by the units behind it. The only module that knows pymodbus.

What pymodbus 3.16 leaves to its caller, and this module does:
    - it accepts an answer with another function code, or with fewer or more values than asked for: both are
      checked;
    - it never retries a first connect, and reconnects on its own terms later: here every connection is a new
      client object, made when it is needed and not more often than the backoff allows;
    - it closes the connection when one unit has been silent a few times, which would hurt its neighbours:
      switched off. Instead, a connection on which nobody has answered several times in a row is taken for
      dead and made anew;
    - a connection that breaks leaves the read in flight waiting for its whole timeout: it is failed at once;
    - a read must never be cancelled half way (on serial lines the next read would get its answer): callers do
      not cancel, they call `stop`.
"""

import asyncio
import logging
import math
import random
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException

from fieldline_edge.drivers.backoff import Backoff
from fieldline_edge.drivers.base import Clock, DriverStats
from fieldline_edge.drivers.modbus.plan import Block
from fieldline_edge.drivers.modbus.settings import RegisterKind

__all__ = ["Connection", "DeviceRefused", "NoAnswer", "NoConnection", "Stopping", "WrongAnswer"]

_log = logging.getLogger(__name__)

# Each kind's function code, by the Modbus application protocol, section 6.
_FUNCTION_CODES = {
    RegisterKind.COIL: 1,
    RegisterKind.DISCRETE: 2,
    RegisterKind.HOLDING: 3,
    RegisterKind.INPUT: 4,
}
_READS: dict[RegisterKind, Callable[..., Awaitable[Any]]] = {
    RegisterKind.COIL: AsyncModbusTcpClient.read_coils,
    RegisterKind.DISCRETE: AsyncModbusTcpClient.read_discrete_inputs,
    RegisterKind.HOLDING: AsyncModbusTcpClient.read_holding_registers,
    RegisterKind.INPUT: AsyncModbusTcpClient.read_input_registers,
}
_GATEWAY_CODES = (0x0A, 0x0B)  # a gateway says: no path to the unit, or the unit did not answer
# Three requests nobody answers: the peer has gone without a goodbye (power cut, NAT table), TCP would notice
# in minutes.
_SILENT_REQUESTS_MAX = 3
_BACKOFF_BASE_S = 0.5
_NEVER = 1 << 30


class ModbusTrouble(Exception):
    """Why there is no answer to use."""


class NoConnection(ModbusTrouble):
    """There is no connection, or it broke while waiting."""


class NoAnswer(ModbusTrouble):
    """The unit did not answer in time."""


class DeviceRefused(ModbusTrouble):
    """The unit, or the gateway before it, answered with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception code {code}")
        self.code = code

    @property
    def is_unit_gone(self) -> bool:
        """Whether a gateway says that the unit cannot be reached."""
        return self.code in _GATEWAY_CODES


class WrongAnswer(ModbusTrouble):
    """The answer does not fit the question."""


class Stopping(ModbusTrouble):
    """The connection takes no more requests, because the driver ends."""


class Connection:
    """Requests to one host and port, one at a time, first come first served.

    Connects when a request needs it. After a failed connect or a lost connection, requests fail with
    NoConnection at once until the backoff has passed.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        backoff_max_s: float,
        clock: Clock,
        stats: DriverStats,
        source: random.Random,
    ) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._stats = stats
        self._backoff = Backoff(base_s=_BACKOFF_BASE_S, max_s=backoff_max_s, source=source)
        self._lock = asyncio.Lock()
        self._client: AsyncModbusTcpClient | None = None
        self._asking: AsyncModbusTcpClient | None = None
        self._silent_requests = 0
        self._stopping = False
        self._told = False
        _quieten_pymodbus()

    async def read(self, block: Block, *, unit: int, timeout_s: float) -> Sequence[int]:
        """The answer to one block: `block.count` words or bits. Raises a ModbusTrouble.

        May take `timeout_s` for each request that waits before it, and twice that if it has to connect.
        """
        async with self._lock:
            if self._stopping:
                raise Stopping
            client = await self._connected(timeout_s)
            client.ctx.comm_params.timeout_connect = timeout_s
            self._stats.requests += 1
            answer = await self._ask(client, block, unit)
            self._backoff.succeeded()
            self._silent_requests = 0
        return self._checked(answer, block)

    def stop(self) -> None:
        """Refuse further requests; the one in flight may finish."""
        self._stopping = True

    def close(self) -> None:
        """Close the socket. A request in flight then fails with NoConnection."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._stats.connected = 0

    async def _connected(self, timeout_s: float) -> AsyncModbusTcpClient:
        if self._client is not None and self._client.connected:
            return self._client
        self.close()
        if not self._backoff.ready(self._clock.monotonic()):
            raise NoConnection(f"{self._host}:{self._port} is being left alone for a moment")
        client = AsyncModbusTcpClient(
            self._host,
            port=self._port,
            timeout=timeout_s,
            retries=0,
            reconnect_delay=0,
            name=self._host,
            trace_connect=self._connection_changed,
        )
        client.set_max_no_responses(_NEVER)
        try:
            made = await client.connect()
        except (OSError, UnicodeError, ValueError) as error:  # names that resolve to nothing useful
            raise self._not_made(client, str(error)) from error
        if not made:
            raise self._not_made(client, "no connection")
        self._made(client)
        return client

    def _made(self, client: AsyncModbusTcpClient) -> None:
        _keep_alive(client)
        self._client = client
        self._silent_requests = 0
        self._stats.reconnects += 1 if self._stats.connects else 0
        self._stats.connects += 1
        self._stats.connected = 1
        if self._told:
            _log.info("modbus connection is back: host=%s port=%d", self._host, self._port)
        self._told = False

    def _not_made(self, client: AsyncModbusTcpClient, why: str) -> NoConnection:
        client.close()
        self._stats.connects_failed += 1
        self._backoff.failed(self._clock.monotonic())
        if not self._told:
            _log.warning(
                "modbus host cannot be reached, trying on: host=%s port=%d why=%s",
                self._host,
                self._port,
                why,
            )
        self._told = True
        return NoConnection(f"{self._host}:{self._port}: {why}")

    async def _ask(self, client: AsyncModbusTcpClient, block: Block, unit: int) -> Any:
        read = _READS[block.kind]
        self._asking = client
        try:
            return await read(client, block.address, count=block.count, device_id=unit)
        except ModbusException as error:
            raise self._silence(client) from error
        finally:
            self._asking = None

    def _connection_changed(self, made: bool) -> None:
        """Called by pymodbus. An answer that can no longer come is not waited for."""
        if made or self._asking is None:
            return
        answer = self._asking.ctx.response_future
        if not answer.done():
            answer.set_exception(ConnectionException("the connection broke"))

    def _silence(self, client: AsyncModbusTcpClient) -> ModbusTrouble:
        """Nothing usable came: is it the connection, or the unit?"""
        self._silent_requests += 1
        broken = not client.connected
        if broken or self._silent_requests >= _SILENT_REQUESTS_MAX:
            self.close()
        if broken:
            self._backoff.failed(self._clock.monotonic())
            return NoConnection(f"{self._host}:{self._port} closed the connection")
        self._stats.requests_timed_out += 1
        return NoAnswer("no answer in time")

    def _checked(self, answer: Any, block: Block) -> Sequence[int]:
        expected = _FUNCTION_CODES[block.kind]
        if answer.isError() and answer.function_code == expected | 0x80:
            self._stats.requests_refused += 1
            raise DeviceRefused(int(answer.exception_code))
        if answer.function_code != expected:
            self._stats.requests_garbled += 1
            raise WrongAnswer(f"function code {answer.function_code} to a question with {expected}")
        values: Sequence[int] = answer.bits if block.kind.is_bits else answer.registers
        wanted = math.ceil(block.count / 8) * 8 if block.kind.is_bits else block.count
        if len(values) != wanted:
            self._stats.requests_garbled += 1
            raise WrongAnswer(f"{len(values)} values instead of {wanted}")
        return values[: block.count]


def _keep_alive(client: AsyncModbusTcpClient) -> None:
    """Let the kernel look after a connection that is idle for a long period."""
    line = client.ctx.transport.get_extra_info("socket")
    if line is not None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _quieten_pymodbus() -> None:
    """Pymodbus logs each timeout as an error; we say once that a device is lost, and count the rest."""
    logger = logging.getLogger("pymodbus")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)
