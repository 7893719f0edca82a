"""The plan of a dispatcher without a computer: the job that is due first goes to whoever can finish it first."""

from fieldline_cloud.planning.board import Board
from fieldline_cloud.planning.model import Plan, Problem, SearchSettings
from fieldline_cloud.planning.search.state import State

__all__ = ["earliest_due_date"]


def earliest_due_date(problem: Problem) -> Plan:
    """Each job, by due date, after the last job of the worker who then finishes it first: what a search has to beat."""
    board = Board(problem, Plan(), SearchSettings())
    orders: list[tuple[int, ...]] = [()] * len(board.routes)
    jobs = board.jobs
    for job in sorted(range(len(jobs)), key=lambda job: (jobs[job].pinned is None, jobs[job].due_s, jobs[job].id)):
        best: tuple[int, int] | None = None
        for route in board.routing.routes_of[job]:
            if board.routing.may_follow(route, orders[route], job):
                end_s = board.tours.get(route, (*orders[route], job)).ends[-1]
                best = min(best or (end_s, route), (end_s, route))
        if best is not None:
            orders[best[1]] = (*orders[best[1]], job)
    return board.plan_of(State.of(board.tours, orders))
