"""Claims about the plant on the wire: asked by pymodbus' client, what it answers and what it writes down."""

import asyncio
import json
import socket
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from fieldline.errors import ConfigError, FieldlineError
from fieldline_edge.drivers.simulator.registers import REGISTERS, Register
from fieldline_edge.drivers.simulator.runner import PlantRunner
from tests.integration.edge.simulating import (
    ALL_MODELS,
    DEADLINE_S,
    MODELS,
    asking,
    modbus,
    settings,
)


async def words(client: AsyncModbusTcpClient, unit: int, register: Register) -> list[int]:
    kind, count = register.kind.value, register.words
    read = {
        "coil": client.read_coils,
        "discrete": client.read_discrete_inputs,
        "input": client.read_input_registers,
        "holding": client.read_holding_registers,
    }[kind]
    answer = await read(register.address, count=count, device_id=unit)
    assert not answer.isError(), answer
    return [int(bit) for bit in answer.bits[:count]] if kind in ("coil", "discrete") else list(answer.registers)


def decoded(register: Register, raw: list[int]) -> float:
    """The value by a way of its own: bytes put back in order by hand, then read as one number."""
    data = b"".join(word.to_bytes(2, "big") for word in raw)
    pairs = [data[at : at + 2] for at in range(0, len(data), 2)]
    if register.order in ("BADC", "DCBA"):
        pairs = [pair[::-1] for pair in pairs]
    if register.order in ("CDAB", "DCBA"):
        pairs.reverse()
    data = b"".join(pairs)
    if register.type == "float32":
        bits = int.from_bytes(data, "big")
        fraction, power = bits & 0x7FFFFF, (bits >> 23) & 0xFF
        return (-1.0) ** (bits >> 31) * (1 + fraction / 2**23) * 2.0 ** (power - 127) if power else 0.0
    return int.from_bytes(data, "big", signed=register.type.startswith("int")) * register.scale


async def test_every_register_of_every_model_tells_the_value_of_the_moment() -> None:
    async with PlantRunner(modbus(ALL_MODELS)) as runner, asking(runner) as client:
        for _ in range(2):
            runner.tick()
            for unit, model in enumerate(MODELS, 1):
                values = runner.plant.machines[model].values
                for register in REGISTERS[model]:
                    told = decoded(register, await words(client, unit, register))
                    assert told == pytest.approx(float(values[register.signal]), rel=1e-6, abs=1e-6), register


async def test_a_running_plant_moves_while_it_is_read() -> None:
    async with PlantRunner(modbus(ALL_MODELS)) as runner, asking(runner) as client:
        speed = next(each for each in REGISTERS["pump"] if each.signal == "pressure")
        running = asyncio.create_task(runner.run())
        seen: set[tuple[int, ...]] = set()
        async with asyncio.timeout(DEADLINE_S):
            while len(seen) < 5:
                seen.add(tuple(await words(client, 1, speed)))

        running.cancel()

        assert runner.plant.steps >= 4
        assert runner.steps_skipped == 0


async def test_an_address_beyond_the_map_is_answered_with_exception_2() -> None:
    async with PlantRunner(modbus(ALL_MODELS)) as runner, asking(runner) as client:
        beyond = await client.read_input_registers(0, count=7, device_id=1)
        denied = await client.write_register(0, 5, device_id=1)

        assert (beyond.exception_code, denied.exception_code) == (2, 2)


async def test_writing_the_coil_stops_the_motor() -> None:
    async with PlantRunner(modbus(ALL_MODELS)) as runner, asking(runner) as client:
        before = float(runner.plant.machines["pump"].values["speed"])

        answer = await client.write_coil(0, False, device_id=1)
        for _ in range(200):
            runner.tick()

        assert not answer.isError()
        assert (await client.read_coils(0, count=1, device_id=1)).bits[0] is False
        assert (await client.read_input_registers(0, count=1, device_id=1)).registers[0] < before / 10


async def test_a_dropout_is_silence_for_that_unit_alone() -> None:
    faults = "faults: [{kind: dropout, machine: fan, at_s: 0, duration_s: 0.1}]"
    async with PlantRunner(modbus(ALL_MODELS, faults)) as runner:
        runner.tick()
        async with asking(runner, timeout_s=0.5) as client:
            with pytest.raises(ModbusIOException):
                await client.read_input_registers(0, count=1, device_id=2)
            neighbour = await client.read_input_registers(0, count=1, device_id=1)
            runner.tick()
            runner.tick()
            again = await client.read_input_registers(0, count=1, device_id=2)

        assert not neighbour.isError()
        assert not again.isError()


async def test_a_unit_that_does_not_exist_is_silent() -> None:
    async with PlantRunner(modbus(ALL_MODELS)) as runner, asking(runner, timeout_s=0.5) as client:
        with pytest.raises(ModbusIOException):
            await client.read_input_registers(0, count=1, device_id=99)


async def test_a_hundred_devices_answer_on_their_own_ports() -> None:
    text = """modbus: {listen: "127.0.0.1:0", units_per_listener: 1}
machines: [{name: device, model: registers50, serve: modbus, count: 100}]"""
    async with PlantRunner(settings(text)) as runner:
        runner.tick()
        ports = [listener.port for listener in runner.listeners]
        for port, machine in list(zip(ports, runner.plant.machines.values(), strict=True))[::33]:
            client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=2, retries=0)
            assert await client.connect()
            answer = await client.read_holding_registers(0, count=50, device_id=1)
            client.close()
            assert answer.registers == list(machine.values.values())

        assert len(set(ports)) == 100


async def test_a_port_in_use_is_named_with_the_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = f'modbus: {{listen: "127.0.0.1:{port}"}}\nmachines:\n{ALL_MODELS}'

        with pytest.raises(FieldlineError, match=f"127.0.0.1:{port}: the port is in use; stop the program"):
            async with PlantRunner(settings(text)):
                pass


async def test_the_port_is_free_again_after_a_stop() -> None:
    async with PlantRunner(modbus(ALL_MODELS)) as runner, asking(runner):
        port = runner.listeners[0].port

    text = f'modbus: {{listen: "127.0.0.1:{port}"}}\nmachines:\n{ALL_MODELS}'
    async with PlantRunner(settings(text)) as second:
        assert second.listeners[0].port == port


async def test_the_truth_file_says_when_and_what(tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    faults = "faults: [{kind: imbalance, machine: fan, at_s: 0.1, grow_s: 1, duration_s: 0.2}]"
    async with PlantRunner(modbus(ALL_MODELS, faults), truth=truth, clock_ns=lambda: 5_000_000_000) as runner:
        for _ in range(10):
            runner.tick()

    head, *lines, end = [json.loads(line) for line in truth.read_text().splitlines()]

    common = {"id": 1, "kind": "imbalance", "machine": "fan", "area": "hall-a", "at_ms": 5000}
    more = {"grow_s": 1.0, "severity": 1.0, "growth": "linear", "failure_s": None, "signals": ["vibration", "alarm"]}
    assert lines == [{"event": "start", "at_s": 0.1} | common | more, {"event": "stop", "at_s": 0.3} | common]
    assert (head["event"], head["seed"], head["machines"][1]) == (
        "plant",
        7,
        {"name": "fan", "area": "hall-a", "model": "fan"},
    )
    assert end == {"event": "end", "at_s": 0.5, "at_ms": 5000}


async def test_a_truth_file_that_cannot_be_written_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="truth cannot be written"):
        async with PlantRunner(modbus(ALL_MODELS), truth=tmp_path / "no" / "truth.jsonl"):
            pass
