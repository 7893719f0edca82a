"""The plant's machines on a serial line, in Modbus RTU: one port, many units, one request at a time.

Written on the terminal calls of POSIX, so that it needs no further package. A pseudo-terminal (socat) takes every baud
rate and does not pace by it.
"""

import asyncio
import logging
import os
import termios
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from fieldline.errors import FieldlineError
from fieldline_edge.drivers.simulator.answers import answer
from fieldline_edge.drivers.simulator.bank import Bank
from fieldline_edge.drivers.simulator.framing import RtuFramer

__all__ = ["SerialLine"]

_log = logging.getLogger(__name__)
_READ_BYTES = 4096
_PAUSE_S = 0.05  # more than 1.5 characters at 1200 baud and less than a client's patience
_CFLAG, _ISPEED, _OSPEED = 2, 4, 5


class SerialLine:
    """The units of `banks` on the serial port `device`. An async context manager.

    `requests` counts what was asked, `lost` the answers that the line did not take.
    """

    def __init__(self, device: Path, banks: Mapping[int, Bank], *, baud: int, parity: str) -> None:
        self.device = device
        self.requests = 0
        self.lost = 0
        self._banks = banks
        self._baud = baud
        self._parity = parity
        self._framer = RtuFramer()
        self._heard_s = 0.0
        self._fd = -1

    async def __aenter__(self) -> Self:
        """Open and set up the port; FieldlineError with the cure if that cannot be."""
        try:
            self._fd = os.open(self.device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            _set_up(self._fd, self._baud, self._parity)
        except (OSError, termios.error) as error:
            self._close()
            reason = getattr(error, "strerror", None) or error.args[-1]
            cure = "check modbus.serial and who may open it"
            raise FieldlineError(f"serial port {self.device}: {reason}; {cure}") from error
        asyncio.get_running_loop().add_reader(self._fd, self._on_bytes)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the port."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _on_bytes(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # the other end of a pseudo-terminal is gone
        if not data:
            _log.warning("serial port %s is gone: its other end was closed; start the plant anew", self.device)
            asyncio.get_running_loop().remove_reader(self._fd)
            self._close()
            return
        now_s = asyncio.get_running_loop().time()
        if now_s - self._heard_s > _PAUSE_S:
            self._framer.pause()
        self._heard_s = now_s
        for request in self._framer.feed(data):
            self.requests += 1
            pdu = answer(self._banks, request.unit, request.pdu)
            if pdu is not None:
                self._send(self._framer.wrap(request, pdu))

    def _send(self, frame: bytes) -> None:
        """A frame is at most 256 bytes and the line's buffer is larger: what it does not take is lost, as on a wire."""
        try:
            written = os.write(self._fd, frame)
        except OSError:
            written = 0
        self.lost += written < len(frame)


def _set_up(fd: int, baud: int, parity: str) -> None:
    """Raw bytes, eight data bits, the parity and the speed; two stop bits where there is no parity (2.5.1)."""
    speed = getattr(termios, f"B{baud}")
    flags = termios.CS8 | termios.CREAD | termios.CLOCAL
    flags |= {"none": termios.CSTOPB, "even": termios.PARENB, "odd": termios.PARENB | termios.PARODD}[parity]
    attributes = termios.tcgetattr(fd)
    attributes[0] = attributes[1] = attributes[3] = 0
    attributes[_CFLAG] = flags
    attributes[_ISPEED] = attributes[_OSPEED] = speed
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
