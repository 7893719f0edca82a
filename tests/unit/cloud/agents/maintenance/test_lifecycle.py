"""The table of moves: every state can end, nothing leaves the end, and no sequence of moves breaks the rules."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import TaskState
from fieldline_cloud.agents.maintenance.lifecycle import MOVES, Move, NotPossible, moves_from, step


def test_every_state_is_in_the_table_and_every_move_is_possible_somewhere() -> None:
    assert set(MOVES) == set(TaskState)
    assert {move for moves in MOVES.values() for move in moves} == set(Move)


def test_nothing_happens_to_what_is_over() -> None:
    assert all(not MOVES[state] for state in TaskState if state.is_over)


def test_from_every_state_an_end_can_be_reached() -> None:
    ending = {state for state in TaskState if state.is_over}
    for _ in TaskState:
        ending |= {state for state, moves in MOVES.items() if ending & set(moves.values())}
    assert ending == set(TaskState)


def test_only_what_is_done_can_be_verified() -> None:
    assert [state for state in TaskState if Move.VERIFY in moves_from(state)] == [TaskState.DONE]


@pytest.mark.parametrize("state", [TaskState.PLANNED, TaskState.ASSIGNED])
def test_a_technician_may_begin_without_accepting(state: TaskState) -> None:
    assert step(state, Move.START) is TaskState.IN_PROGRESS


def test_a_move_that_is_not_possible_says_what_is() -> None:
    with pytest.raises(NotPossible, match=r"that is done cannot take 'accept'; possible: reopen, verify"):
        step(TaskState.DONE, Move.ACCEPT)
    with pytest.raises(NotPossible, match="nothing, it is over"):
        step(TaskState.CANCELLED, Move.ACCEPT)


@given(st.lists(st.sampled_from(Move)))
def test_whatever_is_tried_a_task_is_verified_only_after_it_was_done(moves: list[Move]) -> None:
    state, visited = TaskState.OPEN, [TaskState.OPEN]
    for move in moves:
        try:
            state = step(state, move)
        except NotPossible:
            continue
        visited.append(state)
    for before, after in pairwise(visited):
        assert after is not TaskState.VERIFIED or before is TaskState.DONE
        assert not before.is_over
