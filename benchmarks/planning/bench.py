"""Plans of a week, plans made anew, insertions and technician routing, as rows for the benchmark runner."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contest import Absent
from benchmarks.harness import row
from benchmarks.planning.instances import URGENT, instance, wednesday
from benchmarks.planning.peers import PEERS, solve
from benchmarks.planning.trsp.rows import trsp
from fieldline_cloud.planning.costs import Costs, costs
from fieldline_cloud.planning.greedy import earliest_due_date
from fieldline_cloud.planning.improve import improve
from fieldline_cloud.planning.insert import insert
from fieldline_cloud.planning.model import Plan, Problem, ReasonKind, SearchSettings

__all__ = ["GROUPS", "run"]

_PLANT = SearchSettings()
_JUDGE = replace(_PLANT, day_cost=0.0)
"""What all plans are judged by: travel, lateness and jobs left out. That ours are done soon is beside the contest."""
_INSTANCES, _INSTANCES_QUICK = 20, 3
_PLAN_S, _PLAN_QUICK_S = 10.0, 3.0
_REPLAN_S, _REPLAN_QUICK_S = 3.0, 1.0
_TRAVEL_GOAL, _MOVED_GOAL, _INSERT_GOAL_MS = 35.0, 3, 5.0


def run(*, quick: bool, data: Path | None, only: Collection[str] = ()) -> list[dict[str, Any]]:
    """Rows of the groups in `only`, all if it is empty. `data`: a folder with technician routing instances."""
    return [one for name, group in GROUPS.items() if not only or name in only for one in group(quick=quick, data=data)]


def _plan(*, quick: bool, data: Path | None) -> list[dict[str, Any]]:
    """Whole weeks: ours beside the dispatcher's rule and the libraries, with the same budget and the same judge."""
    problems = [instance(seed) for seed in range(_INSTANCES_QUICK if quick else _INSTANCES)]
    budget_s = _PLAN_QUICK_S if quick else _PLAN_S
    ours, greedy, peers = [], [], dict[str, list[Costs]]()
    absent: dict[str, str] = {}
    no_room = 0
    for seed, problem in enumerate(problems):
        plan = improve(problem, Plan(), settings=_PLANT, expired=_after(budget_s), seed=seed)
        no_room += sum(reason.kind is ReasonKind.NO_ROOM for reason in plan.unplaced.values())
        ours.append(costs(problem, plan, _JUDGE))
        greedy.append(costs(problem, earliest_due_date(problem), _JUDGE))
        for name in PEERS.keys() - absent.keys():
            try:
                theirs = solve(name, problem, _PLANT, budget_s=budget_s, seed=seed)
            except Absent as error:
                absent[name] = str(error)
            else:
                peers.setdefault(name, []).append(costs(problem, theirs, _JUDGE))
    others = {"earliest due date": greedy, **{name: found for name, found in peers.items() if name not in absent}}
    return [
        one | ({"absent": absent} if absent else {})
        for one in _plan_rows(f"{len(problems)} weeks, {budget_s:g} s", ours, others, no_room)
    ]


def _plan_rows(how: str, ours: list[Costs], others: Mapping[str, list[Costs]], no_room: int) -> list[dict[str, Any]]:
    def beside(figure: Callable[[Costs], float]) -> tuple[float, dict[str, float]]:
        return median(map(figure, ours)), {name: median(map(figure, found)) for name, found in others.items()}

    greedy = others["earliest due date"]
    below = sum(mine.travel_min + mine.late < one.travel_min + one.late for mine, one in zip(ours, greedy, strict=True))
    saved = [100 * (1 - mine.travel_min / one.travel_min) for mine, one in zip(ours, greedy, strict=True)]
    cheapest = {
        name: sum(mine.total <= one.total + 1e-6 for mine, one in zip(ours, found, strict=True))
        for name, found in others.items()
    }
    rows = [
        row(f"{how}: jobs left out that could be done", "jobs", no_room, None, "<= 0", no_room == 0),
        row(
            f"{how}: travel + weighted lateness below earliest due date",
            "weeks",
            below,
            None,
            f">= {len(ours)}",
            below == len(ours),
        ),
        row(
            f"{how}: travel saved, least of all weeks",
            "%",
            min(saved),
            None,
            f">= {_TRAVEL_GOAL:g}",
            min(saved) >= _TRAVEL_GOAL,
        ),
        row(f"{how}: travel saved, median", "%", median(saved), None, None, None),
        row(f"{how}: travel", "h", *beside(lambda one: one.travel_min / 60), None, None),
        row(f"{how}: weighted lateness", "min", *beside(lambda one: one.late), None, None),
        row(
            f"{how}: jobs not in the plan, all weeks",
            "jobs",
            sum(one.unplaced for one in ours),
            {name: sum(one.unplaced for one in found) for name, found in others.items()},
            None,
            None,
        ),
        row(f"{how}: cost", "min", *beside(lambda one: one.total), None, None),
    ]
    return [
        *rows,
        *(
            row(f"{how}: ours at most the cost of {name}", "weeks", count, None, None, None)
            for name, count in cheapest.items()
        ),
    ]


def _replan(*, quick: bool, data: Path | None) -> list[dict[str, Any]]:
    """Wednesday, 05:00: an urgent job comes up. With the penalty, and what happens without."""
    budget_s = _REPLAN_QUICK_S if quick else _REPLAN_S
    moved: dict[float, list[int]] = {_PLANT.move_cost: [], 0.0: []}
    gains: dict[float, list[float]] = {_PLANT.move_cost: [], 0.0: []}
    took = []
    for seed in range(_INSTANCES_QUICK if quick else _INSTANCES):
        week = instance(seed)
        before = improve(week, Plan(), settings=_PLANT, expired=_after(budget_s), seed=seed)
        problem = wednesday(week, before, seed)
        inserted = _insert_urgent(problem, before)
        for move_cost, found in moved.items():
            settings = replace(_PLANT, move_cost=move_cost, reference=before)
            if not move_cost:
                settings = replace(settings, delay_cost=0.0)
            began_s = time.perf_counter()
            plan = improve(problem, inserted, settings=settings, expired=_after(budget_s), seed=seed)
            took.append(time.perf_counter() - began_s)
            judge = replace(_JUDGE, move_cost=0.0, delay_cost=0.0, reference=before)
            after = costs(problem, plan, judge)
            found.append(after.moved)
            gains[move_cost].append(100 * (1 - after.total / costs(problem, inserted, judge).total))
    how = f"Wednesday 05:00, {budget_s:g} s"
    with_penalty, without = moved[_PLANT.move_cost], moved[0.0]
    most, slowest = max(with_penalty), max(took)
    free = {"without penalty": float(max(without))}
    return [
        row(f"{how}: jobs moved, most", "jobs", most, free, f"<= {_MOVED_GOAL}", most <= _MOVED_GOAL),
        row(f"{how}: jobs moved, all", "jobs", sum(with_penalty), {"without penalty": sum(without)}, None, None),
        row(
            f"{how}: cost saved over inserting alone, mean",
            "%",
            _mean(gains[_PLANT.move_cost]),
            {"without penalty": _mean(gains[0.0])},
            None,
            None,
        ),
        row(
            f"{how}: from call to plan, slowest",
            "s",
            slowest,
            None,
            f"<= {budget_s:g} and 5 %",
            slowest <= 1.05 * budget_s,
        ),
    ]


def _insert_urgent(problem: Problem, plan: Plan) -> Plan:
    urgent = next(job for job in problem.jobs if job.id == URGENT)
    return insert(problem, plan, urgent)


def _insert(*, quick: bool, data: Path | None) -> list[dict[str, Any]]:
    """One more job into a full week, from the call to the plan: what it costs, and how long it took on this machine."""
    cpu_ms: list[float] = []
    wall_ms: list[float] = []
    for seed in range(_INSTANCES_QUICK if quick else _INSTANCES):
        problem = instance(seed)
        plan = improve(problem, Plan(), settings=_PLANT, expired=_after(0.3), seed=seed)
        for number in range(10):
            job = replace(problem.jobs[number], id=URGENT, due_s=3_600 * (8 + number), weight=10.0)
            cpu_s, wall_s = time.process_time(), time.perf_counter()
            insert(problem, plan, job)
            cpu_ms.append(1_000 * (time.process_time() - cpu_s))
            wall_ms.append(1_000 * (time.perf_counter() - wall_s))
    middle = median(cpu_ms)
    goal = f"<= {_INSERT_GOAL_MS:g}"
    return [
        row("one job into a week of 100, CPU: median", "ms", middle, None, goal, middle <= _INSERT_GOAL_MS),
        row("one job into a week of 100, CPU: slowest", "ms", max(cpu_ms), None, None, None),
        row("one job into a week of 100, by the clock: median", "ms", median(wall_ms), None, None, None),
    ]


def _after(budget_s: float) -> Callable[[], bool]:
    ends_s = time.perf_counter() + budget_s
    return lambda: time.perf_counter() >= ends_s


def _mean(figures: list[float]) -> float:
    return sum(figures) / len(figures)


GROUPS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "plan": _plan,
    "replan": _replan,
    "insert": _insert,
    "trsp": trsp,
}
