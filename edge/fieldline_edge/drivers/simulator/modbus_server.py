"""The plant's machines as Modbus TCP devices, by pymodbus.

pymodbus' own data store holds copies that something must keep fresh, answers exception 4 for an unknown unit
and cannot be silent. The server asks its store just two questions, so this store answers them itself: values
are the machine's at the moment of the read, and a unit in a dropout, or one that does not exist, gives no
answer at all, as on a real line.
"""

import asyncio
import errno
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self, cast

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator.simcore import SimCore

from fieldline.errors import FieldlineError
from fieldline_edge.drivers.simulator.registers import Bank, Kind

__all__ = ["ModbusListener"]

_BITS = {1: Kind.COIL, 5: Kind.COIL, 15: Kind.COIL, 2: Kind.DISCRETE}
_WORDS = {
    4: Kind.INPUT,
    3: Kind.HOLDING,
    6: Kind.HOLDING,
    16: Kind.HOLDING,
    22: Kind.HOLDING,
    23: Kind.HOLDING,
}
_KINDS = _BITS | _WORDS


class _Store(SimCore):
    """What the server asks when a request comes: the banks, by unit id."""

    def __init__(self, banks: Mapping[int, Bank]) -> None:
        super().__init__([])
        self._banks = banks

    async def async_getValues(
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | list[bool] | ExcCodes:
        """The words or bits of a read."""
        found = self._answering(device_id).read(_KINDS[func_code], address, count)
        if found is None:
            return ExcCodes.ILLEGAL_ADDRESS
        return [bool(bit) for bit in found] if func_code in _BITS else found

    async def async_setValues(
        self, device_id: int, func_code: int, address: int, values: list[int] | list[bool]
    ) -> ExcCodes | None:
        """A write; None when it was done."""
        done = self._answering(device_id).write(_KINDS[func_code], address, values)
        return None if done else ExcCodes.ILLEGAL_ADDRESS

    def _answering(self, unit: int) -> Bank:
        bank = self._banks.get(unit)
        if bank is None or not bank.answering:
            raise NoSuchIdException(f"unit {unit} is silent")  # with ignore_missing_devices: no answer
        return bank


class ModbusListener:
    """One TCP listener with up to 247 units behind it. An async context manager; `port` is the real one."""

    def __init__(self, host: str, port: int, banks: Mapping[int, Bank]) -> None:
        self.host = host
        self.port = port
        self._banks = banks
        self._server: ModbusTcpServer | None = None

    async def __aenter__(self) -> Self:
        """Listen; FieldlineError with the port and the cure if that cannot be."""
        if self.port:
            _check_free(self.host, self.port)
        server = ModbusTcpServer([], address=(self.host, self.port), ignore_missing_devices=True)
        server.context = _Store(self._banks)
        try:
            await server.serve_forever(background=True)
        except RuntimeError as error:
            raise FieldlineError(f"cannot listen on {self.host}:{self.port}: {error}") from error
        self._server = server
        self.port = _port(server)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the listener and its connections."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it unannotated
            self._server = None
            await asyncio.sleep(0)  # closed connections end in the next turn of the loop: let it come


def _check_free(host: str, port: int) -> None:
    """Try the address first: pymodbus says only that it failed, not why."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        place = f"cannot listen on {host}:{port}"
        if error.errno == errno.EADDRINUSE:
            cure = "stop the program that uses it, or set another in modbus.listen (demo: PLANT_MODBUS_PORT)"
            raise FieldlineError(f"{place}: the port is in use; {cure}") from error
        if error.errno == errno.EACCES:
            raise FieldlineError(f"{place}: not allowed; choose a port above 1023 in modbus.listen") from error
        raise FieldlineError(f"{place}: {error.strerror or error}; check modbus.listen") from error


def _port(server: ModbusTcpServer) -> int:
    # The transport of a listening server is an asyncio.Server, which pymodbus types as a plain transport.
    sockets = cast(list[socket.socket], server.transport.sockets)  # type: ignore[attr-defined]  # asyncio's server has them, pymodbus's type does not say so
    return int(sockets[0].getsockname()[1])
