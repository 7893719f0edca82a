"""Settings of vibration zones, and the limits they come down to. Pure."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fieldline.config import Settings
from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.rules.limits import Level, Range
from fieldline_cloud.detectors.vibration import Foundation, MachineGroup, VibrationSettings, ZoneLimits, mm_per_s

__all__ = ["ZoneSettings"]

_UNIT = "mm/s"


class ZoneSettings(Settings):
    """Limits on a vibration by the zones of ISO 20816-3, from what the machine is: a warning in zone C, critical in D.

    The boundaries are those in common use; check them against your copy of the standard.
    """

    group: Literal["large", "medium"] = "medium"
    """Above 300 kW (large), or 15 to 300 kW."""
    foundation: Literal["rigid", "flexible"] = "rigid"
    """What the machine stands on, in the direction of the vibration."""
    limits_mm_per_s: Annotated[list[float], Field(min_length=3, max_length=3)] | None = None
    """Boundaries A/B, B/C and C/D where the standard's table does not hold; left out: the table."""
    hysteresis: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the boundary B/C that the value must come back inside a boundary before its alarm may clear."""
    on_delay_s: Annotated[float, Field(ge=0, le=86_400 * 31, allow_inf_nan=False)] = 10.0
    """How long the value must stay in a zone before the alarm is raised."""
    off_delay_s: Annotated[float, Field(ge=0, le=86_400 * 31, allow_inf_nan=False)] = 60.0
    """How long the value must stay back before the alarm is cleared."""
    latch: bool = False
    """Whether the alarm stays, once back to normal, until somebody has acknowledged it."""

    @model_validator(mode="after")
    def _boundaries_rise(self) -> Self:
        self._machine()
        return self

    def build(self, cause: str, unit: str) -> Range:
        """The limits these settings describe, in `unit`; ValueError where that is no velocity."""
        per_mm_per_s = 1.0 / mm_per_s(unit or _UNIT)
        _, warning, critical = (limit * per_mm_per_s for limit in self._machine().boundaries.rising)
        levels = (
            Level(name="hi", limit=warning, above=True, severity=Severity.WARNING),
            Level(name="hi_hi", limit=critical, above=True, severity=Severity.CRITICAL),
        )
        on_delay_ns, off_delay_ns = round(self.on_delay_s * 1e9), round(self.off_delay_s * 1e9)
        return Range(levels, self.hysteresis * warning, on_delay_ns, off_delay_ns, cause, unit or _UNIT, self.latch)

    def _machine(self) -> VibrationSettings:
        given: dict[str, Any] = {"limits": ZoneLimits(*self.limits_mm_per_s)} if self.limits_mm_per_s else {}
        return VibrationSettings(
            group=MachineGroup[self.group.upper()],
            foundation=Foundation(self.foundation),
            hysteresis=self.hysteresis,
            **given,
        )
