"""Carries one allowed write out: asks the device, reads back, says what came of it."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from fieldline.model import Value
from fieldline_edge.commands.desk import Writing
from fieldline_edge.commands.order import Answer, Status
from fieldline_edge.drivers.modbus.client import DeviceRefused, ModbusTrouble, NoConnection
from fieldline_edge.drivers.modbus.plan import Block
from fieldline_edge.drivers.modbus.protocol import Write, WriteCoil, WriteRegister, WriteRegisters
from fieldline_edge.drivers.modbus.registers import BlockReader
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.drivers.modbus.tag_settings import RegisterKind

__all__ = ["Line", "carry_out"]

# A device may take a moment until a register shows what was written.
_VERIFY_TRIES = 3
_VERIFY_PAUSE_S = 0.1


class Line(Protocol):
    """The line the device is on; the gateway's own, so that writes and polls take turns."""

    async def read(self, block: Block, *, unit: int, timeout_s: float) -> Sequence[int]:
        """The answer to one block. Raises a ModbusTrouble."""
        ...

    async def write(self, write: Write, *, unit: int, timeout_s: float) -> None:
        """Write, and return when the unit has confirmed it. Raises a ModbusTrouble."""
        ...


async def carry_out(writing: Writing, device: ModbusDeviceSettings, line: Line, *, verify: bool) -> Answer:
    """Write, and with `verify` read back. Never raises a ModbusTrouble: the answer says what happened."""
    timeout_s = device.timeout_ms / 1000
    try:
        await line.write(_request(writing), unit=device.unit, timeout_s=timeout_s)
    except DeviceRefused as refusal:
        return Answer(Status.FAILED, "device_refused", f"the device refuses it: {refusal}", writing.value)
    except NoConnection as trouble:
        return Answer(Status.UNKNOWN, "device_away", f"{trouble}; it may have been written or not", writing.value)
    except ModbusTrouble as trouble:
        said = str(trouble) or type(trouble).__name__
        return Answer(Status.UNKNOWN, "no_confirmation", f"{said}; it may have been written or not", writing.value)
    if not verify:
        return Answer(Status.DONE, value=writing.value)
    return await _read_back(writing, device, line, timeout_s)


def _request(writing: Writing) -> Write:
    tag, words = writing.tag, writing.words
    if tag.kind is RegisterKind.COIL:
        return WriteCoil(tag.address, bool(words[0]))
    # Several registers go in one request: a device must never see half of a value.
    return WriteRegister(tag.address, words[0]) if len(words) == 1 else WriteRegisters(tag.address, words)


async def _read_back(writing: Writing, device: ModbusDeviceSettings, line: Line, timeout_s: float) -> Answer:
    block = Block(writing.tag.kind, writing.tag.address, writing.tag.width, (0,))
    seen: Value = None
    for attempt in range(_VERIFY_TRIES):
        if attempt:
            await asyncio.sleep(_VERIFY_PAUSE_S)
        try:
            words = await line.read(block, unit=device.unit, timeout_s=timeout_s)
        except ModbusTrouble as trouble:
            message = f"written, but it cannot be read back: {trouble}"
            return Answer(Status.UNKNOWN, "verify_failed", message, writing.value)
        seen = BlockReader(block, [writing.tag], order=device.order).read(words, 0)[0].value
        if list(words) == list(writing.words):
            return Answer(Status.DONE, value=writing.value, read_back=seen)
    message = f"the device confirmed it, but shows {seen!r} instead of {writing.value!r}"
    return Answer(Status.FAILED, "verify_failed", message, writing.value, seen)
