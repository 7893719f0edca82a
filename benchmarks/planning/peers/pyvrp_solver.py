"""One problem from standard input, solved by PyVRP, orders of jobs by route to standard output.

PyVRP has hard windows only, and one per client. So a job is a group of clients of which at most one is visited: one
for each stop window, each cut at some delays after the due date, with a prize that falls with the delay. So lateness is
a stair, not a slope. Skills are distances too great to drive, by the routes that may serve a job.
"""

import json
import sys
from typing import Any

import numpy as np
from pyvrp import Client, ClientGroup, Depot, Location, ProblemData, VehicleType, solve
from pyvrp.stop import MaxRuntime

_DELAYS_S = (0, 1_800, 3_600, 7_200, 14_400, 28_800, 57_600, 115_200, 230_400)
_FAR = 10_000_000


def clients_of(job: dict[str, Any], skip_cost: int) -> list[tuple[int, int, int]]:
    """First start, last start and prize of each client that a job becomes."""
    found = []
    for low, high in job["starts"]:
        first = low
        for step, delay in enumerate(_DELAYS_S):
            last = min(high, job["due"] - job["work"] + delay)
            if last < first:
                continue
            middle = 0 if step == 0 else (_DELAYS_S[step - 1] + delay) / 2
            found.append((first, last, max(1, round(skip_cost - job["weight"] * middle))))
            first = last + 1
        if first <= high:
            found.append((first, high, max(1, round(skip_cost - job["weight"] * (high + job["work"] - job["due"])))))
    return found


def solve_it(problem: dict[str, Any]) -> list[list[int]]:
    jobs, routes, legs = problem["jobs"], problem["routes"], np.array(problem["legs"], dtype=np.int64)
    depots = sorted({place for route in routes for place in (route["from"], route["home"])})
    places: list[int] = list(depots)
    clients: list[Client] = []
    groups: list[ClientGroup] = []
    owner: list[int] = []
    for number, job in enumerate(jobs):
        parts = clients_of(job, problem["skip_cost"][number]) if job["routes"] else []
        if not parts:
            continue
        members = []
        for first, last, prize in parts:
            members.append(len(clients))
            owner.append(number)
            group = len(groups) if len(parts) > 1 else None
            clients.append(
                Client(
                    len(places),
                    service_duration=job["work"],
                    tw_early=first,
                    tw_late=last,
                    prize=prize,
                    required=False,
                    group=group,
                )
            )
            places.append(job["place"])
        if len(parts) > 1:
            groups.append(ClientGroup(members, required=False))
    ways = legs[np.ix_(places, places)]
    np.fill_diagonal(ways, 0)
    allowed: dict[tuple[int, ...], int] = {}
    profiles = []
    for route in range(len(routes)):
        mine = tuple(number for number in range(len(jobs)) if route in jobs[number]["routes"])
        profiles.append(allowed.setdefault(mine, len(allowed)))
    distances = []
    for mine in allowed:
        matrix = ways.copy()
        barred = [len(depots) + at for at, number in enumerate(owner) if number not in set(mine)]
        matrix[:, barred] = _FAR
        np.fill_diagonal(matrix, 0)
        distances.append(matrix)
    data = ProblemData(
        [Location(0, 0) for _ in places],
        clients,
        [Depot(at) for at in range(len(depots))],
        [
            VehicleType(
                1,
                start_depot=depots.index(route["from"]),
                end_depot=depots.index(route["home"]),
                tw_early=route["ready"],
                tw_late=route["end"],
                profile=profiles[number],
            )
            for number, route in enumerate(routes)
        ],
        distances,
        [ways] * len(distances),
        groups,
    )
    result = solve(data, MaxRuntime(problem["budget_s"]), seed=problem["seed"], collect_stats=False)
    orders: list[list[int]] = [[] for _ in routes]
    for route in result.best.routes():
        orders[route.vehicle_type()] = [owner[stop.idx] for stop in route.schedule() if stop.is_client()]
    return orders


if __name__ == "__main__":
    json.dump(solve_it(json.load(sys.stdin)), sys.stdout)
