"""Requests and their answers as PDUs: function code and data (Modbus application protocol, section 6). Pure.

A request knows its bytes, how long the right answer is, and what the answer says; it accepts no other answer.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from fieldline_edge.drivers.modbus.protocol.errors import DeviceRefused, WrongAnswer

__all__ = [
    "COILS_READ_MAX",
    "COILS_WRITTEN_MAX",
    "PDU_BYTES_MAX",
    "READ_COILS",
    "READ_DISCRETE_INPUTS",
    "READ_HOLDING_REGISTERS",
    "READ_INPUT_REGISTERS",
    "REGISTERS_READ_MAX",
    "REGISTERS_WRITTEN_MAX",
    "Identify",
    "ReadBits",
    "ReadWords",
    "Request",
    "Write",
    "WriteCoil",
    "WriteCoils",
    "WriteRegister",
    "WriteRegisters",
    "answer_length",
    "check",
]

T = TypeVar("T")

PDU_BYTES_MAX = 253
REGISTERS_READ_MAX = 125
COILS_READ_MAX = 2000
REGISTERS_WRITTEN_MAX = 123
COILS_WRITTEN_MAX = 1968

READ_COILS, READ_DISCRETE_INPUTS, READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS = 1, 2, 3, 4
_WRITE_COIL, _WRITE_REGISTER, _WRITE_COILS, _WRITE_REGISTERS = 5, 6, 15, 16
_ENCAPSULATED, _READ_IDENTIFICATION = 0x2B, 0x0E
_EXCEPTION = 0x80

_READS = (READ_COILS, READ_DISCRETE_INPUTS, READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS)
_WRITES = (_WRITE_COIL, _WRITE_REGISTER, _WRITE_COILS, _WRITE_REGISTERS)
_HEAD = struct.Struct(">BHH")
_BITS_OF = tuple(tuple(octet >> bit & 1 for bit in range(8)) for octet in range(256))
_WORDS = tuple(struct.Struct(f">{count}H") for count in range(REGISTERS_READ_MAX + 1))


class Request(Generic[T]):
    """One question. `pdu` is what is sent, `answer_bytes` how long the PDU of the right answer is (0: not known)."""

    __slots__ = ("answer_bytes", "function", "pdu")

    def __init__(self, pdu: bytes, answer_bytes: int) -> None:
        self.function = pdu[0]
        self.pdu = pdu
        self.answer_bytes = answer_bytes

    def decode(self, pdu: bytes) -> T:
        """What the answer says; its function code is ours. WrongAnswer if it is not the answer to this request."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pdu.hex(' ')})"


class _Read(Request[Sequence[int]]):
    """Reads `count` addresses from `address` on."""

    __slots__ = ("address", "count")

    def __init__(self, function: int, address: int, count: int, *, octets: int, count_max: int) -> None:
        if not (1 <= count <= count_max and address >= 0 and address + count <= 65_536):
            raise ValueError(f"cannot read {count} from {address}: at most {count_max}, and none beyond 65535")
        super().__init__(_HEAD.pack(function, address, count), 2 + octets)
        self.address = address
        self.count = count

    def _check(self, pdu: bytes) -> None:
        if len(pdu) != self.answer_bytes or pdu[1] != self.answer_bytes - 2:
            wanted = self.answer_bytes - 2
            raise WrongAnswer(f"{len(pdu) - 2} bytes of values, said to be {_at(pdu, 1)}, instead of {wanted}")


class ReadWords(_Read):
    """Holding or input registers: the answer is `count` words."""

    __slots__ = ()

    def __init__(self, function: int, address: int, count: int) -> None:
        if function not in (READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS):
            raise ValueError(f"function {function} reads no registers")
        super().__init__(function, address, count, octets=2 * count, count_max=REGISTERS_READ_MAX)

    def decode(self, pdu: bytes) -> Sequence[int]:
        """The words, 0 to 65535."""
        self._check(pdu)
        return _WORDS[self.count].unpack_from(pdu, 2)


class ReadBits(_Read):
    """Coils or discrete inputs: the answer is `count` bits, 0 or 1."""

    __slots__ = ()

    def __init__(self, function: int, address: int, count: int) -> None:
        if function not in (READ_COILS, READ_DISCRETE_INPUTS):
            raise ValueError(f"function {function} reads no bits")
        super().__init__(function, address, count, octets=(count + 7) // 8, count_max=COILS_READ_MAX)

    def decode(self, pdu: bytes) -> Sequence[int]:
        """The bits. What fills the last byte is not looked at: devices differ there."""
        self._check(pdu)
        bits: list[int] = []
        for octet in pdu[2:]:
            bits += _BITS_OF[octet]
        del bits[self.count :]
        return bits


class Write(Request[None]):
    """A write. Its answer repeats function, address, and value or count, and must do so exactly."""

    __slots__ = ("_echo",)

    def __init__(self, pdu: bytes) -> None:
        super().__init__(pdu, 5)
        self._echo = pdu[:5]

    def decode(self, pdu: bytes) -> None:
        """Nothing, if the device has done what it was told."""
        if pdu != self._echo:
            raise WrongAnswer(f"the device confirms {pdu[1:].hex(' ')} instead of {self._echo[1:].hex(' ')}")


class WriteCoil(Write):
    """Sets one coil (function 5)."""

    __slots__ = ()

    def __init__(self, address: int, on: bool) -> None:
        _check_addresses(address, 1, 1)
        super().__init__(_HEAD.pack(_WRITE_COIL, address, 0xFF00 if on else 0))


class WriteRegister(Write):
    """Sets one holding register (function 6) to a word, 0 to 65535."""

    __slots__ = ()

    def __init__(self, address: int, word: int) -> None:
        _check_addresses(address, 1, 1)
        _check_word(word)
        super().__init__(_HEAD.pack(_WRITE_REGISTER, address, word))


class WriteCoils(Write):
    """Sets coils in a row (function 15)."""

    __slots__ = ()

    def __init__(self, address: int, bits: Sequence[int | bool]) -> None:
        _check_addresses(address, len(bits), COILS_WRITTEN_MAX)
        octets = bytearray((len(bits) + 7) // 8)
        for position, bit in enumerate(bits):
            octets[position >> 3] |= bool(bit) << (position & 7)
        super().__init__(_HEAD.pack(_WRITE_COILS, address, len(bits)) + bytes([len(octets)]) + octets)


class WriteRegisters(Write):
    """Sets holding registers in a row (function 16) to words, 0 to 65535."""

    __slots__ = ()

    def __init__(self, address: int, words: Sequence[int]) -> None:
        _check_addresses(address, len(words), REGISTERS_WRITTEN_MAX)
        for word in words:
            _check_word(word)
        head = _HEAD.pack(_WRITE_REGISTERS, address, len(words)) + bytes([2 * len(words)])
        super().__init__(head + struct.pack(f">{len(words)}H", *words))


class Identify(Request[Mapping[int, bytes]]):
    """Asks who the device is (function 43/14): 0 maker, 1 product code, 2 revision, and more with `code` 2 or 3.

    One answer holds what fits; the rest is asked for by `first`, the object to begin with.
    """

    __slots__ = ()

    def __init__(self, code: int = 1, first: int = 0) -> None:
        if code not in (1, 2, 3, 4) or not 0 <= first <= 255:
            raise ValueError(f"no such identification: code {code}, object {first}")
        super().__init__(bytes([_ENCAPSULATED, _READ_IDENTIFICATION, code, first]), 0)

    def decode(self, pdu: bytes) -> Mapping[int, bytes]:
        """The objects by their number."""
        if answer_length(pdu) != len(pdu) or pdu[1:3] != self.pdu[1:3]:
            raise WrongAnswer(f"no identification: {pdu[:8].hex(' ')}")
        objects: dict[int, bytes] = {}
        at = 7
        while at < len(pdu):
            objects[pdu[at]] = bytes(pdu[at + 2 : at + 2 + pdu[at + 1]])
            at += 2 + pdu[at + 1]
        return objects


def check(request: Request[T], pdu: bytes) -> T:
    """What the answer says. DeviceRefused for an exception, WrongAnswer for anything but the answer to `request`."""
    if pdu[0] == request.function:
        return request.decode(pdu)
    if pdu[0] == request.function | _EXCEPTION:
        if len(pdu) == 2:
            raise DeviceRefused(pdu[1])
        raise WrongAnswer(f"an exception of {len(pdu)} bytes instead of 2")
    raise WrongAnswer(f"function code {pdu[0]} to a question with {request.function}")


def answer_length(data: bytes | bytearray, start: int = 0) -> int | None:
    """How long the answer PDU that begins at `start` is, by what it says itself.

    None while too little is there to tell; 0 if no answer begins like this. It may be longer than what is there.
    """
    if start >= len(data):
        return None
    function = data[start]
    if function & _EXCEPTION:
        return 2
    if function in _WRITES:
        return 5
    if function in _READS:
        if start + 1 >= len(data):
            return None
        octets = data[start + 1]
        even = function in (READ_COILS, READ_DISCRETE_INPUTS) or octets % 2 == 0
        return 2 + octets if 0 < octets <= PDU_BYTES_MAX - 2 and even else 0
    if function == _ENCAPSULATED:
        return _identification_length(data, start)
    return 0


def _identification_length(data: bytes | bytearray, start: int) -> int | None:
    if start + 6 >= len(data):
        return None
    if data[start + 1] != _READ_IDENTIFICATION:
        return 0
    at = start + 7
    for _ in range(data[start + 6]):
        if at + 1 >= len(data):
            return None
        at += 2 + data[at + 1]
        if at - start > PDU_BYTES_MAX:
            return 0
    return at - start


def _at(pdu: bytes, position: int) -> int | None:
    return pdu[position] if position < len(pdu) else None


def _check_addresses(address: int, count: int, count_max: int) -> None:
    if not (1 <= count <= count_max and address >= 0 and address + count <= 65_536):
        raise ValueError(f"cannot write {count} from {address}: 1 to {count_max}, and none beyond 65535")


def _check_word(word: int) -> None:
    if not 0 <= word <= 0xFFFF:
        raise ValueError(f"{word} does not fit a register, which holds 0 to 65535")
