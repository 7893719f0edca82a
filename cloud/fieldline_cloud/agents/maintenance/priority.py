"""How urgent a task is and by when it is due: from severity, the machine, and the life it has left. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fieldline.model import RemainingLife, Severity
from fieldline_cloud.agents.maintenance.machines import Criticality

__all__ = ["NS_PER_HOUR", "DueRule", "priority_of"]

NS_PER_HOUR: Final = 3_600 * 1_000_000_000

_SEVERITY: Final = {Severity.INFO: 15.0, Severity.WARNING: 40.0, Severity.CRITICAL: 65.0}
_CRITICALITY: Final = {
    Criticality.LOW: -10.0,
    Criticality.NORMAL: 0.0,
    Criticality.HIGH: 10.0,
    Criticality.VITAL: 20.0,
}
_LIFE_MOST: Final = 15.0
_LIFE_SOON_H: Final = 8.0
"""From here on down, life left counts in full."""
_LIFE_FAR_H: Final = 30 * 24.0
"""From here on up, it does not count."""


def priority_of(severity: Severity, criticality: Criticality, life: RemainingLife | None) -> float:
    """0 to 100. Severity counts most, then the machine, then the life left (on a logarithmic scale of hours).

    A worse severity on a machine of the same kind always comes first, whatever the life left.
    """
    return max(0.0, min(100.0, _SEVERITY[severity] + _CRITICALITY[criticality] + _life_part(life)))


def _life_part(life: RemainingLife | None) -> float:
    if life is None:
        return 0.0
    hours = min(max(life.p10_h, _LIFE_SOON_H), _LIFE_FAR_H)
    return _LIFE_MOST * math.log(_LIFE_FAR_H / hours) / math.log(_LIFE_FAR_H / _LIFE_SOON_H)


@dataclass(frozen=True, slots=True)
class DueRule:
    """By when work is due: a time per severity, or a share of the life that is left with 90 % certainty."""

    after_ns: Mapping[Severity, int]
    safety: float = 0.5
    """The share of the life's p10 after which the work must be done."""

    def due_ns(self, severity: Severity, life: RemainingLife | None, now_ns: int) -> int:
        """Unix nanoseconds. A life that is known decides, but never gives a critical alert more time than without."""
        by_severity_ns = now_ns + self.after_ns[severity]
        if life is None:
            return by_severity_ns
        by_life_ns = now_ns + round(life.p10_h * self.safety * NS_PER_HOUR)
        return min(by_severity_ns, by_life_ns) if severity is Severity.CRITICAL else by_life_ns
