"""The Sparkplug B driver against a node made with pysparkplug, over mosquitto."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from fieldline.model import Quality
from fieldline_edge.drivers.mqtt.driver import MqttDriver
from fieldline_edge.drivers.mqtt.sparkplug.settings import SparkplugDeviceSettings
from tests.integration.edge.conftest import Mosquitto
from tests.integration.edge.harness import DEADLINE_S, Collector, running
from tests.integration.edge.test_mqtt import until_stat

ROOT = Path(__file__).parents[3]


class Device:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def hears(self, word: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while (await self._process.stdout.readline()).decode().strip() != word:
                assert not self._process.stdout.at_eof()

    async def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def device(port: int) -> AsyncIterator[Device]:
    python = ROOT / ".venv-sparkplug" / "bin" / "python"
    if not (ROOT / ".venv-sparkplug" / "ready").exists():
        reason = "pysparkplug is not installed; run: tools/test-parts.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    process = await asyncio.create_subprocess_exec(
        str(python),
        str(Path(__file__).with_name("sparkplug_device.py")),
        str(port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    found = Device(process)
    try:
        yield found
    finally:
        await found.kill()


def settings(port: int, **options: Any) -> SparkplugDeviceSettings:
    given = {"driver": "sparkplug", "name": "spb", "area": "a", "group": "plant-1", "rebirth_s_min": 1}
    broker = {"host": "127.0.0.1", "port": port, "backoff_ms_max": 1000}
    return SparkplugDeviceSettings.model_validate({**given, "broker": broker, **options})


def has(sink: Collector, device: str, tag: str, value: float) -> bool:
    return any(reading.value == value for reading in sink.of(device, tag))


async def test_births_and_data_of_a_real_node_become_readings(broker: Mosquitto) -> None:
    sink = Collector()
    driver = MqttDriver([settings(broker.port)], site="s", sink=sink)
    async with running(driver):
        await until_stat(driver.stats, "connects", 1)
        async with device(broker.port) as node:
            await sink.until(lambda: has(sink, "press_line.pump-1", "Motor.Speed", 1500.0) or None)
            await node.say("node 21.5")
            await node.say("device 1480.0")
            await sink.until(lambda: has(sink, "press_line.pump-1", "Motor.Speed", 1480.0))
            assert [r.value for r in sink.of("press_line", "Temp")] == [20.0, 21.5]
    assert sink.of("press_line", "Count")[0].value == 7
    assert driver.stats.sequence_gaps == 0


async def test_a_gateway_that_comes_later_asks_for_the_births(broker: Mosquitto) -> None:
    sink = Collector()
    async with device(broker.port) as node:
        await node.hears("born")
        driver = MqttDriver([settings(broker.port, nodes=["press line"])], site="s", sink=sink)
        async with running(driver):
            await node.hears("reborn")
            await sink.until(lambda: has(sink, "press_line.pump-1", "Motor.Speed", 1500.0))
    assert driver.stats.rebirths_asked >= 1


async def test_a_lost_message_leads_to_a_rebirth(broker: Mosquitto) -> None:
    sink = Collector()
    driver = MqttDriver([settings(broker.port)], site="s", sink=sink)
    async with running(driver):
        await until_stat(driver.stats, "connects", 1)
        async with device(broker.port) as node:
            await sink.until(lambda: has(sink, "press_line.pump-1", "Motor.Speed", 1500.0))
            await node.say("skip")
            await node.say("node 22.5")
            await node.hears("reborn")
            await node.say("node 23.5")
            await sink.until(lambda: has(sink, "press_line", "Temp", 23.5))
    assert driver.stats.sequence_gaps == 1
    assert has(sink, "press_line", "Temp", 22.5)


@pytest.mark.parametrize("how", ["kill", "goodbye"])
async def test_the_death_of_a_node_makes_its_tags_stale(broker: Mosquitto, how: str) -> None:
    sink = Collector()
    driver = MqttDriver([settings(broker.port)], site="s", sink=sink)
    async with running(driver):
        await until_stat(driver.stats, "connects", 1)
        async with device(broker.port) as node:
            await sink.until(lambda: has(sink, "press_line.pump-1", "Motor.Speed", 1500.0))
            if how == "kill":
                await node.kill()
            else:
                await node.say("goodbye")  # with the bdSeq of its next life: the library's way
            async with asyncio.timeout(20):
                while Quality.BAD_STALE not in sink.qualities("press_line.pump-1", "Motor.Speed"):  # noqa: ASYNC110 - later than the sink waits
                    await asyncio.sleep(0.05)
    assert sink.qualities("press_line", "Temp")[-1] is Quality.BAD_STALE


async def test_a_primary_host_says_that_it_is_there_and_when_it_is_gone(broker: Mosquitto) -> None:
    states: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    watcher = paho.Client(CallbackAPIVersion.VERSION2)

    def seen(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        loop.call_soon_threadsafe(states.put_nowait, json.loads(message.payload))

    watcher.on_message = seen
    watcher.connect("127.0.0.1", broker.port)
    watcher.loop_start()
    watcher.subscribe("spBv1.0/STATE/fieldline", 1)
    driver = MqttDriver([settings(broker.port, host_id="fieldline")], site="s", sink=Collector())
    async with running(driver):
        async with asyncio.timeout(DEADLINE_S):
            online = await states.get()
    async with asyncio.timeout(DEADLINE_S):
        offline = await states.get()
    await asyncio.to_thread(watcher.loop_stop)
    assert (online["online"], offline["online"]) == (True, False)
    assert offline["timestamp"] >= online["timestamp"]
