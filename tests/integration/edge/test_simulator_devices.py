"""Claims about the plant's devices: pipelining, RTU, serial lines, reboots, plant time, commands."""

import asyncio
import json
import os
import select
import time
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient

from fieldline.config import load
from fieldline.errors import FieldlineError
from fieldline.scaled_clock import ScaledClock
from fieldline_edge.drivers.simulator.control_server import send_command
from fieldline_edge.drivers.simulator.framing import Request, RtuFramer
from fieldline_edge.drivers.simulator.runner import PlantRunner
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.drivers.simulator.truth import read_truth
from tests.integration.edge.simulating import (
    ALL_MODELS,
    DEADLINE_S,
    PLANTS,
    asking,
    connected,
    free_port,
    modbus,
    settings,
)


@pytest.mark.parametrize("path", PLANTS, ids=lambda path: path.stem)
async def test_every_ready_plant_runs(path: Path) -> None:
    environment = {"PLANT_MODBUS_PORT": "0", "PLANT_CONTROL_PORT": "0", "PLANT_MQTT_PORT": str(free_port())}
    ready = load(path, PlantSettings, environment=environment)

    async with PlantRunner(ready, folder=path.parent) as runner:
        runner.tick()
        runner.tick()

        assert all(machine.values for machine in runner.plant.machines.values())
        assert len({listener.port for listener in runner.listeners}) == len(runner.listeners) >= 1


async def test_requests_sent_in_one_go_are_answered_in_order() -> None:
    async with PlantRunner(modbus(ALL_MODELS)) as runner:
        ask = [bytes.fromhex(f"{number:04x} 0000 0006 06 03 00{number:02x} 0001") for number in range(40)]
        async with connected(runner.listeners[0].port) as (reader, writer):
            writer.write(b"".join(ask))
            told = [await reader.readexactly(11) for _ in ask]

        values = list(runner.plant.machines["registers50"].values.values())
        expected = [bytes.fromhex(f"{n:04x} 0000 0005 06 03 02 {int(values[n]):04x}") for n in range(40)]
        assert told == expected


async def test_rtu_frames_in_a_tcp_stream_are_answered() -> None:
    text = 'modbus: {listen: "127.0.0.1:0", framing: rtu}\nmachines:\n'
    async with PlantRunner(settings(text + ALL_MODELS)) as runner:
        port = runner.listeners[0].port
        client = AsyncModbusTcpClient("127.0.0.1", port=port, framer=FramerType.RTU, timeout=5, retries=0)
        assert await client.connect()
        answer = await client.read_input_registers(0, count=3, device_id=5)
        client.close()

        temperature = runner.plant.machines["climate"].values["temperature"]
        assert answer.registers[0] * 0.1 == pytest.approx(temperature)


async def test_machines_answer_on_a_serial_line() -> None:
    line, device = os.openpty()
    try:
        text = f'modbus: {{listen: "127.0.0.1:0", serial: [{{device: {os.ttyname(device)}}}]}}\nmachines:\n'
        async with PlantRunner(settings(text + ALL_MODELS)) as runner:
            frame = RtuFramer().wrap(Request(6, b""), bytes.fromhex("0300000002"))

            told = await asyncio.to_thread(ask_on_line, line, frame, 9)

            values = runner.plant.machines["registers50"].values
            words = f"{int(values['r00']):04x}{int(values['r01']):04x}"
            assert told[:7] == bytes.fromhex(f"060304{words}")
            assert runner.serial_lines[0].requests == 1
    finally:
        os.close(line)
        os.close(device)


def ask_on_line(line: int, frame: bytes, length: int) -> bytes:
    os.write(line, frame)
    told = b""
    while len(told) < length:
        assert select.select([line], [], [], DEADLINE_S)[0], "no answer on the line"
        told += os.read(line, length)
    return told


async def test_a_serial_port_that_is_none_is_named_with_the_cure(tmp_path: Path) -> None:
    text = f'modbus: {{listen: "127.0.0.1:0", serial: [{{device: {tmp_path}/tty}}]}}\nmachines:\n{ALL_MODELS}'

    with pytest.raises(FieldlineError, match=r"tty: No such file or directory; check modbus.serial"):
        async with PlantRunner(settings(text)):
            pass


async def test_a_device_that_reboots_resets_its_connections_and_begins_to_count_anew() -> None:
    text = """modbus: {listen: "127.0.0.1:0"}
machines: [{name: p, model: pump, serve: modbus}]
faults: [{kind: reboot, machine: p, at_s: 0.1, duration_s: 0.2}]"""
    async with PlantRunner(settings(text)) as runner:
        port = runner.listeners[0].port
        async with connected(port) as (reader, writer):
            writer.write(bytes.fromhex("0001 0000 0006 01 04 0000 0001"))
            await reader.readexactly(11)
            runner.tick()
            runner.tick()
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
        async with connected(port) as (reader, _):
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        for _ in range(4):
            runner.tick()

        async with asking(runner) as client:
            assert not (await client.read_input_registers(0, count=1, device_id=1)).isError()
        assert float(runner.plant.machines["p"].values["running_hours"]) < 0.1


async def test_time_runs_at_the_pace_of_the_plant_and_stamps_with_it(tmp_path: Path) -> None:
    text = """start: 2026-03-01T00:00:00
time_scale: 3600
step_ms: 60000
modbus: {listen: "127.0.0.1:0"}
machines: [{name: p, model: pump, serve: modbus}]
faults: [{kind: leak, machine: p, at_s: 600}]"""
    truth = tmp_path / "truth.jsonl"
    async with PlantRunner(settings(text), truth=truth) as runner:
        await runner.run(duration_s=0.5)

    fault = read_truth(truth.read_text().splitlines()).faults[0]
    assert 600 <= runner.plant.time_s <= 1900
    assert fault.start_ms == 1_772_323_200_000 + 600_000


async def test_a_plant_that_shares_a_clock_begins_by_it_runs_at_its_pace_and_stamps_with_it(tmp_path: Path) -> None:
    now_ns = time.time_ns()
    clock = ScaledClock(now_ns, 1_772_323_200_000_000_000, 3600.0)
    text = f"""clock: "{clock}"
step_ms: 60000
modbus: {{listen: "127.0.0.1:0"}}
machines: [{{name: p, model: pump, serve: modbus}}]
faults: [{{kind: leak, machine: p, at_s: 600}}]"""
    truth = tmp_path / "truth.jsonl"
    async with PlantRunner(settings(text), truth=truth) as runner:
        await runner.run(duration_s=0.5)
    until_ms = clock.at(time.time_ns()) // 1_000_000

    fault = read_truth(truth.read_text().splitlines()).faults[0]
    assert 600 <= runner.plant.time_s <= 1900
    assert 1_772_323_200_000 + 600_000 <= fault.start_ms <= until_ms
    assert runner.plant.start_s >= 1_772_323_200.0


async def test_a_running_plant_takes_commands() -> None:
    async with PlantRunner(modbus(ALL_MODELS, 'control: "127.0.0.1:0"')) as runner:
        control = runner.control
        assert control is not None
        begin = {"do": "fault", "machine": "pump", "kind": "dropout"}

        told = await asyncio.to_thread(send_command, "127.0.0.1", control.port, begin)
        runner.tick()
        with pytest.raises(FieldlineError, match="refuses: there is no machine 'x'"):
            await asyncio.to_thread(send_command, "127.0.0.1", control.port, begin | {"machine": "x"})

        assert told["id"] == 1
        assert not runner.plant.machines["pump"].answering


async def test_a_command_too_long_is_refused() -> None:
    async with PlantRunner(modbus(ALL_MODELS, 'control: "127.0.0.1:0"')) as runner:
        assert runner.control is not None
        async with connected(runner.control.port) as (reader, writer):
            writer.write(b"x" * 10_000 + b"\n")
            told = json.loads(await reader.readline())

        assert told == {"ok": False, "error": "a command has at most 4096 bytes"}


def test_a_command_to_nobody_says_what_to_do() -> None:
    with pytest.raises(FieldlineError, match=r"no plant takes commands on .* start the plant with --control"):
        send_command("127.0.0.1", free_port(), {"do": "status"})
