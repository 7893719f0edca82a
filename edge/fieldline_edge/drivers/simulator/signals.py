"""What a sensor makes of the truth: noise, range and steps, per signal. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import expm1, sqrt
from random import Random

__all__ = ["Form", "Sensor", "Signal", "SignalValue", "Wander", "approach"]

SignalValue = float | int | bool | str
Sensor = Callable[[float, float], SignalValue]


class Form(Enum):
    """How a signal is told: as a number, a whole number, a yes or no, or a text that never changes."""

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a machine and the sensor that tells it.

    `low` and `high` are the sensor's range, `noise` its standard deviation, `resolution` its smallest step;
    all in `unit`. `text` is what a signal of that form says.
    """

    name: str
    unit: str
    low: float
    high: float
    noise: float = 0.0
    resolution: float = 0.0
    form: Form = Form.FLOAT
    text: str = ""

    def sensor(self) -> Sensor:
        """The sensor as a function: what it says when the truth is so, and its noise so many deviations off."""
        noise, low, high, tell = self.noise, self.low, self.high, self.tell
        steps = round(1.0 / self.resolution) if self.resolution else 0
        if self.form is not Form.FLOAT or not steps or abs(steps * self.resolution - 1.0) > 1e-9:
            return lambda truth, luck: tell(truth + luck * noise)

        def sense(truth: float, luck: float) -> float:
            """The usual case, told apart once and not at every look: the same as `tell`, in a third of the time."""
            value = truth + luck * noise
            if not low <= value <= high:
                value = low if value < low else high
            return round(value * steps) / steps

        return sense

    def tell(self, value: float) -> SignalValue:
        """`value` within the sensor's range and on its steps."""
        if self.form is Form.BOOL:
            return value >= 0.5
        if self.form is Form.TEXT:
            return self.text
        if not self.low <= value <= self.high:
            value = self.low if value < self.low else self.high
        if self.form is Form.INT:
            return int(value)
        if self.resolution:
            steps = round(1.0 / self.resolution)
            if steps and abs(steps * self.resolution - 1.0) < 1e-9:
                return round(value * steps) / steps  # the nearest float to 23.4, which a product would miss
            return round(round(value / self.resolution) * self.resolution, 6)
        return value


class Wander:
    """Slow random movement around zero with standard deviation 1 (an Ornstein-Uhlenbeck process).

    One draw from `random` at every step, whatever happens to the machine: so a fault never changes the noise.
    """

    __slots__ = ("_dt_s", "_kept", "_random", "_spread", "_tau_s", "value")

    def __init__(self, random: Random, *, tau_s: float) -> None:
        self._random = random
        self._tau_s = tau_s
        self._dt_s = self._kept = self._spread = 0.0
        self.value = random.gauss(0.0, 1.0)

    def step(self, dt_s: float) -> float:
        """The value `dt_s` later."""
        if dt_s != self._dt_s:
            self._dt_s = dt_s
            self._kept = 1.0 + expm1(-dt_s / self._tau_s)
            self._spread = sqrt(1.0 - self._kept * self._kept)
        self.value = self._kept * self.value + self._spread * self._random.gauss(0.0, 1.0)
        return self.value


def approach(value: float, target: float, dt_s: float, tau_s: float) -> float:
    """First-order inertia: where `value` is after `dt_s` on its way to `target`; exact for any step."""
    return value - (target - value) * expm1(-dt_s / tau_s)
