"""The registers of one machine as its Modbus server holds them: what a read finds and what a write does. Pure."""

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from fieldline_edge.drivers.simulator.machine import Machine
from fieldline_edge.drivers.simulator.registers import Kind, Register
from fieldline_edge.drivers.simulator.signals import SignalValue
from fieldline_edge.drivers.simulator.vibration import WAVEFORM_ADDRESS

__all__ = ["Bank"]

_Encoder = Callable[[Mapping[str, SignalValue]], bytes]


class _Run:
    """Neighbouring registers without a hole. Holds what they said last: many reads of one step cost one encoding."""

    __slots__ = ("data", "encode", "end", "revision", "start")

    def __init__(self, start: int, end: int, encode: _Encoder) -> None:
        self.start = start
        self.end = end
        self.encode = encode
        self.data = b""
        self.revision = -1


class Bank:
    """All registers of one machine. What it answers is the machine's values at the moment of the question."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._registers = machine.blueprint.registers
        self._runs = {kind: _runs([each for each in self._registers if each.kind is kind]) for kind in Kind}

    @property
    def answering(self) -> bool:
        """False while the machine is to be silent."""
        return self._machine.answering

    @property
    def rebooting(self) -> bool:
        """Whether the device is starting anew: it then knows no connection."""
        return self._machine.rebooting

    def read(self, kind: Kind, address: int, count: int) -> list[int] | None:
        """`count` words (or bits as 0 and 1) from `address`; None if the map has not all of them."""
        data = self.read_bytes(kind, address, count)
        return None if data is None else list(struct.unpack(f">{count}H", data))

    def read_bytes(self, kind: Kind, address: int, count: int) -> bytes | None:
        """As `read`, but two bytes for each word or bit, the high one first: what an answer carries."""
        end = address + count
        for run in self._runs[kind]:
            if run.start <= address and end <= run.end:
                if run.revision != self._machine.revision:
                    run.data = run.encode(self._machine.values)
                    run.revision = self._machine.revision
                return run.data[2 * (address - run.start) : 2 * (end - run.start)]
        if kind is Kind.INPUT and address >= WAVEFORM_ADDRESS and self._machine.waveform:
            samples = self._machine.waveform
            first = address - WAVEFORM_ADDRESS
            if first + count <= len(samples):
                return struct.pack(f">{count}h", *samples[first : first + count])
        return None

    def write(self, kind: Kind, address: int, values: Sequence[int | bool]) -> bool:
        """Do what a write asks for; False if that address cannot be written. Only `running` can."""
        if kind is not Kind.COIL or len(values) != 1:
            return False
        for register in self._registers:
            if register.kind is kind and register.address == address and register.signal == "running":
                self._machine.switch(running=bool(values[0]))
                return True
        return False


def _runs(registers: list[Register]) -> list[_Run]:
    """`registers` of one kind, cut where addresses are missing."""
    ordered = sorted(registers, key=lambda each: each.address)
    cuts = [at for at, (one, two) in enumerate(pairwise(ordered), 1) if two.address > one.address + one.words]
    runs = []
    for first, last in pairwise([0, *cuts, len(ordered)] if ordered else []):
        part = ordered[first:last]
        runs.append(_Run(part[0].address, part[-1].address + part[-1].words, _encoder(part)))
    return runs


def _encoder(registers: list[Register]) -> _Encoder:
    """What writes the values of one run as bytes. Whole words without scale are packed in one go."""
    if all(each.type == "uint16" and each.scale == 1.0 for each in registers):
        packer, names = struct.Struct(f">{len(registers)}H"), [each.signal for each in registers]
        return lambda values: packer.pack(*[int(values[name]) for name in names])
    start = registers[0].address
    packer = struct.Struct(f">{registers[-1].address + registers[-1].words - start}H")

    def encode(values: Mapping[str, SignalValue]) -> bytes:
        words = [0] * (packer.size // 2)
        for each in registers:
            for place, word in enumerate(each.pack(values[each.signal]), each.address - start):
                words[place] |= word
        return packer.pack(*words)

    return encode
