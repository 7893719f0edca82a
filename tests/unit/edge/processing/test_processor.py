import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from fieldline.config import loads
from fieldline.model import Alert, AlertState, DeviceId, Quality, Reading, Severity
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import check_frame, open_messages
from fieldline.wire.plant import decode_alert
from fieldline_edge.drivers.base import SystemClock
from fieldline_edge.framing import frame_alert
from fieldline_edge.processing.alert_store import load_alerts, save_alerts
from fieldline_edge.processing.expressions.compiler import Reason
from fieldline_edge.processing.processor import Processor
from fieldline_edge.settings import GatewaySettings

PUMP = DeviceId("demo", "hall", "pump")
PLAIN = DeviceId("demo", "hall", "plain")
S = 1_000_000_000
FILE = """\
kind: gateway
name: gw
site: demo
hub: 127.0.0.1:9
spool: {{path: spool.db}}
devices:
  - {{driver: modbus, name: plain, area: hall, host: h, tags: [{{name: t, address: 0, type: int16}}]}}
  - driver: modbus
    name: pump
    area: hall
    host: h
    tags:
      - {{name: other, address: 0, type: int16}}
      - {{name: t, address: 1, type: int16, {tag}}}
{rest}
"""


class Down:
    """Takes what comes out, in the order it comes."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.readings: list[Reading] = []
        self.alerts: list[Alert] = []
        self.came = asyncio.Event()

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        self.events.append(f"put {device.device} {len(readings)}")
        self.readings += readings
        self.came.set()

    def alert(self, alert: Alert) -> None:
        self.events.append(f"alert {alert.rule} {alert.state.value}")
        self.alerts.append(alert)
        self.came.set()

    def hurry(self, device: DeviceId) -> None:
        self.events.append(f"hurry {device.device}")


def settings_of(tag: str = "unit: C", rest: str = "") -> GatewaySettings:
    return loads(FILE.format(tag=tag, rest=rest), GatewaySettings, name="g.yaml")


def processor(settings: GatewaySettings, down: Down, folder: Path) -> Processor:
    return Processor(settings.devices, site="demo", sink=down, clock=SystemClock(), alerts_path=folder / "spool.alerts")


@contextlib.asynccontextmanager
async def running(subject: Processor) -> AsyncIterator[None]:
    task = asyncio.create_task(subject.run())
    try:
        async with asyncio.timeout(10):
            yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def readings(*values: float, tag: str = "t") -> list[Reading]:
    return [Reading(tag, at_s * S, value) for at_s, value in enumerate(values)]


async def test_a_device_that_asks_for_nothing_is_passed_by(tmp_path: Path) -> None:
    down = Down()
    subject = processor(settings_of("process: {deadband: {absolute: 1}}"), down, tmp_path)
    given = readings(1, 1, 1)

    subject.put(PLAIN, given)

    assert down.readings == given
    assert subject.stats.readings == 0


async def test_tags_without_process_pass_beside_those_that_have_one(tmp_path: Path) -> None:
    down = Down()
    subject = processor(settings_of("process: {deadband: {absolute: 1}}"), down, tmp_path)

    subject.put(PUMP, [*readings(1, 1, 1), *readings(5, 5, tag="other")])

    assert [(one.tag, one.value) for one in down.readings] == [("t", 1), ("other", 5), ("other", 5)]
    assert (subject.stats.readings, subject.stats.deadband) == (5, 2)


async def test_what_a_door_holds_comes_out_by_itself(tmp_path: Path) -> None:
    down = Down()
    subject = processor(settings_of("process: {door: {absolute: 1, hold_ms_max: 30}}"), down, tmp_path)

    async with running(subject):
        await asyncio.sleep(0)  # it sleeps already, with nothing to wait for
        subject.put(PUMP, readings(1, 1, 1))
        while len(down.readings) < 2:
            down.came.clear()
            await down.came.wait()

    assert down.readings == [Reading("t", 0, 1), Reading("t", 2 * S, 1)]


async def test_stages_follow_each_other_and_nothing_held_is_lost_at_the_end(tmp_path: Path) -> None:
    down = Down()
    windows = "aggregate: {period_ms: 10000, functions: [max, count], keep_raw: true}"
    process = f"process: {{{windows}, deadband: {{absolute: 5, report_ms_max: 60000}}}}"
    subject = processor(settings_of(process), down, tmp_path)

    subject.put(PUMP, readings(*range(25)))
    subject.flush()

    found = [(one.tag, one.value) for one in down.readings]
    assert [value for tag, value in found if tag == "t"] == [0, 6, 12, 18, 24]
    assert [value for tag, value in found if tag == "t.max"] == [9, 19]  # 24 has moved by 5, and not by more
    assert [value for tag, value in found if tag == "t.count"] == [10]
    assert subject.windows_held == 0


async def test_derived_tags_have_alarms_and_deadbands_of_their_own(tmp_path: Path) -> None:
    down = Down()
    rest = """\
    derived:
      - {name: double, expression: t * 2, process: {deadband: {absolute: 3}}, alarms: {hi: 15}}
      - {name: inverse, expression: 1 / t}
"""
    subject = processor(settings_of(rest=rest), down, tmp_path)

    subject.put(PUMP, readings(0, 1, 2, 8))

    assert [one.value for one in down.readings if one.tag == "double"] == [0, 4, 16]
    assert next(one.quality for one in down.readings if one.tag == "inverse") is Quality.BAD_CALCULATION
    assert [alert.rule for alert in down.alerts] == ["edge_hi"]
    assert subject.failures[Reason.DIVISION_BY_ZERO] == 1


async def test_an_alert_goes_ahead_of_the_readings_that_led_to_it_and_they_follow_at_once(tmp_path: Path) -> None:
    down = Down()
    subject = processor(settings_of(rest="    alarms: [{tag: t, hi: 80}]"), down, tmp_path)

    subject.put(PUMP, readings(50, 81))

    assert down.events == ["alert edge_hi raised", "put pump 2", "hurry pump"]


async def test_silence_is_noticed_without_any_reading(tmp_path: Path) -> None:
    down = Down()
    subject = processor(settings_of("alarms: {missing_ms: 100}"), down, tmp_path)

    async with running(subject):
        while not down.alerts:
            down.came.clear()
            await down.came.wait()

    assert down.alerts[0].rule == "edge_missing"


async def test_a_restart_raises_nothing_twice_and_clears_what_is_no_longer_watched(tmp_path: Path) -> None:
    first = Down()
    subject = processor(settings_of("alarms: {hi: 80, hi_hi: 90}"), first, tmp_path)
    subject.open()
    subject.put(PUMP, readings(95))
    subject.save()

    again = Down()
    restarted = processor(settings_of("alarms: {hi: 80}"), again, tmp_path)
    restarted.open()
    restarted.put(PUMP, readings(96))

    assert [(alert.rule, alert.state) for alert in first.alerts] == [
        ("edge_hi", AlertState.RAISED),
        ("edge_hi_hi", AlertState.RAISED),
    ]
    assert [(alert.rule, alert.state) for alert in again.alerts] == [("edge_hi_hi", AlertState.CLEARED)]
    assert again.alerts[0].id == first.alerts[1].id
    assert list(restarted.raised) == [first.alerts[0].fingerprint]


async def test_what_is_raised_is_saved_while_running(tmp_path: Path) -> None:
    down = Down()
    subject = processor(settings_of("alarms: {hi: 80}"), down, tmp_path)
    path = tmp_path / "spool.alerts"

    async with running(subject):
        subject.put(PUMP, readings(95))
        while not path.exists():  # noqa: ASYNC110  # a file, no event
            await asyncio.sleep(0.01)

    assert load_alerts(path) == down.alerts


async def test_a_changed_device_is_built_anew_and_the_others_go_on(tmp_path: Path) -> None:
    down = Down()
    old = settings_of("process: {door: {absolute: 1}}, alarms: {hi: 80}")
    subject = processor(old, down, tmp_path)
    subject.put(PUMP, readings(95, 95))

    subject.configure(old.devices, site="demo")
    assert len(down.readings) == 1
    subject.configure(settings_of("process: {deadband: {absolute: 1}}, alarms: {hi: 80}").devices, site="demo")
    subject.put(PUMP, readings(95, 95))

    assert [one.at_ns // S for one in down.readings] == [0, 1, 0]
    assert [alert.state for alert in down.alerts] == [AlertState.RAISED]


ANOMALY = "anomaly: {every_ms: 0, caution: 0, keep_score: true}"


def usual(count: int = 300) -> list[Reading]:
    return [Reading("t", number * 60 * S, 60.0 + (number * 7 % 11) / 11) for number in range(1, count + 1)]


async def test_what_is_unusual_is_an_alert_ahead_of_its_readings_and_its_score_is_a_tag(tmp_path: Path) -> None:
    down = Down()
    subject = processor(settings_of(ANOMALY), down, tmp_path)
    subject.put(PUMP, usual())
    down.events.clear()

    subject.put(PUMP, [Reading("t", 301 * 60 * S, 80.0)])

    assert down.events == ["alert edge_unusual raised", "put pump 2", "hurry pump"]
    assert [one.tag for one in down.readings[-2:]] == ["t.anomaly", "t"]
    score = down.readings[-2].value
    assert isinstance(score, float)
    assert score > 1.5
    assert list(subject.raised) == ["demo/hall/pump:t:edge_unusual"]


async def test_what_is_learned_sees_every_reading_and_only_what_is_left_travels(tmp_path: Path) -> None:
    down = Down()
    subject = processor(
        settings_of(f"{ANOMALY}, process: {{deadband: {{absolute: 50, report_ms_max: 90000000}}}}"), down, tmp_path
    )

    subject.put(PUMP, usual())
    subject.put(PUMP, [Reading("t", 301 * 60 * S, 80.0)])

    assert [alert.rule for alert in down.alerts] == ["edge_unusual"]
    assert [one.value for one in down.readings if one.tag == "t"] == [usual()[0].value]
    assert len([one for one in down.readings if one.tag == "t.anomaly"]) > 1


async def test_a_restart_knows_what_was_learned_and_what_was_raised(tmp_path: Path) -> None:
    first = Down()
    subject = processor(settings_of(ANOMALY), first, tmp_path)
    subject.open()
    subject.put(PUMP, [*usual(), Reading("t", 301 * 60 * S, 80.0)])
    subject.save()

    again = Down()
    restarted = processor(settings_of(ANOMALY), again, tmp_path)
    restarted.open()
    (learner,) = restarted.learners.values()
    restarted.put(PUMP, [Reading("t", 302 * 60 * S, 80.0)])

    assert not learner.learning
    assert (len(first.alerts), again.alerts) == (1, [])
    assert list(restarted.raised) == [first.alerts[0].fingerprint]


async def test_a_reload_that_changes_the_device_forgets_nothing_it_learned(tmp_path: Path) -> None:
    down = Down()
    subject = processor(settings_of(ANOMALY), down, tmp_path)
    subject.put(PUMP, usual())
    (before,) = subject.learners.values()

    subject.configure(settings_of(f"{ANOMALY}, alarms: {{hi: 999}}").devices, site="demo")
    (after,) = subject.learners.values()
    subject.configure(settings_of("alarms: {hi: 999}").devices, site="demo")

    assert after is not before
    assert after.snapshot() == before.snapshot()
    assert not subject.learners


async def test_a_machine_that_stops_is_no_anomaly_even_if_its_readings_come_first(tmp_path: Path) -> None:
    down = Down()
    subject = processor(settings_of("anomaly: {every_ms: 0, caution: 0, running: other, settle_ms: 0}"), down, tmp_path)
    subject.put(PUMP, [Reading("other", 0, 1)])
    subject.put(PUMP, usual())

    subject.put(PUMP, [Reading("t", 301 * 60 * S, 0.0), Reading("other", 301 * 60 * S, 0)])
    assert down.alerts == []
    subject.put(PUMP, [Reading("other", 302 * 60 * S, 1), Reading("t", 302 * 60 * S, 0.0)])

    assert [alert.rule for alert in down.alerts] == ["edge_unusual"]


async def test_a_derived_tag_is_learned_as_any_other(tmp_path: Path) -> None:
    down = Down()
    rest = "    derived: [{name: double, expression: t * 2, anomaly: {every_ms: 0, caution: 0}}]\n"
    subject = processor(settings_of(rest=rest), down, tmp_path)

    subject.put(PUMP, [*usual(), Reading("t", 301 * 60 * S, 80.0)])

    assert [alert.fingerprint for alert in down.alerts] == ["demo/hall/pump:double:edge_unusual"]


async def test_a_fault_of_ours_costs_no_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    down = Down()
    subject = processor(settings_of("process: {deadband: {absolute: 1}}"), down, tmp_path)

    def fail(self: object, readings: Sequence[Reading], now_s: float) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("fieldline_edge.processing.pipeline.Pipeline.put", fail)
    subject.put(PUMP, readings(1, 1))

    assert down.readings == readings(1, 1)
    assert subject.stats.errors == 1
    assert "a fault of ours" in caplog.text


def test_an_alert_is_a_frame_the_hub_takes_and_agents_read() -> None:
    alert = Alert(PUMP, "t", "edge_hi", "limit", Severity.WARNING, AlertState.RAISED, 5, "hot")

    entry = frame_alert(alert, now_ns=7)

    frame = hub_pb2.Frame.FromString(entry.frame)
    check_frame(frame)
    (content,), _ = open_messages(frame)
    assert (frame.topic, frame.count, entry.readings) == ("alerts/demo/hall/pump", 1, 0)
    assert decode_alert(content) == alert


def test_a_damaged_file_of_alerts_is_moved_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "spool.alerts"
    path.write_text('{"raised": ["AAAA"]}')

    assert load_alerts(path) == []

    assert (tmp_path / "spool.unreadable").exists()
    assert "cannot be read" in caplog.text


def test_alerts_come_back_as_they_were_saved(tmp_path: Path) -> None:
    down = Down()
    subject = processor(settings_of("alarms: {hi: 80}"), down, tmp_path)
    subject.put(PUMP, readings(95))
    path = tmp_path / "new" / "spool.alerts"

    save_alerts(path, down.alerts)

    assert load_alerts(path) == down.alerts
