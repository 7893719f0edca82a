"""A value that is too far from what it is meant to be: another tag of the device, or a constant. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fieldline.model import Band, Severity, Value
from fieldline_cloud.agents.anomaly.rules.base import NamedAlarm, Transition, with_unit
from fieldline_cloud.agents.anomaly.state import Alarm, Change, Phase

__all__ = ["Deviation", "DeviationWatch"]

_HUGE: Final = 1e300


@dataclass(frozen=True, slots=True)
class Deviation:
    """A limit on the distance from the setpoint: the name of a tag of the same device, or a number."""

    setpoint: str | float
    by: float
    deadband: float
    on_delay_ns: int
    off_delay_ns: int
    severity: Severity
    cause: str
    unit: str
    latch: bool = False

    def watch(self) -> "DeviationWatch":
        """A watch over one tag."""
        return DeviationWatch(self)


class DeviationWatch:
    """How far one tag is from its setpoint. Nothing is judged while no setpoint has been heard."""

    __slots__ = ("alarm", "setpoint", "spec")

    def __init__(self, spec: Deviation) -> None:
        self.spec = spec
        self.alarm = Alarm(on_delay_ns=spec.on_delay_ns, off_delay_ns=spec.off_delay_ns)
        self.setpoint: float | None = None if isinstance(spec.setpoint, str) else spec.setpoint

    @property
    def listens_to(self) -> str | None:
        """The tag whose values are to be handed to `hear`."""
        return self.spec.setpoint if isinstance(self.spec.setpoint, str) else None

    def hear(self, value: Value) -> bool:
        """What the setpoint's tag says; whether that is another setpoint. The tag's own next value is judged by it."""
        if isinstance(value, str) or value is None or not -_HUGE <= value <= _HUGE or value == self.setpoint:
            return False
        self.setpoint = float(value)
        return True

    def update(self, at_ns: int, value: float) -> Sequence[Transition] | None:
        """Judge a finite value."""
        if self.setpoint is None:
            return None
        spec, alarm = self.spec, self.alarm
        off = abs(value - self.setpoint)
        if off <= spec.by and alarm.phase is Phase.NORMAL:
            return None
        change = alarm.step(at_ns, beyond=off > spec.by, back=off <= spec.by - spec.deadband)
        return () if change is None else (self._transition(change, at_ns, value, self.setpoint),)

    def alarms(self) -> Iterator[NamedAlarm]:
        """The one alarm."""
        yield NamedAlarm("deviation", self.alarm, self.spec.severity, self.spec.cause)

    def set_back(self, at_ns: int) -> None:
        """The clock of the readings was set back."""
        self.alarm.set_back(at_ns)

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {"alarm": self.alarm.snapshot(), "setpoint": self.setpoint}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken; a constant setpoint is that of the configuration."""
        self.alarm.restore(snapshot["alarm"])
        if self.listens_to is not None:
            self.setpoint = snapshot["setpoint"]

    def _transition(self, change: Change, at_ns: int, value: float, setpoint: float) -> Transition:
        spec = self.spec
        where = f" ({spec.setpoint})" if isinstance(spec.setpoint, str) else ""
        side = "above" if value > setpoint else "below"
        text = (
            f"{with_unit(value, spec.unit)} is {with_unit(abs(value - setpoint), spec.unit)} {side} "
            f"its setpoint {with_unit(setpoint, spec.unit)}{where}; the limit is {with_unit(spec.by, spec.unit)}"
        )
        return Transition(
            "deviation",
            change,
            at_ns,
            self.alarm.raised_at_ns,
            value,
            setpoint + spec.by if value > setpoint else setpoint - spec.by,
            spec.severity,
            spec.cause,
            text,
            spec.latch,
            band=Band(setpoint - spec.by, setpoint + spec.by),
        )
