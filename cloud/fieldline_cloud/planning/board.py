"""The planning board: a problem and the plan so far as numbers, and back from tours to a plan."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from math import inf

from fieldline_cloud.planning.day_routing import DayRouting, DayTour
from fieldline_cloud.planning.kept import kept_visits
from fieldline_cloud.planning.model import Plan, Problem, SearchSettings, Visit
from fieldline_cloud.planning.reasons import why_not
from fieldline_cloud.planning.routes import routes_of_problem
from fieldline_cloud.planning.search.state import State, Tours

__all__ = ["Board"]


class Board:
    """Routes and free jobs of a problem: what is kept as it is (see `kept_visits`) is not on them.

    `jobs`: the free jobs, by the number that the search knows them by. `tours`: every tour looked at.
    """

    def __init__(self, problem: Problem, plan: Plan, settings: SearchSettings) -> None:
        self.problem = problem
        self.kept = kept_visits(problem, plan)
        fixed = {visit.job for visits in self.kept.values() for visit in visits}
        self.jobs = [job for job in problem.jobs if job.id not in fixed]
        self.routes = routes_of_problem(problem, self.kept)
        self._plan = plan
        reference = plan if settings.reference is None else settings.reference
        soon = {visit.job for visit in plan.visits if visit.start_s < problem.frozen_until_s}
        self.routing = DayRouting(
            problem,
            self.jobs,
            self.routes,
            settings=settings,
            known={
                self._number[visit.job]: (self.route_of(visit), visit.start_s) for visit in self._free(reference.visits)
            },
            soon={self._number[job] for job in soon if job in self._number},
        )
        self.tours = Tours(self.routing)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {job.id: number for number, job in enumerate(self.jobs)}

    @cached_property
    def _routes_of_worker(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, route in enumerate(self.routes):
            found.setdefault(route.worker.id, []).append(number)
        return found

    def number_of(self, job: str) -> int | None:
        """The number of a free job, None for one that is kept or unknown."""
        return self._number.get(job)

    def route_of(self, visit: Visit) -> int:
        """The number of the route whose worker and shift a visit is in, -1 where there is none."""
        for number in self._routes_of_worker.get(visit.worker, ()):
            shift = self.routes[number].shift
            if shift.start_s <= visit.start_s < shift.end_s:
                return number
        return -1

    def state_of_plan(self) -> State[DayTour]:
        """The plan's own visits in their order, without those that a rule does not allow any more."""
        planned: dict[int, list[int]] = {}
        for visit in sorted(self._free(self._plan.visits), key=lambda visit: visit.start_s):
            route, job = self.route_of(visit), self._number[visit.job]
            if route >= 0 and self.routing.may_serve(route, job):
                planned.setdefault(route, []).append(job)
        return State.of(
            self.tours, [self._possible_order(route, planned.get(route, ())) for route in range(len(self.routes))]
        )

    def _possible_order(self, route: int, jobs: Sequence[int]) -> tuple[int, ...]:
        """The jobs in their order, without those for which there is no time any more."""
        order = tuple(jobs)
        if self.tours.get(route, order).cost < inf:
            return order
        order = ()
        for job in jobs:
            if self.routing.may_follow(route, order, job):
                order = (*order, job)
        return order

    def fill(self, state: State[DayTour], first: Sequence[int] = ()) -> None:
        """Put every job that is left out into its cheapest place: pinned ones, then `first`, then by due date."""
        jobs = self.jobs
        rank = {job: place for place, job in enumerate(first)}
        waiting = sorted(
            state.left_out,
            key=lambda job: (jobs[job].pinned is None, rank.get(job, len(rank)), jobs[job].due_s, job),
        )
        state.left_out = []
        for job in waiting:
            offers = [
                (*self.routing.insertion(state.tours[route], job), route) for route in self.routing.routes_of[job]
            ]
            _, position, route = min(offers, default=(inf, -1, -1))
            if position < 0:
                state.left_out.append(job)
            else:
                state.put_in(self.tours, job, route, position)

    def plan_of(self, state: State[DayTour]) -> Plan:
        """The plan of a state, with a reason for each job that is left out."""
        visits = [visit for kept in self.kept.values() for visit in kept]
        for tour in state.tours:
            visits += self.routing.visits(tour)
        order = {worker.id: number for number, worker in enumerate(self.problem.workers)}
        visits.sort(key=lambda visit: (order[visit.worker], visit.start_s, visit.end_s))
        left_out = sorted(self.jobs[job].id for job in state.left_out)
        jobs = {job.id: job for job in self.jobs}
        return Plan(tuple(visits), {job: why_not(self.problem, jobs[job]) for job in left_out})

    def _free(self, visits: Iterable[Visit]) -> list[Visit]:
        return [visit for visit in visits if visit.job in self._number]
