"""What one detector says of one tag at one moment, and how sure that makes us. Pure."""

import math
from dataclasses import dataclass

from fieldline.model import Band, Contribution, DeviceId, Severity

__all__ = ["REST", "Manner", "Sign", "confidence"]

REST = 0.7
"""Below this share of the threshold an alarm may clear: the hysteresis."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the alarms of a detector come and go. Delays in ns of the readings' time.

    `threshold` is the score that is worth an alert. `caution` is the share of the caution with the young that it needs,
    which fades with this power of the time: a detector that knows what it has not seen needs less.
    """

    on_delay_ns: int
    off_delay_ns: int
    threshold: float = 1.0
    caution: float = 1.0
    caution_fades: int = 2


@dataclass(frozen=True, slots=True)
class Sign:
    """`score` 1.0 is worth an alert, with thresholds and caution counted in."""

    device: DeviceId
    tag: str
    detector: str
    at_ns: int
    score: float
    value: float
    cause: str
    severity: Severity
    manner: Manner
    message: str
    band: Band | None = None
    contributions: tuple[Contribution, ...] = ()
    shadow: bool = False


def confidence(scores: tuple[float, ...], *, confirmed: int = 0, refuted: int = 0) -> float:
    """How sure detectors with these scores are together, 0 to 0.99. `scores`: the highest of each detector that speaks.

    The odds at the threshold are even, and become those of the verdicts so far, each side counted with four more than
    there were, so that the first few weigh little. They grow with the square of the score, up to ten times the
    threshold: tails of what is normal fall at least like a power law, so twice the distance is at most a quarter as
    likely to be nothing. A second detector adds its own score once: it looks at the same readings, so it is no
    independent witness.
    """
    ordered = sorted((min(max(score, 0.1), 10.0) for score in scores if score == score), reverse=True)
    odds = (confirmed + 4.0) / (refuted + 4.0) * ordered[0] ** 2
    odds *= math.prod(max(score, 1.0) for score in ordered[1:3])
    return min(odds / (1.0 + odds), 0.99)
