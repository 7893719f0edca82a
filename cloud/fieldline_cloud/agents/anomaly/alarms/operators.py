"""The load of operators, each of whom has some areas: the counts of those areas, added up. Pure.

ISA-18.2 and EEMUA 191 judge an alarm system by what one operator gets. Nothing is counted anew here: the areas keep
their raisings by periods of ten minutes, and travel and restart with them. So an operator's share of time in flood goes
by whole periods: a flood begins with a period of more raisings than it needs, and ends with one of fewer than end it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.alarms.area import DAY_PERIODS, TEN_MINUTES_NS, Area, FloodSpec

__all__ = ["NOBODY", "OperatorFigures", "OperatorSpec", "operator_figures"]

NOBODY: Final = "(nobody)"
"""Stands for the areas that no operator has."""


@dataclass(frozen=True, slots=True)
class OperatorSpec:
    """An operator and the areas: patterns of `site/area`, each level `+` or a shell pattern."""

    name: str
    areas: tuple[str, ...]

    def has(self, area: str) -> bool:
        """Whether the area called `site/area` is this operator's."""
        return any(_matches(pattern, area) for pattern in self.areas)


@dataclass(frozen=True, slots=True)
class OperatorFigures:
    """The last 10 minutes, and the last 24 hours or since the first of the areas is known."""

    operator: str
    areas: tuple[str, ...]
    last_10_min: int
    mean_10_min: float
    """Good practice is about 1; more than 2 is more than an operator can manage for long."""
    peak_10_min: int
    in_flood: bool
    flood_share: float
    """Share of the whole periods of ten minutes in flood; good practice is below 0.01."""
    by_severity: dict[str, int]


def operator_figures(
    operators: Sequence[OperatorSpec], areas: Iterable[Area], flood: FloodSpec, now_ns: int
) -> tuple[OperatorFigures, ...]:
    """The figures of each operator in the order of the configuration, and of areas that nobody has, if there are any.

    An area of several operators counts for each. Reads the areas only, so another thread may ask.
    """
    if not operators:
        return ()
    known = sorted(areas, key=lambda area: area.name)
    shares = [(one.name, [area for area in known if one.has(area.name)]) for one in operators]
    left = [area for area in known if not any(one.has(area.name) for one in operators)]
    if left:
        shares.append((NOBODY, left))
    return tuple(_figures(name, theirs, flood, now_ns) for name, theirs in shares)


def _figures(name: str, areas: Sequence[Area], flood: FloodSpec, now_ns: int) -> OperatorFigures:
    now = now_ns // TEN_MINUTES_NS
    counts: Counter[int] = Counter()
    severities: Counter[int] = Counter()
    for area in areas:
        for number, *by_severity in area.periods():
            if now - DAY_PERIODS < number <= now:
                counts[number] += sum(by_severity)
                severities.update(dict(zip(Severity, by_severity, strict=True)))
    since_ns = min((area.since_ns for area in areas), default=now_ns)
    known_ns = min(max(now_ns - since_ns, TEN_MINUTES_NS), DAY_PERIODS * TEN_MINUTES_NS)
    last = sum(area.seen_10_min(now_ns) for area in areas)
    first = max(since_ns // TEN_MINUTES_NS, now - DAY_PERIODS + 1)
    flooded, in_flood = _floods([counts[number] for number in range(first, now)], flood)
    return OperatorFigures(
        operator=name,
        areas=tuple(area.name for area in areas),
        last_10_min=last,
        mean_10_min=counts.total() * TEN_MINUTES_NS / known_ns,
        peak_10_min=max(counts.values(), default=0),
        in_flood=_is_flood(last, flood, before=in_flood),
        flood_share=flooded / (now - first) if now > first else 0.0,
        by_severity={severity.name.lower(): severities[severity] for severity in Severity},
    )


def _floods(counts: Iterable[int], flood: FloodSpec) -> tuple[int, bool]:
    """How many of the periods lie in a flood, and whether the last one does."""
    flooded, in_flood = 0, False
    for count in counts:
        in_flood = _is_flood(count, flood, before=in_flood)
        flooded += in_flood
    return flooded, in_flood


def _is_flood(count: int, flood: FloodSpec, *, before: bool) -> bool:
    if not flood.raisings:
        return False
    return count > flood.raisings or (before and count >= flood.over)


def _matches(pattern: str, area: str) -> bool:
    pairs = zip(pattern.split("/"), area.split("/"), strict=True)  # two levels each
    return all(level == "+" or fnmatchcase(name, level) for level, name in pairs)
