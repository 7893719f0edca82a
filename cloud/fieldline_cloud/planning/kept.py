"""What a new plan takes over as it is: work that has begun, what people have fixed, and the frozen near horizon."""

from collections.abc import Mapping, Sequence

from fieldline_cloud.planning.model import Job, Plan, Problem, Span, Visit, Worker
from fieldline_cloud.planning.starts import first_start, starts_of

__all__ = ["begun", "kept_visits", "shift_at"]


def begun(problem: Problem, job: Job) -> bool:
    """Whether somebody of the problem is at this job already."""
    pin = job.pinned
    return (
        pin is not None
        and pin.start_s is not None
        and pin.start_s <= problem.now_s
        and any(worker.id == pin.worker for worker in problem.workers)
    )


def shift_at(worker: Worker, start_s: int) -> Span | None:
    """The shift of a worker that a start falls into."""
    return next((shift for shift in worker.shifts if shift.start_s <= start_s < shift.end_s), None)


def kept_visits(problem: Problem, plan: Plan) -> dict[str, list[Visit]]:
    """By worker the visits that stay as they are, in their order.

    Work that has begun always stays, and lasts until `now_s` at least. Then come jobs pinned to a worker and a time
    before `frozen_until_s`, then the plan's own visits before then, each as long as it breaks no rule. Visits of the
    plan to which the worker must be under way by now count as such too, frozen or not: planned anew they would begin
    a little later with every second that passes, or find their pin broken.
    """
    jobs = {job.id: job for job in problem.jobs}
    workers = {worker.id: worker for worker in problem.workers}
    kept: dict[str, list[Visit]] = {worker: [] for worker in workers}
    under_way = {visit for visit in plan.visits if _is_under_way(problem, visit, workers, jobs)}
    promised = {(visit.job, visit.worker, visit.start_s) for visit in under_way}
    pinned: list[tuple[int, Job, str]] = []
    for job in problem.jobs:
        pin = job.pinned
        if pin is None or pin.start_s is None or pin.worker not in workers:
            continue
        if begun(problem, job):
            end_s = max(pin.start_s + job.work_s, problem.now_s)
            kept[pin.worker].append(Visit(job.id, pin.worker, pin.start_s, end_s, 0))
        elif pin.start_s < problem.frozen_until_s or (job.id, pin.worker, pin.start_s) in promised:
            pinned.append((pin.start_s, job, pin.worker))
    for facts in kept.values():
        facts.sort(key=lambda visit: (visit.start_s, visit.end_s))
    known = {job.id for _, job, _ in pinned} | {visit.job for visits in kept.values() for visit in visits}
    frozen = [
        (visit.start_s, jobs[visit.job], visit.worker)
        for visit in plan.visits
        if problem.now_s <= visit.start_s
        and (visit.start_s < problem.frozen_until_s or visit in under_way)
        and visit.job in jobs
        and visit.job not in known
        and visit.worker in workers
    ]
    for wishes in (pinned, frozen):
        for start_s, job, name in sorted(wishes, key=lambda wish: (wish[0], wish[1].id)):
            more = [*kept[name], Visit(job.id, name, start_s, start_s + job.work_s, 0)]
            more.sort(key=lambda visit: (visit.start_s, visit.end_s))
            if _may_be_here(job, workers[name], start_s, problem.now_s) and _fit(problem, workers[name], more, jobs):
                kept[name] = more
    return {name: _with_travel(problem, workers[name], visits, jobs) for name, visits in kept.items()}


def _is_under_way(problem: Problem, visit: Visit, workers: Mapping[str, Worker], jobs: Mapping[str, Job]) -> bool:
    """Whether the worker, at home when last heard of, must have left by now to be there when the visit begins."""
    if visit.job not in jobs or visit.worker not in workers or visit.start_s < problem.now_s:
        return False
    worker = workers[visit.worker]
    shift = shift_at(worker, visit.start_s)
    if worker.at is not None or shift is None or shift.start_s > problem.now_s:
        return False
    return problem.now_s + problem.travel.between(worker.home, jobs[visit.job].place) > visit.start_s


def _may_be_here(job: Job, worker: Worker, start_s: int, now_s: int) -> bool:
    pinned_to = job.pinned.worker if job.pinned is not None else None
    return (
        job.skills <= worker.skills
        and pinned_to in (None, worker.id)
        and first_start(starts_of(job, now_s), start_s) == start_s
    )


def _fit(problem: Problem, worker: Worker, visits: Sequence[Visit], jobs: dict[str, Job]) -> bool:
    """Whether the worker can do these visits at their times, but for those that have begun, which are facts."""
    between = problem.travel.between
    free_s, place, within = 0, worker.home, None
    last = {shift_at(worker, visit.start_s): visit for visit in visits}
    for visit in visits:
        job = jobs[visit.job]
        shift = shift_at(worker, visit.start_s)
        if not begun(problem, job):
            way_home_s = between(job.place, worker.home) if visit is last[shift] else 0
            if shift is None or visit.end_s + way_home_s > shift.end_s:
                return False
            if shift != within:
                free_s, place = max(free_s, shift.start_s), worker.home
            if free_s + between(place, job.place) > visit.start_s:
                return False
        free_s, place, within = max(free_s, visit.end_s), job.place, shift
    return True


def _with_travel(problem: Problem, worker: Worker, visits: Sequence[Visit], jobs: dict[str, Job]) -> list[Visit]:
    found = []
    place, within = worker.home, None
    for visit in visits:
        shift = shift_at(worker, visit.start_s)
        if shift is None or shift != within:
            place = worker.home
        travel_s = problem.travel.between(place, jobs[visit.job].place)
        found.append(Visit(visit.job, visit.worker, visit.start_s, visit.end_s, travel_s))
        place, within = jobs[visit.job].place, shift
    return found
