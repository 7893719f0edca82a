"""Rows of the plant bench: per kind of fault what was found and when, and what was raised for nothing.

`ours` is the agent with config/anomaly.yaml as it is shipped; `demo limits` beside it are the rules of config/demo,
which were written for machines like these. Seeds are those nothing was adjusted on.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.harness import at_least, at_most, row
from benchmarks.plant.scenarios import HELD_OUT, SCENARIOS
from benchmarks.plant.scoring import Outcome, Score, quantile, summed
from benchmarks.plant.watching import CONFIGS, Run, core_of, watch

__all__ = ["GROUPS", "run"]

Rows = list[dict[str, Any]]

GROUPS = SCENARIOS
FALSE_GOAL = 0.1
PEER = "demo limits"

_RUNS = {"single": 3, "campaign": 2, "healthy": 2, "fast": 3}
_PROCESSES = 2


def run(*, quick: bool, data: Path | None, only: list[str] | None = None) -> Rows:
    """The rows of the scenarios wanted, all of them without `only`; `data` is not needed here."""
    names = only or list(SCENARIOS)
    jobs = [(name, seed) for name in names for seed in HELD_OUT[: 1 if quick else _RUNS[name]]]
    with ProcessPoolExecutor(_PROCESSES) as pool:
        done = list(pool.map(partial(_one, quick=quick), jobs))
    scores = {
        name: {
            config: summed(
                [runs[config].score for (scenario, _), runs in zip(jobs, done, strict=True) if scenario == name]
            )
            for config in CONFIGS
        }
        for name in names
    }
    rows = [row for name in names for row in _totals(name, scores[name])]
    rows += _kinds({config: summed([scores[name][config] for name in names]) for config in CONFIGS})
    return rows + _cost([runs["shipped"] for runs in done])


def _one(job: tuple[str, int], *, quick: bool) -> dict[str, Run]:
    name, seed = job
    scenario = SCENARIOS[name](seed, quick=quick)
    return watch(scenario, {config: core_of(config, scenario) for config in CONFIGS})


def _totals(name: str, scores: Mapping[str, Score]) -> Rows:
    ours, demo = scores["shipped"], scores["demo"]
    rows = []
    if ours.outcomes:
        rows.append(_found(f"{name}: faults found in time", ours.outcomes, demo.outcomes))
    for what, count in (("false alarms", lambda each: len(each.false)), ("repeated alarms", lambda each: each.repeats)):
        goal = FALSE_GOAL if what == "false alarms" else None
        rates = [count(each) / each.device_days for each in (ours, demo)]
        if what == "false alarms" or ours.outcomes:
            rows.append(at_most(f"{name}: {what}", "per device-day", rates[0], goal, {PEER: rates[1]}))
    rows.append(row(f"{name}: length", "device-days", ours.device_days, None, None, None))
    if ours.standing:
        rows.append(row(f"{name}: worn while it stood still", "faults", len(ours.standing), None, None, None))
    return rows


def _kinds(scores: Mapping[str, Score]) -> Rows:
    ours, demo = scores["shipped"], scores["demo"]
    kinds = sorted({each.fault.kind for each in ours.outcomes})
    rows = [found for kind in kinds for found in _kind(kind, ours.of_kind(kind), demo.of_kind(kind))]
    if ours.outcomes:
        rows.append(_share("first alert names a signal the fault moves", ours.outcomes, demo.outcomes))
    return rows


def _kind(kind: str, ours: Sequence[Outcome], demo: Sequence[Outcome]) -> Rows:
    rows = [_found(f"{kind}: found in time, of {len(ours)}", ours, demo)]
    for label, fraction in (("median", 0.5), ("p90", 0.9)):
        delays = [quantile([each.delay_s for each in side], fraction) / 60.0 for side in (ours, demo)]
        rows.append(_plain(f"{kind}: delay, {label}", "min", *delays))
    growths = [[each.growth_share for each in side if each.growth_share is not None] for side in (ours, demo)]
    if growths[0]:
        shares = [100.0 * quantile(each, 0.5) for each in growths]
        rows.append(_plain(f"{kind}: delay, median, of the growth", "%", *shares))
        severities = [_mean([each.severity for each in side if each.severity is not None]) for side in (ours, demo)]
        rows.append(_plain(f"{kind}: severity when found, mean", "of 1", *severities))
    return rows


def _found(measure: str, ours: Sequence[Outcome], demo: Sequence[Outcome]) -> dict[str, Any]:
    shares = [100.0 * fmean(each.found is not None for each in side) for side in (ours, demo)]
    return at_least(measure, "%", shares[0], 100.0, {PEER: shares[1]})


def _share(measure: str, ours: Sequence[Outcome], demo: Sequence[Outcome]) -> dict[str, Any]:
    found = [[each for each in side if each.found] for side in (ours, demo)]
    return _plain(measure, "%", *(100.0 * _mean([each.names_signal for each in side]) for side in found))


def _cost(runs: Sequence[Run]) -> Rows:
    readings = sum(each.readings for each in runs)
    spent_s = sum(each.agent_s for each in runs)
    return [
        row("cost of the agent's core, devices one by one", "us/reading", 1e6 * spent_s / readings, None, None, None)
    ]


def _plain(measure: str, unit: str, ours: float, demo: float) -> dict[str, Any]:
    return row(measure, unit, ours, {PEER: demo}, None, None)


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else math.nan
