"""A judge of technician routing solutions that shares nothing with the search: walks every tour hour by hour."""

from collections.abc import Mapping, Sequence

from benchmarks.planning.trsp.instance import Instance

__all__ = ["working_time"]

_TOLERANCE = 1e-6


def working_time(instance: Instance, tours: Mapping[int, Sequence[int]]) -> float:
    """Total working time of tours of request nodes by technician (1 to T). ValueError where a rule is broken."""
    served = [node for tour in tours.values() for node in tour]
    if sorted(served) != list(instance.requests):
        missing = sorted(set(instance.requests) - set(served))
        raise ValueError(f"each request is served once; missing {missing}, served {len(served)}")
    return sum(_tour_time(instance, technician, tour) for technician, tour in tours.items() if tour)


def _tour_time(instance: Instance, technician: int, tour: Sequence[int]) -> float:
    home = instance.nodes[technician]
    for node in tour:
        if not instance.nodes[node].skills <= home.skills:
            raise ValueError(f"technician {technician} has no skill for request {node}")
    needed = _first_lack(instance, technician, tour)
    walks = [list(tour)] if needed is None else [[*tour[:at], 0, *tour[at:]] for at in range(needed + 1)]
    times = [time for walk in walks if (time := _walk_time(instance, technician, walk)) is not None]
    if not times:
        raise ValueError(f"technician {technician} cannot do {list(tour)} in time")
    return min(times)


def _first_lack(instance: Instance, technician: int, tour: Sequence[int]) -> int | None:
    """The place of the first request for which tools or parts are lacking, None where there is none."""
    home = instance.nodes[technician]
    left = list(home.parts)
    for at, node in enumerate(tour):
        request = instance.nodes[node]
        left = [have - need for have, need in zip(left, request.parts, strict=True)]
        if not request.tools <= home.tools or min(left, default=0) < 0:
            return at
    return None


def _walk_time(instance: Instance, technician: int, walk: Sequence[int]) -> float | None:
    """Arrival home less the latest departure with that arrival; None where a window is missed."""
    home = instance.nodes[technician]
    stops = [*walk, technician]
    time, last = home.start, technician
    for node in stops:
        time += instance.distance[last][node]
        row = instance.nodes[node]
        if time > row.end + _TOLERANCE:
            return None
        if node != technician:
            time = max(time, row.start) + row.service
        last = node
    latest = time  # at home; now back: the latest moment at each stop that still brings it there then
    for following, node in zip(reversed(stops), [*reversed(walk), technician], strict=True):
        latest -= instance.distance[node][following]
        if node != technician:
            row = instance.nodes[node]
            latest = min(latest - row.service, row.end)
    return time - latest
