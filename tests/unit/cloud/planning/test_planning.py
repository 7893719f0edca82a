"""What people are promised: pins, the frozen horizon, repairs, stability, and the same plan again from a seed."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

from benchmarks.planning.instances import URGENT, instance, wednesday
from fieldline_cloud.planning.costs import costs, moved
from fieldline_cloud.planning.greedy import earliest_due_date
from fieldline_cloud.planning.improve import improve
from fieldline_cloud.planning.insert import insert
from fieldline_cloud.planning.model import Job, Pin, Plan, Problem, ReasonKind, SearchSettings, Span, Travel, Worker

PLANT = SearchSettings()
WEEK = instance(1, jobs=30, workers=5)
ADA = Worker("ada", frozenset(), (Span(0, 1_000), Span(2_000, 3_000)), "gate")
BEN = Worker("ben", frozenset(), (Span(0, 1_000), Span(2_000, 3_000)), "gate")
ROUND = Travel({("gate", "mill"): 100})


def after(steps: int) -> Callable[[], bool]:
    asked = count()
    return lambda: next(asked) >= steps


def job(name: str, *, due_s: int = 900, work_s: int = 100, pinned: Pin | None = None) -> Job:
    return Job(name, frozenset(), work_s, "mill", 0, due_s, 1.0, (), pinned)


def test_the_same_seed_and_steps_give_the_same_plan() -> None:
    plans = [improve(WEEK, Plan(), settings=PLANT, expired=after(150), seed=7) for _ in range(2)]

    assert plans[0] == plans[1]


def test_a_search_costs_less_than_the_dispatcher_and_never_more_than_it_was_given() -> None:
    greedy = earliest_due_date(WEEK)

    better = improve(WEEK, greedy, settings=PLANT, expired=after(300), seed=1)
    same = improve(WEEK, better, settings=PLANT, expired=after(20), seed=2)

    assert costs(WEEK, better, PLANT).total < costs(WEEK, greedy, PLANT).total
    assert costs(WEEK, same, PLANT).total <= costs(WEEK, better, PLANT).total + 1e-6


def test_the_costs_of_a_plan_are_those_of_its_visits() -> None:
    problem = Problem((job("late", due_s=0),), (ADA,), ROUND)

    found = costs(problem, insert(problem, Plan(), problem.jobs[0]), PLANT)

    assert (found.travel_min, found.late, found.late_jobs, found.unplaced) == (200 / 60, 200 / 60, 1, 0)


def test_an_insertion_leaves_every_other_job_with_its_worker_and_shift() -> None:
    plan = improve(WEEK, Plan(), settings=PLANT, expired=after(100), seed=1)

    new = replace(WEEK.jobs[0], id="new", due_s=0)
    after_it = insert(WEEK, plan, new)

    assert after_it.visit_of("new") is not None
    assert moved(WEEK, plan, after_it) == []


def test_an_inserted_job_takes_the_place_of_the_job_with_its_id() -> None:
    problem = Problem((job("one"),), (ADA,), ROUND)

    plan = insert(problem, insert(problem, Plan(), job("one")), job("one", work_s=300))

    (visit,) = plan.visits
    assert visit.end_s - visit.start_s == 300


def test_work_that_has_begun_stays_and_keeps_its_worker_busy() -> None:
    begun = job("begun", work_s=50, pinned=Pin("ada", 100))
    problem = Problem((begun, job("next", pinned=Pin("ada"))), (ADA,), ROUND, now_s=400)

    plan = improve(problem, Plan(), settings=PLANT, expired=after(20), seed=1)

    assert [(visit.job, visit.start_s, visit.end_s) for visit in plan] == [("begun", 100, 400), ("next", 400, 500)]


def test_a_pinned_job_is_never_left_out_for_the_sake_of_others() -> None:
    pinned = job("pinned", work_s=700, due_s=3_000, pinned=Pin("ada", 2_100))
    others = tuple(job(f"other {number}", work_s=200) for number in range(8))
    problem = Problem((pinned, *others), (replace(ADA, shifts=ADA.shifts[1:]),), ROUND)

    plan = improve(problem, Plan(), settings=PLANT, expired=after(200), seed=1)

    assert [visit.job for visit in plan] == ["pinned"]
    assert {reason.kind for reason in plan.unplaced.values()} == {ReasonKind.NO_ROOM}


def test_the_frozen_horizon_stays_as_it_is_and_takes_no_new_job() -> None:
    plan = improve(WEEK, Plan(), settings=PLANT, expired=after(100), seed=1)
    frozen_s = sorted(visit.start_s for visit in plan)[8]
    problem = replace(WEEK, jobs=(*WEEK.jobs, replace(WEEK.jobs[0], id="new", due_s=0)), frozen_until_s=frozen_s)

    again = improve(problem, plan, settings=replace(PLANT, move_cost=0.0), expired=after(200), seed=2)

    soon = {visit for visit in plan if visit.start_s < frozen_s}
    assert soon <= set(again)
    assert {visit.job for visit in again if visit.start_s < frozen_s} == {visit.job for visit in soon}


def test_the_jobs_of_a_worker_who_is_gone_find_others_or_say_why_not() -> None:
    plan = improve(WEEK, Plan(), settings=PLANT, expired=after(100), seed=1)
    gone = WEEK.workers[0]
    problem = replace(WEEK, workers=WEEK.workers[1:])

    again = improve(problem, plan, settings=PLANT, expired=after(100), seed=1)

    assert plan.of_worker(gone.id)
    assert {visit.job for visit in again} | again.unplaced.keys() == {job.id for job in WEEK.jobs}
    assert not again.of_worker(gone.id)


def test_a_job_in_the_frozen_horizon_of_a_worker_who_is_gone_may_start_as_soon_elsewhere() -> None:
    problem = Problem((job("soon"),), (ADA, BEN), ROUND, frozen_until_s=500)
    plan = insert(replace(problem, frozen_until_s=0), Plan(), job("soon"))
    (visit,) = plan.visits

    again = insert(
        replace(problem, workers=tuple(one for one in (ADA, BEN) if one.id != visit.worker)), plan, job("soon")
    )

    assert [(one.worker != visit.worker, one.start_s) for one in again] == [(True, visit.start_s)]


def test_the_penalty_keeps_people_on_their_jobs() -> None:
    week = instance(3, jobs=50, workers=6)
    before = improve(week, Plan(), settings=PLANT, expired=after(150), seed=1)
    problem = wednesday(week, before, 1)
    urgent = next(job for job in problem.jobs if job.id == URGENT)
    inserted = insert(problem, before, urgent)

    def moves(move_cost: float) -> int:
        settings = SearchSettings(move_cost=move_cost, reference=before)
        return len(moved(problem, before, improve(problem, inserted, settings=settings, expired=after(400), seed=1)))

    assert moves(PLANT.move_cost) <= 3
    assert moves(PLANT.move_cost) < moves(0.0)


def test_there_is_nothing_to_plan_without_jobs_or_workers() -> None:
    nobody = replace(WEEK, workers=())

    assert improve(Problem((), ()), Plan(), settings=PLANT, expired=after(3), seed=1) == Plan()
    assert len(improve(nobody, Plan(), settings=PLANT, expired=after(3), seed=1).unplaced) == len(WEEK.jobs)


def test_jobs_that_are_done_leave_the_plan() -> None:
    problem = Problem((job("one"), job("two")), (ADA,), ROUND)
    plan = insert(problem, Plan(), job("one"))

    again = improve(replace(problem, jobs=(job("two"),)), plan, settings=PLANT, expired=after(5), seed=1)

    assert [visit.job for visit in again] == ["two"]
