"""Small random problems with everything that can go wrong in them, and what becomes of them a little later."""

from dataclasses import replace
from random import Random

from fieldline_cloud.planning.model import Job, Pin, Plan, Problem, Span, Travel, Worker

__all__ = ["later", "small_problem"]

_DAY_S = 100
_PLACES = ("gate", "hall", "mill", "pier")
_SKILLS = ("pumps", "drives", "welding")


def small_problem(seed: int, *, detours: bool = False) -> Problem:
    """Up to 9 jobs and 4 workers on 2 days of 100 s. `detours`: the direct way may not be the shortest."""
    random = Random(seed)
    where = {place: (random.randint(0, 8), random.randint(0, 8)) for place in _PLACES}
    ways = {
        (one, other): random.randint(0, 12)
        if detours
        else abs(where[one][0] - where[other][0]) + abs(where[one][1] - where[other][1])
        for one in _PLACES
        for other in _PLACES
        if one < other
    }
    travel = Travel(ways)
    workers = tuple(_worker(f"w{number}", random) for number in range(random.randint(0, 4)))
    jobs = tuple(_job(f"j{number}", random, len(workers)) for number in range(random.randint(0, 9)))
    return Problem(jobs, workers, travel)


def _worker(name: str, random: Random) -> Worker:
    shifts = []
    for day in range(2):
        if random.random() < 0.8:
            start_s = day * _DAY_S + random.randint(0, 40)
            shifts.append(Span(start_s, start_s + random.randint(10, 60)))
    skills = frozenset(skill for skill in _SKILLS if random.random() < 0.6)
    return Worker(name, skills, tuple(shifts), random.choice(_PLACES))


def _job(name: str, random: Random, workers: int) -> Job:
    windows: tuple[Span, ...] = ()
    if random.random() < 0.3:
        starts_s = sorted(random.sample(range(190), random.randint(1, 2)))
        windows = tuple(Span(start_s, start_s + random.randint(3, 60)) for start_s in starts_s)
    pinned = None
    if random.random() < 0.2:
        worker = f"w{random.randint(0, workers)}" if random.random() < 0.7 else None
        start_s = random.randint(0, 150) if worker is None or random.random() < 0.4 else None
        pinned = Pin(worker, start_s)
    return Job(
        name,
        frozenset(random.sample(_SKILLS, random.choice((0, 1, 1, 2)))),
        random.randint(1, 30),
        random.choice(_PLACES),
        random.choice((0, 0, random.randint(0, 180))),
        random.randint(0, 200),
        random.choice((0.0, 1.0, 5.0)),
        windows,
        pinned,
    )


def later(problem: Problem, plan: Plan, seed: int) -> Problem:
    """Some time on: jobs have begun, are done, or changed; workers are elsewhere, or gone; a new job is there."""
    random = Random(seed)
    now_s = random.randint(0, 120)
    visits = {visit.job: visit for visit in plan.visits}
    jobs = []
    for job in problem.jobs:
        visit = visits.get(job.id)
        if visit is not None and visit.end_s <= now_s and random.random() < 0.8:
            continue
        if visit is not None and visit.start_s <= now_s and random.random() < 0.7:
            job = replace(job, pinned=Pin(visit.worker, visit.start_s))
        elif random.random() < 0.1:
            job = replace(job, release_s=random.randint(0, 150), work_s=random.randint(1, 30))
        jobs.append(job)
    workers = [worker for worker in problem.workers if random.random() < 0.85]
    workers = [replace(one, at=random.choice(_PLACES)) if random.random() < 0.2 else one for one in workers]
    jobs.append(replace(_job("new", random, len(workers))))
    return replace(
        problem, jobs=tuple(jobs), workers=tuple(workers), now_s=now_s, frozen_until_s=now_s + random.choice((0, 0, 20))
    )
