"""What a plan costs, worked out from its visits alone."""

from dataclasses import dataclass

from fieldline_cloud.planning.kept import shift_at
from fieldline_cloud.planning.model import Plan, Problem, SearchSettings, Span, Visit

__all__ = ["Costs", "costs", "delayed", "moved"]

_DAY_S = 24 * 3_600


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs in minutes of travel, and counts of jobs. `travel_min` includes the ways home, `late` is weighted.

    `delayed`: jobs that stay on their shift but begin later there. `wait_days`: from now to the shift, of all jobs.
    """

    travel_min: float
    late: float
    late_jobs: int
    unplaced: int
    moved: int
    delayed: int
    wait_days: float
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
    known = settings.reference
    others = 0 if known is None else len(moved(problem, known, plan))
    later = 0 if known is None else len(delayed(problem, known, plan, settings.steady_s))
    unplaced = len(problem.jobs) - len({visit.job for visit in plan.visits})
    wait_days = _wait_s(problem, plan) / _DAY_S
    total = travel_min + sum(late.values()) + unplaced * settings.unplaced_cost + wait_days * settings.day_cost
    total += others * settings.move_cost + later * settings.delay_cost
    return Costs(travel_min, sum(late.values()), len(late), unplaced, others, later, wait_days, total)


def moved(problem: Problem, before: Plan, after: Plan) -> list[str]:
    """Jobs that the plan after gives to another worker or another shift than the plan before."""
    slots = _slots(problem, before)
    return [job for job, slot in _slots(problem, after).items() if job in slots and slots[job] != slot]


def delayed(problem: Problem, before: Plan, after: Plan, steady_s: int) -> list[str]:
    """Jobs that stay with their worker and shift, but begin more than `steady_s` later than in the plan before."""
    slots, starts = _slots(problem, before), {visit.job: visit.start_s for visit in before.visits}
    now = {visit.job: visit.start_s for visit in after.visits}
    return [
        job
        for job, slot in _slots(problem, after).items()
        if job in slots and slots[job] == slot and now[job] > starts[job] + steady_s
    ]


def _slots(problem: Problem, plan: Plan) -> dict[str, tuple[str, Span | None]]:
    """Worker and shift of each job."""
    workers = {worker.id: worker for worker in problem.workers}
    return {
        visit.job: (visit.worker, shift_at(workers[visit.worker], visit.start_s) if visit.worker in workers else None)
        for visit in plan.visits
    }


def _wait_s(problem: Problem, plan: Plan) -> int:
    """Seconds from now to the start of the shift, of all jobs together."""
    shifts = [shift for _, shift in _slots(problem, plan).values() if shift is not None]
    return sum(max(0, shift.start_s - problem.now_s) for shift in shifts)


def _home_s(problem: Problem, plan: Plan) -> int:
    """The ways home at the end of each shift with a visit in it."""
    workers = {worker.id: worker for worker in problem.workers}
    places = {job.id: job.place for job in problem.jobs}
    last: dict[object, Visit] = {}
    for visit in sorted(plan.visits, key=lambda visit: visit.start_s):
        last[visit.worker, shift_at(workers[visit.worker], visit.start_s)] = visit
    return sum(problem.travel.between(places[visit.job], workers[visit.worker].home) for visit in last.values())
