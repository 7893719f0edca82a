"""Waveforms from a file: what is refused and how it is said, and the way from a payload to tags and an alert."""

import json
import math
import random
from pathlib import Path

import pytest

from fieldline.config import loads
from fieldline.errors import ConfigError
from fieldline.model import DeviceId, Quality, Reading
from fieldline_edge.drivers.base import SystemClock
from fieldline_edge.drivers.mqtt.extract import Extractor
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings
from fieldline_edge.processing.processor import Processor
from fieldline_edge.settings import GatewaySettings
from tests.unit.edge.processing.test_processor import Down

SENSOR = DeviceId("demo", "hall", "fan-vibration")
DRIVE = DeviceId("demo", "hall", "drive")
S = 1_000_000_000
BEARING = "bearing: {balls: 9, ball_mm: 7.94, pitch_mm: 39.04}"
SPEED = "speed: {tag: frequency, device: hall/drive, rpm_per_unit: 30}"
FILE = """\
kind: gateway
name: gw
site: demo
hub: 127.0.0.1:9
spool: {{path: spool.db}}
devices:
  - {{driver: modbus, name: drive, area: hall, host: h, tags: [{{name: frequency, address: 0, type: float32}}]}}
  - driver: mqtt
    name: fan-vibration
    area: hall
    broker: {{host: 127.0.0.1}}
    topic: fan/waveform
    values_every_ms: {every_ms}
    timestamp: {{path: $.ts}}
    tags: [{{name: v, path: $.samples, unit: g{tag}}}]
    waveforms:
      - {{tag: v, samples: 4096, rate_hz: 12800, {waveform}}}
{rest}
"""


def settings_of(
    waveform: str = "rpm: 1480", *, every_ms: float = 0.078125, tag: str = "", rest: str = ""
) -> GatewaySettings:
    text = FILE.format(waveform=waveform, every_ms=every_ms, tag=tag, rest=rest)
    return loads(text, GatewaySettings, name="g.yaml")


def problem_of(**changes: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings_of(**changes)  # type: ignore[arg-type]  # texts where a text is
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("waveform", "problem"),
    [
        ("rpm: 5, speed: {tag: t}", "rpm and speed are two answers to one question; keep one of them"),
        (BEARING, "bearing: needs to know how fast the shaft turns; add 'rpm' or 'speed'"),
        ("orders: {gear: 23}", "orders: needs to know how fast the shaft turns; add 'rpm' or 'speed'"),
        ("rpm: 9, bearing: {balls: 9, ball_mm: 40, pitch_mm: 39}", "no bearing has 9 balls of 40 mm"),
        ("bands_hz: {high: [5000, 9000]}", "bands_hz.high: [5000, 9000] must rise within 0 and half of rate_hz, 6400"),
        ("bands_hz: {high: [500, 400]}", "must rise within"),
        ("bands_hz: {rms: [1, 2]}", "the feature 'rms' would stand twice; rename it"),
        (f"rpm: 9, {BEARING}, orders: {{bpfo: 3}}", "the feature 'bpfo' would stand twice"),
        (f"rpm: 9, orders: {{{'x' * 63}: 3}}", "is longer than 64; shorten the tag's name by 1"),
        ("sample: 3", "is not a known key; did you mean 'samples'?"),
        ("speed: {tag: frequency}", "'frequency' is no tag of this device; the device has v"),
        ("speed: {tag: frequency, device: drive}", "string should match pattern"),
        ("speed: {tag: frequency, device: hall/drife}", "'hall/drife' is no device of this gateway; it has hall/drive"),
        ("speed: {tag: frequenzy, device: hall/drive}", "'frequenzy' is no tag that is read from hall/drive"),
    ],
)
def test_a_wrong_waveform_is_found_and_its_cure_is_said(waveform: str, problem: str) -> None:
    assert problem in problem_of(waveform=waveform)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"every_ms": "1"},
            "values_every_ms: the samples of 'v' are 0.078125 ms apart by their rate_hz 12800; write 0.078125",
        ),
        (
            {"tag": ", alarms: {hi: 3}"},
            "the samples of 'v' do not travel, so its 'alarms' sees none; remove that, or write",
        ),
        (
            {"rest": "    alarms: [{tag: v, hi: 3}]"},
            "alarms[0].tag: 'v' is no tag of this device; the device has v.1x, v.",
        ),
        ({"rest": "    alarms: [{tag: v.bpfo, hi: 3}]"}, "'v.bpfo' is no tag of this device"),
        (
            {"rest": "    derived: [{name: v.rms, expression: v.peak}]"},
            "'v.rms' is already the name of a feature of 'v'; choose another",
        ),
        ({"rest": "    derived: [{name: d, expression: v * 2}]"}, "is no tag of this device"),
        ({"rest": "      - {tag: v, samples: 64, rate_hz: 12800}"}, "'v' is already in waveforms[0]; keep one of them"),
        ({"rest": "      - {tag: w, samples: 64, rate_hz: 12800}"}, "'w' is no tag of this device; the device has v"),
    ],
)
def test_a_waveform_that_does_not_fit_its_device_is_found(changes: dict[str, str], problem: str) -> None:
    assert problem in problem_of(**changes)


def payload(at_ms: int, fault_hz: float | None, *, seed: int) -> bytes:
    """What a sensor sends: a shaft of 24.7 turns a second, noise, maybe a part that knocks and rings at 3,100 Hz."""
    dice, rate_hz = random.Random(seed), 12_800.0
    samples = []
    for place in range(4_096):
        at_s = place / rate_hz
        value = math.sin(2.0 * math.pi * 24.7 * at_s) + dice.gauss(0.0, 0.2)
        if fault_hz is not None:
            since_s = at_s % (1.0 / fault_hz)
            value += 1.5 * math.exp(-900.0 * since_s) * math.sin(2.0 * math.pi * 3_100.0 * since_s)
        samples.append(round(value, 3))
    return json.dumps({"ts": at_ms, "samples": samples}).encode()


def test_a_bearing_that_knocks_is_an_alert_from_the_payload_on(tmp_path: Path) -> None:
    rest = (
        "    derived: [{name: knocking, expression: 'max(v.bpfo, v.bpfi)', anomaly: true}]\n"
        "    alarms: [{tag: v.bpfo, hi: 2, cause: bearing}]"
    )
    settings = settings_of(f"{SPEED}, {BEARING}, bands_hz: {{ringing: [2500, 3700]}}", rest=rest)
    device = settings.devices[1]
    assert isinstance(device, MqttDeviceSettings)
    extractor, down = Extractor(device), Down()
    subject = Processor(
        settings.devices, site="demo", sink=down, clock=SystemClock(), alerts_path=tmp_path / "spool.alerts"
    )
    at_ms = 1_750_000_000_000

    for number, fault_hz in enumerate((None, 3.5847 * 24.7)):
        now_ms = at_ms + number * 10_000
        subject.put(DRIVE, [Reading("frequency", now_ms * 1_000_000, 49.4)])
        found = extractor.read(payload(now_ms, fault_hz, seed=number), arrived_ns=now_ms * 1_000_000 + S)
        subject.put(SENSOR, found.readings)

    told = {
        name: [one.value for one in down.readings if one.tag == name]
        for name in ("v.bpfo", "v.bpfi", "v.1x", "v.ringing")
    }
    assert "v" not in {one.tag for one in down.readings}
    assert told["v.1x"][0] == pytest.approx(1.0 / math.sqrt(2.0), rel=0.02)
    sound, worn = told["v.bpfo"]
    assert isinstance(sound, float)
    assert isinstance(worn, float)
    assert sound < 1.0 < 5.0 < worn
    assert told["v.bpfi"][1] is not None
    assert [(alert.tag, alert.rule, alert.cause) for alert in down.alerts] == [("v.bpfo", "edge_hi", "bearing")]
    assert [one.value for one in down.readings if one.tag == "knocking"][1] == worn
    assert (subject.stats.waveforms, subject.stats.waveform) == (2, 8_192)


def test_without_a_speed_what_needs_it_is_bad_and_the_rest_is_told(tmp_path: Path) -> None:
    settings = settings_of(f"{SPEED}, {BEARING}")
    device = settings.devices[1]
    assert isinstance(device, MqttDeviceSettings)
    down = Down()
    subject = Processor(
        settings.devices, site="demo", sink=down, clock=SystemClock(), alerts_path=tmp_path / "spool.alerts"
    )

    subject.put(SENSOR, Extractor(device).read(payload(1_000, None, seed=1), arrived_ns=2 * S).readings)

    assert {one.tag for one in down.readings if one.quality is Quality.BAD_CALCULATION} == {
        f"v.{name}" for name in ("1x", "2x", "3x", "bpfo", "bpfi", "bsf", "ftf")
    }
    assert {one.tag for one in down.readings if one.quality is Quality.GOOD} == {
        f"v.{name}" for name in ("rms", "peak", "crest", "kurtosis", "velocity")
    }
