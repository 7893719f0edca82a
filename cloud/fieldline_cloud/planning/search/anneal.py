"""The search itself: ruin and recreate, again and again, accepted as simulated annealing does."""

from collections.abc import Callable, Sequence
from math import exp
from random import Random
from typing import TypeVar

from fieldline_cloud.planning.search.cooling import Schedule
from fieldline_cloud.planning.search.recreate import Recreate, by_regret, in_turn
from fieldline_cloud.planning.search.routing import Tour
from fieldline_cloud.planning.search.ruin import Ruin, alike, scattered, strings, whole_tours
from fieldline_cloud.planning.search.state import State, Tours

__all__ = ["anneal"]

T = TypeVar("T", bound=Tour)

_RUINS: tuple[tuple[Ruin[Tour], float], ...] = (
    (strings, 0.6),
    (alike, 0.2),
    (scattered, 0.1),
    (whole_tours, 0.1),
)
_REGRET = 0.15  # share of steps that recreate by regret, which is slower than in turn
_SEEKING = 0.5
"""While hotter than that the search looks for room for jobs that are left out, whatever it costs otherwise."""
_AMOUNT = 10
"""Jobs taken out on average. Ten is what the paper on strings found best for a thousand jobs as for a hundred."""


def anneal(
    start: State[T],
    known: Tours[T],
    *,
    schedule: Schedule,
    random: Random,
    hot: float,
    accepted: Callable[[State[T]], None] | None = None,
) -> State[T]:
    """The best state found from `start` on, never worse than it. `hot`: the temperature at first, in units of cost.

    `accepted` is shown every state that the search goes on from.
    """
    best = current = start
    absences = [0] * len(start.where)
    while (factor := schedule.temperature()) is not None:
        if schedule.restarts():
            current = best
        candidate = current.copy()
        if len(candidate.left_out) < len(candidate.where):
            _ruin(candidate, known, random)
        recreate: Recreate[T] = by_regret if random.random() < _REGRET else in_turn
        recreate(candidate, known, random)
        for job in candidate.left_out:
            absences[job] += 1
        worse = candidate.cost - current.cost
        if (
            worse < 0
            or random.random() < exp(-worse / (hot * factor))
            or (factor > _SEEKING and current.left_out and _less_missed(candidate, current, absences))
        ):
            current = candidate
            if accepted is not None:
                accepted(current)
            if candidate.cost < best.cost - 1e-9:
                best = candidate
    return best


def _less_missed(candidate: State[T], current: State[T], absences: Sequence[int]) -> bool:
    """Whether the candidate leaves out jobs that were left out less often, which are easier to get in again.

    This is how the paper on strings saves vehicles.
    """
    return sum([absences[job] for job in candidate.left_out]) < sum([absences[job] for job in current.left_out])


def _ruin(state: State[T], known: Tours[T], random: Random) -> None:
    ruins, shares = zip(*_RUINS, strict=True)
    ruin = random.choices(ruins, shares)[0]
    amount = min(random.randint(1, 2 * _AMOUNT), max(1, len(state.where) // 2))
    state.take_out(known, ruin(state, known, random, _AMOUNT if ruin is strings else amount))
