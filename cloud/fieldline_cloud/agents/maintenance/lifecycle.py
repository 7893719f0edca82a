"""Which moves a task may make from which state: one table, and nothing else decides. Pure."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from fieldline.model import TaskState

__all__ = ["MOVES", "Move", "NotPossible", "moves_from", "step"]


class Move(Enum):
    """What can happen to a task. The agent plans, tells, unplans, verifies and reopens; people do the rest."""

    PLAN = "plan"  # it has a slot that nobody is told of yet
    TELL = "tell"  # it has a slot, and the technician knows
    UNPLAN = "unplan"  # its slot is gone
    ACCEPT = "accept"
    TRAVEL = "travel"
    START = "start"
    WAIT = "wait_for_parts"
    FINISH = "done"
    VERIFY = "verify"  # the signal stayed normal after the work
    REOPEN = "reopen"  # the signal did not
    REJECT = "reject"
    CANCEL = "cancel"


_S, _M = TaskState, Move

_PLANNED_MOVES: Final = {_M.PLAN: _S.PLANNED, _M.TELL: _S.ASSIGNED, _M.UNPLAN: _S.OPEN}
_WORKED_MOVES: Final = {
    _M.TRAVEL: _S.TRAVELLING,
    _M.START: _S.IN_PROGRESS,
    _M.WAIT: _S.WAITING_FOR_PARTS,
    _M.FINISH: _S.DONE,
    _M.REJECT: _S.REJECTED,
    _M.CANCEL: _S.CANCELLED,
}

MOVES: Final[Mapping[TaskState, Mapping[Move, TaskState]]] = MappingProxyType(
    {
        # Whoever says "I have it" or "it is done" before the agent has told them is believed.
        _S.OPEN: {**_PLANNED_MOVES, _M.FINISH: _S.DONE, _M.CANCEL: _S.CANCELLED},
        _S.PLANNED: {**_PLANNED_MOVES, **_WORKED_MOVES, _M.ACCEPT: _S.ACCEPTED},
        _S.ASSIGNED: {**_PLANNED_MOVES, **_WORKED_MOVES, _M.ACCEPT: _S.ACCEPTED},
        # Planned anew means: given to somebody else, or opened because the technician is no longer there.
        _S.ACCEPTED: {**_PLANNED_MOVES, **_WORKED_MOVES},
        _S.TRAVELLING: {**_WORKED_MOVES, _M.UNPLAN: _S.OPEN},
        _S.IN_PROGRESS: {**_WORKED_MOVES, _M.UNPLAN: _S.OPEN},
        _S.WAITING_FOR_PARTS: {**_WORKED_MOVES, _M.UNPLAN: _S.OPEN},
        _S.DONE: {_M.VERIFY: _S.VERIFIED, _M.REOPEN: _S.OPEN},
        _S.REJECTED: {**_PLANNED_MOVES, _M.FINISH: _S.DONE, _M.CANCEL: _S.CANCELLED},
        _S.VERIFIED: {},
        _S.CANCELLED: {},
    }
)
"""The state after each move, by the state before it. A move that is not listed is not possible."""


class NotPossible(Exception):
    """The move is not possible from this state; the message says which are."""

    def __init__(self, state: TaskState, move: Move) -> None:
        possible = ", ".join(sorted(each.value for each in MOVES[state])) or "nothing, it is over"
        super().__init__(f"a task that is {state.value} cannot take {move.value!r}; possible: {possible}")
        self.state = state
        self.move = move


def step(state: TaskState, move: Move) -> TaskState:
    """The state after `move`; NotPossible where the table has none."""
    following = MOVES[state].get(move)
    if following is None:
        raise NotPossible(state, move)
    return following


def moves_from(state: TaskState) -> frozenset[Move]:
    """What may happen to a task in this state."""
    return frozenset(MOVES[state])
