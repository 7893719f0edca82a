"""How a machine's vibration stands against the zones of ISO 20816-3 (before 2022: ISO 10816-3). Pure.

    zone A   as of a new machine
    zone B   fit for running without limit
    zone C   not fit for long: plan a repair                    score 1.0 and more: a warning
    zone D   enough to damage the machine                       score 2.0 and more: critical

The boundaries below are those in common use for velocity RMS in the band of 10 to 1,000 Hz (from 2 Hz where a machine
runs below 600 rpm). The standard is sold, not published: check them against your copy, and set `limits` where it or the
maker of the machine says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from fieldline.model import Severity
from fieldline_cloud.detectors.normal import Floats

__all__ = [
    "BOUNDARIES",
    "SCORE_C",
    "SCORE_D",
    "Foundation",
    "MachineGroup",
    "Vibration",
    "VibrationSettings",
    "Zone",
    "ZoneLimits",
    "mm_per_s",
    "severity_of",
]

_VERSION: Final = 1
SCORE_C: Final = 1.0
SCORE_D: Final = 2.0
_SCORE_B: Final = 0.5
_SPEED_MAX: Final = 1e9
"""No machine shakes like this, in any unit."""
_PER_UNIT: Final = {"mm/s": 1.0, "cm/s": 10.0, "m/s": 1_000.0, "in/s": 25.4, "ips": 25.4, "um/s": 1e-3, "µm/s": 1e-3}


class MachineGroup(IntEnum):
    """Which table of the standard a machine belongs to."""

    LARGE = 1
    """Above 300 kW, or electrical machines with a shaft height of 315 mm and more."""
    MEDIUM = 2
    """15 to 300 kW, or electrical machines with a shaft height of 160 to 315 mm."""


class Foundation(Enum):
    """What the machine stands on, measured in the direction of the vibration."""

    RIGID = "rigid"
    """The lowest natural frequency of machine and support is at least a quarter above the running speed."""
    FLEXIBLE = "flexible"
    """Any other."""


class Zone(IntEnum):
    """The evaluation zones."""

    A = 0
    B = 1
    C = 2
    D = 3


@dataclass(frozen=True, slots=True)
class ZoneLimits:
    """The boundaries between the zones, velocity RMS in mm/s."""

    a_b_mm_per_s: float
    b_c_mm_per_s: float
    c_d_mm_per_s: float

    def __post_init__(self) -> None:
        if not 0.0 < self.a_b_mm_per_s < self.b_c_mm_per_s < self.c_d_mm_per_s < np.inf:
            raise ValueError(
                f"the boundaries {self.a_b_mm_per_s:g}, {self.b_c_mm_per_s:g}, {self.c_d_mm_per_s:g} mm/s do not rise: "
                "give A/B < B/C < C/D, all above 0"
            )

    @property
    def rising(self) -> tuple[float, float, float]:
        """All three."""
        return self.a_b_mm_per_s, self.b_c_mm_per_s, self.c_d_mm_per_s


BOUNDARIES: Final = {
    (MachineGroup.LARGE, Foundation.RIGID): ZoneLimits(2.3, 4.5, 7.1),
    (MachineGroup.LARGE, Foundation.FLEXIBLE): ZoneLimits(3.5, 7.1, 11.0),
    (MachineGroup.MEDIUM, Foundation.RIGID): ZoneLimits(1.4, 2.8, 4.5),
    (MachineGroup.MEDIUM, Foundation.FLEXIBLE): ZoneLimits(2.3, 4.5, 7.1),
}


@dataclass(frozen=True, slots=True)
class VibrationSettings:
    """What a machine is. The defaults are those of a pump or fan of 15 to 300 kW bolted to concrete.

    `limits` stands in for the table. A zone is left downwards only when the value is `hysteresis` (a share) below the
    boundary. `unit` is that of the values.
    """

    group: MachineGroup = MachineGroup.MEDIUM
    foundation: Foundation = Foundation.RIGID
    limits: ZoneLimits | None = None
    hysteresis: float = 0.1
    unit: str = "mm/s"

    def __post_init__(self) -> None:
        if not 0.0 <= self.hysteresis < 1.0:
            raise ValueError(f"hysteresis is {self.hysteresis:g}; it is a share of the boundary, from 0 to below 1")
        mm_per_s(self.unit)

    @property
    def boundaries(self) -> ZoneLimits:
        """The limits that hold."""
        return self.limits or BOUNDARIES[self.group, self.foundation]


class Vibration:
    """Tells the zone of one velocity RMS tag. Nothing to learn, so it judges from the first value.

    Scores are a scale on which boundaries are whole numbers, whatever the machine: 0.5 between A and B, 1.0 between B
    and C, 2.0 between C and D, straight in between, and in proportion above. No good value (NaN, below 0): NaN.
    """

    def __init__(self, settings: VibrationSettings | None = None) -> None:
        self.settings = settings or VibrationSettings()
        self.zone: Zone | None = None
        """The zone of the last good value, with hysteresis; None before the first."""
        self._factor = mm_per_s(self.settings.unit)
        self._limits = self.settings.boundaries.rising

    @property
    def learning(self) -> bool:
        """Never."""
        return False

    def update(self, times: ArrayLike, values: ArrayLike) -> Floats:
        """Judge `values` (n,), RMS in `unit`; `times` do not matter: the zone of a value does not depend on them."""
        speeds = np.asarray(values, dtype=np.float64)
        speeds = np.where((speeds >= 0.0) & (speeds < _SPEED_MAX), speeds, np.nan) * self._factor
        top = self._limits[-1]
        scores = np.interp(speeds, (0.0, *self._limits), (0.0, _SCORE_B, SCORE_C, SCORE_D))
        self._follow(speeds)
        return np.asarray(np.where(speeds > top, SCORE_D * speeds / top, scores))

    def expected(self) -> tuple[float, float]:
        """The band (low, high) of a machine fit to run: zones A and B, in `unit`."""
        return 0.0, self._limits[1] / self._factor

    def snapshot(self) -> dict[str, Any]:
        """All it remembers as plain data."""
        return {"version": _VERSION, "zone": None if self.zone is None else int(self.zone)}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken. ValueError where it is not one of ours, and nothing has changed then."""
        try:
            if snapshot["version"] != _VERSION:
                raise ValueError(f"version {snapshot['version']!r}, {_VERSION} is known")
            self.zone = None if snapshot["zone"] is None else Zone(snapshot["zone"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no snapshot of a vibration detector: {error!r}; begin without it") from error

    def _follow(self, speeds: Floats) -> None:
        lower = np.asarray(self._limits) * (1.0 - self.settings.hysteresis)
        highest = np.searchsorted(self._limits, speeds, side="left")
        lowest = np.searchsorted(lower, speeds, side="left")
        zone = self.zone
        for up, down, speed in zip(highest.tolist(), lowest.tolist(), speeds.tolist(), strict=True):
            if speed == speed:
                zone = Zone(up if zone is None else min(max(zone, up), down))
        self.zone = zone


def severity_of(score: float) -> Severity | None:
    """What an alert with this score is: None below zone C."""
    if score >= SCORE_D:
        return Severity.CRITICAL
    return Severity.WARNING if score >= SCORE_C else None


def mm_per_s(unit: str) -> float:
    """How many mm/s one `unit` is. ValueError where it is no velocity: accelerations and displacements have no zone."""
    try:
        return _PER_UNIT[unit.strip()]
    except KeyError:
        known = ", ".join(_PER_UNIT)
        raise ValueError(
            f"{unit!r} is no unit of velocity known here ({known}); zones need velocity RMS, "
            "which waveform.velocity makes of an acceleration"
        ) from None
