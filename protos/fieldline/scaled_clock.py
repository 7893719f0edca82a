"""A clock that runs at another speed than the wall: for plants whose days pass in seconds. Pure."""

import math
from dataclasses import dataclass
from typing import Annotated, Self

import pydantic

__all__ = ["ClockText", "ScaledClock"]

_SCALE_MAX = 1e6
_NS_MAX = 1 << 62


@dataclass(frozen=True, slots=True)
class ScaledClock:
    """At `wall_ns` it says `plant_ns`; from there on `scale` seconds pass in one. All times are Unix nanoseconds."""

    wall_ns: int
    plant_ns: int
    scale: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and 0.0 < self.scale <= _SCALE_MAX):
            raise ValueError(
                f"a scale of {self.scale} is not within 0 and {_SCALE_MAX:,.0f}; 3600 makes a second an hour"
            )
        for name, at_ns in (("wall", self.wall_ns), ("plant", self.plant_ns)):
            if not 0 <= at_ns <= _NS_MAX:
                raise ValueError(f"{name} time {at_ns} is no Unix time in nanoseconds after 1970 and before 2116")

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` of a clock says: `wall_ns,plant_ns,scale`. ValueError with the cure if it is not that."""
        parts = text.split(",")
        try:
            wall, plant, scale = parts
            numbers = int(wall), int(plant), float(scale)
        except ValueError:
            raise ValueError(f'{text[:80]!r} is no clock; write it like "wall_ns,plant_ns,scale"') from None
        return cls(*numbers)

    def __str__(self) -> str:
        return f"{self.wall_ns},{self.plant_ns},{self.scale!r}"

    def at(self, wall_ns: int) -> int:
        """What this clock says at a moment of the wall."""
        return self.plant_ns + round((wall_ns - self.wall_ns) * self.scale)

    def wall_at(self, plant_ns: int) -> int:
        """When, by the wall, this clock says `plant_ns`."""
        return self.wall_ns + round((plant_ns - self.plant_ns) / self.scale)


def _check(text: str) -> str:
    if text:
        ScaledClock.parse(text)
    return text


ClockText = Annotated[str, pydantic.AfterValidator(_check)]
"""A setting that names a clock: empty for the wall's, else `wall_ns,plant_ns,scale`."""
