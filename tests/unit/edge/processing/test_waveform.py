"""Waveforms at the edge: the numbers that numpy has, planted faults found, none where none is, captures cut right."""

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fieldline.detectors.bearing import Bearing, Part
from fieldline.model import DeviceId, Quality, Reading
from fieldline_cloud.detectors import waveform as by_numpy
from fieldline_edge.drivers.simulator import vibration
from fieldline_edge.drivers.simulator.machines import Parts
from fieldline_edge.processing.stage import ProcessingStats
from fieldline_edge.processing.waveform.captures import CaptureSpec, Waveforms
from fieldline_edge.processing.waveform.features import FeatureSpec, features
from fieldline_edge.processing.waveform.fourier import lines, powers
from fieldline_edge.processing.waveform.spectrum import Spectrum, envelopes
from fieldline_edge.processing.waveform.speeds import ShaftSpec, Speeds

RATE_HZ = 12_800.0
SHAFT_HZ = 24.7
BEARING = Bearing(balls=9, ball_mm=7.94, pitch_mm=39.04)
ORDERS = {part.value: order for part, order in BEARING.frequencies_hz(1.0).items()}
SPEC = FeatureSpec(RATE_HZ, "mm/s", {"high": (2_000.0, 4_000.0)}, 3, ORDERS)
Samples = NDArray[np.float64]
FAN = DeviceId("demo", "hall", "fan")
S = 1_000_000_000


def times(count: int = 8_192) -> Samples:
    return np.arange(count) / RATE_HZ


def machine(seed: int, count: int = 8_192) -> Samples:
    """A sound machine: imbalance, some misalignment, noise."""
    t, noise = times(count), np.random.default_rng(seed).normal(scale=0.2, size=count)
    turns = 2.0 * np.pi * SHAFT_HZ * t
    return np.asarray(math.sqrt(2.0) * (1.2 * np.sin(turns) + 0.4 * np.sin(2.0 * turns + 0.3)) + noise)


def knocks(hz: float, size: float, *, ring_hz: float = 3_100.0, seed: int = 5, count: int = 8_192) -> Samples:
    """A damaged part: at `hz`, give or take a hundredth, a hit that rings."""
    dice, t = np.random.default_rng(seed), times(count)
    found, at_s = np.zeros(count), 0.0
    while at_s < t[-1]:
        since = t - at_s
        ringing = np.where(since >= 0.0, np.exp(-np.clip(since, 0.0, None) * 900.0), 0.0)
        found += size * ringing * np.sin(2.0 * np.pi * ring_hz * since)
        at_s += (1.0 + dice.normal(scale=0.01)) / hz
    return found


@pytest.mark.parametrize("count", [4, 8, 64, 4_096])
def test_the_transform_is_that_of_numpy(count: int) -> None:
    samples = np.random.default_rng(count).normal(size=count)

    assert np.allclose(lines(samples.tolist()), np.fft.rfft(samples), atol=1e-10)


@given(st.lists(st.floats(-1e6, 1e6), min_size=64, max_size=64))
def test_the_lines_add_up_to_the_signal(samples: list[float]) -> None:
    window = [0.5 - 0.5 * math.cos(2.0 * math.pi * k / 64) for k in range(64)]
    seen = sum((weight * sample) ** 2 for weight, sample in zip(window, samples, strict=True)) / sum(
        w * w for w in window
    )

    assert math.fsum(powers(samples)) == pytest.approx(seen, rel=1e-9, abs=1e-9)


def test_strength_shape_and_orders_are_those_of_the_hub() -> None:
    samples = machine(1) + knocks(ORDERS["bpfo"] * SHAFT_HZ, 0.8)

    found = features(samples.tolist(), SPEC, SHAFT_HZ)

    assert found["rms"] == pytest.approx(by_numpy.rms(samples))
    assert found["crest"] == pytest.approx(by_numpy.crest_factor(samples))
    assert found["kurtosis"] == pytest.approx(by_numpy.kurtosis(samples))
    assert found["high"] == pytest.approx(by_numpy.band_rms(samples, RATE_HZ, 2_000.0, 4_000.0))
    expected = by_numpy.orders(samples, RATE_HZ, SHAFT_HZ)
    assert [found[f"{order}x"] for order in (1, 2, 3)] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("step_hz", "hz", "tries"), [(1.0, 20.0, 1), (1.0, 20.0, 8), (0.5, 20.0, 1)])
def test_noise_is_as_clear_as_1_once_in_10000_even_beside_few_lines(step_hz: float, hz: float, tries: int) -> None:
    dice = random.Random(1)
    looks = 16_000
    clear = 0
    for _ in range(looks // tries):
        bands = [
            Spectrum(step_hz, [dice.expovariate(1.0) for _ in range(round(1.4 * hz / step_hz))]) for _ in range(tries)
        ]
        clear += max(band.prominence(hz, tries) for band in bands) >= 1.0

    assert clear <= 5  # 1.6 are expected of independent lines; by the median alone it would be 50 and more


def test_an_acceleration_has_a_velocity_in_mm_per_s() -> None:
    hz, amplitude = 80.0, 2.0
    waves = (amplitude * np.sin(2.0 * np.pi * hz * times())).tolist()

    by_unit = {unit: features(waves, FeatureSpec(RATE_HZ, unit), None) for unit in ("m/s2", "g", "mm/s")}

    expected = 1_000.0 * amplitude / (2.0 * np.pi * hz) / math.sqrt(2.0)
    assert by_unit["m/s2"]["velocity"] == pytest.approx(expected, rel=0.01)
    assert by_unit["g"]["velocity"] == pytest.approx(9.80665 * expected, rel=0.01)
    assert "velocity" not in by_unit["mm/s"]


@pytest.mark.parametrize("part", ["bpfo", "bpfi"])
@pytest.mark.parametrize("count", [4_096, 8_192, 10_000])
def test_a_knocking_bearing_is_named(part: str, count: int) -> None:
    hz = ORDERS[part] * SHAFT_HZ
    samples = machine(4, count) + knocks(hz, 0.8, count=count)

    found = features(samples.tolist(), SPEC, SHAFT_HZ)

    assert max(ORDERS, key=lambda name: found[name]) == part
    assert found[part] > 2.0
    assert found["kurtosis"] > features(machine(4, count).tolist(), SPEC, SHAFT_HZ)["kurtosis"]


def test_a_sound_machine_shows_no_bearing() -> None:
    found = [features(machine(seed, 4_096).tolist(), SPEC, SHAFT_HZ) for seed in range(12)]

    assert max(each[part] for each in found for part in ORDERS if each[part] == each[part]) < 1.0


def test_the_envelope_reaches_as_far_as_it_is_asked_to() -> None:
    samples = machine(3).tolist()

    reaches = [envelopes(samples, RATE_HZ, reach_hz) for reach_hz in (50.0, 500.0, 1_000.0, 5_000.0)]

    assert [len(bands) for bands in reaches] == [8, 4, 2, 1]
    assert [round((len(bands[0].squares) - 1) * bands[0].step_hz) for bands in reaches] == [400, 800, 1_600, 3_200]


def test_a_machine_at_rest_is_no_trouble() -> None:
    found = features([3.0] * 2_048, SPEC, SHAFT_HZ)

    assert (found["rms"], found["peak"], found["high"]) == (0.0, 0.0, 0.0)
    assert math.isnan(found["crest"])
    assert all(not found[part] >= 1.0 for part in ORDERS)


def test_what_needs_the_shaft_is_not_told_without_it_or_when_it_is_too_slow() -> None:
    unknown = features(machine(1).tolist(), SPEC, None)
    slow = features(machine(1).tolist(), SPEC, 0.1)

    for found in (unknown, slow):
        assert all(math.isnan(found[name]) for name in ("1x", "2x", "3x", *ORDERS))
        assert found["rms"] > 1.0
    assert list(unknown) == list(SPEC.units)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e60, 1e60), min_size=64, max_size=150), st.one_of(st.none(), st.floats(1e-3, 1e5)))
def test_nothing_a_sensor_may_say_does_harm(samples: list[float], shaft_hz: float | None) -> None:
    assert list(features(samples, SPEC, shaft_hz)) == list(SPEC.units)


def test_the_waveform_of_the_simulated_plant_shows_its_worn_bearing() -> None:
    bearing = vibration.Bearing()
    spec = FeatureSpec(2_560.0, "mm/s", harmonics=1, orders=ORDERS)
    told = []
    for wear in (0.0, 1.5):
        monitor = vibration.Monitor(bearing, samples=4_096, rate_hz=2_560.0, period_s=10.0, seed="fan")
        monitor.capture(Parts(SHAFT_HZ, 1.2, 0.0, 0.0, wear, 0.0, 0.0), 0.0)
        samples = [vibration.WAVEFORM_SCALE * each for each in monitor.waveform()]
        told.append(features(samples, spec, SHAFT_HZ))

    sound, worn = told
    assert max(sound["bpfo"], sound["bpfi"]) < 1.0
    assert min(worn["bpfo"], worn["bpfi"]) > 10.0
    assert worn["rms"] > 1.2 * sound["rms"]


class Gathered:
    """Waveforms of one tag, and what has come out."""

    def __init__(self, samples: int = 64, *, keep_raw: bool = False, shaft_hz: float | None = None) -> None:
        self.stats = ProcessingStats()
        spec = CaptureSpec("v", samples, FeatureSpec(1_000.0, "mm/s", harmonics=1), keep_raw)
        self._subject = Waveforms([(spec, lambda at_ns: shaft_hz)], self.stats)
        self.out: list[Reading] = []

    def put(self, at_ms: int, values: list[Any], quality: Quality = Quality.GOOD) -> None:
        readings = [Reading("v", S + (at_ms + place) * 1_000_000, value, quality) for place, value in enumerate(values)]
        self.out += self._subject.extend(readings)

    @property
    def told(self) -> list[tuple[str, Any]]:
        return [(one.tag, one.value) for one in self.out]


def wave(count: int = 64) -> list[float]:
    return [math.sin(2.0 * math.pi * 16.0 * place / 64) for place in range(count)]


def test_a_capture_becomes_features_at_its_last_sample() -> None:
    gathered = Gathered(shaft_hz=250.0)

    gathered.put(0, wave())

    assert gathered.told == [
        ("v.rms", 0.707107),
        ("v.peak", 1.0),
        ("v.crest", 1.41421),
        ("v.kurtosis", 2.0),
        ("v.1x", 0.707107),
    ]
    assert {one.at_ns for one in gathered.out} == {S + 63 * 1_000_000}
    assert (gathered.stats.waveforms, gathered.stats.waveform, gathered.stats.waveforms_cut) == (1, 64, 0)


def test_other_readings_pass_in_their_place_and_samples_only_if_asked_for() -> None:
    stats = ProcessingStats()
    spec = CaptureSpec("v", 64, FeatureSpec(1_000.0), keep_raw=True)
    subject = Waveforms([(spec, lambda at_ns: None)], stats)
    samples = [Reading("v", S + place * 1_000_000, value) for place, value in enumerate(wave())]

    out = subject.extend([Reading("a", S, 1), *samples, Reading("b", S, 2)])

    assert [one.tag for one in out] == ["a", *["v"] * 64, "v.rms", "v.peak", "v.crest", "v.kurtosis", "b"]
    assert stats.waveform == 0


def test_a_long_message_makes_several_captures_and_the_rest_is_cut_by_the_next() -> None:
    gathered = Gathered()

    gathered.put(0, wave(150))
    gathered.put(10_000, wave(64))

    assert sorted({one.at_ns for one in gathered.out}) == [S + ms * 1_000_000 for ms in (63, 127, 10_063)]
    assert gathered.stats.waveforms_cut == 1


def test_samples_that_all_carry_one_time_make_a_capture() -> None:
    gathered = Gathered()
    for value in wave():
        gathered.put(5, [value])

    assert gathered.stats.waveforms == 1


def test_a_bad_sample_spoils_its_capture_and_is_told_once() -> None:
    gathered = Gathered()

    gathered.put(0, [*wave(10), None, *wave(63)], Quality.BAD_TIMEOUT)
    assert [(one.tag, one.value, one.quality) for one in gathered.out] == [
        (f"v.{name}", None, Quality.BAD_TIMEOUT) for name in ("rms", "peak", "crest", "kurtosis", "1x")
    ]
    gathered.put(1_000, wave())
    gathered.put(2_000, [*wave(63), math.nan])

    assert [one.quality for one in gathered.out if one.tag == "v.rms"] == [
        Quality.BAD_TIMEOUT,
        Quality.GOOD,
        Quality.BAD_CALCULATION,
    ]
    assert gathered.stats.waveforms_cut == 1


def test_features_are_as_doubtful_as_the_worst_sample() -> None:
    gathered = Gathered()

    gathered.put(0, wave(32))
    gathered.put(32, wave(32), Quality.UNCERTAIN_CLOCK)
    gathered.put(64, wave(64))

    assert [one.quality for one in gathered.out if one.tag == "v.rms"] == [Quality.UNCERTAIN_CLOCK, Quality.GOOD]


def test_what_has_no_answer_is_bad_and_says_so() -> None:
    gathered = Gathered()

    gathered.put(0, [1.0] * 64)

    assert [(one.tag, one.quality) for one in gathered.out if one.value is None] == [
        ("v.crest", Quality.BAD_CALCULATION),
        ("v.kurtosis", Quality.BAD_CALCULATION),
        ("v.1x", Quality.BAD_CALCULATION),
    ]


def test_a_shaft_turns_as_its_tag_said_lately() -> None:
    speeds = Speeds()
    spec = ShaftSpec(FAN, "hz", rpm_per_unit=30.0, rpm_min=100.0, age_ns_max=10 * S)
    speeds.want([(FAN, "hz")])
    assert speeds.shaft_hz(spec, 100 * S) is None

    speeds.see(FAN, [Reading("hz", 100 * S, 50), Reading("other", 100 * S, 7)])
    speeds.see(FAN, [Reading("hz", 101 * S, 49.0, Quality.BAD_RANGE), Reading("hz", 101 * S, "fast")])

    assert speeds.shaft_hz(spec, 110 * S) == 25.0
    assert speeds.shaft_hz(spec, 90 * S) == 25.0
    assert speeds.shaft_hz(spec, 111 * S) is None
    speeds.see(FAN, [Reading("hz", 112 * S, -3.0)])
    assert speeds.shaft_hz(spec, 112 * S) is None  # 90 a minute: it stands
    speeds.want([(FAN, "other")])
    assert speeds.shaft_hz(spec, 112 * S) is None


def test_the_parts_of_the_contract_are_named_as_the_settings_say() -> None:
    assert [part.value for part in Part] == ["bpfo", "bpfi", "bsf", "ftf"]
