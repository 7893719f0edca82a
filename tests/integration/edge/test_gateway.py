"""The whole gateway: a simulated plant over real Modbus TCP, a real hub, and the process itself."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from fieldline import Delivery, Runtime, Start
from fieldline.config import loads
from fieldline.model import DeviceId, Reading
from fieldline.wire.plant import decode_alert
from fieldline_cloud.hub.hub import Hub
from fieldline_cloud.hub.settings import HubSettings
from fieldline_edge.app import Gateway
from fieldline_edge.drivers.simulator.runner import PlantRunner
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.settings import GatewaySettings
from fieldline_edge.spool import State, read_state

PLANT = """
kind: plant
seed: 1
modbus: {listen: "127.0.0.1:0"}
machines:
  - {name: pump-1, model: registers50, serve: modbus, unit: 1}
  - {name: pump-2, model: registers50, serve: modbus, unit: 2}
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def gateway_text(folder: Path, *, hub_port: int, plant_port: int, more: str = "") -> str:
    devices = "".join(
        f"  - {{driver: modbus, name: pump-{unit}, area: hall-a, host: 127.0.0.1, port: {plant_port}, "
        f"unit: {unit}, period_ms: 50, tags: ["
        + ", ".join(f"{{name: r{address}, address: {address}, type: uint16}}" for address in range(20))
        + "]}\n"
        for unit in (1, 2)
    )
    return (
        f"kind: gateway\nname: gw-1\nsite: demo\nhub: 127.0.0.1:{hub_port}\n"
        f"batch: {{linger_ms: 60}}\nspool: {{path: {folder / 'spool.db'}}}\n{more}devices:\n{devices}"
    )


@contextlib.asynccontextmanager
async def plant() -> AsyncIterator[int]:
    async with PlantRunner(loads(PLANT, PlantSettings, name="plant.yaml")) as runner:
        yield runner.listeners[0].port


@contextlib.asynccontextmanager
async def hub(folder: Path, port: int = 0) -> AsyncIterator[Hub]:
    async with Hub(HubSettings(listen=f"127.0.0.1:{port}", data=folder / "hub", drain_s=0.2)) as running:
        yield running


@contextlib.asynccontextmanager
async def running(settings: GatewaySettings) -> AsyncIterator[Gateway]:
    gateway = Gateway(settings)
    task = asyncio.create_task(gateway.run())
    try:
        yield gateway
    finally:
        gateway.stop()
        async with asyncio.timeout(10):
            await task


async def until(condition: Callable[..., object], *, deadline_s: float = 15.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110  # any condition, so there is no event
            await asyncio.sleep(0.01)


async def everything_at(port: int, frames: int) -> list[Delivery]:
    """What the hub has stored: `frames` deliveries, and then the ones too many, if any."""
    found: list[Delivery] = []
    async with (
        Runtime(f"127.0.0.1:{port}", name="checker") as runtime,
        runtime.subscribe("readings/#", start=Start.EARLIEST) as stored,
        asyncio.timeout(15),
    ):
        while len(found) < frames:
            delivery = await stored.next_delivery()
            assert delivery is not None
            found.append(delivery)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while delivery := await stored.next_delivery():
                    found.append(delivery)
    return found


def assert_once_each(found: Iterable[Delivery], state: State) -> None:
    found = list(found)
    assert [delivery.sequence for delivery in found] == list(range(1, state.next_sequence))
    assert sum(delivery.count for delivery in found) == state.readings_spooled == state.readings_polled
    for device in ("pump-1", "pump-2"):
        times = [
            reading.at_ns
            for delivery in found
            if delivery.topic == f"readings/demo/hall-a/{device}"
            for reading in delivery.readings()
            if reading.tag == "r0"
        ]
        assert len(times) > 3
        assert times == sorted(set(times))


async def test_every_reading_arrives_once_and_the_spool_is_empty_after(tmp_path: Path) -> None:
    async with hub(tmp_path) as server, plant() as plant_port:
        text = gateway_text(tmp_path, hub_port=server.port, plant_port=plant_port)
        async with running(loads(text, GatewaySettings, name="g.yaml")) as gateway:
            await until(lambda: gateway.uplink.connected and gateway.spool.state.readings_spooled > 500)

        state = read_state(tmp_path / "spool.db")
        assert (state.frames, state.readings_dropped) == (0, 0)
        assert state.readings_acked == state.readings_spooled
        assert gateway.intake.bad == 0
        assert_once_each(await everything_at(server.port, state.next_sequence - 1), state)


async def test_a_hub_that_goes_and_comes_back_misses_nothing_and_gets_nothing_twice(tmp_path: Path) -> None:
    port = free_port()
    async with plant() as plant_port:
        text = gateway_text(tmp_path, hub_port=port, plant_port=plant_port)
        async with running(loads(text, GatewaySettings, name="g.yaml")) as gateway:
            for turn in range(3):
                async with hub(tmp_path, port):
                    await until(lambda turn=turn: gateway.uplink.connects > turn and gateway.uplink.connected)
                    seen = gateway.spool.state.readings_acked
                    await until(lambda seen=seen: gateway.spool.state.readings_acked > seen)
                await until(lambda: not gateway.uplink.connected)
                behind = gateway.spool.state.readings_spooled
                await until(lambda behind=behind: gateway.spool.state.readings_spooled > behind + 100)

            assert gateway.spool.state.frames > 0
        async with hub(tmp_path, port):
            async with running(loads(text, GatewaySettings, name="g.yaml")) as gateway:
                await until(lambda: gateway.uplink.connected)
            state = read_state(tmp_path / "spool.db")
            assert state.frames == 0
            assert_once_each(await everything_at(port, state.next_sequence - 1), state)


async def start(folder: Path, text: str) -> asyncio.subprocess.Process:
    file = folder / "gateway.yaml"
    file.write_text(text)
    return await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("fieldline-edge")),
        "run",
        str(file),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},
    )


async def events(process: asyncio.subprocess.Process, *wanted: str) -> list[dict[str, object]]:
    """Log lines up to the one that begins with the last of `wanted`."""
    assert process.stderr is not None
    found: list[dict[str, object]] = []
    async with asyncio.timeout(20):
        for beginning in wanted:
            while not (found and str(found[-1]["event"]).startswith(beginning)):
                line = await process.stderr.readline()
                assert line, f"it ended without saying {beginning!r}: {found}"
                found.append(json.loads(line))
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_serves_metrics_and_ends_cleanly_without_a_hub(
    tmp_path: Path, number: signal.Signals
) -> None:
    more = "metrics: {listen: '127.0.0.1:0'}\n"
    async with plant() as plant_port:
        text = gateway_text(tmp_path, hub_port=free_port(), plant_port=plant_port, more=more)
        process = await start(tmp_path, text)
        said = await events(process, "listening on", "reading 2 devices")
        address = str(next(line["event"] for line in said if str(line["event"]).startswith("listening")))
        address = address.removeprefix("listening on ")

        await until(
            lambda: (tmp_path / "spool.db").exists() and read_state(tmp_path / "spool.db").readings_spooled > 100
        )
        metrics = await asyncio.to_thread(get, f"http://{address}/metrics")
        health = json.loads(await asyncio.to_thread(get, f"http://{address}/healthz"))
        process.send_signal(number)
        async with asyncio.timeout(10):
            assert await process.wait() == 0

    assert 'fieldline_edge_driver_polls_total{driver="modbus"}' in metrics
    assert "fieldline_edge_uplink_connected 0.0" in metrics
    assert (health["ok"], health["state"], health["parts"]["hub"]["state"]) == (True, "degraded", "degraded")
    state = read_state(tmp_path / "spool.db")
    assert state.readings_spooled == state.readings_polled > 100
    assert state.frames == state.next_sequence - 1


async def test_a_killed_process_goes_on_where_it_was(tmp_path: Path) -> None:
    async with hub(tmp_path) as server, plant() as plant_port:
        text = gateway_text(tmp_path, hub_port=server.port, plant_port=plant_port)
        spooled = 0
        for _ in range(3):
            process = await start(tmp_path, text)
            await events(process, "reading 2 devices")
            await until(lambda before=spooled: read_state(tmp_path / "spool.db").readings_spooled > before + 100)
            process.kill()
            await process.wait()
            spooled = read_state(tmp_path / "spool.db").readings_spooled
        async with running(loads(text, GatewaySettings, name="g.yaml")) as gateway:
            await until(lambda: gateway.uplink.connected)

        state = read_state(tmp_path / "spool.db")
        found = await everything_at(server.port, state.next_sequence - 1)
        assert [delivery.sequence for delivery in found] == list(range(1, state.next_sequence))
        assert sum(delivery.count for delivery in found) == state.readings_spooled
        assert state.readings_dropped == state.frames == 0


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


async def test_what_is_unusual_while_the_hub_is_away_is_an_alert_there_afterwards(tmp_path: Path) -> None:
    hub_port = free_port()
    text = (
        f"kind: gateway\nname: gw-1\nsite: demo\nhub: 127.0.0.1:{hub_port}\nspool: {{path: {tmp_path / 'spool.db'}}}\n"
        "devices:\n  - {driver: modbus, name: fan, area: hall-a, host: 127.0.0.1, port: 9, tags: "
        "[{name: vibration, address: 0, type: int16, unit: mm/s, anomaly: {every_ms: 0, caution: 0}}]}\n"
    )
    fan, minute_ns = DeviceId("demo", "hall-a", "fan"), 60_000_000_000
    began_ns = time.time_ns() - 302 * minute_ns
    async with running(loads(text, GatewaySettings, name="g.yaml")) as gateway:
        await until(lambda: gateway.uplink.last_error)
        for number in range(301):
            value = 9.5 if number == 300 else 2.0 + (number * 7 % 11) / 20
            gateway.board.put(fan, [Reading("vibration", began_ns + number * minute_ns, value)])
        await until(lambda: gateway.spool.state.readings_spooled >= 301)
        assert not gateway.uplink.connected
        async with (
            hub(tmp_path, hub_port) as server,
            Runtime(f"127.0.0.1:{server.port}", name="shift-leader") as runtime,
            runtime.subscribe("alerts/#", start=Start.EARLIEST) as stored,
            asyncio.timeout(30),
        ):
            delivery = await stored.next_delivery()

    assert delivery is not None
    alert = decode_alert(next(iter(delivery.messages())).content)
    assert alert.fingerprint == "demo/hall-a/fan:vibration:edge_unusual"
    assert alert.raised_at_ns == began_ns + 300 * minute_ns
    assert alert.message.startswith("9.5 mm/s where ")
    assert (tmp_path / "spool.learned").exists()


async def test_alerts_derived_tags_and_what_a_door_keeps_reach_the_hub(tmp_path: Path) -> None:
    async with hub(tmp_path) as server, plant() as plant_port:
        text = gateway_text(tmp_path, hub_port=server.port, plant_port=plant_port).replace(
            "{name: r0, address: 0, type: uint16}",
            "{name: r0, address: 0, type: uint16, process: {door: {absolute: 20}}, alarms: {hi: -1, cause: test}}",
            1,
        )
        text = text.replace("period_ms: 50, tags", "period_ms: 50, derived: [{name: raw, expression: r0 * 1}], tags", 1)
        async with running(loads(text, GatewaySettings, name="g.yaml")) as gateway:
            await until(lambda: gateway.uplink.connected and gateway.processor.stats.door > 20)

        state = read_state(tmp_path / "spool.db")
        found = await everything_at(server.port, state.next_sequence - 2)
        async with (
            Runtime(f"127.0.0.1:{server.port}", name="alerts") as runtime,
            runtime.subscribe("alerts/#", start=Start.EARLIEST) as stored,
            asyncio.timeout(15),
        ):
            alert = await stored.next_delivery()

    assert alert is not None
    assert alert.sequence == 1
    assert decode_alert(next(iter(alert.messages())).content).fingerprint == "demo/hall-a/pump-1:r0:edge_hi"
    readings = [one for each in found if each.topic.endswith("pump-1") for one in each.readings()]
    kept = {one.at_ns: float(str(one.value)) for one in readings if one.tag == "r0"}
    raw = {one.at_ns: float(str(one.value)) for one in readings if one.tag == "raw"}
    assert state.readings_spooled == state.readings_polled
    assert len(kept) < len(raw)
    assert kept.items() <= raw.items()
    for (first_ns, first), (last_ns, last) in pairwise(sorted(kept.items())):
        for at_ns in (each for each in raw if first_ns < each < last_ns):
            line = first + (last - first) * (at_ns - first_ns) / (last_ns - first_ns)
            assert abs(line - raw[at_ns]) <= 20 + 1e-9
