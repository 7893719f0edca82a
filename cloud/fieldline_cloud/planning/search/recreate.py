"""Ways to put the jobs that were left out back into tours.

In turn, with blinks: Christiaens and Vanden Berghe 2020. By regret: Ropke and Pisinger 2006.
"""

from collections.abc import Callable
from random import Random
from typing import TypeVar

from fieldline_cloud.planning.search.routing import Tour
from fieldline_cloud.planning.search.state import State, Tours

__all__ = ["Recreate", "by_regret", "in_turn"]

T = TypeVar("T", bound=Tour)
Recreate = Callable[[State[T], Tours[T], Random], None]

_BLINK = 0.02  # chance to overlook a route, so that the same jobs do not always go back the same way


def in_turn(state: State[T], known: Tours[T], random: Random) -> None:
    """Each job into its cheapest place, one after the other in an order drawn from the ranks or by chance."""
    routing = known.routing
    jobs = state.left_out
    choice = int(random.random() * (len(routing.ranks) + 1))
    random.shuffle(jobs)
    if choice < len(routing.ranks):
        jobs.sort(key=routing.ranks[choice].__getitem__)
    insertion, draw, tours = routing.insertion, random.random, state.tours
    left_out = []
    for job in jobs:
        least, at, into = routing.skip_cost[job], -1, -1
        for route in routing.routes_of[job]:
            tour = tours[route]
            found = tour.best.get(job)
            if found is None:
                found = tour.best[job] = insertion(tour, job)
            if found[0] < least and draw() > _BLINK:
                least, at = found
                into = route
        if into < 0:
            left_out.append(job)
        else:
            state.put_in(known, job, into, at)
    state.left_out = left_out


def by_regret(state: State[T], known: Tours[T], random: Random) -> None:
    """Always the job next that loses most if it has to take its second best tour (or those up to the fourth).

    A job with fewer tours to choose from than that comes first.
    """
    depth = random.choice((2, 2, 3, 4))
    waiting = set(state.left_out)
    offers = {job: _offers(state, known, job) for job in waiting}
    left_out = []
    while waiting:
        skip_cost = known.routing.skip_cost
        chosen = max(sorted(waiting), key=lambda job: _regret(offers[job], depth, skip_cost[job]))
        waiting.remove(chosen)
        mine = offers.pop(chosen)
        route = min(mine, key=lambda one: mine[one][0], default=-1)
        if route < 0:
            left_out.append(chosen)
            continue
        state.put_in(known, chosen, route, mine[route][1])
        tour = state.tours[route]
        for job in waiting:
            if route in offers[job]:
                _offer(offers[job], known, tour, job)
    state.left_out = left_out


def _offers(state: State[T], known: Tours[T], job: int) -> dict[int, tuple[float, int]]:
    """By route where the job could go; routes that cannot take it now cannot later, as they only get fuller."""
    offers: dict[int, tuple[float, int]] = {}
    for route in known.routing.routes_of[job]:
        _offer(offers, known, state.tours[route], job)
    return offers


def _offer(offers: dict[int, tuple[float, int]], known: Tours[T], tour: T, job: int) -> None:
    found = tour.best.get(job)
    if found is None:
        found = tour.best[job] = known.routing.insertion(tour, job)
    if found[0] < known.routing.skip_cost[job]:
        offers[tour.route] = found
    else:
        offers.pop(tour.route, None)


def _regret(offers: dict[int, tuple[float, int]], depth: int, skip_cost: float) -> float:
    costs = sorted([cost for cost, _ in offers.values()])[:depth]
    if not costs:
        return -float("inf")
    costs += [skip_cost] * (depth - len(costs))
    return sum(costs) - depth * costs[0]
