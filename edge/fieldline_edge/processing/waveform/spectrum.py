"""The lines of a signal, and what they say near a frequency. Pure. The same rules as those of the hub's waveforms."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, fsum, log, nan, pi, sqrt
from typing import Final

from fieldline_edge.processing.waveform.fourier import lines, powers, transform

__all__ = ["Spectrum", "envelopes", "spectrum"]

_SLIP: Final = 0.02
"""Balls slip: real bearing frequencies lie up to 2 % beside those of the geometry (Randall and Antoni 2011)."""
_CHANCE: Final = 1e-4
_FLOOR_SPAN: Final = 0.3
_WORTH: Final = 0.67
_BANDS_MAX: Final = 8
_WIDTH_MIN: Final = 32  # lines of a band: fewer make no spectrum


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Lines at 0, `step_hz`, 2 `step_hz`, ...; `squares` are their mean squares and add up to that of the signal."""

    step_hz: float
    squares: Sequence[float]

    def strength(self, low_hz: float, high_hz: float) -> float:
        """RMS of all lines from `low_hz` to `high_hz`, both included."""
        return sqrt(sum(self.squares[self._between(low_hz, high_hz)]))

    def near(self, hz: float) -> float:
        """RMS of the lines about `hz`: 2 % to either side, two lines at least."""
        near_hz = max(_SLIP * hz, 2.0 * self.step_hz)
        return self.strength(hz - near_hz, hz + near_hz)

    def velocity(self, low_hz: float, high_hz: float) -> float:
        """RMS in mm/s from `low_hz` to `high_hz`, of an acceleration in m/s2."""
        between = self._between(low_hz, high_hz)
        steps = range(between.start, between.stop)
        pace = 2.0 * pi * self.step_hz
        return 1_000.0 * sqrt(sum(self.squares[step] / (pace * step) ** 2 for step in steps if step))

    def prominence(self, hz: float, tries: int = 1) -> float:
        """How far the strongest line near `hz` stands out; 1.0 is one chance in 10,000 in white noise, where so many
        spectra are looked at and the best one counts.

        NaN where the spectrum does not reach so far, or its lines are too wide to tell.
        """
        near_hz = max(_SLIP * hz, self.step_hz)
        near = self._between(hz - near_hz, hz + near_hz)
        around = self._between((1.0 - _FLOOR_SPAN) * hz, (1.0 + _FLOOR_SPAN) * hz)
        if around.stop >= len(self.squares) or hz < 3.0 * self.step_hz or near.stop <= near.start:
            return nan
        beside = sorted((*self.squares[around.start : near.start], *self.squares[near.stop : around.stop]))
        if not beside:
            return nan
        floor = beside[len(beside) // 2]
        rare = _rare(len(beside), tries * (near.stop - near.start))
        return max(self.squares[near]) / max(floor * rare, 1e-300)

    def _between(self, low_hz: float, high_hz: float) -> slice:
        first = max(ceil(low_hz / self.step_hz - 1e-9), 0)
        return slice(first, max(min(floor(high_hz / self.step_hz + 1e-9) + 1, len(self.squares)), first))


@lru_cache(maxsize=4096)
def _rare(beside: int, tries: int) -> float:
    """How many times the median of so many lines of noise the greatest of `tries` others is by a chance of 1 in 10,000.

    The squares of lines are exponential in noise. So P(line > x median) is the mean of exp(-x median), and that of the
    k-th smallest of m is the product of (m - i) / (m - i + x) over i < k, for it is a sum of exponential steps (Renyi,
    Acta Mathematica Hungarica 4, 1953). A few lines make an uncertain median: then more is asked. Neighbours are not
    independent through a Hann window, so they count for `_WORTH` of their number.
    """
    count = max(round(_WORTH * beside), 1)
    steps = [count - place for place in range(count // 2 + 1)]
    wanted = log(_CHANCE / tries)
    low, high = 0.0, 1e6
    for _ in range(60):
        middle = 0.5 * (low + high)
        if fsum(log(step / (step + middle)) for step in steps) > wanted:
            low = middle
        else:
            high = middle
    return high


def spectrum(samples: Sequence[float], rate_hz: float) -> Spectrum:
    """The lines of samples about zero; of those that are no power of two, the mean of two parts that overlap."""
    parts = _parts(samples)
    return _mean([powers(part) for part in parts], rate_hz / len(parts[0]))


def envelopes(samples: Sequence[float], rate_hz: float, reach_hz: float) -> list[Spectrum]:
    """The lines of the squared envelope of each of up to eight bands, up to `reach_hz` at least where that can be.

    A damaged bearing hits its housing at a low rate, and each hit rings high up: the envelope of the ringing shows the
    rate when the spectrum does not (Randall and Antoni, Rolling element bearing diagnostics: a tutorial, 2011). Nobody
    knows beforehand where it rings, and the band with the most impulsive envelope, which Antoni's kurtogram (2007)
    takes, is often another while the damage is small: so all are told, and `prominence` counts the tries.
    """
    parts = _parts(samples)
    count = len(parts[0])
    bands = _BANDS_MAX
    # The envelope of a band has as many points a second as the band is wide, so its spectrum reaches half as far.
    while bands > 1 and (rate_hz / (2 * bands) < 2.0 * reach_hz or count // 2 // bands < _WIDTH_MIN):
        bands //= 2
    width = count // 2 // bands
    squares: list[list[list[float]]] = [[] for _ in range(bands)]
    for part in parts:
        found = lines(part)
        for place in range(bands):
            points = _envelope(found[width * place : width * (place + 1)])
            mean = sum(points) / width
            squares[place].append(powers([point - mean for point in points]))
    return [_mean(band, rate_hz / count) for band in squares]


def _envelope(band: Sequence[complex]) -> list[float]:
    """Squares of the envelope: a slice of the lines, transformed back, which may as well be done forwards mirrored."""
    scale = 1.0 / len(band) ** 2
    turned = transform([line.conjugate() for line in band])
    return [scale * (point.real * point.real + point.imag * point.imag) for point in turned]


def _parts(samples: Sequence[float]) -> list[Sequence[float]]:
    count = 1 << (len(samples).bit_length() - 1)
    return [samples] if count == len(samples) else [samples[:count], samples[-count:]]


def _mean(parts: Sequence[Sequence[float]], step_hz: float) -> Spectrum:
    return Spectrum(step_hz, [sum(each) / len(parts) for each in zip(*parts, strict=True)])
