"""Alerts against ground truth: which faults were found, how late, and what was raised for nothing. Pure.

Times are seconds since the start of a run. What is counted:

- A fault is found by the first alert on its machine from its start on, before the machine fails of it, or before the
  fault is over where it does not end in a failure.
- An alert belongs to a fault of its machine from the start of the fault until `settle_s` after its end: a machine that
  comes back from a fault is not what it was a minute ago, and may be told of once more.
- A meter measures the machines that it feeds: its alerts during a fault of one of them are consequences of that fault.
- Wear of a machine that does not run from its start to its deadline moves no signal: it is counted apart.
- Every other alert is false. An alarm that is raised again within one fault repeats itself; that is counted as well.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fieldline_edge.drivers.simulator.kinds import CONDITIONS, FaultKind
from fieldline_edge.drivers.simulator.truth import FaultTruth, Growth

__all__ = ["Outcome", "Raised", "Score", "deadline_s", "judge", "quantile", "summed"]


@dataclass(frozen=True, slots=True)
class Raised:
    """One alert as it was raised: `alarm` is the same for every raising of one rule on one tag of one machine."""

    machine: str
    tag: str
    rule: str
    at_s: float
    cause: str = ""
    message: str = ""

    @property
    def alarm(self) -> tuple[str, str, str]:
        """What tells alarms apart."""
        return self.machine, self.tag, self.rule


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one fault. `found` is the first alert in time, None if there was none."""

    fault: FaultTruth
    model: str
    deadline_s: float
    found: Raised | None
    alerts: int
    repeats: int

    @property
    def delay_s(self) -> float:
        """From the start of the fault to the first alert; infinite if there was none in time."""
        return math.inf if self.found is None else self.found.at_s - self.fault.start_s

    @property
    def growth_share(self) -> float | None:
        """The delay as a share of the growth; None for a fault that is there at once."""
        if self.fault.growth is Growth.STEP or not self.fault.grow_s:
            return None
        return self.delay_s / self.fault.grow_s

    @property
    def severity(self) -> float | None:
        """How bad it was when it was found; None if it was not."""
        return None if self.found is None else self.fault.severity_at(self.found.at_s)

    @property
    def names_signal(self) -> bool:
        """Whether the first alert is about a signal that this fault moves."""
        return self.found is not None and self.found.tag in self.fault.signals


@dataclass(frozen=True, slots=True)
class Score:
    """One run, or several summed up."""

    outcomes: tuple[Outcome, ...] = ()
    standing: tuple[FaultTruth, ...] = ()
    false: tuple[Raised, ...] = ()
    consequences: tuple[Raised, ...] = ()
    device_days: float = 0.0

    @property
    def repeats(self) -> int:
        """Alarms raised again within one fault."""
        return sum(each.repeats for each in self.outcomes)

    @property
    def false_per_device_day(self) -> float:
        """Alerts on devices without a fault, for each device and day."""
        return len(self.false) / self.device_days if self.device_days else 0.0

    def of_kind(self, kind: str) -> tuple[Outcome, ...]:
        """The faults of one kind."""
        return tuple(each for each in self.outcomes if each.fault.kind == kind)


def summed(scores: Sequence[Score]) -> Score:
    """Several runs as one."""
    return Score(
        outcomes=tuple(outcome for score in scores for outcome in score.outcomes),
        standing=tuple(fault for score in scores for fault in score.standing),
        false=tuple(alert for score in scores for alert in score.false),
        consequences=tuple(alert for score in scores for alert in score.consequences),
        device_days=sum(score.device_days for score in scores),
    )


def deadline_s(fault: FaultTruth, end_s: float) -> float:
    """Until when an alert is in time: the failure, else the end of the fault, else the end of the run."""
    if fault.failure_s is not None:
        return min(fault.failure_s, end_s)
    return end_s if fault.stop_s is None else min(fault.stop_s, end_s)


def judge(
    faults: Sequence[FaultTruth],
    raised: Sequence[Raised],
    *,
    models: Mapping[str, str],
    end_s: float,
    settle_s: float,
    fed_by: Mapping[str, str] | None = None,
    ran_s: Mapping[str, Sequence[float]] | None = None,
) -> Score:
    """Score one run of `end_s` seconds. `models` are its machines by name, `fed_by` the meter of those that have one.

    `ran_s` are, of machines that can stand still, the moments at which they ran, ascending.
    An alert within two faults of its machine belongs to the later one; what is about no machine is not counted.
    """
    ordered = sorted(faults, key=lambda each: each.start_s)
    mine: dict[int, list[Raised]] = {each.number: [] for each in ordered}
    false, consequences = [], []
    for alert in sorted((each for each in raised if each.machine in models), key=lambda each: each.at_s):
        own = [each for each in ordered if each.machine == alert.machine and _about(each, alert.at_s, settle_s)]
        if own:
            mine[own[-1].number].append(alert)
        elif any(
            (fed_by or {}).get(each.machine) == alert.machine and _about(each, alert.at_s, settle_s) for each in ordered
        ):
            consequences.append(alert)
        else:
            false.append(alert)
    standing = tuple(each for each in ordered if _stood(each, (ran_s or {}).get(each.machine), end_s))
    return Score(
        outcomes=tuple(
            _outcome(each, models[each.machine], mine[each.number], end_s) for each in ordered if each not in standing
        ),
        standing=standing,
        false=tuple(false),
        consequences=tuple(consequences),
        device_days=len(models) * end_s / 86_400.0,
    )


def _about(fault: FaultTruth, at_s: float, settle_s: float) -> bool:
    return fault.start_s <= at_s and (fault.stop_s is None or at_s < fault.stop_s + settle_s)


def _stood(fault: FaultTruth, ran_s: Sequence[float] | None, end_s: float) -> bool:
    """Whether it is wear of a machine that never ran while it was worn."""
    if ran_s is None or FaultKind(fault.kind) not in CONDITIONS:
        return False
    first = bisect_left(ran_s, fault.start_s)
    return first == len(ran_s) or ran_s[first] >= deadline_s(fault, end_s)


def _outcome(fault: FaultTruth, model: str, alerts: Sequence[Raised], end_s: float) -> Outcome:
    deadline = deadline_s(fault, end_s)
    times = Counter(each.alarm for each in alerts)
    return Outcome(
        fault=fault,
        model=model,
        deadline_s=deadline,
        found=next((each for each in alerts if each.at_s < deadline), None),
        alerts=len(alerts),
        repeats=sum(count - 1 for count in times.values()),
    )


def quantile(values: Sequence[float], fraction: float) -> float:
    """The smallest value that at least `fraction` of the values do not exceed (nearest rank); infinite of no values."""
    if not values:
        return math.inf
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * fraction)) - 1]
