"""Writes to devices: from the command line through a real hub and a gateway to a device, and all that is refused."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from fieldline import NoReceiver, RequestTimeout, Runtime, Start
from fieldline.config import loads
from fieldline.errors import Refused
from fieldline_edge.settings import GatewaySettings
from tests.integration import command_line
from tests.integration.cloud.secure import Pki, mtls_hub
from tests.integration.edge.harness import FaultServer, Request, silent
from tests.integration.edge.test_gateway import events, hub, running, start, until

TOPIC = "commands/demo/hall-a/drive-1"
TAGS = (
    "{name: setpoint, address: 1, type: int16, scale: 0.1, unit: Hz, writable: {min: 0, max: 50}}, "
    "{name: ramp, address: 2, type: float32, order: CDAB, writable: {}}, "
    "{name: run, kind: coil, address: 0, type: bool, writable: {}}, "
    "{name: speed, address: 4, type: int16}"
)


def gateway_text(
    folder: Path, *, hub_port: int, port: int, commands: str = "", tags: str = TAGS, more: str = ""
) -> str:
    commands = commands or f"commands: {{audit: {folder / 'audit.jsonl'}}}\n"
    return (
        f"kind: gateway\nname: gw-1\nsite: demo\nhub: 127.0.0.1:{hub_port}\nspool: {{path: {folder / 'spool.db'}}}\n"
        f"{commands}devices:\n  - {{driver: modbus, name: drive-1, area: hall-a, host: 127.0.0.1, port: {port}, "
        f"period_ms: 100, timeout_ms: 300, gap_registers_max: 0, tags: [{tags}]}}\n{more}"
    )


def audit_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


@contextlib.asynccontextmanager
async def drive() -> AsyncIterator[tuple[ModbusTcpServer, int]]:
    """A device whose registers can be written, by pymodbus."""
    device = SimDevice(
        1,
        simdata=(
            [SimData(0, values=[False] * 8, datatype=DataType.BITS)],
            [SimData(0, values=[False] * 8, datatype=DataType.BITS)],
            [SimData(0, values=[0] * 8, datatype=DataType.REGISTERS)],
            [SimData(0, values=[0] * 8, datatype=DataType.REGISTERS)],
        ),
    )
    server = ModbusTcpServer([device], address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    transport: Any = server.transport
    try:
        yield server, transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it unannotated


class Drive(FaultServer):
    """A device of our own that remembers writes, and can be told to misbehave."""

    def __init__(self, *, forgets: bool = False, refuses: int = 0, deaf: bool = False) -> None:
        super().__init__(unit1=self._answer)
        self.words: dict[int, int] = {}
        self.writes: list[Request] = []
        self.forgets, self.refuses, self.deaf = forgets, refuses, deaf

    def _answer(self, request: Request) -> bytes | None:
        if request.function == 3:
            return request.words(*(self.words.get(request.address + i, 0) for i in range(request.count)))
        if request.function == 1:
            return request.frame(bytes([1, 1, 0]))
        self.writes.append(request)
        if self.refuses or self.deaf:
            return None if self.deaf else request.exception(self.refuses)
        if not self.forgets:
            self.words[request.address] = request.count
        return request.frame(
            bytes([request.function]) + request.address.to_bytes(2, "big") + request.count.to_bytes(2, "big")
        )


@contextlib.asynccontextmanager
async def at_the_drive(folder: Path, device: Drive, **options: Any) -> AsyncIterator[Runtime]:
    """Somebody at a hub, to which a gateway brings the device."""
    async with hub(folder) as server, device:
        text = gateway_text(folder, hub_port=server.port, port=device.port, **options)
        async with (
            running(loads(text, GatewaySettings, name="g.yaml")),
            Runtime(f"127.0.0.1:{server.port}", name="operator") as runtime,
        ):
            yield runtime


async def ask(runtime: Runtime, *, timeout_s: float = 5, **order: Any) -> dict[str, Any]:
    """The gateway's answer, asked again while the gateway is not there yet."""
    content = json.dumps({"id": "1", "tag": "setpoint", "value": 21.5, **order})
    async with asyncio.timeout(15):
        while True:
            try:
                return dict(json.loads((await runtime.request(TOPIC, content, timeout_s=timeout_s)).text))
            except NoReceiver:
                await asyncio.sleep(0.02)


async def test_a_value_goes_from_the_command_line_into_the_device(tmp_path: Path) -> None:
    async with hub(tmp_path) as server, drive() as (device, port):
        process = await start(tmp_path, gateway_text(tmp_path, hub_port=server.port, port=port))
        await events(process, "taking commands for 1 devices")
        address = f"127.0.0.1:{server.port}"

        async def write(*words: object) -> tuple[int, list[str], list[str]]:
            return await asyncio.to_thread(command_line.run, "write", "demo/hall-a/drive-1", *words, hub=address)

        code, said, errors = await write("setpoint", "21.5")
        assert (code, said) == (0, ["demo/hall-a/drive-1 setpoint = 21.5, read back"]), errors
        assert (await write("ramp", "2.5"))[0] == 0
        assert (await write("run", "true", "--no-verify"))[:2] == (0, ["demo/hall-a/drive-1 run = True"])
        code, said, _ = await write("setpoint", "50.1")
        assert code == 1
        assert "out_of_range" in said[0]
        assert (await write("speed", "1"))[0] == 1
        process.terminate()
        assert await process.wait() == 0

        assert await device.async_getValues(1, 3, 1, 3) == [215, 0, 0x4020]
        assert (await device.async_getValues(1, 1, 0, 1))[0]
        assert [(line["tag"], line["status"]) for line in audit_of(tmp_path)] == [
            ("setpoint", "begun"),
            ("setpoint", "done"),
            ("ramp", "begun"),
            ("ramp", "done"),
            ("run", "begun"),
            ("run", "done"),
            ("setpoint", "refused"),
            ("speed", "refused"),
        ]
        assert audit_of(tmp_path)[1] | {"at": "", "id": ""} == {
            "at": "",
            "by": "fieldline-write",
            "device": "hall-a/drive-1",
            "id": "",
            "tag": "setpoint",
            "value": 21.5,
            "read_back": 21.5,
            "status": "done",
        }
        async with (
            Runtime(address, name="auditor") as runtime,
            runtime.subscribe("audit/#", start=Start.EARLIEST) as events_,
            asyncio.timeout(10),
        ):
            message = await anext(aiter(events_))
            assert message.topic == "audit/demo/hall-a/drive-1"
            assert json.loads(message.content)["status"] == "done"


async def test_the_same_id_is_done_once_and_answered_twice(tmp_path: Path) -> None:
    device = Drive()
    async with at_the_drive(tmp_path, device) as runtime:
        first = await ask(runtime)
        again = await ask(runtime)
        other = await ask(runtime, value=1.0)
    assert first | {"repeated": True} == again
    assert (other["status"], other["code"]) == ("refused", "id_reused")
    assert len(device.writes) == 1


async def test_a_command_of_an_earlier_run_is_not_done_again(tmp_path: Path) -> None:
    device = Drive()
    async with at_the_drive(tmp_path, device) as runtime:
        await ask(runtime)
    with (tmp_path / "audit.jsonl").open("a") as audit:  # as a power cut in the middle of a write leaves it
        begun = {"id": "2", "tag": "setpoint", "value": 3, "device": "hall-a/drive-1", "status": "begun"}
        audit.write(json.dumps(begun) + "\n")
    async with at_the_drive(tmp_path, device) as runtime:
        done, cut = await ask(runtime), await ask(runtime, id="2", value=3)
    assert (done["status"], done["repeated"]) == ("done", True)
    assert (cut["status"], cut["code"]) == ("unknown", "restarted")
    assert len(device.writes) == 1


@pytest.mark.parametrize(
    ("device", "status", "code"),
    [
        (Drive(forgets=True), "failed", "verify_failed"),
        (Drive(refuses=3), "failed", "device_refused"),
        (Drive(deaf=True), "unknown", "no_confirmation"),
    ],
)
async def test_a_device_that_does_not_take_it_is_said_and_audited(
    tmp_path: Path, device: Drive, status: str, code: str
) -> None:
    async with at_the_drive(tmp_path, device) as runtime:
        answer = await ask(runtime)
    assert (answer["status"], answer["code"]) == (status, code)
    assert audit_of(tmp_path)[-1]["status"] == status
    assert len(device.writes) == 1  # a write is never tried again on its own


async def test_a_device_that_is_away_is_said(tmp_path: Path) -> None:
    device = Drive()
    async with at_the_drive(tmp_path, device) as runtime:
        await ask(runtime)
        await device.vanish()
        answer = await ask(runtime, id="2")
        assert (answer["status"], answer["code"]) == ("unknown", "device_away")
        await device.listen()


async def test_a_command_whose_time_is_over_while_the_line_is_busy_is_never_done(tmp_path: Path) -> None:
    device = Drive()
    device.behaviours[2] = silent  # a neighbour on the same line, which makes everybody wait
    more = (
        "  - {driver: modbus, name: dead, area: hall-a, host: 127.0.0.1, port: %d, unit: 2, timeout_ms: 3000, "
        "period_ms: 100, backoff_ms_max: 100, retries: 10, tags: [{name: t, address: 0, type: int16}]}\n"
    )
    async with hub(tmp_path) as server, device:
        text = gateway_text(tmp_path, hub_port=server.port, port=device.port, more=more % device.port)
        async with (
            running(loads(text, GatewaySettings, name="g.yaml")),
            Runtime(f"127.0.0.1:{server.port}", name="operator") as runtime,
        ):
            await until(lambda: any(request.unit == 2 for request in device.requests))
            with pytest.raises(RequestTimeout):
                await ask(runtime, timeout_s=0.5)
            seen = sum(request.unit == 2 for request in device.requests)
            await until(lambda: sum(request.unit == 2 for request in device.requests) > seen)
    assert device.writes == []
    assert [line["status"] for line in audit_of(tmp_path)] in ([], ["begun", "unknown"])


async def test_no_audit_no_write(tmp_path: Path) -> None:
    device = Drive()
    commands = f"commands: {{audit: {tmp_path}}}\n"  # a folder, which cannot be written to
    async with at_the_drive(tmp_path, device, commands=commands) as runtime:
        answer = await ask(runtime)
    assert (answer["status"], answer["code"]) == ("refused", "no_audit")
    assert device.writes == []


async def test_more_writes_than_a_minute_may_have_are_refused(tmp_path: Path) -> None:
    device = Drive()
    commands = f"commands: {{audit: {tmp_path / 'audit.jsonl'}, writes_per_minute_max: 2}}\n"
    async with at_the_drive(tmp_path, device, commands=commands) as runtime:
        codes = [(await ask(runtime, id=str(number))).get("code") for number in range(3)]
    assert codes == [None, None, "too_many"]


async def test_who_has_no_grant_writes_nothing(tmp_path: Path) -> None:
    pki, device = Pki(tmp_path), Drive()
    gateway = {
        "name": "gw-1",
        "publish": ["readings/demo/#", "audit/demo/#"],
        "subscribe": ["commands/demo/#"],
    }
    operator = {"name": "operator", "publish": ["commands/demo/#"]}
    stranger = {"name": "stranger", "subscribe": ["readings/#"]}
    tls = pki.client("gw-1")
    commands = (
        f"commands: {{audit: {tmp_path / 'audit.jsonl'}}}\n"
        f"hub_tls: {{ca: {tls.ca}, certificate: {tls.certificate}, key: {tls.key}}}\n"
    )
    async with mtls_hub(tmp_path / "hub", pki, gateway, operator, stranger) as server, device:
        text = gateway_text(tmp_path, hub_port=server.port, port=device.port, commands=commands)
        address = f"127.0.0.1:{server.port}"
        async with running(loads(text, GatewaySettings, name="g.yaml")):
            async with Runtime(address, name="operator", tls=pki.client("operator")) as runtime:
                assert (await ask(runtime))["status"] == "done"
            with pytest.raises(Refused, match="may not publish"):
                async with Runtime(address, name="stranger", tls=pki.client("stranger")) as runtime:
                    await ask(runtime, id="2")
    assert [line["by"] for line in audit_of(tmp_path)] == ["operator", "operator"]


async def test_without_commands_nobody_takes_any(tmp_path: Path) -> None:
    device = Drive()
    async with hub(tmp_path) as server, device:
        text = gateway_text(tmp_path, hub_port=server.port, port=device.port, commands="metrics: null\n")
        async with running(loads(text, GatewaySettings, name="g.yaml")) as gateway:
            await until(lambda: gateway.uplink.connected)
            code, _, said = await asyncio.to_thread(
                command_line.run, "write", "demo/hall-a/drive-1", "setpoint", "1", hub=f"127.0.0.1:{server.port}"
            )
    assert code == 3
    assert "no gateway takes commands" in said[0]


def test_a_gateway_without_commands_does_not_load_them(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(gateway_text(tmp_path, hub_port=1, port=1, commands="metrics: null\n"))
    program = (
        "import sys\n"
        "from fieldline.config import load\n"
        "from fieldline_edge.settings import GatewaySettings\n"
        "from fieldline_edge.app import Gateway\n"
        f"Gateway(load({str(file)!r}, GatewaySettings))\n"
        "unwanted = ('fieldline_edge.commands.service', 'fieldline.client.responder', 'fieldline.client.runtime',\n"
        "            'fieldline_edge.commissioning', 'fieldline_edge.profiles', 'rich', 'typer')\n"
        "print([name for name in unwanted if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


async def test_commands_that_are_configured_while_the_gateway_runs_are_taken_at_once(tmp_path: Path) -> None:
    device = Drive()
    async with hub(tmp_path) as server, device:
        texts = [
            gateway_text(tmp_path, hub_port=server.port, port=device.port, commands=commands)
            for commands in ("metrics: null\n", "")
        ]
        without, with_commands = (loads(text, GatewaySettings, name="g.yaml") for text in texts)
        async with (
            running(without) as gateway,
            Runtime(f"127.0.0.1:{server.port}", name="operator") as runtime,
        ):
            await until(lambda: gateway.uplink.connected)
            gateway.apply(with_commands, [])
            assert (await ask(runtime))["status"] == "done"
            gateway.apply(without, [])
            await until(lambda: not gateway.commands.serving)
            assert gateway.commands.stats.done == 1
