"""The ground truth of a run: what each line of the truth file means, and a reader that scores can be built on. Pure.

It needs nothing but the standard library. Lines are JSON objects with an `event`: `plant` (first), `start`, `failure`,
`stop`, `end` (last, missing if the run was killed). Times: `at_s` since the start of the run, `at_ms` Unix time.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from math import expm1
from typing import Any

__all__ = ["SCHEMA", "FaultTruth", "Growth", "Truth", "intensity", "read_truth"]

SCHEMA = 1
_STEEPNESS = 4.0


class Growth(Enum):
    """How the severity of a fault grows from 0 to its full size."""

    STEP = "step"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


def intensity(growth: Growth, since_s: float, *, grow_s: float, severity: float) -> float:
    """The severity `since_s` after the start: all at once, in a straight line, or as (e^4x - 1) / (e^4 - 1)."""
    if growth is Growth.STEP or not grow_s:
        return severity if since_s >= 0.0 else 0.0
    grown = min(max(since_s / grow_s, 0.0), 1.0)
    if growth is Growth.EXPONENTIAL:
        grown = expm1(_STEEPNESS * grown) / expm1(_STEEPNESS)
    return severity * grown


@dataclass(frozen=True, slots=True)
class FaultTruth:
    """One fault from beginning to end. Times in seconds since the start of the run.

    `signals` is what it moves, or takes away. `failure_s` is when the machine fails of it, known from its start: the
    remaining life at any time is the difference. `stop_s` is None while it lasts, and if it lasts for ever.
    """

    number: int
    kind: str
    machine: str
    area: str
    start_s: float
    start_ms: int
    grow_s: float
    severity: float
    growth: Growth
    signals: tuple[str, ...]
    failure_s: float | None = None
    stop_s: float | None = None

    def severity_at(self, at_s: float) -> float:
        """How bad it is `at_s` after the start of the run; 0 before it starts and once it has stopped."""
        if at_s < self.start_s or (self.stop_s is not None and at_s >= self.stop_s):
            return 0.0
        return intensity(self.growth, at_s - self.start_s, grow_s=self.grow_s, severity=self.severity)

    def remaining_s(self, at_s: float) -> float | None:
        """Remaining useful life `at_s` after the start of the run; None if it never fails of this or has not begun."""
        if self.failure_s is None or at_s < self.start_s:
            return None
        return max(self.failure_s - at_s, 0.0)


@dataclass(frozen=True, slots=True)
class Truth:
    """A whole run: its machines as {name: (area, model)}, its faults, and how long it was."""

    seed: int
    start_ms: int
    machines: Mapping[str, tuple[str, str]]
    faults: tuple[FaultTruth, ...]
    end_s: float | None
    """When the run ended; None if it was killed."""

    @property
    def machine_days(self) -> float:
        """What a false-alarm rate is counted in; the run is taken to end with its last line if it was killed."""
        end_s = self.end_s
        if end_s is None:
            end_s = max((each.stop_s or each.start_s for each in self.faults), default=0.0)
        return len(self.machines) * end_s / 86_400.0


@dataclass(slots=True)
class _Reading:
    seed: int = 0
    start_ms: int = 0
    end_s: float | None = None
    machines: dict[str, tuple[str, str]] = field(default_factory=dict)
    faults: dict[int, FaultTruth] = field(default_factory=dict)
    stops: dict[int, float] = field(default_factory=dict)


def read_truth(lines: Iterable[str]) -> Truth:
    """The run that `lines` of a truth file tell of; ValueError with the line if one cannot be understood."""
    state = _Reading()
    for number, line in enumerate(lines, 1):
        try:
            _take(state, json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} of the truth is not understood: {error}; it is {line[:80]!r}") from error
    faults = tuple(replace(each, stop_s=state.stops.get(number)) for number, each in state.faults.items())
    return Truth(state.seed, state.start_ms, state.machines, faults, state.end_s)


def _take(state: _Reading, line: Mapping[str, Any]) -> None:
    event = line["event"]
    if event == "plant":
        if line["schema"] != SCHEMA:
            raise ValueError(f"schema {line['schema']} is not {SCHEMA}")
        state.seed, state.start_ms = line["seed"], line["at_ms"]
        state.machines = {each["name"]: (each["area"], each["model"]) for each in line["machines"]}
    elif event == "start":
        state.faults[line["id"]] = _fault(line)
    elif event == "stop":
        state.stops[line["id"]] = line["at_s"]
    elif event == "end":
        state.end_s = line["at_s"]
    elif event != "failure":
        raise ValueError(f"event {event!r} is not known")


def _fault(line: Mapping[str, Any]) -> FaultTruth:
    return FaultTruth(
        number=line["id"],
        kind=line["kind"],
        machine=line["machine"],
        area=line["area"],
        start_s=line["at_s"],
        start_ms=line["at_ms"],
        grow_s=line["grow_s"],
        severity=line["severity"],
        growth=Growth(line["growth"]),
        signals=tuple(line["signals"]),
        failure_s=line["failure_s"],
    )
