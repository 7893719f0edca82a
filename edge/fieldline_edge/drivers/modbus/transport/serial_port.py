"""A serial port. pyserial opens and sets it; reading and writing is the event loop's, on the file descriptor."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from fieldline_edge.drivers.modbus.line import Parity, SerialPort

if TYPE_CHECKING:
    import serial

__all__ = ["open_serial_port"]

_READ_BYTES = 4096


def open_serial_port(way: SerialPort, *, received: Callable[[bytes], None], lost: Callable[[str], None]) -> "_Wire":
    """Open and set the port, for us alone. Raises OSError or ValueError."""
    import serial  # loaded by gateways with a serial port only

    parities = {Parity.NONE: serial.PARITY_NONE, Parity.EVEN: serial.PARITY_EVEN, Parity.ODD: serial.PARITY_ODD}
    port = serial.Serial(
        way.device,
        baudrate=way.baud,
        bytesize=way.data_bits,
        parity=parities[way.parity],
        stopbits=way.stop_bits,
        timeout=0,
        write_timeout=0,
        exclusive=True,
    )
    with suppress(ValueError):  # USB adapters otherwise keep what came for up to 16 ms; not all ports can do it
        port.set_low_latency_mode(True)
    return _Wire(port, received, lost)


class _Wire:
    def __init__(self, port: "serial.Serial", received: Callable[[bytes], None], lost: Callable[[str], None]) -> None:
        self._port = port
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._fd = port.fileno()
        self._unsent = bytearray()
        self.is_open = True
        self._loop.add_reader(self._fd, self._readable)

    def send(self, data: bytes) -> None:
        if not self.is_open:
            return
        if not self._unsent:
            self._loop.add_writer(self._fd, self._writable)
        self._unsent += data
        self._writable()

    def close(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._port.close()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:  # unplugged
            self._break(str(error))
            return
        if data:
            self._received(data)
        else:
            self._break("the port is gone")

    def _writable(self) -> None:
        try:
            sent = os.write(self._fd, self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(str(error))
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._fd)

    def _break(self, why: str) -> None:
        self.close()
        self._lost(why)
