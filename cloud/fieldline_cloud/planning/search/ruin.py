"""Ways to take jobs out of a state; each names the jobs.

Strings: Christiaens and Vanden Berghe, "Slack induction by string removals for vehicle routing problems",
Transportation Science 54(2), 2020. Alike: Shaw, CP 1998. Scattered: Ropke and Pisinger, Transportation Science
40(4), 2006. Whole tours are how a route comes to be saved.
"""

from collections.abc import Callable, Collection
from random import Random
from typing import TypeVar

from fieldline_cloud.planning.search.routing import Tour
from fieldline_cloud.planning.search.state import State, Tours

__all__ = ["Ruin", "alike", "scattered", "strings", "whole_tours"]

T = TypeVar("T", bound=Tour)
Ruin = Callable[[State[T], Tours[T], Random, int], Collection[int]]
"""(state, tours, random, how many jobs on average or at most) -> jobs to take out."""

_STRING_MAX = 10
_DEPTH = 6.0  # how strongly the most alike are preferred; Ropke and Pisinger use 3 to 9


def strings(state: State[T], known: Tours[T], random: Random, amount: int) -> Collection[int]:
    """Pieces of neighbouring tours around one job, about `amount` jobs in all."""
    tours, where = state.tours, state.where
    used = [len(tour.order) for tour in tours if tour.order]
    if not used:
        return ()
    length_max = min(_STRING_MAX, sum(used) / len(used))
    count = int(random.uniform(1.0, 4.0 * amount / (1.0 + length_max)))
    seed = _seed(state, known, random)
    gone: set[int] = set()
    touched: set[int] = set()
    for job in (seed, *known.routing.near[seed]):
        route = where[job]
        if route < 0 or route in touched:
            continue
        touched.add(route)
        order = tours[route].order
        length = int(random.uniform(1.0, min(len(order), length_max) + 1.0))
        gone.update(_string(order, order.index(job), length, random))
        if len(touched) >= count:
            break
    return gone


def _string(order: tuple[int, ...], at: int, length: int, random: Random) -> Collection[int]:
    """`length` jobs in a row that hold the one at `at`; half of the time with a gap of jobs that stay."""
    gap = 0
    if 1 < length < len(order) and random.random() < 0.5:
        gap = 1
        while length + gap < len(order) and random.random() > 0.5:
            gap += 1
    whole = length + gap
    first = random.randint(max(0, at - whole + 1), min(at, len(order) - whole))
    piece = order[first : first + whole]
    if not gap:
        return piece
    stays = random.randint(1, whole - gap - 1) if whole - gap > 1 else 1
    return piece[:stays] + piece[stays + gap :]


def alike(state: State[T], known: Tours[T], random: Random, amount: int) -> Collection[int]:
    """One job and jobs like it, the most alike with the greatest chance."""
    near = known.routing.near
    gone = [_seed(state, known, random)]
    seen = set(gone)
    while len(gone) < amount:
        others = near[random.choice(gone)]
        if not others:
            break
        job = others[int(len(others) * random.random() ** _DEPTH)]
        if job in seen:
            if random.random() < 0.1:  # all of the near ones may be gone already
                break
            continue
        seen.add(job)
        if state.where[job] >= 0:
            gone.append(job)
    return gone


def scattered(state: State[T], known: Tours[T], random: Random, amount: int) -> Collection[int]:
    """Any jobs at all."""
    placed = [job for job, route in enumerate(state.where) if route >= 0]
    return random.sample(placed, min(amount, len(placed)))


def whole_tours(state: State[T], known: Tours[T], random: Random, amount: int) -> Collection[int]:
    """All jobs of one tour, and of near tours while there are fewer than `amount`."""
    gone: list[int] = []
    seed = _seed(state, known, random)
    touched: set[int] = set()
    for job in (seed, *known.routing.near[seed]):
        route = state.where[job]
        if route >= 0 and route not in touched:
            order = state.tours[route].order
            if gone and len(gone) + len(order) > amount:
                break
            touched.add(route)
            gone.extend(order)
    return gone


def _seed(state: State[T], known: Tours[T], random: Random) -> int:
    """A placed job to begin with; while there are jobs left out, often one that stands in the way of one of them."""
    where = state.where
    if len(state.left_out) == len(where):
        raise AssertionError("there is nothing to take out")
    if state.left_out and random.random() < 0.5:
        near = known.routing.near[random.choice(state.left_out)]
        if near and where[job := near[int(len(near) * random.random() ** _DEPTH)]] >= 0:
            return job
    while True:
        job = int(random.random() * len(where))
        if where[job] >= 0:
            return job
