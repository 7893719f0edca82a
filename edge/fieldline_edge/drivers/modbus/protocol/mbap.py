"""Modbus TCP: frames with a transaction id, by which an answer finds its question (TCP guide, 3.1.3). Pure."""

import struct
from typing import Any

from fieldline_edge.drivers.modbus.protocol.errors import LostTrack, WrongAnswer
from fieldline_edge.drivers.modbus.protocol.pdu import PDU_BYTES_MAX, Request

__all__ = ["TcpFramer"]

_HEADER = struct.Struct(">HHHB")  # transaction, protocol (0), bytes that follow, unit
_LENGTH_MAX = 1 + PDU_BYTES_MAX
_TRANSACTIONS = 1 << 16


class TcpFramer:
    """Packs requests and finds their answers in a stream, in any order and any cuts.

    A frame whose transaction is not waited for (late, twice, made up) is counted and dropped. A header that cannot
    be one means that nothing after it can be read either: LostTrack.
    """

    def __init__(self) -> None:
        self.answers_skipped = 0
        self.octets_skipped = 0
        self.is_echoing = False
        self._units: dict[int, int] = {}
        self._transaction = 0
        self._rest = b""

    def ask(self, unit: int, request: Request[Any], *, owing: bool = False) -> tuple[int, bytes]:
        """(ticket, frame to send). The ticket comes back with the answer. `owing` makes no difference here."""
        transaction = self._transaction
        while transaction in self._units:
            transaction = (transaction + 1) % _TRANSACTIONS
        self._transaction = (transaction + 1) % _TRANSACTIONS
        self._units[transaction] = unit
        return transaction, _HEADER.pack(transaction, 0, len(request.pdu) + 1, unit) + request.pdu

    def forget(self, ticket: int) -> None:
        """Wait for this answer no longer."""
        self._units.pop(ticket, None)

    @property
    def is_amid(self) -> bool:
        """Whether a frame has begun and not ended. If its rest never comes, the next frame is taken for it."""
        return bool(self._rest)

    def reset(self) -> None:
        """Begin anew on a new connection; transaction ids count on."""
        self._units.clear()
        self._rest = b""

    def receive(self, data: bytes) -> list[tuple[int, bytes | WrongAnswer]]:
        """Take what came; the answers that are complete now, as (ticket, PDU, or what is wrong with the frame)."""
        if self._rest:
            data = self._rest + data
        answers: list[tuple[int, bytes | WrongAnswer]] = []
        start, end = 0, len(data)
        while end - start >= _HEADER.size:
            transaction, protocol, length, unit = _HEADER.unpack_from(data, start)
            if protocol != 0 or not 2 <= length <= _LENGTH_MAX:
                raise LostTrack(f"no Modbus TCP: {data[start : start + _HEADER.size].hex(' ')}")
            after = start + 6 + length
            if after > end:
                break
            self._take(transaction, unit, data[start + _HEADER.size : after], answers)
            start = after
        self._rest = data[start:]
        return answers

    def _take(self, transaction: int, unit: int, pdu: bytes, answers: list[tuple[int, bytes | WrongAnswer]]) -> None:
        asked = self._units.pop(transaction, None)
        if asked is None:
            self.answers_skipped += 1
        elif asked != unit:
            answers.append((transaction, WrongAnswer(f"the answer is unit {unit}'s, asked was unit {asked}")))
        else:
            answers.append((transaction, pdu))
