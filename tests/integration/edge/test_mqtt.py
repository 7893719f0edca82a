"""The MQTT driver against mosquitto."""

import asyncio
import json
import logging
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish as paho_publish

from fieldline.model import Quality
from fieldline_edge.drivers.base import DriverStats
from fieldline_edge.drivers.mqtt.driver import MqttDriver
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings
from tests.integration.edge.conftest import Mosquitto
from tests.integration.edge.harness import DEADLINE_S, Collector, running

TAGS = [{"name": "temperature", "path": "$.temp"}, {"name": "open", "path": "$.door.open", "type": "bool"}]
BURST = """
import sys
from paho.mqtt import publish
messages = [("plant/b/env-1", '{"temp": %d, "door": {"open": true}}' % n, 1, False) for n in range(200)]
publish.multiple(messages, hostname="127.0.0.1", port=int(sys.argv[1]))
"""
SENTINEL = {"temp": -99.0, "door": {"open": False}}  # the last message before a test begins
GOOD = {"temp": 21.5, "door": {"open": True}}


def device(name: str, port: int, **options: Any) -> MqttDeviceSettings:
    broker = {"host": "127.0.0.1", "port": port, "backoff_ms_max": 1000, **options.pop("broker", {})}
    given = {"driver": "mqtt", "name": name, "area": "b", "broker": broker, "topic": f"plant/b/{name}"}
    return MqttDeviceSettings.model_validate({**given, "tags": TAGS, **options})


async def publish(port: int, topic: str, payload: Any = GOOD, *, times: int = 1, retain: bool = False) -> None:
    """Publish with QoS 1 and wait for the broker's word."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload)
    messages: list[Any] = [(topic, body, 1, retain)] * times
    await asyncio.to_thread(paho_publish.multiple, messages, hostname="127.0.0.1", port=port)


async def subscribed(driver: MqttDriver, sink: Collector, port: int, device_name: str) -> None:
    """Wait until messages arrive: there is no other outside sign that a broker has taken a subscription."""
    async with asyncio.timeout(DEADLINE_S):
        seen = driver.stats.messages
        while driver.stats.messages == seen:
            await publish(port, f"plant/b/{device_name}")
            await asyncio.sleep(0.05)
    await publish(port, f"plant/b/{device_name}", SENTINEL)
    await sink.until(lambda: any(r.value == SENTINEL["temp"] for r in sink.of(device_name, "temperature")))
    sink.by_device.clear()
    sink.puts.clear()


async def until_stat(stats: DriverStats, name: str, least: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while getattr(stats, name) < least:  # noqa: ASYNC110 - a counter is no event
            await asyncio.sleep(0.01)


async def test_a_message_becomes_readings(broker: Mosquitto) -> None:
    sink = Collector()
    driver = MqttDriver([device("env-1", broker.port)], site="s", sink=sink)
    async with running(driver):
        await subscribed(driver, sink, broker.port, "env-1")
        await publish(broker.port, "plant/b/env-1", {"temp": 22.25, "door": {"open": False}})
        await sink.until(lambda: sink.by_device["env-1"])
    assert {r.tag: (r.value, r.quality) for r in sink.by_device["env-1"]} == {
        "temperature": (22.25, Quality.GOOD),
        "open": (False, Quality.GOOD),
    }
    assert (driver.stats.connects, driver.stats.connected) == (1, 0)


async def test_each_device_gets_its_own_messages_and_those_of_its_filter(broker: Mosquitto) -> None:
    sink = Collector()
    devices = [
        device("env-1", broker.port),
        device("env-2", broker.port),
        device("all", broker.port, topic="plant/+/env-2"),
    ]
    driver = MqttDriver(devices, site="s", sink=sink)
    async with running(driver):
        await subscribed(driver, sink, broker.port, "env-1")
        await publish(broker.port, "plant/b/env-2", {"temp": 1})
        await publish(broker.port, "plant/b/env-1", {"temp": 2})
        await sink.until(lambda: sink.by_device["env-1"])
    assert [r.value for r in sink.of("env-1", "temperature")] == [2.0]
    assert {r.value for r in sink.of("env-2", "temperature")} == {1.0}
    assert {r.value for r in sink.of("all", "temperature")} == {1.0}


async def test_bad_messages_are_marked_counted_and_told_once(
    broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Collector()
    driver = MqttDriver([device("env-1", broker.port)], site="s", sink=sink)
    async with running(driver):
        await subscribed(driver, sink, broker.port, "env-1")
        with caplog.at_level(logging.WARNING):
            await publish(broker.port, "plant/b/env-1", b"{not json", times=3)
            await publish(broker.port, "plant/b/env-1", {"temp": "hot", "door": {"open": True}}, times=2)
            await sink.until(lambda: len(sink.puts["env-1"]) == 5)
    assert sink.qualities("env-1", "temperature") == [Quality.BAD_PARSE] * 5
    assert sink.qualities("env-1", "open") == [Quality.BAD_PARSE] * 3 + [Quality.GOOD] * 2
    assert (driver.stats.messages_refused, driver.stats.values_refused) == (3, 2)
    assert sum("not understood" in record.message for record in caplog.records) == 1


async def test_a_broker_restart_is_told_once_per_tag_and_then_subscribed_again(broker: Mosquitto) -> None:
    sink = Collector()
    driver = MqttDriver([device("env-1", broker.port)], site="s", sink=sink)
    async with running(driver):
        await subscribed(driver, sink, broker.port, "env-1")
        await broker.stop()
        await sink.until_quality("env-1", "open", Quality.BAD_NOT_CONNECTED)
        await until_stat(driver.stats, "connects_failed", 1)
        await broker.start()
        await until_stat(driver.stats, "reconnects", 1)
        assert sink.qualities("env-1", "temperature") == [Quality.BAD_NOT_CONNECTED]
        await subscribed(driver, sink, broker.port, "env-1")
        await publish(broker.port, "plant/b/env-1")
        await sink.until(lambda: sink.by_device["env-1"])
    assert sink.of("env-1", "temperature")[-1].value == 21.5


async def test_a_broker_that_appears_later_is_found(mosquitto_program: str, tmp_path: Path) -> None:
    sink = Collector()
    late = Mosquitto(mosquitto_program, tmp_path)
    driver = MqttDriver([device("env-1", late.port)], site="s", sink=sink)
    async with running(driver):
        await sink.until_quality("env-1", "open", Quality.BAD_NOT_CONNECTED)
        async with late:
            await subscribed(driver, sink, late.port, "env-1")
    assert (driver.stats.connects, driver.stats.reconnects) == (1, 0)


async def test_a_retained_message_is_taken_as_of_unknown_age(broker: Mosquitto) -> None:
    sink = Collector()
    await publish(broker.port, "plant/b/env-1", retain=True)
    driver = MqttDriver([device("env-1", broker.port)], site="s", sink=sink)
    async with running(driver):
        await sink.until(lambda: sink.by_device["env-1"])
    assert sink.of("env-1", "temperature")[0].value == 21.5
    assert sink.qualities("env-1", "temperature")[0] is Quality.UNCERTAIN_STALE
    assert driver.stats.messages_retained == 1


async def test_a_full_queue_drops_the_oldest_and_counts_them(broker: Mosquitto) -> None:
    sink = Collector()
    lossy = device("env-1", broker.port, qos=0, broker={"queue_messages_max": 5})
    driver = MqttDriver([lossy], site="s", sink=sink)
    async with running(driver):
        await subscribed(driver, sink, broker.port, "env-1")
        seen = driver.stats.messages
        # The event loop stands still on purpose, while another process publishes.
        subprocess.run([sys.executable, "-c", BURST, str(broker.port)], check=True)  # noqa: ASYNC221  # the burst must be over before we look
        await sink.until(lambda: 199 in {r.value for r in sink.of("env-1", "temperature")})
    assert driver.stats.messages_dropped >= 1
    assert driver.stats.messages - seen + driver.stats.messages_dropped == 200


async def test_a_wrong_password_is_not_connected_and_never_logged(
    mosquitto_program: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Collector()
    users = tmp_path / "users"
    users.write_text("")
    account = {"username": "gateway", "password": "canary-secret"}
    async with Mosquitto(mosquitto_program, tmp_path, users=users) as strict:
        driver = MqttDriver([device("env-1", strict.port, broker=account)], site="s", sink=sink)
        with caplog.at_level(logging.DEBUG):
            async with running(driver):
                await sink.until_quality("env-1", "open", Quality.BAD_NOT_CONNECTED)
    assert "canary-secret" not in caplog.text
    assert "away" in caplog.text


async def test_a_peer_that_is_no_broker_is_survived() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
        writer.close()

    sink = Collector()
    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    driver = MqttDriver([device("env-1", port)], site="s", sink=sink)
    async with running(driver):
        await sink.until_quality("env-1", "open", Quality.BAD_NOT_CONNECTED)
    server.close()
    await server.wait_closed()


async def test_readings_queued_at_the_end_are_handed_over(broker: Mosquitto) -> None:
    sink = Collector()
    driver = MqttDriver([device("env-1", broker.port)], site="s", sink=sink)
    task = asyncio.create_task(driver.run())
    await subscribed(driver, sink, broker.port, "env-1")
    subprocess.run([sys.executable, "-c", BURST, str(broker.port)], check=True)  # noqa: ASYNC221 - see above
    task.cancel()  # the loop has not had a turn since: whatever has arrived waits in the queue
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sink.of("env-1", "temperature")[-1].value == 199
    assert driver.stats.readings == driver.stats.messages * 2


def test_building_touches_no_network() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        driver = MqttDriver([device("env-1", free.getsockname()[1])], site="s", sink=Collector())
    assert driver.stats.connects_failed == 0
