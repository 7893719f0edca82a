"""Solve a technician routing instance within a budget, on as many cores as are given.

Which technicians are used is settled while the search is hot, and chance has a great say in it. So it is done in
stages: each core searches from the best so far, less hot each time, and between them the best choice of all tours
that any of them has come by is worked out.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Final

from benchmarks.planning.trsp.check import working_time
from benchmarks.planning.trsp.combine import Collector, TourPool, combine, merged
from benchmarks.planning.trsp.instance import Instance
from benchmarks.planning.trsp.routing import TechnicianRouting
from fieldline_cloud.planning.search.anneal import anneal
from fieldline_cloud.planning.search.cooling import Cooling
from fieldline_cloud.planning.search.state import State, Tours

__all__ = ["Solved", "solve"]

_STAGES: Final = ((0.3, 30.0, True), (0.3, 30.0, True), (0.3, 10.0, False))
"""Share of the budget, temperature, and whether it begins from nothing, of each."""
_COMBINE_SHARE: Final = 0.03
"""Share of the budget that choosing tours may take after each stage."""


@dataclass(frozen=True, slots=True)
class Solved:
    """Tours of request nodes by technician, how many requests are in them, and the working time if it is all."""

    tours: Mapping[int, tuple[int, ...]]
    served: int
    working_time: float


Orders = Sequence[tuple[int, ...]]


def solve(instance: Instance, *, budget_s: float, seed: int, cores: int, pool: ProcessPoolExecutor | None) -> Solved:
    """The best that `cores` searches from different seeds find together; without a pool they run one by one.

    The working time is that of the checker, not the search's own; infinite if requests are left out.
    """
    tours: TourPool = {}
    best: Orders = [()] * instance.technicians
    nothing = best
    least = float("inf")
    for stage, (share, hot, is_fresh) in enumerate(_STAGES):
        start = nothing if is_fresh else best
        tasks = [
            (instance, budget_s * share, (seed * cores + core) * len(_STAGES) + stage, hot, start)
            for core in range(cores)
        ]
        found = list(map(_search, tasks) if pool is None else pool.map(_search, tasks))
        for cost, orders, _ in found:
            if cost < least:
                least, best = cost, orders
        tours = merged([tours, *(others for _, _, others in found)])
        chosen = combine(
            tours, jobs=len(instance.requests), routes=instance.technicians, limit_s=budget_s * _COMBINE_SHARE
        )
        if chosen is not None:
            cost = sum(tours[route, frozenset(order)][0] for route, order in enumerate(chosen) if order)
            if cost < least:
                least, best = cost, chosen
    return _judged(instance, best)


def _search(task: tuple[Instance, float, int, float, Orders]) -> tuple[float, Orders, TourPool]:
    """One search on one core: what it ends with, its cost, and every tour it went on from."""
    instance, budget_s, seed, hot, orders = task
    tours = Tours(TechnicianRouting(instance))
    collector = Collector()
    start = State.of(tours, orders)
    best = anneal(start, tours, schedule=_cooling(budget_s), random=Random(seed), hot=hot, accepted=collector)
    collector(best)
    return best.cost, [tour.order for tour in best.tours], collector.pool


def _judged(instance: Instance, orders: Orders) -> Solved:
    first = instance.technicians + 1
    found = {route + 1: tuple(first + job for job in order) for route, order in enumerate(orders) if order}
    served = sum(len(tour) for tour in found.values())
    whole = served == len(instance.requests)
    return Solved(found, served, working_time(instance, found) if whole else float("inf"))


def _cooling(budget_s: float) -> Cooling:
    began_s = time.monotonic()
    return Cooling(lambda: (time.monotonic() - began_s) / budget_s)
