"""A waveform of a simulated sensor, through a real broker and the gateway to the hub: what a user finds there."""

import asyncio
from pathlib import Path

import pytest

from fieldline import Runtime, Start
from fieldline.config import loads
from fieldline.model import Reading
from fieldline_edge.drivers.simulator.runner import PlantRunner
from fieldline_edge.settings import GatewaySettings
from tests.integration.edge.simulating import settings
from tests.integration.edge.test_gateway import hub, running, until
from tests.integration.edge.test_simulator_mqtt import nats_port, nats_program

__all__ = ["nats_port", "nats_program"]  # fixtures

PLANT = """
step_ms: 50
mqtt: {{broker: "127.0.0.1:{port}", topic_root: mill}}
machines:
  - {{name: pump-7, area: hall-c, model: pump, serve: mqtt, period_ms: 100, load_swing: 0,
     monitor: {{samples: 2048, rate_hz: 2560, period_s: 0.5}}}}
faults: [{{kind: bearing_wear, machine: pump-7, at_s: 2, grow_s: 1}}]
"""
GATEWAY = """
kind: gateway
name: gateway-mill
site: mill
hub: 127.0.0.1:{hub}
spool: {{path: {folder}/spool.db}}
devices:
  - driver: mqtt
    name: pump-7
    area: hall-c
    broker: {{host: 127.0.0.1, port: {port}}}
    topic: mill/hall-c/pump-7
    timestamp: {{path: $.ts, unit: ms}}
    tags: [{{name: speed, path: $.speed, unit: rpm}}]
  - driver: mqtt
    name: pump-7-waveform
    area: hall-c
    broker: {{host: 127.0.0.1, port: {port}}}
    topic: mill/hall-c/pump-7/waveform
    values_every_ms: 0.390625
    timestamp: {{path: $.ts, unit: ms}}
    tags: [{{name: drive_end, path: $.samples, unit: mm/s}}]
    waveforms:
      - tag: drive_end
        samples: 2048
        rate_hz: 2560
        speed: {{tag: speed, device: hall-c/pump-7}}
        bearing: {{balls: 9, ball_mm: 7.94, pitch_mm: 39.04}}
    alarms: [{{tag: drive_end.bpfo, hi: 5, cause: bearing_wear}}]
"""


async def features(port: int) -> dict[str, list[Reading]]:
    """All readings of the waveform's device at the hub, by tag, until the worn bearing shows."""
    found: dict[str, list[Reading]] = {}
    async with (
        Runtime(f"127.0.0.1:{port}", name="checker") as runtime,
        runtime.subscribe("readings/mill/hall-c/pump-7-waveform", start=Start.EARLIEST) as stored,
    ):
        while True:
            delivery = await stored.next_delivery()
            assert delivery is not None
            for reading in delivery.readings():
                found.setdefault(reading.tag, []).append(reading)
            if any(isinstance(one.value, float) and one.value > 5.0 for one in found.get("drive_end.bpfo", ())):
                return found


async def test_a_worn_bearing_of_the_plant_shows_at_the_hub_as_a_tag_and_as_an_alert(
    nats_port: int, tmp_path: Path
) -> None:
    async with hub(tmp_path) as server:
        text = GATEWAY.format(hub=server.port, folder=tmp_path, port=nats_port)
        async with (
            running(loads(text, GatewaySettings, name="g.yaml")) as gateway,
            PlantRunner(settings(PLANT.format(port=nats_port))) as plant,
            asyncio.timeout(60),
        ):
            await until(lambda: all(driver.stats.connected for driver in gateway.drivers))
            ticking = asyncio.create_task(plant.run())
            found = await features(server.port)
            await until(lambda: gateway.processor.raised)
            ticking.cancel()

    assert "drive_end" not in found
    assert list(gateway.processor.raised) == ["mill/hall-c/pump-7-waveform:drive_end.bpfo:edge_hi"]
    rms = [one.value for one in found["drive_end.rms"]]
    assert isinstance(rms[0], float)
    assert isinstance(rms[-1], float)
    assert rms[-1] > rms[0] > 0.0
    first = next(one.value for one in found["drive_end.1x"] if one.value is not None)
    assert isinstance(first, float)
    assert first == pytest.approx(rms[0], rel=0.5)
