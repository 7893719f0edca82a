"""What RTU and ASCII have in common: one question at a time, and no sign on an answer but the unit it is from. Pure."""

from typing import Any

from fieldline_edge.drivers.modbus.protocol.errors import DeviceRefused, WrongAnswer
from fieldline_edge.drivers.modbus.protocol.pdu import Request, Write, check

__all__ = ["BusFramer"]

_BUFFER_BYTES_MAX = 2048  # four of the longest ASCII frames; older bytes can be no part of an answer


class BusFramer:
    """Packs a request and finds its answer in what comes.

    Frames of other units, of other masters, broadcasts and noise are counted and dropped, and an answer between
    them is found. What comes while nothing is asked is dropped. With `local_echo` nothing counts before the request
    itself has come back. Without it the echo of a read is noise, and `is_echoing` tells of it; that of a write looks
    like its confirmation.
    """

    def __init__(self, *, local_echo: bool = False) -> None:
        self.answers_skipped = 0
        self.octets_skipped = 0
        self._local_echo = local_echo
        self._ticket = 0
        self._unit = 0
        self._request: Request[Any] | None = None
        self._owing = False
        self._frame = b""
        self._echo = b""
        self._buffer = bytearray()
        self.is_echoing = False  # requests come back, although nobody said so

    def ask(self, unit: int, request: Request[Any], *, owing: bool = False) -> tuple[int, bytes]:
        """(ticket, frame to send). `owing` says that older answers of the unit may still come: what does not fit
        the question is then taken for one of them, and the right one is waited for."""
        self._skip(len(self._buffer))
        frame = self._pack(unit, request.pdu)
        self._ticket += 1
        self._unit, self._request, self._owing = unit, request, owing
        self._frame = frame
        self._echo = frame if self._local_echo else b""
        return self._ticket, frame

    def forget(self, ticket: int) -> None:
        """Wait for this answer no longer."""
        if ticket == self._ticket:
            self._request = None
            self._skip(len(self._buffer))

    @property
    def is_amid(self) -> bool:
        """Whether half a frame spoils the next one: never, because it is thrown away and searched for anew."""
        return False

    def reset(self) -> None:
        """Begin anew on a new connection."""
        self.forget(self._ticket)

    def receive(self, data: bytes) -> list[tuple[int, bytes | WrongAnswer]]:
        """Take what came; the answer, if it is complete now, as [(ticket, PDU)]."""
        request = self._request
        if request is None:
            self.octets_skipped += len(data)
            return []
        self._buffer += data
        if self._echo and not self._echo_has_come():
            return []
        if not self._local_echo and self._buffer.startswith(self._frame) and not isinstance(request, Write):
            self.is_echoing = True
        while (pdu := self._find()) is not None:
            if self._owing and not _fits(request, pdu):
                self.answers_skipped += 1
                continue
            self._request = None
            self._skip(len(self._buffer))
            return [(self._ticket, pdu)]
        if len(self._buffer) > _BUFFER_BYTES_MAX:
            self._skip(len(self._buffer) - _BUFFER_BYTES_MAX)
        return []

    def _echo_has_come(self) -> bool:
        at = self._buffer.find(self._echo)
        if at < 0:
            return False
        self.octets_skipped += at
        del self._buffer[: at + len(self._echo)]
        self._echo = b""
        return True

    def _skip(self, octets: int) -> None:
        self.octets_skipped += octets
        del self._buffer[:octets]

    def _pack(self, unit: int, pdu: bytes) -> bytes:
        raise NotImplementedError

    def _find(self) -> bytes | None:
        """Take the first whole frame of the unit asked out of the buffer, with all before it; its PDU."""
        raise NotImplementedError


def _fits(request: Request[Any], pdu: bytes) -> bool:
    try:
        check(request, pdu)
    except DeviceRefused:
        return True
    except WrongAnswer:
        return False
    return True
