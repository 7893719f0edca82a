import asyncio
import contextlib
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fieldline.config import loads
from fieldline.errors import ConfigError
from fieldline.model import DeviceId, Reading
from fieldline.v1 import hub_pb2
from fieldline.wire.readings import decode_readings
from fieldline_edge.app import Gateway
from fieldline_edge.drivers import DriverStats
from fieldline_edge.metrics import GatewayCollector
from fieldline_edge.settings import GatewaySettings
from fieldline_edge.spool import Bounds, Spool, read_state
from fieldline_edge.spool.lanes import open_lane, urgent_lane

PUMP = DeviceId("demo", "hall", "pump")


def gateway(tmp_path: Path) -> Gateway:
    text = (
        f"kind: gateway\nname: gw\nsite: demo\nhub: 127.0.0.1:9\nspool: {{path: {tmp_path / 'spool.db'}}}\n"
        "batch: {linger_ms: 60000}\ndevices:\n  - {driver: modbus, name: pump, area: hall, host: 127.0.0.1, "
        "port: 9, tags: [{name: t, address: 0, type: int16}]}\n"
    )
    return Gateway(loads(text, GatewaySettings, name="g.yaml"))


class Scripted:
    """A driver that puts one reading each time it runs, and then does what its script says."""

    def __init__(self, subject: Gateway, *script: BaseException | None) -> None:
        self.stats = DriverStats()
        self.devices: Sequence[DeviceId] = (PUMP,)
        self._gateway = subject
        self._script = list(script)

    async def run(self) -> None:
        self.stats.polls += 1
        self._gateway.intake.put(PUMP, [Reading("t", self.stats.polls, 1.0)])
        if self._script and (failure := self._script.pop(0)):
            raise failure
        try:
            await asyncio.Event().wait()
        finally:
            self._gateway.intake.put(PUMP, [Reading("t", 99, 1.0)])  # what was in flight


async def run_until(subject: Gateway, condition: Callable[[], object]) -> None:
    task = asyncio.create_task(subject.run())
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # any condition, so there is no event
            await asyncio.sleep(0.01)
        subject.stop()
        await task


async def test_what_a_driver_hands_over_while_stopping_is_spooled(tmp_path: Path) -> None:
    subject = gateway(tmp_path)
    driver = Scripted(subject)
    subject.drivers = [driver]

    await run_until(subject, lambda: driver.stats.polls)

    state = read_state(tmp_path / "spool.db")
    assert (state.readings_spooled, state.readings_polled) == (2, 2)


async def test_a_driver_that_fails_is_started_again_and_leaves_the_others_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    subject = gateway(tmp_path)
    broken, sound = Scripted(subject, RuntimeError("a fault of ours")), Scripted(subject)
    subject.drivers = [broken, sound]

    await run_until(subject, lambda: broken.stats.polls == 2)

    assert sound.stats.polls == 1
    assert subject.driver_restarts == 1
    assert "a fault of ours" in caplog.text


async def test_a_cancelled_gateway_still_saves_what_it_has(tmp_path: Path) -> None:
    subject = gateway(tmp_path)
    driver = Scripted(subject)
    subject.drivers = [driver]
    task = asyncio.create_task(subject.run())
    async with asyncio.timeout(10):
        while not driver.stats.polls:  # noqa: ASYNC110  # a number, no event
            await asyncio.sleep(0.01)

    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert read_state(tmp_path / "spool.db").readings_spooled == 2


async def test_a_spool_in_use_stops_the_start_before_any_device_is_read(tmp_path: Path) -> None:
    first = Spool(tmp_path / "spool.db", bounds=Bounds(1 << 20))
    await first.open()
    subject = gateway(tmp_path)

    with pytest.raises(ConfigError, match="used by another gateway"):
        await subject.run()

    await first.close()
    assert subject.spool.readings_polled == 0


async def test_no_task_outlives_a_gateway(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    subject = gateway(tmp_path)
    subject.drivers = [driver := Scripted(subject)]

    await run_until(subject, lambda: driver.stats.polls)

    assert asyncio.all_tasks() == before


async def test_metrics_show_what_the_parts_count(tmp_path: Path) -> None:
    subject = gateway(tmp_path)
    collector = GatewayCollector(subject)
    await subject.spool.open()
    subject.intake.put(PUMP, [Reading("t", 1, 1.0)])
    subject.intake.flush()
    await subject.spool.flush()
    subject.drivers[0].stats.polls_late += 3
    registry = CollectorRegistry()
    registry.register(collector)

    lines = generate_latest(registry).decode().splitlines()
    await subject.spool.close()

    for line in (
        "fieldline_edge_readings_polled_total 1.0",
        'fieldline_edge_readings_total{quality="good"} 1.0',
        "fieldline_edge_spool_backlog_frames 1.0",
        "fieldline_edge_spool_errors_total 0.0",
        "fieldline_edge_uplink_connected 0.0",
        'fieldline_edge_driver_polls_late_total{driver="modbus"} 3.0',
        'fieldline_edge_devices{state="up"} 0.0',
        'fieldline_edge_devices{state="unknown"} 1.0',
        "fieldline_edge_clock_trusted 1.0",
        "fieldline_edge_config_refused 0.0",
    ):
        assert line in lines
    assert any(line.startswith('fieldline_edge_build_info{python="') for line in lines)
    health = collector.health()
    assert (health["ok"], health["state"]) == (True, "degraded")
    assert health["parts"]["spool"] == {"state": "ok", "reason": "1 frames wait for the hub"}
    assert health["parts"]["hub"]["state"] == "degraded"


async def frames_of(path: Path) -> list[hub_pb2.Frame]:
    """What a spool holds: alarms first, then readings, each oldest first."""
    spool = Spool(path, bounds=Bounds(1 << 22))
    await spool.open()
    lanes = (urgent_lane(spool.state.lanes), open_lane(spool.state.lanes))
    stored = [
        one
        for lane in lanes
        for one in await spool.read(lane.first - 1, frames_max=100, bytes_max=1 << 20, lane=lane.number)
    ]
    await spool.close()
    return [hub_pb2.Frame.FromString(one.frame) for one in stored]


PROCESSED = """\
    derived: [{name: double, expression: t * 2}]
    alarms: [{tag: t, hi: 80}]
"""


def processed(tmp_path: Path) -> Gateway:
    text = (
        f"kind: gateway\nname: gw\nsite: demo\nhub: 127.0.0.1:9\nspool: {{path: {tmp_path / 'spool.db'}}}\n"
        "batch: {linger_ms: 60000}\ndevices:\n  - driver: modbus\n    name: pump\n    area: hall\n    host: 127.0.0.1\n"
        "    port: 9\n    tags: [{name: t, address: 0, type: int16, process: {door: {absolute: 1}}}]\n"
    )
    return Gateway(loads(text + PROCESSED, GatewaySettings, name="g.yaml"))


class Hot(Scripted):
    """A driver whose device gets too hot, and is read until the gateway stops."""

    async def run(self) -> None:
        self.stats.polls += 1
        self._gateway.processor.put(PUMP, [Reading("t", second, 20.0 + 70.0 * (second > 1)) for second in range(1, 6)])
        await asyncio.Event().wait()


async def test_an_alert_is_spooled_ahead_of_its_batch_and_nothing_that_is_held_is_lost(tmp_path: Path) -> None:
    subject = processed(tmp_path)
    subject.drivers = [driver := Hot(subject)]

    await run_until(subject, lambda: driver.stats.polls and subject.spool.state.frames >= 2)

    frames = await frames_of(tmp_path / "spool.db")
    assert [frame.topic for frame in frames][:2] == ["alerts/demo/hall/pump", "readings/demo/hall/pump"]
    readings = [one for frame in frames[1:] for one in decode_readings(frame.body)]
    assert [one.value for one in readings if one.tag == "double"] == [40.0] + [180.0] * 4
    assert [one.at_ns for one in readings if one.tag == "t"] == [1, 2, 5]
    assert (tmp_path / "spool.alerts").exists()


async def test_metrics_show_what_processing_kept_back(tmp_path: Path) -> None:
    subject = processed(tmp_path)
    await subject.spool.open()
    subject.processor.put(PUMP, [Reading("t", second, 90.0) for second in range(1, 6)])
    registry = CollectorRegistry()
    registry.register(GatewayCollector(subject))

    lines = generate_latest(registry).decode().splitlines()
    await subject.spool.close()

    for line in (
        'fieldline_edge_readings_suppressed_total{stage="door"} 3.0',
        'fieldline_edge_derived_failed_total{reason="division_by_zero"} 0.0',
        "fieldline_edge_processing_readings_total 5.0",
        "fieldline_edge_readings_derived_total 5.0",
        "fieldline_edge_alerts_total 1.0",
        "fieldline_edge_alerts_raised 1.0",
        "fieldline_edge_windows_held 0.0",
        "fieldline_edge_anomaly_tags 0.0",
        "fieldline_edge_anomaly_late_total 0.0",
    ):
        assert line in lines


def test_processed_settings_survive_the_way_to_a_fresh_interpreter(tmp_path: Path) -> None:
    settings = processed(tmp_path).settings

    again = pickle.loads(pickle.dumps(settings))

    assert again == settings
    assert again.devices[0].derived[0].parsed == settings.devices[0].derived[0].parsed
