"""What a sensor makes of the truth: noise, range and steps, per signal. Pure."""

from dataclasses import dataclass
from enum import Enum
from math import expm1, sqrt
from random import Random

__all__ = ["Form", "Signal", "SignalValue", "Wander", "approach"]

SignalValue = float | int | bool | str


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

    def sense(self, truth: float, random: Random) -> SignalValue:
        """What the sensor says when the truth is `truth`; one draw from `random` if the sensor is noisy."""
        if self.noise:
            truth += random.gauss(0.0, self.noise)
        return self.tell(truth)

    def tell(self, value: float) -> SignalValue:
        """`value` within the sensor's range and on its steps."""
        if self.form is Form.BOOL:
            return value >= 0.5
        if self.form is Form.TEXT:
            return self.text
        value = min(max(value, self.low), self.high)
        if self.form is Form.INT:
            return int(value)
        if self.resolution:
            # The outer round takes away the binary dust of the product, so that JSON shows 23.4.
            return float(round(round(value / self.resolution) * self.resolution, 6))
        return value


class Wander:
    """Slow random movement around zero with standard deviation 1 (an Ornstein-Uhlenbeck process).

    One draw from `random` at every step, whatever happens to the machine: so a fault never changes the noise.
    """

    __slots__ = ("_random", "_tau_s", "value")

    def __init__(self, random: Random, *, tau_s: float) -> None:
        self._random = random
        self._tau_s = tau_s
        self.value = random.gauss(0.0, 1.0)

    def step(self, dt_s: float) -> float:
        """The value `dt_s` later."""
        kept = 1.0 + expm1(-dt_s / self._tau_s)
        self.value = kept * self.value + sqrt(1.0 - kept * kept) * self._random.gauss(0.0, 1.0)
        return self.value


def approach(value: float, target: float, dt_s: float, tau_s: float) -> float:
    """First-order inertia: where `value` is after `dt_s` on its way to `target`; exact for any step."""
    return value - (target - value) * expm1(-dt_s / tau_s)
