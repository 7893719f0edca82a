"""What the waveform of a vibration sensor tells: strength, shape, lines of the shaft, marks of a bearing. Pure.

Samples are a float array (n,) taken evenly at `rate_hz`. RMS of velocities is in the unit of the samples.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from fieldline.detectors.bearing import Bearing, Part
from fieldline_cloud.detectors.normal import Floats

__all__ = [
    "ISO_BAND_HZ",
    "Mark",
    "Spectrum",
    "band_rms",
    "bearing_marks",
    "crest_factor",
    "envelope_spectrum",
    "kurtosis",
    "orders",
    "rms",
    "spectrum",
    "velocity",
]

ISO_BAND_HZ: Final = (10.0, 1_000.0)
"""The band in which ISO 20816-3 takes the RMS of velocity."""
SAMPLES_MIN: Final = 64
_BANDS: Final = 8
_SLIP: Final = 0.02
"""Balls slip: real bearing frequencies lie up to 2 % beside those of the geometry (Randall and Antoni 2011)."""
_CHANCE: Final = 1e-4
_FLOOR_SPAN: Final = 0.3


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Lines at 0, `step_hz`, 2 `step_hz`, ...; `rms` (m,) of each: their squares add up to that of the signal."""

    step_hz: float
    rms: Floats

    def strength(self, low_hz: float, high_hz: float) -> float:
        """RMS of all lines from `low_hz` to `high_hz`, both included."""
        return float(np.sqrt(np.sum(self.rms[self._between(low_hz, high_hz)] ** 2)))

    def prominence(self, hz: float) -> float:
        """How far the strongest line near `hz` stands out; 1.0 is one chance in 10,000 in white noise.

        In noise the power of a line is exponential, so the largest of m is above x times the median by a chance of
        about m 2^-x. NaN where the spectrum does not reach so far, or its lines are too wide to tell.
        """
        near_hz = max(_SLIP * hz, self.step_hz)
        near = self._between(hz - near_hz, hz + near_hz)
        around = self._between((1.0 - _FLOOR_SPAN) * hz, (1.0 + _FLOOR_SPAN) * hz)
        if around.stop >= len(self.rms) or hz < 3.0 * self.step_hz or not near.stop > near.start:
            return float("nan")
        floor = np.concatenate((self.rms[around.start : near.start], self.rms[near.stop : around.stop])) ** 2
        if not len(floor):
            return float("nan")
        count = near.stop - near.start
        chance = np.median(floor) * np.log2(count / _CHANCE)
        return float(np.max(self.rms[near]) ** 2 / max(chance, 1e-300))

    def _between(self, low_hz: float, high_hz: float) -> slice:
        first = max(int(np.ceil(low_hz / self.step_hz - 1e-9)), 0)
        return slice(first, max(min(int(np.floor(high_hz / self.step_hz + 1e-9)) + 1, len(self.rms)), first))


@dataclass(frozen=True, slots=True)
class Mark:
    """How clearly one part of a bearing shows: in the spectrum itself, and in that of the envelope.

    `clear` says by chance or not: 1.0 and more is worth a look.
    """

    part: Part
    hz: float
    line: float
    envelope: float

    @property
    def clear(self) -> float:
        """The greater of the two; NaN where neither could be judged."""
        return float(np.fmax(self.line, self.envelope))


def rms(samples: ArrayLike) -> float:
    """Root of the mean square about the mean."""
    return float(np.std(_checked(samples)))


def crest_factor(samples: ArrayLike) -> float:
    """Largest distance from the mean by RMS: 1.41 for a sine, about 4 for noise, more for knocks; NaN at rest."""
    return _by(float(np.max(np.abs(_centred(samples)))), rms(samples))


def kurtosis(samples: ArrayLike) -> float:
    """Fourth moment by the square of the second: 3 for a sound bearing, above it when it begins to spall; NaN at rest.

    Dyer and Stewart, Detection of rolling element bearing damage by statistical vibration analysis, 1978.
    """
    off = _centred(samples)
    return _by(float(np.mean(off**4)), float(np.mean(off**2)) ** 2)


def spectrum(samples: ArrayLike, rate_hz: float) -> Spectrum:
    """The lines of the signal about its mean, through a Hann window."""
    return _lines(_centred(samples), rate_hz)


def band_rms(
    samples: ArrayLike, rate_hz: float, low_hz: float = ISO_BAND_HZ[0], high_hz: float = ISO_BAND_HZ[1]
) -> float:
    """RMS of what lies between two frequencies; by default the band of the standard."""
    return spectrum(samples, rate_hz).strength(low_hz, high_hz)


def velocity(acceleration: ArrayLike, rate_hz: float, low_hz: float = ISO_BAND_HZ[0]) -> Floats:
    """Velocity in mm/s of an acceleration in m/s2, without what lies below `low_hz`, where integration is all drift."""
    off = _centred(acceleration)
    lines = np.fft.rfft(off)
    hz = np.fft.rfftfreq(len(off), 1.0 / rate_hz)
    kept = hz >= max(low_hz, rate_hz / len(off))
    lines[kept] /= 2j * np.pi * hz[kept]
    lines[~kept] = 0.0
    return np.asarray(1_000.0 * np.fft.irfft(lines, len(off)))


def orders(samples: ArrayLike, rate_hz: float, shaft_hz: float, count: int = 3) -> tuple[float, ...]:
    """RMS at 1x, 2x, ... of the shaft: imbalance shows at 1x, misalignment at 2x (ISO 13373-3)."""
    lines = spectrum(samples, rate_hz)
    near_hz = max(_SLIP * shaft_hz, 2.0 * lines.step_hz)
    return tuple(
        lines.strength(order * shaft_hz - near_hz, order * shaft_hz + near_hz) for order in range(1, count + 1)
    )


def envelope_spectrum(samples: ArrayLike, rate_hz: float) -> Spectrum:
    """The spectrum of the squared envelope of the band that knocks most.

    A damaged bearing hits its housing at a low rate, and each hit rings high up: the envelope of the ringing shows the
    rate when the spectrum does not (Randall and Antoni, Rolling element bearing diagnostics: a tutorial, 2011). The
    band is the one of eight with the greatest kurtosis of its envelope, the idea of Antoni's kurtogram (2007).
    """
    off = _centred(samples)
    lines = np.fft.rfft(off)
    width = len(lines) // _BANDS
    # A slice of the lines, transformed back, is the band's envelope at as many points as it has lines.
    bands = [np.abs(np.fft.ifft(lines[width * place : width * (place + 1)])) ** 2 for place in range(_BANDS)]
    envelope = max(bands, key=_knocking)
    return _lines(envelope - envelope.mean(), rate_hz * width / len(off))


def bearing_marks(samples: ArrayLike, rate_hz: float, bearing: Bearing, shaft_hz: float) -> tuple[Mark, ...]:
    """How clearly each part of the bearing shows, the clearest first."""
    lines, envelope = spectrum(samples, rate_hz), envelope_spectrum(samples, rate_hz)
    marks = [
        Mark(part, hz, lines.prominence(hz), envelope.prominence(hz))
        for part, hz in bearing.frequencies_hz(shaft_hz).items()
    ]
    return tuple(sorted(marks, key=lambda mark: -np.nan_to_num(mark.clear)))


def _lines(off: Floats, rate_hz: float) -> Spectrum:
    window = np.hanning(len(off) + 1)[:-1]
    lines = np.abs(np.fft.rfft(off * window)) ** 2
    lines[1 : (len(off) + 1) // 2] *= 2.0
    return Spectrum(rate_hz / len(off), np.sqrt(lines / (len(off) * np.sum(window**2))))


def _knocking(envelope: Floats) -> float:
    return _by(float(np.mean(envelope**2)), float(np.mean(envelope)) ** 2) if envelope.any() else 0.0


def _by(value: float, size: float) -> float:
    return value / size if size > 0.0 else float("nan")


def _centred(samples: ArrayLike) -> Floats:
    taken = _checked(samples)
    return np.asarray(taken - taken.mean())


def _checked(samples: ArrayLike) -> Floats:
    taken = np.asarray(samples, dtype=np.float64)
    if taken.ndim != 1 or len(taken) < SAMPLES_MIN or not np.isfinite(taken).all():
        raise ValueError(
            f"a waveform of shape {taken.shape} cannot be read: give at least {SAMPLES_MIN} finite samples in a row"
        )
    return taken
