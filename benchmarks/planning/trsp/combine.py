"""The best choice of whole tours from all that searches have come by: set partitioning.

A search changes a few tours at a time, and good tours are met in states that are otherwise bad. Pillac, Gueret and
Medaglia (2013) end their search the same way.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csc_matrix

from benchmarks.planning.trsp.routing import TechnicianTour
from fieldline_cloud.planning.search.state import State

__all__ = ["Collector", "TourPool", "combine", "merged"]

_TOURS_MAX = 20_000

TourPool = Mapping[tuple[int, frozenset[int]], tuple[float, tuple[int, ...]]]
"""By route and jobs the least cost that was met, and the order that has it."""


class Collector:
    """Keeps the tours of the states it is shown, the cheapest order of each; the oldest go when there are too many."""

    def __init__(self, tours_max: int = _TOURS_MAX) -> None:
        self.pool: dict[tuple[int, frozenset[int]], tuple[float, tuple[int, ...]]] = {}
        self._tours_max = tours_max
        self._last: list[TechnicianTour | None] = []

    def __call__(self, state: State[TechnicianTour]) -> None:
        """Note the tours that are not those of the state before."""
        last = self._last or [None] * len(state.tours)
        for tour, before in zip(state.tours, last, strict=True):
            if tour is not before and tour.order:
                self.add((tour.route, frozenset(tour.order)), (tour.cost, tour.order))
        self._last = list(state.tours)

    def add(self, key: tuple[int, frozenset[int]], found: tuple[float, tuple[int, ...]]) -> None:
        """Keep a tour, unless a cheaper one with the same jobs is known."""
        known = self.pool.get(key)
        if known is None or found[0] < known[0]:
            self.pool[key] = found
        if len(self.pool) > self._tours_max:
            del self.pool[next(iter(self.pool))]


def merged(pools: Iterable[TourPool]) -> TourPool:
    """All tours of some pools."""
    collector = Collector(10 * _TOURS_MAX)
    for pool in pools:
        for key, found in pool.items():
            collector.add(key, found)
    return collector.pool


def combine(pool: TourPool, *, jobs: int, routes: int, limit_s: float) -> list[tuple[int, ...]] | None:
    """Orders by route that hold each job once and together cost least; None if none are found within the limit."""
    tours = list(pool.items())
    entries = [(row, column) for column, ((route, held), _) in enumerate(tours) for row in (*held, jobs + route)]
    if not entries:
        return None
    rows, columns = zip(*entries, strict=True)
    matrix = csc_matrix((np.ones(len(rows)), (rows, columns)), shape=(jobs + routes, len(tours)))
    least = np.concatenate([np.ones(jobs), np.zeros(routes)])
    found = milp(
        np.array([cost for _, (cost, _) in tours]),
        constraints=LinearConstraint(matrix, least, np.ones(jobs + routes)),
        integrality=np.ones(len(tours)),
        bounds=Bounds(0, 1),
        options={"time_limit": limit_s},
    )
    if found.x is None:
        return None
    orders: list[tuple[int, ...]] = [()] * routes
    for column in np.flatnonzero(found.x > 0.5):
        (route, _), (_, order) = tours[column]
        orders[route] = order
    return orders
