"""What a plan costs, worked out from its visits alone."""

from dataclasses import dataclass

from fieldline_cloud.planning.kept import shift_at
from fieldline_cloud.planning.model import Plan, Problem, SearchSettings, Span, Visit

__all__ = ["Costs", "costs", "moved"]


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs in minutes of travel, and counts of jobs. `travel_min` includes the ways home, `late` is weighted."""

    travel_min: float
    late: float
    late_jobs: int
    unplaced: int
    moved: int
    total: float


def costs(problem: Problem, plan: Plan, settings: SearchSettings) -> Costs:
    """The costs of a plan; moves count against `settings.reference`, none where there is no reference."""
    jobs = {job.id: job for job in problem.jobs}
    late = {
        visit.job: jobs[visit.job].weight * (visit.end_s - jobs[visit.job].due_s) / 60.0
        for visit in plan.visits
        if visit.end_s > jobs[visit.job].due_s
    }
    travel_min = (sum(visit.travel_s for visit in plan.visits) + _home_s(problem, plan)) / 60.0
    others = 0 if settings.reference is None else len(moved(problem, settings.reference, plan))
    unplaced = len(problem.jobs) - len({visit.job for visit in plan.visits})
    total = travel_min + sum(late.values()) + unplaced * settings.unplaced_cost + others * settings.move_cost
    return Costs(travel_min, sum(late.values()), len(late), unplaced, others, total)


def moved(problem: Problem, before: Plan, after: Plan) -> list[str]:
    """Jobs that the plan after gives to another worker or another shift than the plan before."""
    workers = {worker.id: worker for worker in problem.workers}

    def slot(visit: Visit) -> tuple[str, Span | None]:
        worker = workers.get(visit.worker)
        return visit.worker, None if worker is None else shift_at(worker, visit.start_s)

    known = {visit.job: slot(visit) for visit in before.visits}
    return [visit.job for visit in after.visits if visit.job in known and known[visit.job] != slot(visit)]


def _home_s(problem: Problem, plan: Plan) -> int:
    """The ways home at the end of each shift with a visit in it."""
    workers = {worker.id: worker for worker in problem.workers}
    places = {job.id: job.place for job in problem.jobs}
    last: dict[object, Visit] = {}
    for visit in sorted(plan.visits, key=lambda visit: visit.start_s):
        last[visit.worker, shift_at(workers[visit.worker], visit.start_s)] = visit
    return sum(problem.travel.between(places[visit.job], workers[visit.worker].home) for visit in last.values())
