"""Each profile, polled by the real driver from a device that has exactly the profile's registers."""

import math
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from fieldline.model import Quality
from fieldline_edge.drivers.modbus.driver import ModbusDriver
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings, ModbusTagSettings, Order, RegisterKind
from fieldline_edge.profiles import ProfileSettings, load_profile, profile_names
from fieldline_edge.profiles.requests import requests_of
from tests.integration.edge.harness import Collector, running

NAMES = profile_names()
_TYPES = {True: DataType.BITS, False: DataType.REGISTERS}
_FORMATS = {"int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f"}


def raw(position: int) -> int:
    """What the device has for its tag number `position`."""
    return 100 + position


def words(tag: ModbusTagSettings, position: int) -> list[int]:
    """The registers of a tag as its manual describes them, without the driver's help."""
    packed = struct.pack(">" + _FORMATS[tag.type.value], raw(position))
    registers = list(struct.unpack(f">{len(packed) // 2}H", packed))
    return registers[::-1] if tag.order is Order.CDAB else registers


def memory(profile: ProfileSettings) -> dict[tuple[RegisterKind, int], int]:
    """What every address of the profile holds; bools of a register take what the register's number has."""
    held: dict[tuple[RegisterKind, int], int] = {}
    for position, tag in enumerate(profile.tags):
        if tag.kind.is_bits:
            held[tag.kind, tag.address] = position % 2
        elif tag.bit is None:
            held |= {(tag.kind, tag.address + i): word for i, word in enumerate(words(tag, position))}
    return held


def sim_device(unit: int, profile: ProfileSettings) -> SimDevice:
    held = memory(profile)
    tables: dict[RegisterKind, list[SimData]] = {kind: [] for kind in RegisterKind}
    for block in requests_of(profile):
        values = [held.get((block.kind, block.address + i), 0) for i in range(block.count)]
        bits = block.kind.is_bits
        values = [bool(value) for value in values] if bits else values
        tables[block.kind].append(SimData(block.address, values=values, datatype=_TYPES[bits]))
    coils, discrete, holding, inputs = (
        tables[kind] or [SimData(65_000, values=False if kind.is_bits else 0, datatype=_TYPES[kind.is_bits])]
        for kind in (RegisterKind.COIL, RegisterKind.DISCRETE, RegisterKind.HOLDING, RegisterKind.INPUT)
    )
    return SimDevice(unit, simdata=(coils, discrete, holding, inputs))


def expected(tag: ModbusTagSettings, position: int, held: dict[tuple[RegisterKind, int], int]) -> Any:
    if tag.kind.is_bits:
        return bool(position % 2)
    if tag.bit is not None:
        return bool(held[tag.kind, tag.address] >> tag.bit & 1)
    return raw(position) * tag.scale + tag.offset


@pytest.fixture
async def port() -> AsyncIterator[int]:
    devices = [sim_device(unit, load_profile(name)) for unit, name in enumerate(NAMES, start=1)]
    server = ModbusTcpServer(devices, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    transport: Any = server.transport
    yield transport.sockets[0].getsockname()[1]
    await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it unannotated


async def test_every_profile_reads_its_device_to_the_last_tag(port: int) -> None:
    sink = Collector()
    devices = [
        ModbusDeviceSettings.model_validate(
            {"driver": "modbus", "name": name, "area": "a", "host": "127.0.0.1", "port": port, "unit": unit}
            | {"profile": name, "period_ms": 200}
        )
        for unit, name in enumerate(NAMES, start=1)
    ]
    async with running(ModbusDriver(devices, site="s", sink=sink)):
        await sink.until(lambda: all(len(sink.by_device[d.name]) >= len(d.tags) for d in devices))

    for name in NAMES:
        profile = load_profile(name)
        held = memory(profile)
        read = {reading.tag: reading for reading in reversed(sink.by_device[name])}
        for position, tag in enumerate(profile.tags):
            if tag.map:  # no state of the list: said so, and not taken for a number
                assert read[tag.name].quality is Quality.BAD_PARSE, (name, tag.name, read[tag.name])
                continue
            assert read[tag.name].quality is Quality.GOOD, (name, tag.name, read[tag.name])
            value, wanted = read[tag.name].value, expected(tag, position, held)
            assert isinstance(value, bool | int | float)
            assert math.isclose(value, wanted, rel_tol=1e-6), (name, tag.name, value)
