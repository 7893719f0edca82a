"""Why a job cannot be planned: the constraint that cannot hold, in words with the values."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fieldline_cloud.planning.model import Job, Problem, Reason, ReasonKind, Worker
from fieldline_cloud.planning.routes import Route, route_of_job_alone
from fieldline_cloud.planning.starts import FOREVER_S, Starts, first_start, starts_of

__all__ = ["why_not"]


def why_not(problem: Problem, job: Job) -> Reason:
    """The first constraint that leaves no place for a job even if there were no other; NO_ROOM where there is none.

    The constraints come in the order in which a person would ask: who, when at work, is there time enough, are the
    parts there, does the machine stand still, and does what was pinned go with all that.
    """
    free = replace(job, pinned=None)
    return (
        _nobody(problem, free)
        or _no_time(problem, free)
        or _too_late(problem, free)
        or _pin(problem, job)
        or Reason(
            ReasonKind.NO_ROOM,
            f"job {job.id} could be done, but all time that fits it is taken by work that is fixed or costs more "
            "to leave",
        )
    )


def _nobody(problem: Problem, job: Job) -> Reason | None:
    if not problem.workers:
        return Reason(ReasonKind.NO_WORKERS, f"job {job.id}: there are no technicians at all")
    if _able(problem, job):
        return None
    unknown = sorted(job.skills - frozenset().union(*(worker.skills for worker in problem.workers)))
    if unknown:
        return Reason(ReasonKind.NO_SKILL, f"job {job.id}: no technician has the skill {' or '.join(unknown)}")
    together = ", ".join(sorted(job.skills))
    return Reason(ReasonKind.NO_SKILL, f"job {job.id}: no one technician has all the skills {together}")


def _no_time(problem: Problem, job: Job) -> Reason | None:
    """No shift is left, or none is long enough for the way there, the work and the way home."""
    able = _able(problem, job)
    names = ", ".join(worker.id for worker in able)
    routes = _routes(problem, job, able)
    if not routes:
        return Reason(
            ReasonKind.NO_SHIFT,
            f"job {job.id}: no shift is left of those who could do it ({names}) after {problem.now_s} s",
        )
    if _possible(problem, job, routes, ((problem.now_s, FOREVER_S),)):
        return None
    needed_s, route = min(
        ((_ways_s(problem, job, route) + job.work_s - (route.end_s - route.ready_s), route) for route in routes),
        key=lambda pair: pair[0],
    )
    ways_s = _ways_s(problem, job, route)
    return Reason(
        ReasonKind.SHIFT_TOO_SHORT,
        f"job {job.id}: {job.work_s} s of work and {ways_s} s of travel are {needed_s} s too long for the best "
        f"shift left of those who could do it ({names})",
    )


def _too_late(problem: Problem, job: Job) -> Reason | None:
    """The parts come too late, or the machine's windows meet nobody's shift."""
    routes = _routes(problem, job, _able(problem, job))
    if not _possible(problem, job, routes, starts_of(replace(job, windows=()), problem.now_s)):
        return Reason(
            ReasonKind.PARTS_TOO_LATE,
            f"job {job.id}: it is released at {job.release_s} s, and no shift after that has time enough for it; the "
            f"last ends at {max(route.end_s for route in routes)} s",
        )
    if _possible(problem, job, routes, starts_of(job, problem.now_s)):
        return None
    first_s = max(job.release_s, problem.now_s)
    windows = ", ".join(f"{window.start_s} to {window.end_s} s" for window in job.windows)
    if all(window.end_s <= first_s for window in job.windows):
        return Reason(
            ReasonKind.WINDOW_OVER,
            f"job {job.id}: it cannot start before {first_s} s, and the machine's windows are over: {windows}",
        )
    if not starts_of(job, problem.now_s):
        return Reason(
            ReasonKind.WINDOW_TOO_SHORT,
            f"job {job.id}: {job.work_s} s of work do not fit in what is left of any of the machine's windows from "
            f"{first_s} s: {windows}",
        )
    return Reason(
        ReasonKind.WINDOW_MEETS_NO_SHIFT,
        f"job {job.id}: none of the machine's windows ({windows}) meets a shift of those who could do it for as long "
        "as the work takes",
    )


def _pin(problem: Problem, job: Job) -> Reason | None:
    if job.pinned is None:
        return None
    able = [worker for worker in _able(problem, job) if job.pinned.worker in (None, worker.id)]
    if _possible(problem, job, _routes(problem, job, able), starts_of(job, problem.now_s)):
        return None
    who = f"to {job.pinned.worker}" if job.pinned.worker is not None else ""
    when = f"at {job.pinned.start_s} s" if job.pinned.start_s is not None else ""
    if job.pinned.worker is not None and not any(worker.id == job.pinned.worker for worker in problem.workers):
        why = "there is no such technician"
    elif not able:
        why = "who has not the skills it needs"
    else:
        why = "where no shift, window or release allows it"
    pinned = " ".join(word for word in (who, when) if word)
    return Reason(
        ReasonKind.PIN_CANNOT_HOLD, f"job {job.id}: it is pinned {pinned}, {why}; unpin it or pin it elsewhere"
    )


def _able(problem: Problem, job: Job) -> list[Worker]:
    return [worker for worker in problem.workers if job.skills <= worker.skills]


def _routes(problem: Problem, job: Job, workers: Sequence[Worker]) -> list[Route]:
    def each() -> Iterator[Route]:
        for worker in workers:
            for shift in worker.shifts:
                if shift.end_s > problem.now_s:
                    yield route_of_job_alone(problem, worker, shift, job)

    return list(each())


def _possible(problem: Problem, job: Job, routes: Sequence[Route], starts: Starts) -> bool:
    between = problem.travel.between
    for route in routes:
        start_s = first_start(starts, route.ready_s + between(route.place, job.place))
        if start_s is not None and start_s + job.work_s + between(job.place, route.worker.home) <= route.end_s:
            return True
    return False


def _ways_s(problem: Problem, job: Job, route: Route) -> int:
    return problem.travel.between(route.place, job.place) + problem.travel.between(job.place, route.worker.home)
