"""One problem from standard input, solved by OR-Tools Routing, orders of jobs by route to standard output.

All of the problem can be said: soft due dates as soft upper bounds, stop windows as holes in the time, skills as
allowed vehicles. It starts from the dispatcher's plan, from which it gets further than from its own first solution.
"""

import json
import sys
from itertools import pairwise
from typing import Any

from ortools.constraint_solver import pywrapcp, routing_enums_pb2


def solve(problem: dict[str, Any]) -> list[list[int]]:
    jobs, routes, legs = problem["jobs"], problem["routes"], problem["legs"]
    count, vehicles = len(jobs), len(routes)
    places = [job["place"] for job in jobs] + [one["from"] for one in routes] + [one["home"] for one in routes]
    work = [job["work"] for job in jobs] + [0] * (2 * vehicles)
    starts = list(range(count, count + vehicles))
    ends = list(range(count + vehicles, count + 2 * vehicles))
    manager = pywrapcp.RoutingIndexManager(len(places), vehicles, starts, ends)
    routing = pywrapcp.RoutingModel(manager)
    nodes = [manager.IndexToNode(index) for index in range(manager.GetNumberOfIndices())]
    way = routing.RegisterTransitCallback(lambda one, other: legs[places[nodes[one]]][places[nodes[other]]])
    routing.SetArcCostEvaluatorOfAllVehicles(way)
    time = routing.RegisterTransitCallback(
        lambda one, other: work[nodes[one]] + legs[places[nodes[one]]][places[nodes[other]]]
    )
    last = max((route["end"] for route in routes), default=0)
    routing.AddDimension(time, last, last, False, "time")
    dimension = routing.GetDimensionOrDie("time")
    for number, job in enumerate(jobs):
        index = manager.NodeToIndex(number)
        routing.AddDisjunction([index], problem["skip_cost"][number])
        spans = job["starts"]
        if not spans or not job["routes"]:
            routing.solver().Add(routing.ActiveVar(index) == 0)
            continue
        at = dimension.CumulVar(index)
        at.SetRange(spans[0][0], spans[-1][1])
        for (_, high), (low, _) in pairwise(spans):
            if high + 1 <= low - 1:
                at.RemoveInterval(high + 1, low - 1)
        dimension.SetCumulVarSoftUpperBound(index, max(0, job["due"] - job["work"]), round(job["weight"]))
        routing.VehicleVar(index).SetValues([-1, *job["routes"]])
    for vehicle, route in enumerate(routes):
        dimension.CumulVar(routing.Start(vehicle)).SetRange(route["ready"], route["end"])
        dimension.CumulVar(routing.End(vehicle)).SetRange(route["ready"], route["end"])
    parameters = pywrapcp.DefaultRoutingSearchParameters()
    parameters.first_solution_strategy = routing_enums_pb2.FirstSolutionStrategy.PARALLEL_CHEAPEST_INSERTION
    parameters.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    parameters.time_limit.FromMilliseconds(round(problem["budget_s"] * 1000))
    routing.CloseModelWithParameters(parameters)
    first = routing.ReadAssignmentFromRoutes(problem["greedy"], True)
    found = routing.SolveFromAssignmentWithParameters(first, parameters) if first else None
    found = found or routing.SolveWithParameters(parameters)
    if not found:
        return [list(order) for order in problem["greedy"]]
    orders: list[list[int]] = []
    for vehicle in range(vehicles):
        order, index = [], found.Value(routing.NextVar(routing.Start(vehicle)))
        while not routing.IsEnd(index):
            order.append(nodes[index])
            index = found.Value(routing.NextVar(index))
        orders.append(order)
    return orders


if __name__ == "__main__":
    json.dump(solve(json.load(sys.stdin)), sys.stdout)
