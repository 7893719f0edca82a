"""What a learned detector tells of a device, for the alarm states to judge. Pure."""

from dataclasses import dataclass

from fieldline.model import Band, Contribution, DeviceId, Period, Severity

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One score. 1.0 is the threshold at which it is worth an alert, after a person's verdicts have moved it.

    It is told for every score above `rest`, and once when the score falls back below it; in between nothing happens to
    an alarm. `tag` is the tag that shows it most; `rule` names the detector and, with device and tag, the alarm.
    """

    device: DeviceId
    tag: str
    rule: str
    cause: str
    severity: Severity
    at_ns: int
    score: float
    rest: float
    """At or below this score an alarm may clear: the hysteresis."""
    value: float
    message: str
    confidence: float = 1.0
    window: Period | None = None
    band: Band | None = None
    contributions: tuple[Contribution, ...] = ()
    on_delay_ns: int = 0
    off_delay_ns: int = 0
