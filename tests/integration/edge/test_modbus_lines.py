"""Connections over every way there is, to real devices: pymodbus' servers and a C program on libmodbus."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from benchmarks.edge.libmodbus import serving
from fieldline_cloud.certs import Authority
from fieldline_edge.drivers import build_drivers
from fieldline_edge.drivers.modbus.client import DeviceRefused, NoAnswer, NoConnection
from fieldline_edge.drivers.modbus.line import Framing, Line, Network, SerialPort, TlsFiles
from fieldline_edge.drivers.modbus.protocol import WriteCoil, WriteCoils, WriteRegister, WriteRegisters
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from tests.integration.edge.harness import Collector, holding, running
from tests.integration.edge.lines import (
    BUSES,
    DEADLINE_S,
    FRAMINGS,
    PATIENT_S,
    Client,
    cable,
    client_of,
    libmodbus_program,
)

_PYMODBUS_FRAMERS = {Framing.TCP: FramerType.SOCKET, Framing.RTU: FramerType.RTU, Framing.ASCII: FramerType.ASCII}


def units() -> list[SimDevice]:
    """Units 1 and 2 with a table of each kind: coil and discrete input n say whether 3 and 2 divide n, holding
    register n holds 100 x unit + n, input register n 1000 + n."""
    return [
        SimDevice(
            unit,
            simdata=(
                [SimData(0, values=[n % 3 == 0 for n in range(64)], datatype=DataType.BITS)],
                [SimData(0, values=[n % 2 == 0 for n in range(64)], datatype=DataType.BITS)],
                [SimData(0, values=[100 * unit + n for n in range(200)], datatype=DataType.REGISTERS)],
                [SimData(0, values=[1000 + n for n in range(200)], datatype=DataType.REGISTERS)],
            ),
        )
        for unit in (1, 2)
    ]


@asynccontextmanager
async def serving_pymodbus(server: Any) -> AsyncIterator[int]:
    """The port of a pymodbus server, while it runs; 0 for a serial one."""
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1] if hasattr(server.transport, "sockets") else 0
    finally:
        await server.shutdown()
        await asyncio.sleep(0)


@asynccontextmanager
async def pymodbus_over_tcp(framing: Framing) -> AsyncIterator[Line]:
    server = ModbusTcpServer(units(), framer=_PYMODBUS_FRAMERS[framing], address=("127.0.0.1", 0))
    async with serving_pymodbus(server) as port:
        yield Line(Network("127.0.0.1", port), framing)


@asynccontextmanager
async def pymodbus_over_serial(framing: Framing, folder: Path) -> AsyncIterator[Line]:
    async with cable(folder) as ends:
        server = ModbusSerialServer(units(), framer=_PYMODBUS_FRAMERS[framing], port=str(ends.theirs), baudrate=19200)
        async with serving_pymodbus(server):
            port = SerialPort(str(ends.ours), 19200)
            yield Line(port, framing, pause_s=port.pause_s, quiet_s=0.05)


async def reads_everything(client: Client) -> None:
    assert await client.read(5, 3, unit=1) == [105, 106, 107]
    assert await client.read(5, 3, unit=2) == [205, 206, 207]
    assert await client.read(0, 125, unit=1) == list(range(100, 225))
    assert await client.read(7, 2, kind="input") == [1007, 1008]
    assert await client.read(3, 10, kind="coil") == [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    assert await client.read(3, 17, kind="discrete") == [n % 2 for n in range(17)]
    with pytest.raises(DeviceRefused, match="exception code 2"):
        await client.read(5000, 1)
    assert await client.read(0, 1) == [100]


async def writes_everything(client: Client) -> None:
    write = client.connection.write
    await write(WriteRegister(10, 0xBEEF), unit=1, timeout_s=PATIENT_S)
    await write(WriteRegisters(11, [1, 2, 0xFFFF]), unit=1, timeout_s=PATIENT_S)
    await write(WriteCoil(1, True), unit=1, timeout_s=PATIENT_S)
    await write(WriteCoils(2, [1, 0, 1, 1, 0, 0, 1, 1, 1]), unit=1, timeout_s=PATIENT_S)
    assert await client.read(9, 6) == [109, 0xBEEF, 1, 2, 0xFFFF, 114]
    assert await client.read(0, 12, kind="coil") == [1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 0]
    with pytest.raises(DeviceRefused, match="exception code 2"):
        await write(WriteRegister(5000, 1), unit=1, timeout_s=PATIENT_S)


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_pymodbus_over_tcp_in_each_framing(framing: Framing) -> None:
    async with pymodbus_over_tcp(framing) as line, client_of(line) as client:
        await reads_everything(client)
        await writes_everything(client)
    assert client.stats.connects == 1


@pytest.mark.parametrize("framing", BUSES)
async def test_pymodbus_over_a_serial_line(framing: Framing, tmp_path: Path) -> None:
    async with pymodbus_over_serial(framing, tmp_path) as line, client_of(line) as client:
        await reads_everything(client)
        await writes_everything(client)
    assert (client.stats.connects, client.stats.octets_skipped) == (1, 0)


async def test_a_gateway_reads_the_units_on_a_serial_line_by_turns(tmp_path: Path) -> None:
    sink = Collector()
    async with pymodbus_over_serial(Framing.RTU, tmp_path) as line:
        assert isinstance(line.way, SerialPort)
        port = {"device": line.way.device, "baud": 19200}
        tags = [holding("a", 5), {"name": "b", "kind": "input", "address": 7, "type": "uint16"}]
        units = [
            ModbusDeviceSettings.model_validate(
                {"driver": "modbus", "name": f"unit-{unit}", "area": "a", "serial": port, "unit": unit, "tags": tags}
                | {"period_ms": 50, "quiet_ms": 50}
            )
            for unit in (1, 2)
        ]
        (driver,) = build_drivers(units, site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: all(len(sink.puts[f"unit-{unit}"]) >= 5 for unit in (1, 2)))
    assert {reading.value for reading in sink.of("unit-1", "a")} == {105}
    assert {reading.value for reading in sink.of("unit-2", "a")} == {205}
    assert {reading.value for reading in sink.of("unit-1", "b")} == {1007}
    assert (driver.stats.connects, driver.stats.octets_skipped, driver.stats.errors) == (1, 0, 0)


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_device_says_who_it_is(framing: Framing) -> None:
    names = {"VendorName": "Acme", "ProductCode": "M1", "MajorMinorRevision": "2.0"}
    who = ModbusDeviceIdentification(info_name=names)  # type: ignore[no-untyped-call]  # pymodbus leaves it unannotated
    server = ModbusTcpServer(units(), framer=_PYMODBUS_FRAMERS[framing], identity=who, address=("127.0.0.1", 0))
    async with serving_pymodbus(server) as port, client_of(Line(Network("127.0.0.1", port), framing)) as client:
        found = await client.connection.identify(unit=1, timeout_s=PATIENT_S)
    assert found == {0: b"Acme", 1: b"M1", 2: b"2.0"}


async def test_libmodbus_over_tcp() -> None:
    with serving(libmodbus_program(), "tcp") as port:
        async with client_of(Line(Network("127.0.0.1", port), Framing.TCP, in_flight_max=4)) as client:
            answers = await asyncio.gather(*(client.read(n, 5) for n in range(0, 200, 5)))
            assert [word for words in answers for word in words] == list(range(200))
            assert await client.read(7, 2, kind="input") == [1007, 1008]
            assert await client.read(3, 10, kind="coil") == [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]
            await client.connection.write(WriteRegisters(500, [9, 8]), unit=1, timeout_s=PATIENT_S)
            assert await client.read(499, 4) == [499, 9, 8, 502]
            with pytest.raises(DeviceRefused, match="exception code 2"):
                await client.read(999, 2)


async def test_a_deaf_neighbour_is_waited_for(tmp_path: Path) -> None:
    """A libmodbus slave that sees a request to an absent unit listens for that unit's answer for half a second, and
    hears nothing else. With the default quiet time it is asked again only after that, however short the timeout."""
    async with cable(tmp_path) as ends:
        with serving(libmodbus_program(), "rtu", ends.theirs, 19200, 1):
            port = SerialPort(str(ends.ours), 19200)
            line = Line(port, Framing.RTU, pause_s=port.pause_s, quiet_s=0.5)
            async with client_of(line) as client:
                assert await client.read(10, 3) == [10, 11, 12]
                for address in (100, 200, 300):
                    with pytest.raises(NoAnswer):
                        await client.read(0, 1, unit=9, timeout_s=0.15)
                    assert await client.read(address, 3, timeout_s=0.3) == [address, address + 1, address + 2]


async def test_without_quiet_time_the_deaf_neighbour_loses_a_request(tmp_path: Path) -> None:
    """Why there is one."""
    async with cable(tmp_path) as ends:
        with serving(libmodbus_program(), "rtu", ends.theirs, 19200, 1):
            line = Line(SerialPort(str(ends.ours), 19200), Framing.RTU)
            async with client_of(line) as client:
                assert await client.read(10, 3) == [10, 11, 12]
                with pytest.raises(NoAnswer):
                    await client.read(0, 1, unit=9, timeout_s=0.05)
                with pytest.raises(NoAnswer):
                    await client.read(100, 3, timeout_s=0.15)


async def test_an_adapter_that_is_unplugged_comes_back(tmp_path: Path) -> None:
    async with cable(tmp_path) as ends:
        line = Line(SerialPort(str(ends.ours), 19200), Framing.RTU, quiet_s=0.05)
        async with client_of(line) as client:
            with serving(libmodbus_program(), "rtu", ends.theirs, 19200, 1):
                assert await client.read(10, 3) == [10, 11, 12]
            await ends.pull_out()
            with pytest.raises(NoConnection):
                await client.read(10, 3, timeout_s=0.5)
            assert client.stats.connected == 0
            await ends.plug_in()
            with serving(libmodbus_program(), "rtu", ends.theirs, 19200, 1):
                assert await until_connected(client, 20) == [20, 21]
            assert client.stats.reconnects == 1


async def test_a_port_that_is_in_use_is_said_to_be(tmp_path: Path) -> None:
    async with cable(tmp_path) as ends:
        line = Line(SerialPort(str(ends.ours)), Framing.RTU)
        async with client_of(line) as client, client_of(line) as other:
            with pytest.raises(NoAnswer):
                await client.read(1, timeout_s=0.02)
            with pytest.raises(NoConnection, match="lock"):
                await other.read(1)


async def test_a_port_that_does_not_exist_is_no_connection() -> None:
    line = Line(SerialPort("/dev/ttyUSB-none"), Framing.RTU)
    async with client_of(line) as client:
        with pytest.raises(NoConnection, match=r"/dev/ttyUSB-none 9600 8N1: .*No such file"):
            await client.read(1)


class Certificates:
    """An authority, a device certificate for 127.0.0.1 and one of ours."""

    def __init__(self, folder: Path) -> None:
        now = datetime.datetime.now(datetime.UTC)
        authority = Authority(folder / "ca")
        authority.create("Plant CA", now=now)
        self.ca = authority.certificate_path
        self.device = self._pair(authority.issue_hub("device", ["127.0.0.1", "meter-1"], days=2, now=now), "device")
        self.ours = self._pair(authority.issue_identity("gateway-1", days=2, now=now), "gateway-1")

    @staticmethod
    def _pair(folder: Path, name: str) -> tuple[Path, Path]:
        return folder / f"{name}.crt", folder / f"{name}.key"

    def server_context(self, *, asks_for_ours: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca)
        context.load_cert_chain(*self.device)
        context.verify_mode = ssl.CERT_REQUIRED if asks_for_ours else ssl.CERT_NONE
        return context


@asynccontextmanager
async def pymodbus_over_tls(certificates: Certificates, *, asks_for_ours: bool = False) -> AsyncIterator[int]:
    context = certificates.server_context(asks_for_ours=asks_for_ours)
    server = ModbusTlsServer(units(), framer=FramerType.SOCKET, sslctx=context, address=("127.0.0.1", 0))
    async with serving_pymodbus(server) as port:
        yield port


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


async def test_tls_with_certificates_on_both_sides(certificates: Certificates) -> None:
    files = TlsFiles(certificates.ca, *certificates.ours, None)
    async with (
        pymodbus_over_tls(certificates, asks_for_ours=True) as port,
        client_of(Line(Network("127.0.0.1", port, files), Framing.TCP)) as client,
    ):
        await reads_everything(client)
        await writes_everything(client)


async def test_tls_by_the_name_in_the_certificate(certificates: Certificates) -> None:
    files = TlsFiles(certificates.ca, None, None, "meter-1")
    async with (
        pymodbus_over_tls(certificates) as port,
        client_of(Line(Network("127.0.0.1", port, files), Framing.TCP)) as client,
    ):
        assert await client.read(5, 3) == [105, 106, 107]


@pytest.mark.parametrize(
    ("ca", "name", "why"),
    [(False, None, "CERTIFICATE_VERIFY_FAILED"), (True, "meter-2", "Hostname mismatch")],
    ids=["a stranger's authority", "another device's name"],
)
async def test_tls_to_somebody_else_is_no_connection(
    certificates: Certificates, ca: bool, name: str | None, why: str
) -> None:
    files = TlsFiles(certificates.ca if ca else None, None, None, name)
    async with (
        pymodbus_over_tls(certificates) as port,
        client_of(Line(Network("127.0.0.1", port, files), Framing.TCP)) as client,
    ):
        with pytest.raises(NoConnection, match=why):
            await client.read(5, 3)


async def test_tls_without_the_certificate_the_device_asks_for_is_no_connection(certificates: Certificates) -> None:
    """With TLS 1.3 the client hears of it only when it reads."""
    files = TlsFiles(certificates.ca, None, None, None)
    async with (
        pymodbus_over_tls(certificates, asks_for_ours=True) as port,
        client_of(Line(Network("127.0.0.1", port, files), Framing.TCP)) as client,
    ):
        with pytest.raises(NoConnection, match="may want a certificate"):
            await client.read(5, 3)


async def test_tls_files_that_are_missing_are_named(certificates: Certificates, tmp_path: Path) -> None:
    files = TlsFiles(tmp_path / "no-ca.pem", None, None, None)
    async with client_of(Line(Network("127.0.0.1", 9, files), Framing.TCP)) as client:
        with pytest.raises(NoConnection, match=r"no-ca\.pem"):
            await client.read(5, 3)


async def until_connected(client: Client, address: int) -> list[int]:
    """The first answer after a loss."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await client.read(address)
            except NoConnection:
                await asyncio.sleep(0.01)  # the backoff


async def test_a_long_line_is_given_the_time_its_bytes_take(tmp_path: Path) -> None:
    """125 registers take 2.7 s at 1200 baud, whatever the device's own timeout is."""
    line = Line(SerialPort(str(tmp_path), 1200), Framing.RTU)
    assert 2.0 < line.transmission_s(8 + 255) < 2.8
    assert replace(line, way=Network("plc", 502)).transmission_s(263) == 0
