"""The technician routing problem as the search sees it: tours from home to home that take as little time as can be.

Durations are merged segment by segment, as in Vidal, Crainic, Gendreau and Prins (2013), "A hybrid genetic algorithm
with adaptive diversity management for a large class of vehicle routing problems with time windows", but only where no
window is broken: a segment is (duration, earliest, latest), the least time it takes and the first and last moment at
which it may begin so that it takes no more.
"""

from collections.abc import Sequence

from benchmarks.planning.trsp.instance import Instance
from fieldline_cloud.planning.search.routing import NOWHERE, Insertion, Tour

__all__ = ["TechnicianRouting", "TechnicianTour"]

Segment = tuple[float, float, float]
_INFINITE = float("inf")
_NEVER: Segment = (_INFINITE, _INFINITE, -_INFINITE)
_SKIPPED = 100_000.0
_TOLERANCE = 1e-9
_NARROW_SHARE = 0.25
"""Of the day: there often is no time for a request with a window shorter than that, so this is looked at first."""


class TechnicianTour(Tour):
    """A tour with what insertions need: segments up to and from each place, without and with the depot visit.

    `reach`: how many jobs from the first on the technician's own tools and parts are enough for. `depot`: the visit to
    the depot is (or would best be) before the job at this place of the order. `at_depot`: segments from home to it,
    by how many jobs come before it. `left`, `left_before_depot`: own parts that are not used, by the whole order and by
    the jobs before the depot. `following`: the nodes without the first.
    """

    __slots__ = (
        "after",
        "after_depot",
        "at_depot",
        "before",
        "before_depot",
        "depot",
        "following",
        "left",
        "left_before_depot",
        "nodes",
        "reach",
    )

    nodes: tuple[int, ...]
    following: tuple[int, ...]
    before: list[Segment]
    after: list[Segment]
    at_depot: list[Segment]
    before_depot: list[Segment]
    after_depot: list[Segment]
    reach: int
    depot: int
    left: tuple[int, ...]
    left_before_depot: tuple[int, ...]


class TechnicianRouting:
    """See `Routing`: jobs are requests, routes are technicians, the cost is the working time."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._first = first = instance.technicians + 1
        self._distance = [list(row) for row in instance.distance]
        self._back = [list(column) for column in zip(*instance.distance, strict=True)]
        self._single = [(node.service, node.start, node.end) for node in instance.nodes]
        horizon = instance.nodes[0].end - instance.nodes[0].start
        self._narrow = {
            node for node, row in enumerate(instance.nodes) if row.end - row.start < _NARROW_SHARE * horizon
        }
        jobs = range(len(instance.nodes) - first)
        self.routes = instance.technicians
        self.skip_cost = [_SKIPPED for _ in jobs]
        requests = [instance.nodes[first + job] for job in jobs]
        self.routes_of = [
            [
                route
                for route in range(self.routes)
                if request.skills <= instance.nodes[route + 1].skills and self._alone(route, first + job)
            ]
            for job, request in enumerate(requests)
        ]
        self.near = [self._neighbours(job, jobs) for job in jobs]
        far = [
            -min((self._distance[route + 1][first + job] for route in self.routes_of[job]), default=0.0) for job in jobs
        ]
        self.ranks = [
            far,
            [-one for one in far],
            [request.end - request.start for request in requests],
            [request.start for request in requests],
            [-request.end for request in requests],
        ]

    def _alone(self, route: int, node: int) -> bool:
        """Whether the technician can be there in time and back home, without thought of the depot."""
        home, request = self.instance.nodes[route + 1], self.instance.nodes[node]
        start = max(request.start, home.start + self._distance[route + 1][node])
        return start <= request.end and start + request.service + self._distance[node][route + 1] <= home.end

    def _neighbours(self, job: int, jobs: range) -> list[int]:
        """The other jobs, by how soon one can follow the other: the way and half of the waiting, whichever is first."""
        here = self._first + job
        nodes = self.instance.nodes

        def gap(one: int, other: int) -> float:
            way = self._distance[one][other]
            ready = nodes[one].start + nodes[one].service + way
            late = max(0.0, ready - nodes[other].end)
            wait = max(0.0, nodes[other].start - nodes[one].end - nodes[one].service - way)
            return way + 0.2 * wait + late

        mine = set(self.routes_of[job])
        others = [other for other in jobs if other != job and mine & set(self.routes_of[other])]
        there = {other: min(gap(here, self._first + other), gap(self._first + other, here)) for other in others}
        return sorted(others, key=there.__getitem__)

    def tour(self, route: int, order: tuple[int, ...]) -> TechnicianTour:
        """See Routing. The cost is infinite where no visit to the depot makes the order possible."""
        ends = [self._single[route + 1]]
        return self._tour(route, order, ends, ends)

    def grown(self, tour: TechnicianTour, job: int, position: int) -> TechnicianTour:
        """See Routing. The segments up to and from the position stay as they are."""
        order = (*tour.order[:position], job, *tour.order[position:])
        return self._tour(tour.route, order, tour.before[: position + 1], tour.after[position:])

    def _tour(self, route: int, order: tuple[int, ...], before: list[Segment], after: list[Segment]) -> TechnicianTour:
        home, first = route + 1, self._first
        nodes = (home, *[first + job for job in order], home)
        tour = TechnicianTour(route, order, 0.0)
        tour.nodes, tour.following = nodes, nodes[1:]
        tour.before, tour.after = self._prefixes(nodes, before), self._suffixes(nodes, after)
        tour.depot = -1
        self._count_stock(tour)
        if tour.reach < len(order):
            self._place_depot(tour)
        elif order:
            tour.cost = self._join(tour.before[-1], nodes[-2], home, self._single[home])[0]
        return tour

    def insertion(self, tour: TechnicianTour, job: int) -> Insertion:
        """See Routing."""
        node = self._first + job
        request, home = self.instance.nodes[node], self.instance.nodes[tour.route + 1]
        tools = request.tools <= home.tools
        nodes = tour.nodes
        if tools and tour.reach == len(tour.order) and _enough(tour.left, request.parts):
            best = self._cheapest(node, 0, tour.before, nodes, tour.after, tour.following)
        elif node in self._narrow and self._cheapest(node, 0, tour.before, nodes, tour.after, tour.following)[1] < 0:
            return NOWHERE  # there is no time, even without the way to the depot
        else:
            if tour.depot < 0:
                self._place_depot(tour)
            best, depot = NOWHERE, tour.depot
            if depot >= 0:
                if tools and _enough(tour.left_before_depot, request.parts):
                    following = (*nodes[1 : depot + 1], 0)
                    best = self._cheapest(node, 0, tour.before, nodes, tour.after_depot, following)
                late = self._cheapest(
                    node,
                    depot,
                    tour.before_depot[depot:],
                    (0, *nodes[depot + 1 :]),
                    tour.after[depot:],
                    nodes[depot + 1 :],
                )
                best = min(best, late)
            best = min(best, self._with_depot(tour, node))
            if best[1] < 0:
                if node not in self._narrow and not self._is_time(tour, node):
                    return NOWHERE
                best = self._anywhere(tour, node, tools)
        cost, at = best
        return (cost - tour.cost, at) if at >= 0 else NOWHERE

    def _prefixes(self, nodes: tuple[int, ...], known: list[Segment]) -> list[Segment]:
        """Segments from home up to and with each job; `known` are the first of them. See `_join`, which is unrolled."""
        distance, single = self._distance, self._single
        found = known[:]
        duration, earliest, latest = found[-1]
        for at in range(len(found), len(nodes) - 1):
            node = nodes[at]
            rest, from_, until = single[node]
            duration += distance[nodes[at - 1]][node]
            if earliest + duration > until + _TOLERANCE:
                return found + [_NEVER] * (len(nodes) - 1 - at)
            start = from_ - duration
            if start > latest:
                duration += start - latest
                earliest = latest
            else:
                if start > earliest:
                    earliest = start
                if until - duration < latest:
                    latest = until - duration
            duration += rest
            found.append((duration, earliest, latest))
        return found

    def _suffixes(self, nodes: tuple[int, ...], known: list[Segment]) -> list[Segment]:
        """Segments from each job, and at last from home alone, to home; `known` are the last of them."""
        distance, single = self._distance, self._single
        found = known[::-1]
        rest, from_, until = found[-1]
        for at in range(len(nodes) - 1 - len(found), 0, -1):
            node = nodes[at]
            duration, earliest, latest = single[node]
            duration += distance[node][nodes[at + 1]]
            if earliest + duration > until + _TOLERANCE:
                found += [_NEVER] * at
                break
            start = from_ - duration
            if start > latest:
                duration += start - latest
                from_ = until = latest
            else:
                from_ = start if start > earliest else earliest
                until = until - duration
                if latest < until:
                    until = latest
            rest += duration
            found.append((rest, from_, until))
        found.reverse()
        return found

    def _join(self, one: Segment, last: int, following: int, other: Segment) -> Segment:
        """One segment and then the other, which begins at `following`."""
        duration, earliest, latest = one
        duration += self._distance[last][following]
        rest, from_, until = other
        if earliest + duration > until + _TOLERANCE:
            return _NEVER
        start = from_ - duration
        if start > latest:  # waiting cannot be avoided
            return (duration + rest + start - latest, latest, latest)
        until -= duration
        return (duration + rest, start if start > earliest else earliest, until if until < latest else latest)

    def _count_stock(self, tour: TechnicianTour) -> None:
        home = self.instance.nodes[tour.route + 1]
        left = home.parts
        tour.reach = 0
        for node in tour.nodes[1:-1]:
            request = self.instance.nodes[node]
            if not (request.tools <= home.tools and _enough(left, request.parts)):
                break
            left = tuple([have - need for have, need in zip(left, request.parts, strict=True)])
            tour.reach += 1
        tour.left = left

    def _place_depot(self, tour: TechnicianTour) -> None:
        """Put the visit to the depot where the tour takes least, and work out the segments that hold it."""
        home = tour.route + 1
        nodes, depot = tour.nodes, self._single[0]
        tour.at_depot = [
            self._join(segment, node, 0, depot)
            for node, segment in zip(nodes[: tour.reach + 1], tour.before[: tour.reach + 1], strict=True)
        ]
        least, at = _INFINITE, -1
        for place, segment in enumerate(tour.at_depot):
            duration = self._join(segment, 0, nodes[place + 1], tour.after[place])[0]
            if duration < least:
                least, at = duration, place
        tour.depot = at
        if tour.reach < len(tour.order):
            tour.cost = least
        if at < 0:
            return
        with_depot = (*nodes[: at + 1], 0, *nodes[at + 1 :])
        tour.before_depot = self._prefixes(with_depot, tour.before[: at + 1])
        del tour.before_depot[at]  # now number `place` holds the depot and `place` jobs, from `at` on
        tour.after_depot = self._suffixes(with_depot, tour.after[at:])
        left = self.instance.nodes[home].parts
        for node in nodes[1 : at + 1]:
            left = tuple([have - need for have, need in zip(left, self.instance.nodes[node].parts, strict=True)])
        tour.left_before_depot = left

    def _is_time(self, tour: TechnicianTour, node: int) -> bool:
        """Whether there would be time for the node if nobody had to go to the depot."""
        return self._cheapest(node, 0, tour.before, tour.nodes, tour.after, tour.following)[1] >= 0

    def _cheapest(
        self,
        node: int,
        first: int,
        before: Sequence[Segment],
        last: Sequence[int],
        after: Sequence[Segment],
        following: Sequence[int],
    ) -> Insertion:
        """The least duration with the node put between a segment and the rest, and the place where it is, from `first`.

        `before` and `after` are the segments around each place, which end at the nodes `last` and begin at `following`;
        the shortest of the four says how many places there are.
        """
        ways = self._distance[node]
        back = self._back[node]
        service, opens, closes = self._single[node]
        closes += _TOLERANCE
        least, at, place = _INFINITE, -1, first - 1
        for (duration, earliest, latest), one, (rest, from_, until), other in zip(
            before, last, after, following, strict=False
        ):
            place += 1
            duration += back[one]
            if earliest + duration > closes:
                break  # it only gets later
            start = opens - duration
            if start > latest:
                duration += start - latest
                earliest = latest
            else:
                if start > earliest:
                    earliest = start
                if closes - duration < latest:
                    latest = closes - duration
            duration += service + ways[other]
            if earliest + duration > until + _TOLERANCE:
                continue
            start = from_ - duration
            duration += rest
            if start > latest:
                duration += start - latest
            if duration < least:
                least, at = duration, place
        return (least, at)

    def _with_depot(self, tour: TechnicianTour, node: int) -> Insertion:
        """The least duration with the node put in right after a visit to the depot, which no longer is elsewhere."""
        least, at = _INFINITE, -1
        single = self._single[node]
        for place, segment in enumerate(tour.at_depot):
            segment = self._join(segment, 0, node, single)
            if segment is _NEVER:
                break  # it only gets later
            duration = self._join(segment, node, tour.nodes[place + 1], tour.after[place])[0]
            if duration < least:
                least, at = duration, place
        return (least, at)

    def _anywhere(self, tour: TechnicianTour, node: int, tools: bool) -> Insertion:
        """The least duration with node and depot in any two places of the tour; `tools`: its own are enough."""
        depot, single, nodes = self._single[0], self._single[node], tour.nodes
        request, left = self.instance.nodes[node], self.instance.nodes[tour.route + 1].parts
        best = NOWHERE
        for place, at_depot in enumerate(tour.at_depot):
            if place:
                used = self.instance.nodes[nodes[place]].parts
                left = tuple([have - need for have, need in zip(left, used, strict=True)])
            segment, last = at_depot, 0
            for at in range(place, len(tour.order) + 1):  # the depot first
                whole = self._join(segment, last, node, single)
                whole = self._join(whole, node, nodes[at + 1], tour.after[at])
                best = min(best, (whole[0], at))
                following = nodes[at + 1]
                segment, last = self._join(segment, last, following, self._single[following]), following
            if not (tools and _enough(left, request.parts)):
                continue
            segment, last = self._join(depot, 0, nodes[place + 1], tour.after[place]), 0
            for at in range(place, -1, -1):  # the node first
                whole = self._join(single, node, last, segment)
                whole = self._join(tour.before[at], nodes[at], node, whole)
                best = min(best, (whole[0], at))
                segment, last = self._join(self._single[nodes[at]], nodes[at], last, segment), nodes[at]
        return best if best[0] < _INFINITE else NOWHERE


def _enough(have: tuple[int, ...], need: tuple[int, ...]) -> bool:
    for one, other in zip(have, need, strict=True):  # noqa: SIM110 - asked a million times, and this is twice as fast
        if one < other:
            return False
    return True
