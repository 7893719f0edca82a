"""Vibration as a condition monitor sees it: harmonics of the shaft, bearing frequencies, shape, waveform. Pure.

The overall value of a machine is the root of the sum of squares of what is in here, so that bands and overall agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, pi, radians, sin, sqrt
from random import Random

from fieldline_edge.drivers.simulator.machines import Parts
from fieldline_edge.drivers.simulator.noise import Dice
from fieldline_edge.drivers.simulator.registers import Kind, Register
from fieldline_edge.drivers.simulator.signals import Signal, SignalValue

__all__ = ["REGISTERS", "SIGNALS", "WAVEFORM_ADDRESS", "WAVEFORM_SCALE", "Bearing", "Monitor", "bands"]

WAVEFORM_ADDRESS = 1000
WAVEFORM_SCALE = 0.01
_INT16_MAX = 32_767
_EPSILON_S = 1e-9  # step sums carry binary dust; without this a waveform could come one step late


@dataclass(frozen=True, slots=True)
class Bearing:
    """The geometry of a rolling bearing whose outer ring stands still. Lengths in millimetres."""

    balls: int = 9
    ball_mm: float = 7.94
    pitch_mm: float = 39.04
    contact_deg: float = 0.0

    def outer_hz(self, shaft_hz: float) -> float:
        """BPFO: how often a ball passes a point of the outer ring (Randall and Antoni 2011, equation 1)."""
        return self.balls / 2.0 * shaft_hz * (1.0 - self._ratio())

    def inner_hz(self, shaft_hz: float) -> float:
        """BPFI: how often a ball passes a point of the inner ring (equation 2 there)."""
        return self.balls / 2.0 * shaft_hz * (1.0 + self._ratio())

    def _ratio(self) -> float:
        return self.ball_mm / self.pitch_mm * cos(radians(self.contact_deg))


@dataclass(frozen=True, slots=True)
class _Bands:
    """RMS of each band in mm/s."""

    one: float
    two: float
    three: float
    outer: float
    inner: float
    noise: float

    @property
    def overall(self) -> float:
        squares = (self.one, self.two, self.three, self.outer, self.inner, self.noise)
        return sqrt(sum(each * each for each in squares))


SIGNALS = (
    Signal("vibration_1x", "mm/s", 0, 50, 0.02, 0.01),
    Signal("vibration_2x", "mm/s", 0, 50, 0.02, 0.01),
    Signal("vibration_3x", "mm/s", 0, 50, 0.02, 0.01),
    Signal("vibration_bpfo", "mm/s", 0, 50, 0.02, 0.01),
    Signal("vibration_bpfi", "mm/s", 0, 50, 0.02, 0.01),
    Signal("vibration_peak", "mm/s", 0, 300, 0.1, 0.01),
    Signal("vibration_crest", "", 0, 20, 0.05, 0.01),
    Signal("vibration_kurtosis", "", 0, 60, 0.05, 0.01),
)
"""What a monitor tells beside the signals of the machine."""

_SENSORS = [(signal.name, signal.sensor()) for signal in SIGNALS]

REGISTERS = tuple(
    Register(signal.name, Kind.INPUT, 10 + place, "uint16", scale=0.01) for place, signal in enumerate(SIGNALS)
)


def bands(parts: Parts) -> _Bands:
    """How the parts share out: energies, so that the sum stays what it was.

    Imbalance is all 1x, misalignment mostly 2x, a worn bearing shows at its own frequencies, cavitation is noise.
    """
    shaft, crooked, worn = parts.shaft**2, parts.misalignment**2, parts.bearing**2
    return _Bands(
        one=sqrt(0.75 * shaft + parts.imbalance**2 + 0.2 * crooked),
        two=sqrt(0.12 * shaft + 0.7 * crooked),
        three=sqrt(0.05 * shaft + 0.1 * crooked),
        outer=sqrt(0.55 * worn),
        inner=sqrt(0.25 * worn),
        noise=sqrt(0.08 * shaft + 0.2 * worn + parts.cavitation**2),
    )


class Monitor:
    """The monitor on one machine. It captures a waveform every `period_s` and keeps it until the next.

    Its noise comes from numbers of its own, so that a machine tells the same with and without a monitor.
    """

    def __init__(self, bearing: Bearing, *, samples: int, rate_hz: float, period_s: float, seed: str) -> None:
        self._dice = Dice(f"{seed}/monitor", len(SIGNALS))
        self.rate_hz = rate_hz
        self._bearing = bearing
        self._samples = samples
        self._period_s = period_s
        self._seed = seed
        self._number = -1
        self._captured: Parts | None = None
        self._waveform: tuple[int, ...] | None = None

    @property
    def captures(self) -> int:
        """How many waveforms have been captured."""
        return self._number + 1

    def due(self, now_s: float) -> bool:
        """Whether a new waveform is to be captured."""
        return int((now_s + _EPSILON_S) / self._period_s) != self._number

    def capture(self, parts: Parts, now_s: float) -> None:
        """Keep what the waveform from now on is made of."""
        self._number, self._captured, self._waveform = int((now_s + _EPSILON_S) / self._period_s), parts, None

    def tell(self, parts: Parts, step: int) -> Mapping[str, SignalValue]:
        """What each of its signals says."""
        found = bands(parts)
        # Early wear is sharp impacts on a quiet signal: crest and kurtosis rise first, and fall as all is worn.
        sharpness = min(4.0 * parts.wear * max(1.0 - parts.wear, 0.15), 1.0) if parts.wear > 0.0 else 0.0
        crest = 3.2 + 4.0 * sharpness
        truth = (
            found.one,
            found.two,
            found.three,
            found.outer,
            found.inner,
            crest * found.overall,
            crest,
            2.8 + 8.0 * sharpness,
        )
        thrown = self._dice.throw(step)
        return {name: sense(value, luck) for (name, sense), value, luck in zip(_SENSORS, truth, thrown, strict=True)}

    def waveform(self) -> tuple[int, ...]:
        """The last waveform: velocity in steps of 0.01 mm/s. A function of the seed and the moment of the capture."""
        if self._waveform is None:
            self._waveform = self._make() if self._captured is not None else ()
        return self._waveform

    def _make(self) -> tuple[int, ...]:
        parts = self._captured
        assert parts is not None
        random = Random(f"{self._seed}/waveform/{self._number}")
        found = bands(parts)
        hz = parts.shaft_hz
        rates = (hz, 2 * hz, 3 * hz, self._bearing.outer_hz(hz), self._bearing.inner_hz(hz))
        sizes = (found.one, found.two, found.three, found.outer, found.inner)
        waves = [
            (sqrt(2.0) * size, 2.0 * pi * rate / self.rate_hz, random.uniform(0.0, 2.0 * pi))
            for size, rate in zip(sizes, rates, strict=True)
            if size > 0.0
        ]
        gauss, noise = random.gauss, found.noise
        samples = []
        for at in range(self._samples):
            value = sum(size * sin(pace * at + phase) for size, pace, phase in waves) + gauss(0.0, noise)
            samples.append(max(min(round(value / WAVEFORM_SCALE), _INT16_MAX), -_INT16_MAX))
        return tuple(samples)
