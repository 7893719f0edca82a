"""Made-up plants of the size of the goal: 100 jobs, 12 technicians, 5 days, 8 sites, from a seed."""

from dataclasses import replace
from math import hypot
from random import Random

from fieldline_cloud.planning.model import Job, Plan, Problem, Span, Travel, Worker

__all__ = ["DAY_S", "HOUR_S", "URGENT", "WEDNESDAY_S", "instance", "wednesday"]

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
WEDNESDAY_S = 2 * DAY_S + 5 * HOUR_S
URGENT = "urgent"

_SITES = 8
_SKILLS = ("mechanical", "electrical", "hydraulics", "instruments", "welding")
_SHIFTS = ((6, 14), (8, 16), (14, 22))


def instance(seed: int, *, jobs: int = 100, workers: int = 12, days: int = 5) -> Problem:
    """One plant: three shift patterns and a day off now and then, a fifth of the jobs waits for parts, a quarter may
    only be done while the machine stands still, and the due dates are spread over the week with weights of 1 to 5."""
    random = Random(f"plant {seed}")
    names = [f"site {number}" for number in range(1, _SITES + 1)]
    places = [
        (random.uniform(0, 40), random.uniform(0, 40)) for _ in names
    ]  # kilometres, driven at 50 km/h with detours
    travel = Travel(
        {
            (one, other): round(hypot(a[0] - b[0], a[1] - b[1]) * 1.3 / 50 * HOUR_S / 60) * 60
            for one, a in zip(names, places, strict=True)
            for other, b in zip(names, places, strict=True)
            if one < other
        }
    )
    crew = tuple(_worker(number, names, days, random) for number in range(workers))
    return Problem(tuple(_job(number, names, crew, days, random) for number in range(jobs)), crew, travel)


def _worker(number: int, names: list[str], days: int, random: Random) -> Worker:
    first, last = _SHIFTS[number % len(_SHIFTS)]
    off = random.randrange(days) if random.random() < 0.5 else -1
    shifts = tuple(Span(day * DAY_S + first * HOUR_S, day * DAY_S + last * HOUR_S) for day in range(days) if day != off)
    skills = frozenset({_SKILLS[number % len(_SKILLS)], *random.sample(_SKILLS, random.randint(1, 2))})
    return Worker(f"technician {number + 1}", skills, shifts, random.choice(names[:3]))


def _job(number: int, names: list[str], crew: tuple[Worker, ...], days: int, random: Random) -> Job:
    some = random.choice(crew)
    skills = frozenset(random.sample(sorted(some.skills), 2 if random.random() < 0.2 and len(some.skills) > 1 else 1))
    work_s = random.choice((30, 45, 60, 60, 90, 120, 180)) * 60
    release_s = random.randrange(1, days - 1) * DAY_S + random.choice((8, 12)) * HOUR_S if random.random() < 0.2 else 0
    due_s = release_s + round(random.uniform(0.3, days - 0.5) * DAY_S)
    windows: tuple[Span, ...] = ()
    if random.random() < 0.25:
        stops = []
        possible = range(min(release_s // DAY_S, days - 2), days)
        for day in sorted(random.sample(possible, min(len(possible), random.randint(2, 3)))):
            start_s = day * DAY_S + random.choice((6, 8, 10, 14, 16)) * HOUR_S
            stops.append(Span(start_s, start_s + work_s + random.choice((1, 2, 4)) * HOUR_S))
        windows = tuple(stops)
    weight = float(random.choice((1, 1, 1, 2, 5)))
    return Job(f"J{number + 1:03d}", skills, work_s, random.choice(names), release_s, due_s, weight, windows)


def wednesday(problem: Problem, plan: Plan, seed: int) -> Problem:
    """The same plant on Wednesday at 05:00: what was planned before is done, and one urgent job has come up."""
    random = Random(f"wednesday {seed}")
    done = {visit.job for visit in plan.visits if visit.start_s < WEDNESDAY_S}
    like = random.choice(problem.jobs)
    urgent = replace(
        like, id=URGENT, work_s=7_200, release_s=0, due_s=WEDNESDAY_S + 6 * HOUR_S, weight=10.0, windows=()
    )
    left = tuple(job for job in problem.jobs if job.id not in done)
    return replace(problem, jobs=(*left, urgent), now_s=WEDNESDAY_S, frozen_until_s=WEDNESDAY_S + 2 * HOUR_S)
