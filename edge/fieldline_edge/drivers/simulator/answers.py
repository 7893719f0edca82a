"""What a Modbus device answers: from a request's PDU to the answer's, by the banks behind one listener. Pure.

Rules: Modbus application protocol 1.1b3, section 6. A unit that does not exist, or that is silent now, gives None: no
answer, as on a real line.
"""

from collections.abc import Mapping
from enum import IntEnum
from struct import Struct, unpack

from fieldline_edge.drivers.simulator.bank import Bank
from fieldline_edge.drivers.simulator.registers import Kind

__all__ = ["Exceptions", "answer"]


class Exceptions(IntEnum):
    """The exception codes a simulated device gives."""

    FUNCTION = 1
    ADDRESS = 2
    VALUE = 3


_PLACE = Struct(">HH")
_BIT_READS = {1: Kind.COIL, 2: Kind.DISCRETE}
_WORD_READS = {3: Kind.HOLDING, 4: Kind.INPUT}
_BITS_MAX = 2000
_WORDS_MAX = 125
_ON, _OFF = 0xFF00, 0x0000
_BROADCAST = 0


def answer(banks: Mapping[int, Bank], unit: int, pdu: bytes) -> bytes | None:
    """The PDU that `unit` answers; None for silence. A broadcast (unit 0) is done by all and answered by none."""
    if unit == _BROADCAST:
        for each in banks.values():
            _answer(each, pdu)
        return None
    bank = banks.get(unit)
    if bank is None or not bank.answering:
        return None
    return _answer(bank, pdu)


def _answer(bank: Bank, pdu: bytes) -> bytes:
    function = pdu[0]
    if function in _WORD_READS and len(pdu) == 5:
        address, count = _PLACE.unpack_from(pdu, 1)
        return _read_words(bank, function, address, count)
    if function in _BIT_READS and len(pdu) == 5:
        address, count = _PLACE.unpack_from(pdu, 1)
        return _read_bits(bank, function, address, count)
    if function in (5, 6) and len(pdu) == 5:
        return _write_one(bank, function, pdu)
    if function in (15, 16) and len(pdu) > 6:
        return _write_many(bank, function, pdu)
    if function == 22 and len(pdu) == 7:
        return _mask(bank, pdu)
    if function == 23 and len(pdu) > 10:
        return _write_and_read(bank, pdu)
    known = function in _WORD_READS or function in _BIT_READS or function in (5, 6, 15, 16, 22, 23)
    return _refuse(function, Exceptions.VALUE if known else Exceptions.FUNCTION)


def _refuse(function: int, code: int) -> bytes:
    return bytes((function | 0x80, code))


def _read_words(bank: Bank, function: int, address: int, count: int) -> bytes:
    if not 1 <= count <= _WORDS_MAX:
        return _refuse(function, Exceptions.VALUE)
    data = bank.read_bytes(_WORD_READS[function], address, count)
    if data is None:
        return _refuse(function, Exceptions.ADDRESS)
    return bytes((function, len(data))) + data


def _read_bits(bank: Bank, function: int, address: int, count: int) -> bytes:
    if not 1 <= count <= _BITS_MAX:
        return _refuse(function, Exceptions.VALUE)
    bits = bank.read(_BIT_READS[function], address, count)
    if bits is None:
        return _refuse(function, Exceptions.ADDRESS)
    packed = sum(bit << place for place, bit in enumerate(bits)).to_bytes((count + 7) // 8, "little")
    return bytes((function, len(packed))) + packed


def _write_one(bank: Bank, function: int, pdu: bytes) -> bytes:
    address, value = _PLACE.unpack_from(pdu, 1)
    if function == 6:
        return pdu if bank.write(Kind.HOLDING, address, (value,)) else _refuse(6, Exceptions.ADDRESS)
    if value not in (_ON, _OFF):
        return _refuse(5, Exceptions.VALUE)
    return pdu if bank.write(Kind.COIL, address, (value == _ON,)) else _refuse(5, Exceptions.ADDRESS)


def _write_many(bank: Bank, function: int, pdu: bytes) -> bytes:
    address, count = _PLACE.unpack_from(pdu, 1)
    data = pdu[6:]
    wanted = (count + 7) // 8 if function == 15 else 2 * count
    if not count or pdu[5] != wanted or len(data) != wanted:
        return _refuse(function, Exceptions.VALUE)
    if function == 15:
        number = int.from_bytes(data, "little")
        done = bank.write(Kind.COIL, address, [bool(number >> place & 1) for place in range(count)])
    else:
        done = bank.write(Kind.HOLDING, address, unpack(f">{count}H", data))
    return pdu[:5] if done else _refuse(function, Exceptions.ADDRESS)


def _mask(bank: Bank, pdu: bytes) -> bytes:
    address, keep, put = unpack(">HHH", pdu[1:])
    words = bank.read(Kind.HOLDING, address, 1)
    if words is None:
        return _refuse(22, Exceptions.ADDRESS)
    value = (words[0] & keep) | (put & ~keep & 0xFFFF)
    return pdu if bank.write(Kind.HOLDING, address, (value,)) else _refuse(22, Exceptions.ADDRESS)


def _write_and_read(bank: Bank, pdu: bytes) -> bytes:
    read_at, read_count, write_at, write_count = unpack(">HHHH", pdu[1:9])
    data = pdu[10:]
    if not 1 <= read_count <= _WORDS_MAX or not write_count or len(data) != 2 * write_count or pdu[9] != len(data):
        return _refuse(23, Exceptions.VALUE)
    if not bank.write(Kind.HOLDING, write_at, unpack(f">{write_count}H", data)):
        return _refuse(23, Exceptions.ADDRESS)
    found = bank.read_bytes(Kind.HOLDING, read_at, read_count)
    if found is None:
        return _refuse(23, Exceptions.ADDRESS)
    return bytes((23, len(found))) + found
