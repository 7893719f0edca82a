"""The plant's machines as Modbus devices on TCP ports: MBAP, or RTU frames in a TCP stream.

Requests are answered in the order they come, also when several come in one go, from the values of that moment. A
dropout is silence; a device that reboots resets its connections and takes new ones only when it is up again.
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from fieldline.errors import FieldlineError
from fieldline_edge.drivers.simulator.answers import answer
from fieldline_edge.drivers.simulator.bank import Bank
from fieldline_edge.drivers.simulator.framing import Framing, framer

__all__ = ["ModbusListener"]

_CONNECTIONS_MAX = 256
_BACKLOG = 100
_WRITE_BYTES_MAX = 1 << 20  # a client that asks and never reads is cut off here
_LINGER_NOT = struct.pack("ii", 1, 0)
_PAUSE_S = 0.05  # RTU in a TCP stream: after so long a silence the next byte begins a request


class _Connection(asyncio.Protocol):
    """One client. Not a coroutine: an answer costs no task switch, which is what lets one process be 1,000 devices."""

    def __init__(self, listener: "ModbusListener") -> None:
        self._listener = listener
        self._banks = listener.banks
        self._framer = framer(listener.framing)
        self._transport: asyncio.Transport | None = None
        self._pauses = listener.framing is Framing.RTU
        self._heard_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._listener.welcome(self):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.leave(self)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        if self._pauses:
            now_s = asyncio.get_running_loop().time()
            if now_s - self._heard_s > _PAUSE_S:
                self._framer.pause()
            self._heard_s = now_s
        out = b""
        for request in self._framer.feed(data):
            self._listener.requests += 1
            pdu = answer(self._banks, request.unit, request.pdu)
            if pdu is not None:
                out += self._framer.wrap(request, pdu)
        if out:
            transport.write(out)
        if self._framer.broken or transport.get_write_buffer_size() > _WRITE_BYTES_MAX:
            transport.abort()

    def abort(self, *, reset: bool = False) -> None:
        """Close at once; with `reset` as a device does that forgets its connections: RST and no FIN."""
        if self._transport is not None:
            if reset:
                link = self._transport.get_extra_info("socket")
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self._transport.abort()


class ModbusListener:
    """One TCP listener with up to 247 units behind it. An async context manager; `port` is the real one.

    `requests` counts what was asked; `refused` the connections beyond 256 at a time.
    """

    def __init__(self, host: str, port: int, banks: Mapping[int, Bank], *, framing: Framing = Framing.TCP) -> None:
        self.host = host
        self.port = port
        self.banks = banks
        self.framing = framing
        self.requests = 0
        self.refused = 0
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def __aenter__(self) -> Self:
        """Listen; FieldlineError with the port and the cure if that cannot be."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self), self.host, self.port, backlog=_BACKLOG, reuse_address=True
            )
        except OSError as error:
            raise _explained(error, self.host, self.port) from error
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the listener and its connections."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            await self._server.wait_closed()
            self._server = None
            await asyncio.sleep(0)  # closed connections end in the next turn of the loop: let it come

    def reset(self) -> None:
        """Reset every connection, as a device does that starts anew."""
        for connection in list(self._connections):
            connection.abort(reset=True)

    def welcome(self, connection: _Connection) -> bool:
        """Take in a new connection; False if there are too many, or if all there is behind it is rebooting."""
        if len(self._connections) >= _CONNECTIONS_MAX:
            self.refused += 1
            return False
        if all(bank.rebooting for bank in self.banks.values()):
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: _Connection) -> None:
        """Forget a connection that ended."""
        self._connections.discard(connection)


def _explained(error: OSError, host: str, port: int) -> FieldlineError:
    place = f"cannot listen on {host}:{port}"
    if error.errno == errno.EADDRINUSE:
        cure = "stop the program that uses it, or set another in modbus.listen (demo: PLANT_MODBUS_PORT)"
        return FieldlineError(f"{place}: the port is in use; {cure}")
    if error.errno == errno.EACCES:
        return FieldlineError(f"{place}: not allowed; choose a port above 1023 in modbus.listen")
    if error.errno == errno.EMFILE:
        return FieldlineError(f"{place}: no more files may be open; raise the limit: ulimit -n 4096")
    reason = error.strerror or error
    if isinstance(error, socket.gaierror):
        reason = f"the name {host!r} is not known"
    return FieldlineError(f"{place}: {reason}; check modbus.listen")
