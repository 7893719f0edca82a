"""A plan that people have made arrangements by: nothing begins at another time than need be."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from fieldline_cloud.planning.costs import costs, delayed
from fieldline_cloud.planning.improve import improve
from fieldline_cloud.planning.insert import insert
from fieldline_cloud.planning.model import Job, Pin, Plan, Problem, SearchSettings, Span, Travel, Visit, Worker

DAY_S = 24 * 3_600
ADA = Worker("ada", frozenset(), (Span(0, 30_000), Span(DAY_S, DAY_S + 30_000)), "gate")
ROUND = Travel({("gate", "mill"): 600})


def job(name: str, *, due_s: int = 30_000, work_s: int = 3_000, pinned: Pin | None = None) -> Job:
    return Job(name, frozenset(), work_s, "mill", 0, due_s, 1.0, (), pinned)


def planned(problem: Problem) -> Plan:
    plan = Plan()
    for number, one in enumerate(problem.jobs):
        plan = insert(replace(problem, jobs=problem.jobs[: number + 1]), plan, one)
    return plan


def starts(plan: Plan) -> dict[str, int]:
    return {visit.job: visit.start_s for visit in plan}


def after(steps: int) -> Callable[[], bool]:
    asked = count()
    return lambda: next(asked) >= steps


@pytest.mark.parametrize("pinned", [None, Pin("ada", 600)])
def test_a_visit_that_the_worker_must_be_under_way_to_stays_as_time_passes(pinned: Pin | None) -> None:
    problem = Problem((job("first"), job("second")), (ADA,), ROUND)
    plan = planned(problem)
    a_minute_on = replace(problem, jobs=(job("first", pinned=pinned), job("second"), job("new")), now_s=60)

    again = insert(a_minute_on, plan, job("new"))

    assert starts(again) == {"first": 600, "second": 3_600, "new": 6_600}
    assert again.unplaced == {}


def test_whoever_is_known_to_be_elsewhere_begins_when_they_can_be_there() -> None:
    problem = Problem((job("first"),), (ADA,), ROUND)
    elsewhere = replace(problem, workers=(replace(ADA, at="gate"),), now_s=60)

    again = insert(elsewhere, planned(problem), job("first"))

    assert starts(again) == {"first": 660}


def test_what_is_under_way_is_planned_anew_if_the_worker_is_at_other_work_until_then() -> None:
    problem = Problem((job("first"), job("second")), (ADA,), ROUND)
    plan = planned(problem)
    longer = replace(job("first", work_s=4_000), pinned=Pin("ada", 600))
    still_at_it = replace(problem, jobs=(longer, job("second")), now_s=3_200)

    assert starts(insert(still_at_it, plan, longer)) == {"first": 600, "second": 4_600}


def test_a_job_keeps_its_start_when_the_one_before_it_is_gone() -> None:
    problem = Problem((job("first"), job("second"), job("third")), (ADA,), ROUND)
    plan = planned(problem)
    left = replace(problem, jobs=problem.jobs[1:])

    assert starts(insert(left, plan, left.jobs[0])) == {"second": 3_600, "third": 6_600}
    assert starts(improve(left, plan, settings=SearchSettings(), expired=after(60), seed=1))["third"] == 6_600


def test_a_job_is_held_no_longer_than_the_settings_say() -> None:
    problem = Problem((job("first"), job("second")), (ADA,), ROUND)
    plan = planned(problem)
    left = replace(problem, jobs=problem.jobs[1:])

    def start(hold_s: int) -> int:
        return starts(insert(left, plan, left.jobs[0], settings=SearchSettings(hold_s=hold_s)))["second"]

    assert (start(3_000), start(2_999), start(0)) == (3_600, 600, 600)


def test_what_is_late_begins_as_soon_as_it_can() -> None:
    problem = Problem((job("first"), job("second", due_s=6_599)), (ADA,), ROUND)
    plan = planned(problem)
    order = [visit.job for visit in plan]
    left = replace(problem, jobs=tuple(one for one in problem.jobs if one.id == order[1]))

    again = insert(left, plan, replace(left.jobs[0], due_s=6_599))

    assert starts(again) == {order[1]: 600}


def test_a_start_is_not_held_where_that_delays_another() -> None:
    known = Plan((Visit("first", "ada", 3_000, 6_000, 600), Visit("pinned", "ada", 6_500, 9_500, 0)))
    pinned = job("pinned", pinned=Pin("ada", 5_000))
    problem = Problem((job("first"), pinned), (ADA,), ROUND)

    again = insert(problem, known, pinned)

    assert starts(again) == {"first": 600, "pinned": 5_000}


def test_a_new_job_that_is_in_time_gives_way_to_a_start_that_is_known() -> None:
    known = Plan((Visit("known", "ada", 2_000, 5_000, 600),))
    new = job("new", pinned=Pin("ada"))
    problem = Problem((job("known"), new), (replace(ADA, shifts=ADA.shifts[:1]),), ROUND)

    assert starts(insert(problem, known, new, settings=SearchSettings(delay_cost=100.0))) == {
        "known": 2_000,
        "new": 5_000,
    }
    assert starts(insert(problem, known, replace(new, due_s=7_000), settings=SearchSettings(delay_cost=100.0))) == {
        "known": 600,
        "new": 3_600,
    }


def test_a_new_job_goes_behind_the_others_unless_it_is_worth_their_delay() -> None:
    problem = Problem((job("first"), job("second"), job("new")), (ADA,), ROUND)
    plan = planned(replace(problem, jobs=problem.jobs[:2]))

    def begins(settings: SearchSettings) -> int:
        return starts(insert(problem, plan, problem.jobs[2], settings=settings))["new"]

    urgent = replace(problem.jobs[2], due_s=3_600)
    hurried = insert(replace(problem, jobs=(*problem.jobs[:2], urgent)), plan, urgent)

    assert (begins(SearchSettings(delay_cost=0.0)), begins(SearchSettings())) == (600, 6_600)
    assert starts(hurried) == {"new": 600, "first": 3_600, "second": 6_600}


def test_a_day_sooner_is_worth_what_the_settings_say() -> None:
    problem = Problem((job("known", pinned=Pin("ada", DAY_S + 600)), job("new", due_s=2 * DAY_S)), (ADA,), ROUND)
    plan = planned(replace(problem, jobs=problem.jobs[:1]))

    def begins(day_cost: float) -> int:
        settings = SearchSettings(day_cost=day_cost)
        return starts(improve(problem, plan, settings=settings, expired=after(60), seed=1))["new"]

    way_there_and_back = 20.0
    assert begins(way_there_and_back - 1) == DAY_S + 3_600
    assert begins(way_there_and_back + 1) == 600


def test_delays_and_days_of_waiting_are_part_of_the_costs() -> None:
    problem = Problem((job("first"), job("second", due_s=2 * DAY_S)), (ADA,), ROUND)
    before = Plan((Visit("first", "ada", 600, 3_600, 600), Visit("second", "ada", DAY_S + 600, DAY_S + 3_600, 600)))
    settings = SearchSettings(reference=before)
    later = replace(before, visits=(replace(before.visits[0], start_s=1_501, end_s=4_501), before.visits[1]))

    known, moved_on = costs(problem, before, settings), costs(problem, later, settings)

    assert delayed(problem, before, later, 900) == ["first"]
    assert (known.delayed, moved_on.delayed, moved_on.moved) == (0, 1, 0)
    assert known.wait_days == pytest.approx(1.0)
    assert known.total == pytest.approx(known.travel_min + settings.day_cost)
    assert moved_on.total == pytest.approx(known.total + settings.delay_cost)
