"""What goes wrong, as the plant file says it: single faults, and campaigns of random ones. Pure."""

from typing import Annotated, Self

import pydantic

from fieldline.config import Settings
from fieldline_edge.drivers.simulator.kinds import FaultKind

__all__ = ["CampaignSettings", "FaultSettings"]

_DAY_S = 86_400.0


class FaultSettings(Settings):
    """One fault on one machine."""

    kind: FaultKind
    """What goes wrong."""
    machine: str
    """Name of the machine it happens to."""
    at_s: float = pydantic.Field(ge=0)
    """When it starts, counted from the start of the plant."""
    grow_s: float = pydantic.Field(default=10.0, ge=0)
    """How long it grows until it has its full severity (wear, drift and noise)."""
    duration_s: float | None = pydantic.Field(default=None, gt=0)
    """How long it lasts; left out: for ever, or 5 s for a reboot."""
    severity: float = pydantic.Field(default=1.0, gt=0, le=2)
    """How bad it gets; 1 is a fault that cannot be overlooked."""
    signal: str | None = None
    """The signal concerned (stuck, spike, drift and noise)."""
    every_s: float = pydantic.Field(default=5.0, gt=0)
    """Time from one spike to the next."""
    width_s: float = pydantic.Field(default=0.5, gt=0)
    """How long one spike lasts."""
    fails: bool = False
    """Whether bearing wear, once it is fully grown, ends in a seized bearing and a machine that stands still."""


def _rising(value: tuple[float, float]) -> tuple[float, float]:
    if not 0.0 <= value[0] <= value[1]:
        raise ValueError(f"{list(value)} is no range; write the smaller number first, like [60, 600]")
    return value


_Range = Annotated[tuple[float, float], pydantic.AfterValidator(_rising)]


class CampaignSettings(Settings):
    """Random faults, drawn from the seed: the same seed gives the same faults."""

    faults_per_machine_day: float = pydantic.Field(ge=0, le=1000)
    """How many faults a machine has on a day, on average, while it is healthy."""
    days: float = pydantic.Field(default=30.0, gt=0, le=3660)
    """How long the campaign goes on, from the start of the plant."""
    kinds: tuple[FaultKind, ...] | None = None
    """The kinds to choose from; left out: all that can happen to the machine."""
    machines: tuple[str, ...] | None = None
    """Names of the machines that take part; left out: all."""
    quiet_s: float = pydantic.Field(default=0.0, ge=0)
    """No fault begins before this time, so that detectors can learn."""
    rest_s: float = pydantic.Field(default=3600.0, ge=0)
    """How long a machine is healthy after a fault at the least."""
    grow_s: _Range = (600.0, _DAY_S)
    """Shortest and longest growth."""
    lasting_s: _Range = (600.0, 6 * 3600.0)
    """Shortest and longest time a fault stays after it has grown."""
    severity: _Range = (0.5, 1.0)
    """Least and greatest severity."""
    spike_every_s: float = pydantic.Field(default=300.0, gt=0)
    """Time from one spike to the next."""
    to_failure: bool = True
    """Whether bearing wear ends in a failure."""

    @pydantic.model_validator(mode="after")
    def _check_severity(self) -> Self:
        if not (self.severity[0] > 0.0 and self.severity[1] <= 2.0):
            raise ValueError(f"severity {list(self.severity)} is not within 0 and 2; write it like [0.5, 1.0]")
        return self
