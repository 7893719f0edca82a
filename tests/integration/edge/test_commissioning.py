"""scan, probe and check --devices as people run them, against devices of pymodbus and of libmodbus."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

from benchmarks.contest import Absent
from benchmarks.edge.libmodbus import build_server, serving
from fieldline.config import loads
from fieldline_edge.drivers.modbus.line import Framing
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.profiles import load_profile
from fieldline_edge.settings import GatewaySettings
from tests.integration.edge.lines import Ask, FaultLine, Say, cable, missing, silence
from tests.integration.edge.test_gateway import running, until
from tests.integration.edge.test_profiles import sim_device

PROGRAM = Path(sys.executable).with_name("fieldline-edge")
FAST = ("--pause-ms", "0", "--timeout-ms", "2000")


async def edge(*words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `fieldline-edge`."""

    def run() -> tuple[int, str, str]:
        command = [str(PROGRAM), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"COLUMNS": "200"})
        return done.returncode, done.stdout, done.stderr

    return await asyncio.to_thread(run)


def devices_in(text: str) -> list[ModbusDeviceSettings]:
    settings = loads(text, GatewaySettings, name="scan")
    return [device for device in settings.devices if isinstance(device, ModbusDeviceSettings)]


@pytest.fixture(scope="module")
def libmodbus_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A device that is not written in Python, with addresses 0 to 999 in each table."""
    try:
        program = build_server(tmp_path_factory.mktemp("libmodbus"))
    except Absent as absent:
        missing(str(absent))
    with serving(program, "tcp") as port:
        yield port


@asynccontextmanager
async def known_devices() -> AsyncIterator[int]:
    """Three types of device behind one gateway, which identify themselves as a Schneider."""
    names = {1: "eastron-sdm630", 2: "siemens-v20", 7: "schneider-iem3155"}
    names_of = {"VendorName": "Schneider Electric", "ProductCode": "METSEIEM3155"}
    identity = ModbusDeviceIdentification(info_name=names_of)  # type: ignore[no-untyped-call]  # pymodbus leaves it unannotated
    units = [sim_device(unit, load_profile(name)) for unit, name in names.items()]
    server = ModbusTcpServer(units, identity=identity, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    transport: Any = server.transport
    try:
        yield transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it unannotated


async def test_a_scan_gives_a_file_that_runs_at_once(libmodbus_port: int, tmp_path: Path) -> None:
    code, text, said = await edge("scan", "--host", "127.0.0.1", "--port", libmodbus_port, *FAST)
    assert code == 0, said
    for kind in ("holding", "input", "coil", "discrete"):
        assert f"# readable {kind}: 0-999" in text
    (device,) = devices_in(text)
    assert (device.unit, device.port) == (1, libmodbus_port)

    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    code, shown, said = await edge("check", file, "--devices")
    assert code == 0, shown + said
    assert "40 of 40 tags have a good value" in shown


async def test_a_scan_finds_the_units_and_knows_their_types() -> None:
    async with known_devices() as port:
        code, text, said = await edge("scan", "--host", "127.0.0.1", "--port", port, "--units", "1-8", *FAST)
    assert code == 0, said
    assert [(device.unit, device.profile) for device in devices_in(text)] == [
        (1, "eastron-sdm630"),
        (2, "siemens-v20"),
        (7, "schneider-iem3155"),
    ]
    assert "vendor 'Schneider Electric', product 'METSEIEM3155'" in text
    assert "unit 7 holding: 2999-3004" in said


async def test_silent_units_are_passed_over_and_refusing_ones_are_found() -> None:
    def only_ten(ask: Ask, say: Say) -> None:
        if ask.unit != 3:
            return
        has_it = ask.pdu[0] == 3 and ask.address + ask.count <= 10
        say(ask.good if has_it else ask.pack(bytes([ask.pdu[0] | 0x80, 2])))

    async with FaultLine(Framing.TCP, only_ten) as server:
        options = (
            "--units",
            "2-4",
            "--kinds",
            "holding",
            "--addresses",
            "0-63",
            "--pause-ms",
            "0",
            "--timeout-ms",
            "500",
        )
        code, text, said = await edge("scan", "--host", "127.0.0.1", "--port", server.port, *options)
    assert code == 0, said
    (device,) = devices_in(text)
    assert (device.unit, [tag.address for tag in device.tags]) == (3, list(range(10)))
    assert len(server.asks) < 120  # the landmarks are most of it


async def test_an_answer_that_is_lost_makes_no_hole() -> None:
    def forgetful(ask: Ask, say: Say) -> None:
        if ask.number % 4 and ask.pdu[0] == 3 and ask.address + ask.count <= 10:
            say(ask.good)
        elif ask.number % 4:
            say(ask.pack(bytes([ask.pdu[0] | 0x80, 2])))

    async with FaultLine(Framing.TCP, forgetful) as server:
        options = (
            "--units",
            "1-2",
            "--kinds",
            "holding",
            "--addresses",
            "0-15",
            "--pause-ms",
            "0",
            "--timeout-ms",
            "300",
        )
        code, text, said = await edge("scan", "--host", "127.0.0.1", "--port", server.port, *options)
    assert code == 0, said
    assert "# readable holding: 0-9" in text


async def test_a_scan_finds_the_setting_of_a_serial_port(tmp_path: Path) -> None:
    async with cable(tmp_path) as ends:
        server = ModbusSerialServer(
            [sim_device(4, load_profile("siemens-v20"))], framer=FramerType.RTU, port=str(ends.theirs), baudrate=19200
        )
        await server.serve_forever(background=True)
        options = (
            "--units",
            "4",
            "--kinds",
            "holding",
            "--addresses",
            "0-31",
            "--pause-ms",
            "0",
            "--timeout-ms",
            "1000",
        )
        code, text, said = await edge("scan", "--serial", ends.ours, "--bauds", "19200,9600", *options)
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it unannotated
    assert code == 0, said
    (device,) = devices_in(text)
    assert device.serial is not None
    assert (device.unit, device.serial.baud, device.profile) == (4, 19_200, "siemens-v20")


async def test_a_serial_port_that_a_gateway_uses_is_said_to_be_busy(tmp_path: Path) -> None:
    async with cable(tmp_path) as ends:
        text = (
            f"kind: gateway\nname: gw-1\nsite: demo\nhub: 127.0.0.1:1\nspool: {{path: {tmp_path / 'spool.db'}}}\n"
            f"devices:\n  - driver: modbus\n    name: drive\n    area: hall-a\n    serial: {{device: {ends.ours}}}\n"
            "    profile: siemens-v20\n"
        )
        file = tmp_path / "gateway.yaml"
        file.write_text(text)
        async with running(loads(text, GatewaySettings, name="g.yaml")) as gateway:
            await until(lambda: gateway.drivers[0].stats.connects)
            code, shown, _ = await edge("check", file, "--devices")
            assert code == 1
            assert "busy" in shown.lower()
            code, _, said = await edge("scan", "--serial", ends.ours, "--units", "1")
            assert code == 1
            assert "busy" in said.lower()


async def test_a_scan_of_nothing_says_what_to_look_at() -> None:
    async with FaultLine(Framing.TCP, silence) as server:
        options = ("--units", "1", "--timeout-ms", "100")
        code, text, said = await edge("scan", "--host", "127.0.0.1", "--port", server.port, *options)
        nobody = server.port
    assert (code, text) == (1, "")
    assert "nothing answers" in said
    code, _, said = await edge("scan", "--host", "127.0.0.1", "--port", nobody, "--units", "1")
    assert code == 1
    assert "127.0.0.1" in said


async def test_a_subnet_is_tried_host_by_host_only_if_asked_for(libmodbus_port: int) -> None:
    options = ("--port", libmodbus_port, "--kinds", "holding", "--units", "1", *FAST)
    code, text, said = await edge("scan", "--subnet", "127.0.0.1/32", *options)
    assert code == 0, said
    assert "open on 1 hosts" in said
    assert len(devices_in(text)) == 1
    code, _, said = await edge("scan", "--subnet", "10.0.0.0/8", *options)
    assert code == 2
    assert "more than 1024" in said


async def test_a_probe_shows_every_byte_order_side_by_side() -> None:
    async with known_devices() as port:
        way = ("--host", "127.0.0.1", "--port", port, "--unit", 1)
        code, text, said = await edge("probe", *way, "input", 0, 2, "--type", "float32", "--orders", "--once", "--json")
        assert code == 0, said
        tags = json.loads(text)["tags"]
        assert tags["input_0"]["orders"]["ABCD"] == tags["input_0"]["value"] == 100.0
        assert tags["input_2"]["orders"]["CDAB"] != 101.0

        code, text, _ = await edge("probe", *way, "input", 36, 1, "--once")
        assert code == 1
        assert "illegal address" in text


async def test_a_probe_reads_a_device_of_a_file_as_the_gateway_would(tmp_path: Path) -> None:
    async with known_devices() as port:
        file = tmp_path / "gateway.yaml"
        file.write_text(gateway_text(tmp_path, port))
        code, text, said = await edge("probe", file, "drive", "--once")
        assert code == 0, said
        assert "speed" in text
        code, _, said = await edge("probe", file, "meters", "--once")
        assert code == 2
        assert "hall-a/meter" in said


async def test_a_check_of_devices_runs_beside_the_gateway_and_names_what_is_wrong(tmp_path: Path) -> None:
    async with known_devices() as port:
        text = gateway_text(tmp_path, port)
        file = tmp_path / "gateway.yaml"
        file.write_text(text)
        async with running(loads(text, GatewaySettings, name="g.yaml")) as gateway:
            await until(lambda: gateway.intake.good > 0)
            code, shown, said = await edge("check", file, "--devices")
    assert code == 1, said
    assert "hall-a/meter: 127.0.0.1" in shown
    assert "illegal address" in shown  # of the tag the meter does not have
    assert "33 of 34 tags have a good value" in shown


def gateway_text(folder: Path, port: int) -> str:
    return (
        f"kind: gateway\nname: gw-1\nsite: demo\nhub: 127.0.0.1:1\nspool: {{path: {folder / 'spool.db'}}}\ndevices:\n"
        f"  - driver: modbus\n    name: meter\n    area: hall-a\n    host: 127.0.0.1\n    port: {port}\n"
        "    profile: eastron-sdm630\n    tags: [all, {name: missing, address: 9999, type: uint16}]\n"
        f"  - driver: modbus\n    name: drive\n    area: hall-a\n    host: 127.0.0.1\n    port: {port}\n    unit: 2\n"
        "    profile: siemens-v20\n    tags: [speed]\n"
    )
