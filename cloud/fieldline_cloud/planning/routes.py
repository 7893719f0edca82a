"""The routes that are left to plan: what remains of each worker's shifts after the visits that are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fieldline_cloud.planning.model import Job, Problem, Span, Visit, Worker

__all__ = ["Route", "route_of_job_alone", "routes_of_problem"]


@dataclass(frozen=True, slots=True)
class Route:
    """From `place` at `ready_s` to the worker's home at `end_s`, within one `shift`."""

    worker: Worker
    shift: Span
    ready_s: int
    place: str

    @property
    def end_s(self) -> int:
        """When the worker is back home at the latest."""
        return self.shift.end_s


def routes_of_problem(problem: Problem, kept: Mapping[str, Sequence[Visit]]) -> list[Route]:
    """The routes of all workers, in the order of workers and shifts; shifts that are over are none."""
    places = {job.id: job.place for job in problem.jobs}
    return [
        route
        for worker in problem.workers
        for shift in worker.shifts
        if shift.end_s > problem.now_s
        for route in [_route(problem, worker, shift, kept.get(worker.id, ()), places)]
        if route.ready_s < route.end_s
    ]


def route_of_job_alone(problem: Problem, worker: Worker, shift: Span, job: Job) -> Route:
    """The route of a shift with no other job in it."""
    return _route(problem, worker, shift, (), {job.id: job.place})


def _route(problem: Problem, worker: Worker, shift: Span, visits: Sequence[Visit], places: Mapping[str, str]) -> Route:
    place, ready_s = worker.home, max(shift.start_s, problem.now_s)
    if worker.at is not None and shift.start_s <= problem.now_s:
        place = worker.at
    for visit in visits:
        if visit.start_s < shift.end_s:
            ready_s = max(ready_s, visit.end_s)
            if visit.start_s >= shift.start_s:
                place = places[visit.job]
    return Route(worker, shift, ready_s, place)
