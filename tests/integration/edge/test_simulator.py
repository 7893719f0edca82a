"""Claims about the plant on the wire: asked by pymodbus' client, heard through a real MQTT broker."""

import asyncio
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from fieldline.config import load, loads
from fieldline.errors import ConfigError, FieldlineError
from fieldline_edge.drivers.simulator.control_server import send_command
from fieldline_edge.drivers.simulator.framing import Request, RtuFramer
from fieldline_edge.drivers.simulator.registers import REGISTERS, Register
from fieldline_edge.drivers.simulator.runner import PlantRunner
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.drivers.simulator.truth import read_truth

DEADLINE_S = 15
DEMO = Path(__file__).parents[3] / "config/demo/plant.yaml"
PLANTS = sorted(DEMO.parents[1].glob("plants/*.yaml"))
MODELS = ["pump", "fan", "compressor", "meter", "climate", "registers50"]
ALL_MODELS = "".join(
    f"  - {{name: {name}, model: {name}, serve: modbus, unit: {unit}}}\n" for unit, name in enumerate(MODELS, 1)
)
NATS = Path(sys.executable).with_name("nats-server")


def settings(text: str) -> PlantSettings:
    return loads(f"kind: plant\n{text}", PlantSettings, name="plant.yaml", environment={})


def modbus(machines: str, more: str = "") -> PlantSettings:
    return settings(f'modbus: {{listen: "127.0.0.1:0"}}\nmachines:\n{machines}{more}')


@asynccontextmanager
async def asking(runner: PlantRunner, *, timeout_s: float = 5) -> AsyncIterator[AsyncModbusTcpClient]:
    port = runner.listeners[0].port
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=timeout_s, retries=0)
    try:
        assert await client.connect()
        yield client
    finally:
        client.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A plain connection that is closed whatever the other side has done to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


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


@pytest.fixture
def nats_program() -> Path:
    """The broker; without it the test is skipped, and fails where CI=true."""
    if not NATS.exists():
        reason = "nats-server is missing; run: pip install 'fieldline[demo]'"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return NATS


@pytest.fixture
def nats_port(nats_program: Path, tmp_path: Path) -> Iterator[int]:
    """A real MQTT broker on a free port."""
    port = free_port()
    process = start_broker(nats_program, tmp_path, port)
    yield port
    process.terminate()
    process.wait(DEADLINE_S)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def start_broker(program: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    config = folder / "nats.conf"
    config.write_text(
        f'server_name: plant\nlisten: "127.0.0.1:-1"\n'
        f'jetstream {{ store_dir: "{folder / "store"}" }}\nmqtt {{ listen: "127.0.0.1:{port}" }}\n'
    )
    process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)  # the server says nowhere else when it listens
    process.kill()
    process.wait()
    pytest.fail("the broker did not start")


@asynccontextmanager
async def hearing(port: int, topic: str) -> AsyncIterator[asyncio.Queue[tuple[str, dict[str, float]]]]:
    """A subscriber; the queue gets (topic, payload)."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[tuple[str, dict[str, float]]] = asyncio.Queue()
    subscribed = asyncio.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)

    def on_connect(*_: Any) -> None:
        client.subscribe(topic, qos=1)

    def on_subscribe(*_: Any) -> None:
        loop.call_soon_threadsafe(subscribed.set)

    def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        loop.call_soon_threadsafe(heard.put_nowait, (message.topic, json.loads(message.payload)))

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.connect_async("127.0.0.1", port)
    client.loop_start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await subscribed.wait()
        yield heard
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that only paho's thread knows of."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - the thread sets no event of ours
            await asyncio.sleep(0.01)


def mqtt_plant(port: int, more: str = "") -> PlantSettings:
    return settings(
        f'mqtt: {{broker: "127.0.0.1:{port}", topic_root: plant, queue_max: 50}}\nmachines:\n'
        f"  - {{name: env-1, area: hall-b, model: climate, serve: mqtt, period_ms: 100}}\n{more}"
    )


async def test_what_is_published_is_what_the_sensors_say(nats_port: int) -> None:
    async with hearing(nats_port, "plant/#") as heard:
        async with PlantRunner(mqtt_plant(nats_port), clock_ns=lambda: 1_234_567_890) as runner:
            publisher, expected = runner.publisher, []
            assert publisher is not None
            await until(lambda: publisher.connected)
            for step in range(1, 21):
                runner.tick()
                if step % 2 == 0:  # every 100 ms of 50 ms steps
                    expected.append({"ts": 1234, **runner.plant.machines["env-1"].values})

        async with asyncio.timeout(DEADLINE_S):
            got = [await heard.get() for _ in expected]

    assert got == [("plant/hall-b/env-1", values) for values in expected]
    assert heard.empty()


async def test_a_waveform_is_published_once_as_numbers(nats_port: int) -> None:
    text = f"""mqtt: {{broker: "127.0.0.1:{nats_port}"}}
machines: [{{name: p, model: pump, serve: mqtt, period_ms: 100, monitor: {{samples: 64, period_s: 1}}}}]"""
    async with hearing(nats_port, "plant/hall-a/p/waveform") as heard:
        async with PlantRunner(settings(text), clock_ns=lambda: 2_000_000) as runner:
            for _ in range(42):
                runner.tick()
            expected = [round(each * 0.01, 2) for each in runner.plant.machines["p"].waveform]

        async with asyncio.timeout(DEADLINE_S):
            told = [(await heard.get())[1] for _ in range(3)]

    assert told[2] == {"ts": 2, "rate_hz": 2560.0, "unit": "mm/s", "samples": expected}
    assert heard.empty()


async def test_leaving_waits_until_the_broker_has_everything(nats_port: int) -> None:
    async with PlantRunner(mqtt_plant(nats_port)) as runner:
        publisher = runner.publisher
        assert publisher is not None
        await until(lambda: publisher.connected)
        for _ in range(60):
            runner.tick()

    assert publisher.acknowledged == publisher.queued == 30
    assert publisher.dropped == 0


async def test_a_dropout_stops_the_messages_and_ends(nats_port: int) -> None:
    faults = "faults: [{kind: dropout, machine: env-1, at_s: 0.5, duration_s: 0.5}]"
    async with PlantRunner(mqtt_plant(nats_port, faults)) as runner:
        counts = []
        for _ in range(30):
            runner.tick()
            counts.append(runner.publisher.queued if runner.publisher else 0)

    assert counts[9] == counts[18] == 4
    assert counts[29] == 10


async def test_messages_wait_for_a_late_broker_up_to_the_bound(nats_program: Path, tmp_path: Path) -> None:
    port = free_port()
    async with PlantRunner(mqtt_plant(port)) as runner:
        for _ in range(160):
            runner.tick()
        publisher = runner.publisher
        assert publisher is not None
        assert (publisher.queued, publisher.dropped) == (50, 30)

        process = start_broker(nats_program, tmp_path, port)
        try:
            await until(lambda: publisher.acknowledged == 50)
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


@pytest.fixture
def fieldline() -> str:
    found = shutil.which("fieldline", path=str(Path(sys.executable).parent))
    assert found, "the package is not installed; run: pip install -e '.[dev]'"
    return found


def test_the_command_records_without_serving(fieldline: str, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = subprocess.run(
        [fieldline, "simulate", PLANTS[0], "--record", out, "--duration", "600", "--every", "60"],
        capture_output=True,
        timeout=DEADLINE_S,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(out.read_text().splitlines()) == 1 + 10 * 8


def test_the_command_begins_a_fault_in_a_running_plant(fieldline: str, tmp_path: Path) -> None:
    truth = tmp_path / "truth.jsonl"
    environment = os.environ | {"PLANT_MODBUS_PORT": "0", "PLANT_MQTT_PORT": str(free_port())}
    command = [fieldline, "simulate", str(DEMO), "--control", "127.0.0.1:0", "--truth", str(truth)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        control = process.stdout.readline().split()[-1]
        words = [fieldline, "plant", "fault", "fan-1", "clogged_filter", "--control", control]
        told = subprocess.run(words, capture_output=True, timeout=DEADLINE_S, text=True, check=False)
        until_s = time.monotonic() + DEADLINE_S
        while "clogged_filter" not in truth.read_text() and time.monotonic() < until_s:
            time.sleep(0.02)  # the plant tells nobody else that it has taken its next step
        process.terminate()
        process.communicate(timeout=DEADLINE_S)

    assert told.returncode == 0
    assert told.stdout.startswith("fault 2: clogged_filter on fan-1 at ")
    assert "clogged_filter" in truth.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_listens_and_ends_cleanly(fieldline: str, number: int) -> None:
    environment = os.environ | {"PLANT_MODBUS_PORT": "0", "PLANT_MQTT_PORT": str(free_port())}
    with subprocess.Popen(
        [fieldline, "simulate", str(DEMO)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.removeprefix("listening on 127.0.0.1:"))
        socket.create_connection(("127.0.0.1", port)).close()

        process.send_signal(number)
        rest, _ = process.communicate(timeout=DEADLINE_S)

    assert (process.returncode, rest) == (0, "")


def test_the_command_stops_after_its_duration_and_writes_the_truth(fieldline: str, tmp_path: Path) -> None:
    plant = tmp_path / "plant.yaml"
    plant.write_text(
        'kind: plant\nmodbus: {listen: "127.0.0.1:0"}\nmachines: [{name: p, model: pump, serve: modbus}]\n'
        "faults: [{kind: leak, machine: p, at_s: 0.1}]\n"
    )
    truth = tmp_path / "truth.jsonl"
    done = subprocess.run(
        [fieldline, "simulate", plant, "--duration", "1", "--truth", truth, "--seed", "3"],
        capture_output=True,
        timeout=DEADLINE_S,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert [each.kind for each in read_truth(truth.read_text().splitlines()).faults] == ["leak"]


def test_the_command_refuses_a_wrong_file_with_one_line_and_2(fieldline: str, tmp_path: Path) -> None:
    plant = tmp_path / "plant.yaml"
    plant.write_text("kind: plant\nmachines: [{name: p, model: pump, serve: modbus, unti: 1}]\n")

    done = subprocess.run(
        [fieldline, "simulate", plant], capture_output=True, timeout=DEADLINE_S, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr == f"{plant}:2: machines[0].unti: is not a known key; did you mean 'unit'?\n"


def test_the_command_names_a_port_in_use_and_ends_with_1(fieldline: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        environment = os.environ | {"PLANT_MODBUS_PORT": port}
        done = subprocess.run(
            [fieldline, "simulate", DEMO],
            env=environment,
            capture_output=True,
            timeout=DEADLINE_S,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}: the port is in use" in done.stderr
