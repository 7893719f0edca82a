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

_HOT = 30.0


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
    """One search. The working time is that of the checker, not the search's own; infinite if requests are left out."""
    ends_s = time.monotonic() + budget_s
    routing = TechnicianRouting(instance)
    tours = Tours(routing)
    start = State.of(tours, [()] * routing.routes)
    schedule = Cooling(lambda: 1.0 - (ends_s - time.monotonic()) / budget_s)
    best = anneal(start, tours, schedule=schedule, random=Random(seed), hot=_HOT)
    first = instance.technicians + 1
    found = {tour.route + 1: tuple(first + job for job in tour.order) for tour in best.tours if tour.order}
    served = sum(len(tour) for tour in found.values())
    whole = served == len(instance.requests)
    return Solved(found, served, working_time(instance, found) if whole else float("inf"))
