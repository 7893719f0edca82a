"""Ways for bytes to a device and back: TCP, TLS, serial ports. They carry, and know nothing of Modbus."""

from collections.abc import Callable
from typing import Protocol

from fieldline_edge.drivers.modbus.line import Network, SerialPort

__all__ = ["Wire", "open_wire"]


class Wire(Protocol):
    """An open way."""

    @property
    def is_open(self) -> bool:
        """Whether it has neither been closed nor broken."""
        ...

    def send(self, data: bytes) -> None:
        """Send, without waiting. What cannot be sent any more is dropped: `lost` tells of it."""
        ...

    def close(self) -> None:
        """Close. Neither `received` nor `lost` is called after it."""
        ...


async def open_wire(
    way: Network | SerialPort, *, received: Callable[[bytes], None], lost: Callable[[str], None]
) -> Wire:
    """Open a way. `received` is called with what comes, `lost` once with the reason if it breaks.

    Raises OSError (ssl.SSLError and SerialException are some), or ValueError for what cannot be a host or port.
    """
    if isinstance(way, Network):
        from fieldline_edge.drivers.modbus.transport.network import open_network

        return await open_network(way, received=received, lost=lost)
    from fieldline_edge.drivers.modbus.transport.serial_port import open_serial_port

    return open_serial_port(way, received=received, lost=lost)
