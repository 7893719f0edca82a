"""A solution of the search: a tour for each route, and the jobs that are in none."""

from collections.abc import Iterable
from math import inf
from typing import Generic, TypeVar

from fieldline_cloud.planning.search.routing import Routing, Tour

__all__ = ["State", "Tours"]

T = TypeVar("T", bound=Tour)

_TOURS_MAX = 100_000


class Tours(Generic[T]):
    """Every tour that was looked at, made once each; all are forgotten when there are more than `tours_max`."""

    def __init__(self, routing: Routing[T], tours_max: int = _TOURS_MAX) -> None:
        self.routing = routing
        self._tours_max = tours_max
        self._known: dict[tuple[int, tuple[int, ...]], T] = {}

    def get(self, route: int, order: tuple[int, ...]) -> T:
        """The tour of these jobs in this order."""
        return self._known.get((route, order)) or self._keep(self.routing.tour(route, order))

    def with_job(self, tour: T, job: int, position: int) -> T:
        """The tour with one more job at this place of the order."""
        order = (*tour.order[:position], job, *tour.order[position:])
        return self._known.get((tour.route, order)) or self._keep(self.routing.grown(tour, job, position))

    def _keep(self, tour: T) -> T:
        if len(self._known) >= self._tours_max:
            self._known.clear()
        self._known[tour.route, tour.order] = tour
        return tour


class State(Generic[T]):
    """Tours by route, the route of each job (-1: none), the jobs left out, and the cost of it all."""

    __slots__ = ("cost", "left_out", "tours", "where")

    def __init__(self, tours: list[T], where: list[int], left_out: list[int], cost: float) -> None:
        self.tours = tours
        self.where = where
        self.left_out = left_out
        self.cost = cost

    @classmethod
    def of(cls, known: Tours[T], orders: Iterable[tuple[int, ...]]) -> "State[T]":
        """The state with these orders, one for each route."""
        skip_cost = known.routing.skip_cost
        tours = [known.get(route, order) for route, order in enumerate(orders)]
        where = [-1] * len(skip_cost)
        for tour in tours:
            for job in tour.order:
                where[job] = tour.route
        left_out = [job for job, route in enumerate(where) if route < 0]
        cost = sum(tour.cost for tour in tours) + sum(skip_cost[job] for job in left_out)
        return cls(tours, where, left_out, cost)

    def copy(self) -> "State[T]":
        """One that can be changed while this one stays."""
        return State(self.tours[:], self.where[:], self.left_out[:], self.cost)

    def take_out(self, known: Tours[T], jobs: Iterable[int]) -> None:
        """Leave these jobs out, and all of a tour that cannot be done without them."""
        skip_cost, where, tours = known.routing.skip_cost, self.where, self.tours
        gone = {job for job in jobs if where[job] >= 0}
        for route in {where[job] for job in gone}:
            before = tours[route]
            after = known.get(route, tuple([job for job in before.order if job not in gone]))
            if after.cost == inf:
                gone.update(after.order)
                after = known.get(route, ())
            tours[route] = after
            self.cost += after.cost - before.cost
        for job in sorted(gone):
            where[job] = -1
            self.cost += skip_cost[job]
            self.left_out.append(job)

    def put_in(self, known: Tours[T], job: int, route: int, position: int) -> None:
        """Put a job that is in no tour into one; the caller takes it off `left_out`."""
        before = self.tours[route]
        after = self.tours[route] = known.with_job(before, job, position)
        self.where[job] = route
        self.cost += after.cost - before.cost - known.routing.skip_cost[job]
