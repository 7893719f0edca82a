"""What waveforms tell: planted lines, planted bearing damage, and none where none is."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldline.detectors.bearing import Bearing, Part
from fieldline_cloud.detectors.waveform import (
    band_rms,
    bearing_marks,
    crest_factor,
    envelope_spectrum,
    kurtosis,
    orders,
    rms,
    spectrum,
    velocity,
)

RATE_HZ = 12_800.0
SHAFT_HZ = 24.7
BEARING = Bearing(balls=9, ball_mm=7.94, pitch_mm=39.04)
Samples = NDArray[np.float64]
T = np.arange(16_384) / RATE_HZ


def sine(hz: float, rms_of_it: float) -> Samples:
    return np.asarray(math.sqrt(2.0) * rms_of_it * np.sin(2 * np.pi * hz * T + 0.3))


def noise(seed: int, size: float = 0.2) -> Samples:
    return np.random.default_rng(seed).normal(scale=size, size=len(T))


def machine(seed: int) -> Samples:
    """A sound machine: imbalance, some misalignment, noise."""
    return sine(SHAFT_HZ, 1.2) + sine(2 * SHAFT_HZ, 0.4) + noise(seed)


def knocks(hz: float, size: float, *, ring_hz: float = 3_100.0, seed: int = 5) -> Samples:
    """A damaged part: at `hz`, give or take a hundredth, a hit that rings."""
    dice = np.random.default_rng(seed)
    found = np.zeros(len(T))
    at = 0.0
    while at < T[-1]:
        since = T - at
        ringing = np.where(since >= 0, np.exp(-np.clip(since, 0, None) * 900), 0.0)
        found += size * ringing * np.sin(2 * np.pi * ring_hz * since)
        at += (1 + dice.normal(scale=0.01)) / hz
    return found


def test_strength_and_shape_of_a_sine_are_known() -> None:
    wave = sine(100.0, 2.0) + 7.0

    assert rms(wave) == pytest.approx(2.0, rel=0.01)
    assert crest_factor(wave) == pytest.approx(math.sqrt(2.0), rel=0.01)
    assert kurtosis(wave) == pytest.approx(1.5, rel=0.01)


def test_kurtosis_is_three_for_noise_and_more_where_something_knocks() -> None:
    quiet = noise(1)
    knocking = quiet + knocks(88.5, 2.0)

    assert kurtosis(quiet) == pytest.approx(3.0, abs=0.15)
    assert kurtosis(knocking) > 4.0
    assert crest_factor(knocking) > crest_factor(quiet)


def test_the_lines_of_a_spectrum_add_up_to_the_signal() -> None:
    wave = machine(2)

    lines = spectrum(wave, RATE_HZ)

    assert lines.strength(0.0, RATE_HZ / 2) == pytest.approx(rms(wave), rel=0.02)
    assert lines.strength(90.0, 110.0) < 0.1


def test_the_band_of_the_standard_leaves_out_what_is_below_and_above() -> None:
    wave = sine(4.0, 3.0) + sine(100.0, 1.0) + sine(3_000.0, 3.0)

    assert band_rms(wave, RATE_HZ) == pytest.approx(1.0, rel=0.02)


def test_imbalance_and_misalignment_show_at_one_and_two_times_the_shaft() -> None:
    one, two, three = orders(machine(3), RATE_HZ, SHAFT_HZ)

    assert one == pytest.approx(1.2, rel=0.05)
    assert two == pytest.approx(0.4, rel=0.05)
    assert three < 0.05


def test_an_acceleration_becomes_the_velocity_it_belongs_to() -> None:
    hz = 64 * RATE_HZ / len(T)
    acceleration = np.asarray(np.cos(2 * np.pi * hz * T))

    speed = velocity(acceleration, RATE_HZ)

    assert rms(speed) == pytest.approx(1_000.0 / (2 * np.pi * hz) / math.sqrt(2.0), rel=0.001)


def test_the_frequencies_of_a_6204_bearing_are_those_of_its_table() -> None:
    found = BEARING.frequencies_hz(1.0)

    assert found[Part.OUTER_RING] == pytest.approx(3.585, abs=0.01)
    assert found[Part.INNER_RING] == pytest.approx(5.415, abs=0.01)
    assert found[Part.BALL] == pytest.approx(2.357, abs=0.01)
    assert found[Part.CAGE] == pytest.approx(0.398, abs=0.01)
    assert found[Part.OUTER_RING] + found[Part.INNER_RING] == pytest.approx(9.0)


@pytest.mark.parametrize("shape", [(2, 7.0, 39.0, 0.0), (9, 40.0, 39.0, 0.0), (9, 7.0, 39.0, 90.0)])
def test_geometry_that_cannot_be_is_refused(shape: tuple[int, float, float, float]) -> None:
    with pytest.raises(ValueError, match="no bearing has"):
        Bearing(*shape)


@pytest.mark.parametrize("part", [Part.OUTER_RING, Part.INNER_RING])
def test_a_knocking_bearing_shows_in_the_envelope(part: Part) -> None:
    hz = BEARING.frequencies_hz(SHAFT_HZ)[part]

    first = bearing_marks(machine(4) + knocks(hz, 0.8), RATE_HZ, BEARING, SHAFT_HZ)[0]

    assert first.part is part
    assert first.envelope > 1.0 > first.line


@pytest.mark.parametrize("part", list(Part))
def test_a_plain_line_at_a_bearing_frequency_shows_in_the_spectrum(part: Part) -> None:
    hz = BEARING.frequencies_hz(SHAFT_HZ)[part]

    first = bearing_marks(machine(5) + sine(hz, 0.3), RATE_HZ, BEARING, SHAFT_HZ)[0]

    assert first.part is part
    assert first.line > 1.0


def test_a_sound_machine_shows_no_bearing() -> None:
    marks = [mark for seed in range(20) for mark in bearing_marks(machine(seed), RATE_HZ, BEARING, SHAFT_HZ)]

    assert max(mark.clear for mark in marks) < 1.0


def test_a_machine_at_rest_is_no_trouble() -> None:
    still = np.full(2_048, 3.0)

    assert rms(still) == 0.0
    assert math.isnan(kurtosis(still))
    assert all(not mark.clear >= 1.0 for mark in bearing_marks(still, RATE_HZ, BEARING, SHAFT_HZ))


def test_a_shaft_that_turns_too_slowly_for_the_waveform_is_not_judged() -> None:
    assert all(math.isnan(mark.clear) for mark in bearing_marks(machine(6), RATE_HZ, BEARING, 0.1))


@pytest.mark.parametrize("samples", [np.zeros(10), np.full(100, np.nan), np.zeros((100, 2))])
def test_a_waveform_that_cannot_be_read_is_refused(samples: Samples) -> None:
    with pytest.raises(ValueError, match="at least 64 finite samples"):
        envelope_spectrum(samples, RATE_HZ)
