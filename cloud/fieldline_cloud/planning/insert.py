"""Put a job into a plan at once, where it costs least, without a search."""

from dataclasses import replace

from fieldline_cloud.planning.board import Board
from fieldline_cloud.planning.model import Job, Plan, Problem, SearchSettings

__all__ = ["insert"]


def insert(problem: Problem, plan: Plan, job: Job, *, settings: SearchSettings | None = None) -> Plan:
    """The plan with the job in its cheapest place, or in `unplaced` with the reason.

    `job` may be new to the problem, or take the place of the job with its id. Every other job stays with its worker, in
    its shift and order; what comes after the new job may start later. Jobs of the problem that the plan does not place,
    or that may no longer be where it has them (their worker is gone, their parts are late), get a place as well.
    """
    others = tuple(other for other in problem.jobs if other.id != job.id)
    board = Board(replace(problem, jobs=(*others, job)), plan, settings or SearchSettings())
    state = board.state_of_plan()
    number = board.number_of(job.id)
    board.fill(state, first=() if number is None else (number,))
    return board.plan_of(state)
