"""Solve a technician routing instance within a budget, on as many cores as are given."""

import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random

from benchmarks.planning.trsp.check import working_time
from benchmarks.planning.trsp.instance import Instance
from benchmarks.planning.trsp.routing import TechnicianRouting
from fieldline_cloud.planning.search.anneal import anneal
from fieldline_cloud.planning.search.cooling import Cooling
from fieldline_cloud.planning.search.state import State, Tours

__all__ = ["Solved", "solve", "solve_on_one_core"]

_HOT, _WARM = 30.0, 10.0
_STARTS, _START_SHARE = 3, 0.12


@dataclass(frozen=True, slots=True)
class Solved:
    """Tours of request nodes by technician, how many requests are in them, and the working time if it is all."""

    tours: Mapping[int, tuple[int, ...]]
    served: int
    working_time: float


def solve(instance: Instance, *, budget_s: float, seed: int, cores: int, pool: ProcessPoolExecutor | None) -> Solved:
    """The best of `cores` searches from different seeds at the same time."""
    seeds = [seed * cores + core for core in range(cores)]
    if pool is None:
        found = [solve_on_one_core(instance, budget_s, one) for one in seeds]
    else:
        found = list(pool.map(solve_on_one_core, [instance] * cores, [budget_s] * cores, seeds))
    return min(found, key=lambda one: (-one.served, one.working_time))


def solve_on_one_core(instance: Instance, budget_s: float, seed: int) -> Solved:
    """One search. The working time is that of the checker, not the search's own; infinite if requests are left out.

    Which technicians are used is settled while it is hot, and chance has a great say in it. So the search begins a few
    times, for a short while each, and goes on from the best of these for the rest of the budget, less hot.
    """
    random = Random(seed)
    tours = Tours(TechnicianRouting(instance))
    empty = State.of(tours, [()] * tours.routing.routes)
    begun = [
        anneal(empty, tours, schedule=_cooling(budget_s * _START_SHARE), random=random, hot=_HOT)
        for _ in range(_STARTS)
    ]
    start = min(begun, key=lambda state: state.cost)
    rest_s = budget_s * (1.0 - _STARTS * _START_SHARE)
    best = anneal(start, tours, schedule=_cooling(rest_s), random=random, hot=_WARM)
    first = instance.technicians + 1
    found = {tour.route + 1: tuple(first + job for job in tour.order) for tour in best.tours if tour.order}
    served = sum(len(tour) for tour in found.values())
    whole = served == len(instance.requests)
    return Solved(found, served, working_time(instance, found) if whole else float("inf"))


def _cooling(budget_s: float) -> Cooling:
    began_s = time.monotonic()
    return Cooling(lambda: (time.monotonic() - began_s) / budget_s)
