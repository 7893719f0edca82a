"""Which frequencies the geometry of a rolling bearing makes when a part of it is damaged. Pure."""

from dataclasses import dataclass
from enum import Enum
from math import cos, radians

__all__ = ["Bearing", "Part"]


class Part(Enum):
    """What can be damaged, by the usual short name of its frequency."""

    OUTER_RING = "bpfo"
    INNER_RING = "bpfi"
    BALL = "bsf"
    CAGE = "ftf"


@dataclass(frozen=True, slots=True)
class Bearing:
    """A bearing whose outer ring stands still: balls or rollers, their diameter, that of their circle, the angle."""

    balls: int
    ball_mm: float
    pitch_mm: float
    contact_deg: float = 0.0

    def __post_init__(self) -> None:
        if self.balls < 3 or not 0.0 < self.ball_mm < self.pitch_mm or not 0.0 <= self.contact_deg < 90.0:
            raise ValueError(
                f"no bearing has {self.balls} balls of {self.ball_mm:g} mm on a circle of {self.pitch_mm:g} mm "
                f"at {self.contact_deg:g} degrees: give 3 balls or more, smaller than their circle, below 90 degrees"
            )

    def frequencies_hz(self, shaft_hz: float) -> dict[Part, float]:
        """The frequency of each part at a shaft speed (Randall and Antoni 2011, equations 1 to 4).

        A damaged ball hits both rings, so it mostly shows at twice the frequency given here.
        """
        ratio = self.ball_mm / self.pitch_mm * cos(radians(self.contact_deg))
        return {
            Part.OUTER_RING: self.balls / 2.0 * shaft_hz * (1.0 - ratio),
            Part.INNER_RING: self.balls / 2.0 * shaft_hz * (1.0 + ratio),
            Part.BALL: self.pitch_mm / (2.0 * self.ball_mm) * shaft_hz * (1.0 - ratio * ratio),
            Part.CAGE: shaft_hz / 2.0 * (1.0 - ratio),
        }
