"""Make a plan better for as long as there is time."""

from collections.abc import Callable
from random import Random

from fieldline_cloud.planning.board import Board
from fieldline_cloud.planning.model import Plan, Problem, SearchSettings
from fieldline_cloud.planning.search.anneal import anneal
from fieldline_cloud.planning.search.cooling import Cycles

__all__ = ["improve"]

_HOT = 10.0
"""Minutes: a step that costs so much more is taken one time in three at first."""


def improve(problem: Problem, plan: Plan, *, settings: SearchSettings, expired: Callable[[], bool], seed: int) -> Plan:
    """The best plan found until `expired`, which is asked at every step, some thousand times a second.

    What the rules no longer allow in `plan` is repaired first. The result breaks no rule, costs at most what the
    repaired plan costs (see `costs`), and is the same for the same seed and number of steps.
    """
    board = Board(problem, plan, settings)
    state = board.state_of_plan()
    board.fill(state)
    if sum(1 for job in range(len(board.jobs)) if board.routing.routes_of[job]) > 1:
        state = anneal(state, board.tours, schedule=Cycles(expired), random=Random(seed), hot=_HOT)
    return board.plan_of(state)
