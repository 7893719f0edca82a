"""Thousands of small random problems, each plan judged by a checker that shares no rule with the planner."""

from collections.abc import Callable
from itertools import count

import pytest

from fieldline_cloud.planning.greedy import earliest_due_date
from fieldline_cloud.planning.improve import improve
from fieldline_cloud.planning.insert import insert
from fieldline_cloud.planning.model import Plan, SearchSettings
from tests.unit.cloud.planning.cases import later, small_problem
from tests.unit.cloud.planning.checker import faults, untrue_reasons


def after(steps: int) -> Callable[[], bool]:
    asked = count()
    return lambda: next(asked) >= steps


@pytest.mark.parametrize("block", range(8))
def test_a_dispatchers_plan_breaks_no_rule(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        problem = small_problem(seed, detours=True)

        plan = earliest_due_date(problem)

        assert faults(problem, plan, Plan()) == [], seed


@pytest.mark.parametrize("block", range(8))
def test_an_insertion_breaks_no_rule_and_leaves_out_nothing_without_a_true_reason(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        problem = small_problem(seed)
        before = earliest_due_date(problem)
        changed = later(problem, before, seed)

        plan = insert(changed, before, changed.jobs[-1])

        assert faults(changed, plan, before) == [], seed
        assert untrue_reasons(changed, plan, before) == [], seed


@pytest.mark.parametrize("block", range(4))
def test_no_rule_is_broken_where_a_detour_is_shorter_than_the_direct_way(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        problem = small_problem(seed, detours=True)
        before = insert(problem, Plan(), problem.jobs[0]) if problem.jobs else Plan()
        changed = later(problem, before, seed)

        plan = improve(changed, before, settings=SearchSettings(), expired=after(20), seed=seed)

        assert faults(problem, before, Plan()) == [], seed
        assert faults(changed, plan, before) == [], seed


@pytest.mark.parametrize("block", range(8))
def test_a_search_breaks_no_rule_and_leaves_out_nothing_without_a_true_reason(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        problem = small_problem(seed)
        before = improve(problem, Plan(), settings=SearchSettings(), expired=after(15), seed=seed)
        changed = later(problem, before, seed)

        plan = improve(changed, before, settings=SearchSettings(), expired=after(15), seed=seed)

        assert faults(problem, before, Plan()) == [], seed
        assert untrue_reasons(problem, before, Plan()) == [], seed
        assert faults(changed, plan, before) == [], seed
        assert untrue_reasons(changed, plan, before) == [], seed
