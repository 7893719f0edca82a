"""Gathers samples to captures and puts the features of each in their place. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from fieldline.model import Quality, Reading
from fieldline_edge.processing.stage import ProcessingStats, number_of
from fieldline_edge.processing.waveform.features import SAMPLE_MAX, FeatureSpec, features

__all__ = ["CaptureSpec", "Shaft", "Waveforms"]

_GAP_PERIODS: Final = 2.5
"""Samples further apart than this are of two captures."""
_SIGNIFICANT: Final = 6  # digits of a feature; more is noise that costs bytes

Shaft = Callable[[int], float | None]
"""Turns of the shaft a second at a time in ns, or None."""


@dataclass(frozen=True, slots=True)
class CaptureSpec:
    """Samples of `tag` make captures, `samples` long each."""

    tag: str
    samples: int
    features: FeatureSpec
    keep_raw: bool = False


class Waveforms:
    """Replaces the samples of some tags of a device by features; other readings pass as they are.

    A capture is `samples` readings in succession, none of them bad, without a gap. What is cut short by a gap, a bad
    reading or a time that goes back is dropped and counted. Features carry the time of the last sample and the worst
    quality of all; one that has no answer is BAD_CALCULATION. A bad sample makes all features bad, told once.
    """

    def __init__(self, captures: Iterable[tuple[CaptureSpec, Shaft]], stats: ProcessingStats) -> None:
        self._gatherers = {spec.tag: _Gatherer(spec, shaft, stats) for spec, shaft in captures}

    def extend(self, readings: Iterable[Reading]) -> list[Reading]:
        """The readings, with features where captures end."""
        out: list[Reading] = []
        gatherers = self._gatherers
        for reading in readings:
            gatherer = gatherers.get(reading.tag)
            if gatherer is None:
                out.append(reading)
            else:
                gatherer.put(reading, out)
        return out


class _Gatherer:
    """The open capture of one tag."""

    def __init__(self, spec: CaptureSpec, shaft: Shaft, stats: ProcessingStats) -> None:
        self._spec = spec
        self._shaft = shaft
        self._stats = stats
        self._gap_ns = round(_GAP_PERIODS * 1e9 / spec.features.rate_hz)
        self._names = {name: f"{spec.tag}.{name}" for name in spec.features.units}
        self._samples: list[float] = []
        self._last_ns = 0
        self._worst = Quality.GOOD
        self._told: Quality | None = None  # why the features are bad, while they are

    def put(self, reading: Reading, out: list[Reading]) -> None:
        """Take a sample; `out` takes what it brings."""
        if self._spec.keep_raw:
            out.append(reading)
        else:
            self._stats.waveform += 1
        quality, at_ns = reading.quality, reading.at_ns
        value = None if quality >= Quality.BAD else number_of(reading.value)
        if value is None or abs(value) > SAMPLE_MAX:
            self._cut()
            self._tell_bad(at_ns, quality if quality >= Quality.BAD else Quality.BAD_CALCULATION, out)
            return
        if self._samples and not 0 <= at_ns - self._last_ns <= self._gap_ns:
            self._cut()
        if quality > self._worst:
            self._worst = quality
        self._last_ns = at_ns
        self._samples.append(value)
        if len(self._samples) >= self._spec.samples:
            self._tell(at_ns, out)

    def _tell(self, at_ns: int, out: list[Reading]) -> None:
        samples, self._samples = self._samples, []
        worst, self._worst = self._worst, Quality.GOOD
        self._told = None
        self._stats.waveforms += 1
        for name, found in features(samples, self._spec.features, self._shaft(at_ns)).items():
            number = number_of(found)
            if number is None:
                out.append(Reading(self._names[name], at_ns, None, Quality.BAD_CALCULATION))
            else:
                out.append(Reading(self._names[name], at_ns, float(f"{number:.{_SIGNIFICANT}g}"), worst))

    def _tell_bad(self, at_ns: int, quality: Quality, out: list[Reading]) -> None:
        if self._told is quality:
            return
        self._told = quality
        out.extend(Reading(name, at_ns, None, quality) for name in self._names.values())

    def _cut(self) -> None:
        if self._samples:
            self._stats.waveforms_cut += 1
            self._samples = []
        self._worst = Quality.GOOD
