"""The Modbus driver against pymodbus' own server, over real TCP."""

import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from fieldline.model import Quality
from fieldline_edge.drivers.modbus.driver import ModbusDriver
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from tests.integration.edge.harness import Collector, running


def float_words(value: float) -> list[int]:
    return list(struct.unpack(">2H", struct.pack(">f", value)))


def unit(number: int) -> SimDevice:
    """Coils, discrete inputs, holding and input registers, each with a table of its own."""
    return SimDevice(
        number,
        simdata=(
            [SimData(0, values=[True, False, True, True], datatype=DataType.BITS)],
            [SimData(0, values=[False, True], datatype=DataType.BITS)],
            [
                SimData(
                    0,
                    values=[number, 0xFFFF, *float_words(21.5), *reversed(float_words(-3.25))],
                    datatype=DataType.REGISTERS,
                )
            ],
            [SimData(100, values=list(range(500, 510)), datatype=DataType.REGISTERS)],
        ),
    )


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = ModbusTcpServer([unit(1), unit(2)], address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    transport: Any = server.transport
    yield transport.sockets[0].getsockname()[1]
    await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it unannotated


TAGS: list[dict[str, Any]] = [
    {"name": "id", "address": 0, "type": "uint16"},
    {"name": "minus_one", "address": 1, "type": "int16"},
    {"name": "top_bit", "address": 1, "type": "bool", "bit": 15},
    {"name": "abcd", "address": 2, "type": "float32"},
    {"name": "cdab", "address": 4, "type": "float32", "order": "CDAB"},
    {"name": "tenths", "kind": "input", "address": 105, "type": "uint16", "scale": 0.1, "max": 50},
    {"name": "coil_1", "kind": "coil", "address": 1, "type": "bool"},
    {"name": "coil_2", "kind": "coil", "address": 2, "type": "bool"},
    {"name": "input_1", "kind": "discrete", "address": 1, "type": "bool"},
]


def device(name: str, port: int, **options: Any) -> ModbusDeviceSettings:
    given = {"driver": "modbus", "name": name, "area": "a", "host": "127.0.0.1", "port": port, "tags": TAGS}
    return ModbusDeviceSettings.model_validate({**given, "period_ms": 50, **options})


async def test_all_kinds_and_types_are_read_from_a_real_server(port: int) -> None:
    sink = Collector()
    driver = ModbusDriver([device("pump-1", port)], site="s", sink=sink)
    async with running(driver):
        await sink.until(lambda: sink.puts["pump-1"])
    assert {r.tag: (r.value, r.quality) for r in sink.puts["pump-1"][0]} == {
        "id": (1, Quality.GOOD),
        "minus_one": (-1, Quality.GOOD),
        "top_bit": (True, Quality.GOOD),
        "abcd": (21.5, Quality.GOOD),
        "cdab": (-3.25, Quality.GOOD),
        "tenths": (50.5, Quality.BAD_RANGE),
        "coil_1": (False, Quality.GOOD),
        "coil_2": (True, Quality.GOOD),
        "input_1": (True, Quality.GOOD),
    }
    assert driver.stats.requests % 4 == 0, "one request for each kind"


async def test_units_behind_one_host_share_one_connection(port: int) -> None:
    sink = Collector()
    driver = ModbusDriver([device("one", port, unit=1), device("two", port, unit=2)], site="s", sink=sink)
    async with running(driver):
        await sink.until(lambda: len(sink.puts["one"]) >= 3 and len(sink.puts["two"]) >= 3)
    assert {r.value for r in sink.of("one", "id")} == {1}
    assert {r.value for r in sink.of("two", "id")} == {2}
    assert driver.stats.connects == 1
    assert driver.stats.connected == 0, "closed at the end"


async def test_polls_keep_the_period_and_are_stamped_when_they_are_answered(port: int) -> None:
    sink = Collector()
    driver = ModbusDriver([device("pump-1", port, period_ms=100, tags=TAGS[:5])], site="s", sink=sink)
    begun_ns = time.time_ns()
    async with running(driver):
        await sink.until(lambda: len(sink.puts["pump-1"]) >= 6)
    stamps = [{r.at_ns for r in put} for put in sink.puts["pump-1"]]
    assert all(len(stamp) == 1 for stamp in stamps), "tags of one answer share its moment"
    moments = [stamp.pop() for stamp in stamps]
    assert begun_ns < moments[0] < moments[-1] < time.time_ns()
    took_ns = moments[-1] - moments[0]
    assert took_ns >= 0.8 * (len(moments) - 1) * 100e6, "never faster than the period"
    assert driver.stats.polls + driver.stats.polls_missed >= len(moments)


async def test_an_illegal_address_marks_only_the_tags_of_its_block(port: int) -> None:
    sink = Collector()
    tags = [TAGS[0], {"name": "nowhere", "address": 5000, "type": "uint16"}]
    driver = ModbusDriver([device("pump-1", port, tags=tags)], site="s", sink=sink)
    async with running(driver):
        await sink.until_quality("pump-1", "nowhere", Quality.BAD_EXCEPTION, times=5)
    assert set(sink.qualities("pump-1", "id")) == {Quality.GOOD}
    assert set(sink.qualities("pump-1", "nowhere")) == {Quality.BAD_EXCEPTION}
    assert all(r.value is None for r in sink.of("pump-1", "nowhere"))
    assert driver.stats.requests_refused < driver.stats.polls, "it is not asked in every poll"


async def test_a_fault_in_our_own_code_is_counted_and_does_not_end_the_polling(port: int) -> None:
    class Clumsy(Collector):
        def put(self, device: Any, readings: Any) -> None:
            if not self.puts[device.device]:
                self.puts[device.device].append([])
                raise RuntimeError("a sink that breaks its promise")
            super().put(device, readings)

    sink = Clumsy()
    driver = ModbusDriver([device("pump-1", port)], site="s", sink=sink)
    async with running(driver):
        await sink.until(lambda: sink.by_device["pump-1"])
    assert driver.stats.errors == 1
