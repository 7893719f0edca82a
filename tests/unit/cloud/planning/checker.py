"""A judge of plans that shares no rule with the planner: it tries every second and believes nothing.

Only the classes of the model are the planner's. Problems must be small: times of some hundred seconds.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from fieldline_cloud.planning.model import Job, Plan, Problem, ReasonKind, Visit, Worker

__all__ = ["could_be_added", "faults", "untrue_reasons"]


def faults(problem: Problem, plan: Plan, before: Plan) -> list[str]:
    """What is wrong with a plan that was made from the plan before; nothing if all hard constraints hold."""
    found = []
    named = [visit.job for visit in plan.visits] + list(plan.unplaced)
    if sorted(named) != sorted(job.id for job in problem.jobs):
        found.append(f"jobs are missing, unknown or twice: {named}")
    jobs = {job.id: job for job in problem.jobs}
    for worker in problem.workers:
        found += _faults_of_worker(problem, worker, [visit for visit in plan.visits if visit.worker == worker.id], jobs)
    known = {worker.id for worker in problem.workers}
    for visit in plan.visits:
        if visit.worker not in known:
            found.append(f"{visit.job} is given to {visit.worker}, whom nobody knows")
        elif not _running(problem, jobs[visit.job]):
            found += _faults_of_visit(problem, visit, jobs[visit.job], before)
    return found


def _running(problem: Problem, job: Job) -> bool:
    pin = job.pinned
    if pin is None or pin.start_s is None or pin.worker is None or pin.start_s > problem.now_s:
        return False
    return pin.worker in [worker.id for worker in problem.workers]


def _faults_of_visit(problem: Problem, visit: Visit, job: Job, before: Plan) -> Iterator[str]:
    worker = next(worker for worker in problem.workers if worker.id == visit.worker)
    if not all(skill in worker.skills for skill in job.skills):
        yield f"{job.id}: {worker.id} has not the skills"
    if visit.end_s - visit.start_s != job.work_s:
        yield f"{job.id}: takes {visit.end_s - visit.start_s} s and not {job.work_s} s"
    if visit.start_s < job.release_s:
        yield f"{job.id}: begins at {visit.start_s} s, before its release"
    if visit.start_s < problem.now_s:
        yield f"{job.id}: begins at {visit.start_s} s, in the past"
    if job.windows and not any(
        window.start_s <= visit.start_s and visit.end_s <= window.end_s for window in job.windows
    ):
        yield f"{job.id}: is in none of the machine's windows"
    if job.pinned is not None:
        if job.pinned.worker not in (None, visit.worker):
            yield f"{job.id}: was pinned to {job.pinned.worker}"
        if job.pinned.start_s not in (None, visit.start_s):
            yield f"{job.id}: was pinned to {job.pinned.start_s} s"
    if visit.start_s < problem.frozen_until_s and not _may_be_soon(problem, job, before):
        yield f"{job.id}: was put into the frozen horizon"


def _may_be_soon(problem: Problem, job: Job, before: Plan) -> bool:
    if job.pinned is not None and job.pinned.start_s is not None:
        return True
    return any(visit.job == job.id and visit.start_s < problem.frozen_until_s for visit in before.visits)


def _faults_of_worker(problem: Problem, worker: Worker, visits: list[Visit], jobs: dict[str, Job]) -> Iterator[str]:
    """Walk through each shift: from where the worker is, from job to job, and home before it ends."""
    visits = sorted(visits, key=lambda visit: (visit.start_s, visit.end_s))
    go = problem.travel.between
    for one, other in pairwise(visits):
        if one.end_s > other.start_s and not _running(problem, jobs[other.job]):
            yield f"{one.job} and {other.job} overlap"
    for visit in visits:
        if _running(problem, jobs[visit.job]):
            continue
        shift = next((one for one in worker.shifts if one.start_s <= visit.start_s < one.end_s), None)
        if shift is None:
            yield f"{visit.job}: outside every shift of {worker.id}"
            continue
        last = all(other.start_s >= shift.end_s for other in visits[visits.index(visit) + 1 :])
        if visit.end_s + (go(jobs[visit.job].place, worker.home) if last else 0) > shift.end_s:
            yield f"{visit.job}: {worker.id} is not home when the shift ends"
        earlier = [one for one in visits[: visits.index(visit)] if one.start_s >= shift.start_s]
        if earlier:
            place, free_s = jobs[earlier[-1].job].place, earlier[-1].end_s
        else:
            place, free_s = worker.home, shift.start_s
        if visit.travel_s != go(place, jobs[visit.job].place) and not (worker.at and not earlier):
            yield f"{visit.job}: travel is said to be {visit.travel_s} s"
        at_home_or_there = [go(worker.home, jobs[visit.job].place)]
        if worker.at is not None and not earlier and shift.start_s <= problem.now_s:
            at_home_or_there.append(problem.now_s - free_s + go(worker.at, jobs[visit.job].place))
        way_s = go(place, jobs[visit.job].place) if earlier else min(at_home_or_there)
        if free_s + way_s > visit.start_s:
            yield f"{visit.job}: {worker.id} cannot be there at {visit.start_s} s"


def could_be_added(problem: Problem, plan: Plan, job: Job, before: Plan) -> Visit | None:
    """A visit that could be added to the plan while all others stay where they are, None if there is none."""
    able = [worker for worker in problem.workers if job.skills <= worker.skills]
    for worker, shift in [(one, shift) for one in able for shift in one.shifts]:
        for start_s in range(max(problem.now_s, shift.start_s), shift.end_s):
            visit = Visit(job.id, worker.id, start_s, start_s + job.work_s, 0)
            if not _breaks(problem, plan, visit, before):
                return visit
    return None


def _breaks(problem: Problem, plan: Plan, visit: Visit, before: Plan) -> bool:
    jobs = {job.id: job for job in problem.jobs}
    worker = next(worker for worker in problem.workers if worker.id == visit.worker)
    if any(_faults_of_visit(problem, visit, jobs[visit.job], before)):
        return True
    visits = sorted([*plan.of_worker(worker.id), visit], key=lambda one: (one.start_s, one.end_s))
    last, now_at = worker.home, problem.now_s
    honest: list[Visit] = []
    for one in visits:  # travel is not what is judged here, and neither is a way that was begun before now
        shift = next((shift for shift in worker.shifts if shift.start_s <= one.start_s < shift.end_s), None)
        earlier = [other for other in honest if shift is not None and other.start_s >= shift.start_s]
        place = jobs[earlier[-1].job].place if earlier else last
        honest.append(replace(one, travel_s=problem.travel.between(place, jobs[one.job].place)))
        if one is visit and not _reached(problem, worker, one, earlier, jobs, now_at):
            return True
    return any(_faults_of_worker(problem, worker, honest, jobs))


def _reached(
    problem: Problem, worker: Worker, visit: Visit, earlier: list[Visit], jobs: dict[str, Job], now_s: int
) -> bool:
    """Whether somebody who leaves now at the earliest can be there."""
    if earlier:
        place, free_s = jobs[earlier[-1].job].place, max(now_s, earlier[-1].end_s)
    else:
        shift = next(shift for shift in worker.shifts if shift.start_s <= visit.start_s < shift.end_s)
        running = shift.start_s <= now_s
        place, free_s = (worker.at or worker.home) if running else worker.home, max(now_s, shift.start_s)
    return free_s + problem.travel.between(place, jobs[visit.job].place) <= visit.start_s


def untrue_reasons(problem: Problem, plan: Plan, before: Plan) -> list[str]:
    """Jobs whose reason for being left out does not hold."""
    found = []
    jobs = {job.id: job for job in problem.jobs}
    for name, reason in plan.unplaced.items():
        job = jobs[name]
        if reason.kind is ReasonKind.NO_ROOM:
            fits = could_be_added(problem, plan, job, before)
            if fits is not None:
                found.append(f"{name}: there is room: {fits}")
            if not _alone(problem, job):
                found.append(f"{name}: said to want room, but could not be done alone either")
        elif not _holds(problem, job, reason.kind):
            found.append(f"{name}: {reason}")
        if name not in reason.text:
            found.append(f"{name}: the reason does not name the job: {reason}")
    return found


def _alone(problem: Problem, job: Job) -> bool:
    """Whether the job could be done if there were no other and no frozen horizon."""
    alone = replace(problem, jobs=(job,), frozen_until_s=0)
    if _running(alone, job):
        return True
    return could_be_added(alone, Plan(), job, Plan()) is not None


def _holds(problem: Problem, job: Job, kind: ReasonKind) -> bool:
    able = [worker for worker in problem.workers if job.skills <= worker.skills]
    free = replace(job, pinned=None)
    bare = replace(free, windows=(), release_s=0)
    match kind:
        case ReasonKind.NO_WORKERS:
            return not problem.workers
        case ReasonKind.NO_SKILL:
            return not able
        case ReasonKind.NO_SHIFT:
            return bool(able) and all(shift.end_s <= problem.now_s for worker in able for shift in worker.shifts)
        case ReasonKind.SHIFT_TOO_SHORT:
            return bool(able) and not _alone(problem, bare)
        case ReasonKind.PARTS_TOO_LATE:
            return _alone(problem, bare) and not _alone(problem, replace(free, windows=()))
        case ReasonKind.PIN_CANNOT_HOLD:
            return job.pinned is not None and _alone(problem, free) and not _alone(problem, job)
    first_s = max(job.release_s, problem.now_s)
    if not job.windows or _alone(problem, free) or not _alone(problem, replace(free, windows=())):
        return False
    over = all(window.end_s <= first_s for window in job.windows)
    short = all(window.end_s - max(window.start_s, first_s) < job.work_s for window in job.windows)
    match kind:
        case ReasonKind.WINDOW_OVER:
            return over
        case ReasonKind.WINDOW_TOO_SHORT:
            return short and not over
        case _:
            return not short
