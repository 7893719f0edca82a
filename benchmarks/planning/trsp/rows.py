"""Rows of the technician routing instances: the gap to the best known working time, and the requests served."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import row
from benchmarks.planning.trsp.generate import KINDS, generate
from benchmarks.planning.trsp.instance import Instance, best_known, read
from benchmarks.planning.trsp.solve import Solved, solve

__all__ = ["trsp"]

_BUDGET_S, _BUDGET_QUICK_S = 60.0, 5.0
_SEEDS, _SEEDS_QUICK = 3, 1
_GAP_GOAL = 3.0
_FILE_BYTES_MAX = 4_000_000
_HEADING = "CREW COUNT"


def trsp(*, quick: bool, data: Path | None) -> list[dict[str, Any]]:
    """One row per instance and some for all. Without instances at `data`: on made-up ones, which have no best known."""
    instances = list(_instances(data)) if data is not None else []
    known = best_known(data) if data is not None and instances else {}
    instances = instances or [generate(kind, 1) for kind in KINDS]
    if quick:
        instances = instances[:: max(1, len(instances) // 6)]
    cores = max(1, min(2, os.cpu_count() or 1))
    budget_s, seeds = (_BUDGET_QUICK_S, _SEEDS_QUICK) if quick else (_BUDGET_S, _SEEDS)
    runs: dict[str, list[Solved]] = {}
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        for instance in instances:
            runs[instance.name] = [
                solve(instance, budget_s=budget_s, seed=seed, cores=cores, pool=pool) for seed in range(seeds)
            ]
    return [*_each(instances, runs, known), *_all(instances, runs, known, budget_s, cores)]


def _instances(data: Path) -> Iterator[Instance]:
    for path in sorted(data.rglob("*")):
        if path.is_file() and path.stat().st_size <= _FILE_BYTES_MAX:
            with path.open(encoding="utf-8", errors="replace") as file:
                head = file.read(500)
            if _HEADING in head:
                yield read(path)


def _each(
    instances: list[Instance], runs: Mapping[str, list[Solved]], known: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    for instance in instances:
        best = _best_known(instance, known)
        figure = median(one.working_time for one in runs[instance.name])
        yield row(f"{instance.name}: working time", "time", figure, {"best known": best} if best else None, None, None)
        if best:
            yield row(f"{instance.name}: gap", "%", 100 * (figure / best - 1), None, None, None)


def _all(
    instances: list[Instance],
    runs: Mapping[str, list[Solved]],
    known: Mapping[str, float],
    budget_s: float,
    cores: int,
) -> Iterator[dict[str, Any]]:
    how = f"{budget_s:g} s on {cores} cores"
    unserved = [len(one.requests) - solved.served for one in instances for solved in runs[one.name]]
    yield row(f"{how}: requests not served, all runs", "requests", sum(unserved), None, "<= 0", sum(unserved) == 0)
    judged = [one for one in instances if _best_known(one, known)]
    if not judged:
        return
    gaps, travel_gaps = [], []
    for instance in judged:
        best = _best_known(instance, known)
        figure = median(one.working_time for one in runs[instance.name])
        service = sum(instance.nodes[node].service for node in instance.requests)
        gaps.append(100 * (figure / best - 1))
        travel_gaps.append(100 * ((figure - service) / (best - service) - 1))
    worst = max(gaps)
    yield row(f"{how}: median gap", "%", median(gaps), None, f"<= {_GAP_GOAL:g}", median(gaps) <= _GAP_GOAL)
    yield row(f"{how}: greatest gap", "%", worst, None, None, None)
    yield row(f"{how}: median gap without the time of service", "%", median(travel_gaps), None, None, None)


def _best_known(instance: Instance, known: Mapping[str, float]) -> float:
    """0 where none is known; files name an instance with or without the numbers behind its dot."""
    return known.get(instance.name) or known.get(instance.name.split(".")[0]) or 0.0
