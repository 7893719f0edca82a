"""PyVRP and OR-Tools on the same instances, each in an environment of its own, judged by the same evaluator."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.contest import Absent
from benchmarks.environment import python_of
from fieldline_cloud.planning.board import Board
from fieldline_cloud.planning.greedy import earliest_due_date
from fieldline_cloud.planning.model import Plan, Problem, SearchSettings, Visit
from fieldline_cloud.planning.starts import starts_of

__all__ = ["PEERS", "solve"]

_HERE = Path(__file__).parent
_MARGIN_S = 60.0
PEERS = {"PyVRP": ("pyvrp", "0.14.1", "pyvrp==0.14.1"), "OR-Tools": ("ortools", "9.15", "ortools==9.15.6755")}


def solve(name: str, problem: Problem, settings: SearchSettings, *, budget_s: float, seed: int) -> Plan:
    """The plan of a peer. Absent, with the reason, where it cannot be run."""
    package, version, wanted = PEERS[name]
    python = python_of(package, version, wanted)
    board = Board(problem, Plan(), settings)
    question = json.dumps(_as_numbers(board, settings, budget_s, seed))
    try:
        answer = subprocess.run(
            [str(python), str(_HERE / f"{package}_solver.py")],
            input=question,
            capture_output=True,
            text=True,
            check=True,
            timeout=budget_s + _MARGIN_S,
        )
    except subprocess.CalledProcessError as error:
        raise Absent((error.stderr.strip().splitlines() or ["failed"])[-1]) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Absent(str(error)) from error
    return _plan(board, settings, json.loads(answer.stdout))


def _as_numbers(board: Board, settings: SearchSettings, budget_s: float, seed: int) -> Mapping[str, Any]:
    """The problem as a peer gets it: times and costs in seconds (of travel), places as rows of a matrix."""
    problem, routes = board.problem, board.routes
    places = sorted(
        {job.place for job in board.jobs} | {place for one in routes for place in (one.place, one.worker.home)}
    )
    last_s = max((route.end_s for route in routes), default=0)
    greedy = earliest_due_date(problem)
    known: list[list[int]] = [[] for _ in routes]
    for visit in greedy.visits:
        number = board.number_of(visit.job)
        if number is not None:
            known[board.route_of(visit)].append(number)
    return {
        "budget_s": budget_s,
        "seed": seed,
        "skip_cost": [round(60 * cost) for cost in board.routing.skip_cost],
        "legs": [[problem.travel.between(one, other) for other in places] for one in places],
        "jobs": [
            {
                "work": job.work_s,
                "place": places.index(job.place),
                "due": job.due_s,
                "weight": job.weight,
                "starts": [[low, min(high, last_s)] for low, high in starts_of(job, problem.now_s) if low <= last_s],
                "routes": list(board.routing.routes_of[number]),
            }
            for number, job in enumerate(board.jobs)
        ],
        "routes": [
            {
                "ready": route.ready_s,
                "end": route.end_s,
                "from": places.index(route.place),
                "home": places.index(route.worker.home),
                "worker": route.worker.id,
            }
            for route in routes
        ],
        "greedy": known,
    }


def _plan(board: Board, settings: SearchSettings, orders: list[list[int]]) -> Plan:
    """The peer's orders with the earliest times, and where one cannot be done without what cannot be done."""
    visits = tuple(
        Visit(board.jobs[job].id, route.worker.id, route.ready_s + at, route.ready_s + at + 1, 0)
        for route, order in zip(board.routes, orders, strict=True)
        for at, job in enumerate(order)
    )
    timed = Board(board.problem, Plan(visits), settings)
    return timed.plan_of(timed.state_of_plan())
