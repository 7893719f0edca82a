"""What all rules share: how a rule is described, how one tag is watched by it, and what it says. Pure.

Each rule exists twice: as a frozen description shared by all tags it fits, and as the watch over one tag, made by the
description's `watch`, that remembers. Numbers are judged in the time of the readings; silence is judged by arrival, in
the agent's own time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fieldline.model import Band, Contribution, Period, Severity
from fieldline_cloud.agents.anomaly.state import Alarm, Change

__all__ = ["NamedAlarm", "NumberWatch", "Rule", "Transition", "Watch", "with_unit"]


@dataclass(frozen=True, slots=True)
class Transition:
    """A condition began or ended. `value` and `limit` are what decided; `text` says it to a person."""

    rule: str
    change: Change
    at_ns: int
    raised_at_ns: int
    value: float | None
    limit: float
    severity: Severity
    cause: str
    text: str
    latch: bool = False
    """Whether the alarm stays until a person has acknowledged it, even if all is well again."""
    confidence: float = 1.0
    window: Period | None = None
    band: Band | None = None
    contributions: tuple[Contribution, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedAlarm:
    """One alarm of a rule; `rule` is the name its alerts carry."""

    rule: str
    alarm: Alarm
    severity: Severity
    cause: str


class Watch(Protocol):
    """One rule over one tag."""

    def alarms(self) -> Iterable[NamedAlarm]:
        """Every alarm this rule can raise."""

    def set_back(self, at_ns: int) -> None:
        """The clock of the readings was set back to `at_ns`."""

    def snapshot(self) -> Any:
        """What `restore` needs, as JSON-able data."""

    def restore(self, snapshot: Any) -> None:
        """Go on where `snapshot` was taken, as far as the rule is still the same."""


class NumberWatch(Watch, Protocol):
    """A rule on the number a reading carries."""

    def update(self, at_ns: int, value: float) -> Sequence[Transition] | None:
        """Judge a finite value, not older than the one before. None: nothing happened and nothing is to be saved."""


class Rule(Protocol):
    """The description of a rule."""

    def watch(self) -> Watch:
        """A watch over one tag that has seen nothing yet."""


def with_unit(value: float, unit: str) -> str:
    """A number for a person."""
    return f"{value:.6g} {unit}" if unit else f"{value:.6g}"
