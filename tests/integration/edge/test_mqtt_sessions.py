"""MQTT sessions against mosquitto: nothing that the broker holds for us is lost, whoever is killed."""

import asyncio
import logging
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fieldline.errors import FieldlineError
from fieldline.model import Quality
from fieldline.v1 import hub_pb2
from fieldline.wire.readings import decode_readings
from fieldline_edge.drivers.mqtt.driver import MqttDriver
from fieldline_edge.spool import Bounds, Spool, read_state
from tests.integration.edge.conftest import Mosquitto
from tests.integration.edge.harness import DEADLINE_S, Collector, running
from tests.integration.edge.test_mqtt import GOOD, device, publish, subscribed, until_stat

PROTOCOLS = ["3.1.1", "5"]


class Gate:
    """A Safety that says "on disk" when the test says so."""

    def __init__(self, sink: Collector) -> None:
        self._sink = sink
        self._open = asyncio.Event()

    def mark(self) -> int:
        return sum(len(readings) for readings in self._sink.by_device.values())

    async def safe(self, mark: int) -> None:
        await self._open.wait()

    def hurry_all(self) -> None:
        """It is not up to a driver how fast the test's disk is."""

    def unlock(self) -> None:
        self._open.set()


def kept(port: int, protocol: str, **options: Any) -> Any:
    broker = {"client_id": "gw-1", "session_s": 600, "protocol": protocol, **options.pop("broker", {})}
    return device("env-1", port, broker=broker, **options)


class Publisher:
    """Publishes 0, 1, 2 … and knows which of them the broker has confirmed."""

    def __init__(self, port: int, *, qos: int, topic: str = "plant/b/env-1") -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="publisher")
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._qos, self._topic = qos, topic
        self.sent = 0

    async def send(self, count: int) -> None:
        for _ in range(count):
            payload = f'{{"temp": {self.sent}, "door": {{"open": true}}}}'
            info = self._client.publish(self._topic, payload, self._qos)
            await asyncio.to_thread(info.wait_for_publish, DEADLINE_S)
            self.sent += 1

    async def close(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)


GATEWAY = """
kind: gateway
name: gw
site: s
hub: 127.0.0.1:9
spool: {{path: {spool}}}
shutdown_drain_s: 0
devices:
  - driver: mqtt
    name: env-1
    area: b
    broker: {{host: 127.0.0.1, port: {port}, client_id: gw-1, session_s: 600, protocol: "{protocol}"}}
    topic: plant/b/env-1
    qos: {qos}
    tags:
      - {{name: temperature, path: $.temp}}
"""


class GatewayProcess:
    """A gateway that can be killed and started again, and is ended with the block."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end(signal.SIGKILL)

    async def start(self) -> None:
        program = (sys.executable, "-m", "fieldline_edge.cli", "run", str(self._config))
        self._process = await asyncio.create_subprocess_exec(*program)

    async def end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(how)
            await self._process.wait()


async def spooled(path: Path) -> list[float]:
    """All values in a spool file, in the order of its frames."""
    spool = Spool(path, bounds=Bounds(1 << 28))
    await spool.open()
    frames = await spool.read(0, frames_max=100_000, bytes_max=1 << 28)
    await spool.close()
    found = [reading for frame in frames for reading in decode_readings(hub_pb2.Frame.FromString(frame.frame).body)]
    return [float(reading.value) for reading in found if isinstance(reading.value, float)]


def readings_in(path: Path) -> int:
    """How many readings a gateway at work has spooled; 0 before it has made its file."""
    try:
        return read_state(path).readings_spooled
    except FieldlineError:
        return 0


async def until_spooled(path: Path, least: int) -> None:
    async with asyncio.timeout(30):
        while readings_in(path) < least:  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_killed_gateway_loses_nothing_that_the_broker_holds(
    broker: Mosquitto, tmp_path: Path, protocol: str, qos: int
) -> None:
    config, spool = tmp_path / "gateway.yaml", tmp_path / "spool.db"
    config.write_text(GATEWAY.format(spool=spool, port=broker.port, protocol=protocol, qos=qos))
    publisher = Publisher(broker.port, qos=qos)
    async with GatewayProcess(config) as gateway:
        async with asyncio.timeout(20):
            while not readings_in(spool):  # until the gateway has subscribed, messages are nobody's
                await publisher.send(1)
                await asyncio.sleep(0.05)
        for _ in range(2):  # killed twice while messages flow
            before = publisher.sent
            flow = asyncio.create_task(publisher.send(150))
            async with asyncio.timeout(DEADLINE_S):
                while publisher.sent < before + 60:  # noqa: ASYNC110 - a counter is no event
                    await asyncio.sleep(0.005)
            await gateway.end(signal.SIGKILL)
            await flow
            await gateway.start()
        await until_spooled(spool, readings_in(spool) + 1)
        await until_quiet(spool)
        await gateway.end(signal.SIGTERM)
    last = publisher.sent - 1
    await publisher.close()

    found = Counter(await spooled(spool))
    first = int(min(found))
    assert [number for number in range(first, last + 1) if number not in found] == []
    # What was spooled and not acknowledged when it was killed comes again: never more than the window of the broker.
    assert sum(count - 1 for count in found.values()) <= 2 * 20


async def until_quiet(path: Path) -> None:
    """Until nothing more has come for a second."""
    async with asyncio.timeout(30):
        seen = -1
        while (now := readings_in(path)) != seen:
            seen = now
            await asyncio.sleep(1.0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_message_is_acknowledged_only_when_it_is_safe(broker: Mosquitto, protocol: str) -> None:
    sink = Collector()
    gate = Gate(sink)
    driver = MqttDriver([kept(broker.port, protocol)], site="s", sink=sink, safety=gate)
    task = asyncio.create_task(driver.run())
    async with asyncio.timeout(DEADLINE_S):
        while not sink.by_device["env-1"]:
            await publish(broker.port, "plant/b/env-1", GOOD)
            await asyncio.sleep(0.05)
    await publish(broker.port, "plant/b/env-1", {"temp": 1.0})
    await sink.until(lambda: sink.of("env-1", "temperature")[-1].value == 1.0)
    task.cancel()  # the disk never says that it is safe
    with pytest.raises(asyncio.CancelledError):
        await task

    again = Collector()
    gate_2 = Gate(again)
    gate_2.unlock()
    driver = MqttDriver([kept(broker.port, protocol)], site="s", sink=again, safety=gate_2)
    async with running(driver):
        await again.until(lambda: any(r.value == 1.0 for r in again.of("env-1", "temperature")))
    third = Collector()
    driver = MqttDriver([kept(broker.port, protocol)], site="s", sink=third, safety=gate_2)
    async with running(driver):
        await publish(broker.port, "plant/b/env-1", {"temp": 2.0})
        await third.until(lambda: any(r.value == 2.0 for r in third.of("env-1", "temperature")))
    assert [r.value for r in third.of("env-1", "temperature")] == [2.0]  # 1.0 was acknowledged the second time


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("qos", [1, 2])
async def test_a_break_of_the_link_repeats_nothing(
    mosquitto_program: str, tmp_path: Path, protocol: str, qos: int
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    options = ["persistence true", f"persistence_location {store}/", "autosave_interval 1", "autosave_on_changes true"]
    sink = Collector()
    gate = Gate(sink)
    async with Mosquitto(mosquitto_program, tmp_path, options=options) as broker:
        driver = MqttDriver([kept(broker.port, protocol, qos=qos)], site="s", sink=sink, safety=gate)
        async with running(driver):
            await until_stat(driver.stats, "connects", 1)
            publisher = Publisher(broker.port, qos=qos)
            async with asyncio.timeout(DEADLINE_S):
                while not sink.by_device["env-1"]:
                    await publisher.send(1)
                    await asyncio.sleep(0.05)
            await publisher.send(5)
            await sink.until(lambda: publisher.sent - 1 in {r.value for r in sink.of("env-1", "temperature")})
            await publisher.close()
            await broker.terminate()
            await sink.until_quality("env-1", "open", Quality.BAD_NOT_CONNECTED)
            await broker.start()
            await until_stat(driver.stats, "reconnects", 1)
            await until_stat(driver.stats, "messages_repeated", 5)
            gate.unlock()
            await publish(broker.port, "plant/b/env-1", {"temp": 99.5})
            await sink.until(lambda: 99.5 in {r.value for r in sink.of("env-1", "temperature")})
    values = Counter(r.value for r in sink.of("env-1", "temperature") if r.value is not None)
    assert set(values.values()) == {1}
    assert driver.stats.sessions_lost == 0


async def test_a_broker_that_forgot_the_session_is_told_and_subscribed_again(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Collector()
    gate = Gate(sink)
    gate.unlock()
    driver = MqttDriver([kept(broker.port, "5")], site="s", sink=sink, safety=gate)
    with caplog.at_level(logging.WARNING):
        async with running(driver):
            await subscribed(driver, sink, broker.port, "env-1")
            await broker.stop()
            await until_stat(driver.stats, "connects_failed", 1)
            await broker.start()
            await until_stat(driver.stats, "reconnects", 1)
            await subscribed(driver, sink, broker.port, "env-1")
    assert driver.stats.sessions_lost == 1
    assert "has forgotten our session" in caplog.text


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_second_client_with_our_id_is_named_and_left_alone(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    sink = Collector()
    settings = device(
        "env-1", broker.port, broker={"client_id": "same", "protocol": protocol, "backoff_ms_max": 60_000}
    )
    driver = MqttDriver([settings], site="s", sink=sink)
    stop = asyncio.Event()

    async def rival() -> None:
        while not stop.is_set():
            other = paho.Client(CallbackAPIVersion.VERSION2, client_id="same")
            other.connect("127.0.0.1", broker.port)
            other.loop_start()
            await asyncio.sleep(0.3)
            await asyncio.to_thread(other.loop_stop)

    with caplog.at_level(logging.ERROR):
        async with running(driver):
            await subscribed(driver, sink, broker.port, "env-1")
            task = asyncio.create_task(rival())
            await until_stat_long(driver, "takeovers", 1)
            stop.set()
            await task
    assert "another client uses our id" in caplog.text


async def until_stat_long(driver: MqttDriver, name: str, least: int) -> None:
    async with asyncio.timeout(30):
        while getattr(driver.stats, name) < least:  # noqa: ASYNC110 - a counter is no event
            await asyncio.sleep(0.02)


async def test_a_full_queue_leaves_messages_with_the_broker(broker: Mosquitto) -> None:
    sink = Collector()
    gate = Gate(sink)
    settings = kept(broker.port, "5", broker={"receive_max": 5, "queue_messages_max": 3})
    driver = MqttDriver([settings], site="s", sink=sink, safety=gate)
    async with running(driver):
        publisher = Publisher(broker.port, qos=1)
        async with asyncio.timeout(DEADLINE_S):
            while not sink.by_device["env-1"]:
                await publisher.send(1)
                await asyncio.sleep(0.05)
        first = min(int(r.value or 0) for r in sink.of("env-1", "temperature"))
        await publisher.send(30)
        await sink.until(lambda: len(sink.of("env-1", "temperature")) == 5)
        assert driver.stats.messages == 5  # the window of messages that are not safe is full
        gate.unlock()
        await sink.until(lambda: publisher.sent - 1 in {r.value for r in sink.of("env-1", "temperature")})
        await publisher.close()
    assert [r.value for r in sink.of("env-1", "temperature")] == list(range(first, publisher.sent))
    assert driver.stats.messages_dropped == 0


async def test_a_shared_subscription_shares(broker: Mosquitto) -> None:
    sinks = Collector(), Collector()
    drivers = [
        MqttDriver([device("env-1", broker.port, topic="$share/g/plant/b/env-1")], site="s", sink=sink)
        for sink in sinks
    ]
    async with running(drivers[0]), running(drivers[1]):
        for driver in drivers:
            await until_stat(driver.stats, "connects", 1)
        async with asyncio.timeout(DEADLINE_S):
            while not all(sink.by_device for sink in sinks):
                await publish(broker.port, "plant/b/env-1")
                await asyncio.sleep(0.02)
        before = seen(sinks)
        await publish(broker.port, "plant/b/env-1", times=20)
        async with asyncio.timeout(DEADLINE_S):
            while seen(sinks) < before + 20:  # noqa: ASYNC110 - two sinks, no common event
                await asyncio.sleep(0.01)
    assert seen(sinks) == before + 20


def seen(sinks: Sequence[Collector]) -> int:
    return sum(len(sink.of("env-1", "temperature")) for sink in sinks)
