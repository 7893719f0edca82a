"""From one waveform to the numbers that tell of a machine: strength, shape, lines of the shaft, faults. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, nan, sqrt
from typing import Final

from fieldline_edge.processing.waveform.spectrum import envelopes, spectrum

__all__ = ["ACCELERATIONS", "SAMPLE_MAX", "FeatureSpec", "features"]

ACCELERATIONS: Final = {"m/s2": 1.0, "m/s²": 1.0, "mm/s2": 1e-3, "mm/s²": 1e-3, "g": 9.80665, "mg": 9.80665e-3}
"""Units of acceleration, in m/s2. Samples in one of them have a velocity, too."""
SAMPLE_MAX: Final = 1e60
"""No sensor says more, in any unit; the fourth powers of these do not overflow."""
_ISO_BAND_HZ: Final = (10.0, 1_000.0)  # in which ISO 20816-3 takes the RMS of velocity


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What is to be told. `orders` are faults by name, as multiples of the shaft's turns; `unit` is that of samples."""

    rate_hz: float
    unit: str = ""
    bands_hz: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    harmonics: int = 0
    orders: Mapping[str, float] = field(default_factory=dict)

    @property
    def units(self) -> dict[str, str]:
        """Names of all features, each with its unit, in the order they are told."""
        told = {"rms": self.unit, "peak": self.unit, "crest": "", "kurtosis": ""}
        if self.unit in ACCELERATIONS:
            told["velocity"] = "mm/s"
        told |= dict.fromkeys(self.bands_hz, self.unit)
        told |= {f"{order}x": self.unit for order in range(1, self.harmonics + 1)}
        return told | dict.fromkeys(self.orders, "")


def features(samples: Sequence[float], spec: FeatureSpec, shaft_hz: float | None) -> dict[str, float]:
    """Every feature by name; NaN for what this waveform or an unknown shaft cannot tell. Samples are within SAMPLE_MAX.

    `rms` and `peak` are about the mean. `crest` is 1.41 for a sine, about 4 for noise, more for knocks; `kurtosis` 3
    for a sound bearing, above it when it begins to spall (Dyer and Stewart 1978). Bands and harmonics are RMS. An
    order is how clearly it shows, in the spectrum or in that of the envelope of a band, whichever is most: 1.0 is one
    chance in 10,000 in white noise.
    """
    mean = fsum(samples) / len(samples)
    off = [sample - mean for sample in samples]
    found = dict.fromkeys(spec.units, nan)
    square = fsum(each * each for each in off) / len(off)
    found["rms"] = sqrt(square)
    found["peak"] = max(abs(each) for each in off)
    if square * square > 0.0:
        found["crest"] = found["peak"] / found["rms"]
        found["kurtosis"] = fsum(each * each * each * each for each in off) / len(off) / (square * square)
    lines = spectrum(off, spec.rate_hz)
    if spec.unit in ACCELERATIONS:
        found["velocity"] = ACCELERATIONS[spec.unit] * lines.velocity(*_ISO_BAND_HZ)
    for name, band in spec.bands_hz.items():
        found[name] = lines.strength(*band)
    if shaft_hz is None:
        return found
    for times in range(1, spec.harmonics + 1):
        if 2.0 * lines.step_hz <= times * shaft_hz < spec.rate_hz / 2.0:
            found[f"{times}x"] = lines.near(times * shaft_hz)
    if spec.orders:
        knocks = envelopes(off, spec.rate_hz, max(spec.orders.values()) * shaft_hz)
        for name, order in spec.orders.items():
            hz = order * shaft_hz
            told = [lines.prominence(hz), *(band.prominence(hz, len(knocks)) for band in knocks)]
            found[name] = max((each for each in told if each == each), default=nan)
    return found
