"""The days of technicians as the search sees them: a route is one worker's shift, a tour its jobs in their order.

A tour starts every job as early as it can, which no other timing beats: lateness only grows with time, and travel
depends on the order alone. Only the visits that are read from it begin later: at the time people know, where that
delays nothing else and makes nothing late. Whether one more job fits is decided by the latest arrivals, worked out
backwards once per tour (Savelsbergh 1992, "The vehicle routing problem with time windows: minimizing route duration").
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from math import inf
from operator import gt

from fieldline_cloud.planning.model import Job, Problem, SearchSettings, Visit
from fieldline_cloud.planning.routes import Route
from fieldline_cloud.planning.search.routing import NOWHERE, Insertion, Tour
from fieldline_cloud.planning.starts import first_start, last_start, starts_of

__all__ = ["DayRouting", "DayTour"]

_DAY_S = 24 * 3_600
_NEVER_S = -(1 << 60)
_PIN_FACTOR = 1_000.0
"""A pinned job is never left out in favour of others."""
_NEAR_MAX = 60


class DayTour(Tour):
    """A tour with its times, by place in the order.

    `places`: where it begins, the jobs, home. `starts`: of the jobs. `ends`: when the worker can leave each place.
    `latest`: the last arrival at each job, and at home, with which the rest can still be done.
    """

    __slots__ = ("ends", "latest", "places", "starts")

    places: list[int]
    starts: list[int]
    ends: list[int]
    latest: list[int]


class DayRouting:
    """See `Routing`. Costs are minutes of travel.

    `known`: by job the route people know it on, -1 where that route is gone, and the start they know. `soon`: jobs that
    were planned to start in the frozen horizon, and may do so elsewhere if they have to.
    """

    def __init__(
        self,
        problem: Problem,
        jobs: Sequence[Job],
        routes: Sequence[Route],
        *,
        settings: SearchSettings,
        known: Mapping[int, tuple[int, int]],
        soon: Collection[int],
    ) -> None:
        self._jobs = jobs
        self._routes = routes
        self.routes = len(routes)
        self._move_cost = settings.move_cost
        self._wait = [
            settings.day_cost * max(0, route.shift.start_s - problem.now_s) / _DAY_S for route in routes
        ]  # for each job on that route
        known_of = [known.get(job, (-1, 0)) for job in range(len(jobs))]
        self._known = [route for route, _ in known_of]
        self._known_start = [start_s for _, start_s in known_of]
        self._delayed_after = [start_s + settings.steady_s for _, start_s in known_of]
        self._delay_cost = settings.delay_cost
        self._hold_s = settings.hold_s
        frozen_s = max(problem.now_s, problem.frozen_until_s)
        self._starts = [
            starts_of(job, problem.now_s if number in soon or _pinned_in_time(job) else frozen_s)
            for number, job in enumerate(jobs)
        ]
        self._work = [job.work_s for job in jobs]
        self._due = [job.due_s for job in jobs]
        self._weight = [job.weight / 60.0 for job in jobs]
        numbers: dict[str, int] = {}
        self._place = [numbers.setdefault(job.place, len(numbers)) for job in jobs]
        self._from = [numbers.setdefault(route.place, len(numbers)) for route in routes]
        self._home = [numbers.setdefault(route.worker.home, len(numbers)) for route in routes]
        between = problem.travel.between
        self._legs = [[between(one, other) for other in numbers] for one in numbers]
        last_s = max((route.end_s for route in routes), default=problem.now_s)
        self.skip_cost = [
            settings.unplaced_cost * (1.0 if job.pinned is None else _PIN_FACTOR)
            + job.weight * max(0, last_s - job.due_s) / 60.0
            for job in jobs
        ]

        self.routes_of = _PerJob(self._routes_for)

    def _routes_for(self, job: int) -> list[int]:
        """Routes of workers who may do the job, whose time is enough for it alone."""
        return [route for route in range(self.routes) if self.may_serve(route, job) and self.may_follow(route, (), job)]

    @cached_property
    def near(self) -> Sequence[Sequence[int]]:
        """See Routing: alike are jobs that are close together, due at about the same time and for the same workers."""
        jobs = range(len(self._jobs))
        mine = [set(self.routes_of[job]) for job in jobs]

        def unlike(one: int, other: int) -> float:
            way = self._legs[self._place[one]][self._place[other]] / 60.0
            apart = abs(self._due[one] - self._due[other]) / 3600.0
            return way + apart - 20.0 * len(mine[one] & mine[other]) / max(1, len(mine[one]), len(mine[other]))

        return [
            sorted((other for other in jobs if other != job), key=lambda other: unlike(job, other))[:_NEAR_MAX]
            for job in jobs
        ]

    @cached_property
    def ranks(self) -> Sequence[Sequence[float]]:
        """See Routing: by due date, dear ones first, long ones first, those with few routes first."""
        jobs = range(len(self._jobs))
        return (
            self._due,
            [-weight for weight in self._weight],
            [-work for work in self._work],
            [len(self.routes_of[job]) for job in jobs],
            [min((high for _, high in self._starts[job][-1:]), default=0) for job in jobs],
        )

    def tour(self, route: int, order: tuple[int, ...]) -> DayTour:
        """See Routing."""
        legs, starts_of_job, work = self._legs, self._starts, self._work
        places = [self._from[route], *[self._place[job] for job in order], self._home[route]]
        ends, starts = [self._routes[route].ready_s], []
        travel_s, late = 0, 0.0
        for at, job in enumerate(order):
            leg = legs[places[at]][places[at + 1]]
            start_s = first_start(starts_of_job[job], ends[-1] + leg)
            if start_s is None:
                return DayTour(route, order, inf)
            end_s = start_s + work[job]
            travel_s += leg
            starts.append(start_s)
            ends.append(end_s)
            if end_s > self._due[job]:
                late += (end_s - self._due[job]) * self._weight[job]
            if start_s > self._delayed_after[job] and self._known[job] == route:
                late += self._delay_cost
        way_home_s = legs[places[-2]][places[-1]]
        if order and ends[-1] + way_home_s > self._routes[route].end_s:
            return DayTour(route, order, inf)
        travel_s += way_home_s
        moved = sum([1 for job in order if self._known[job] not in (-1, route)])
        tour = DayTour(route, order, travel_s / 60.0 + late + moved * self._move_cost + len(order) * self._wait[route])
        tour.places, tour.starts, tour.ends = places, starts, ends
        tour.latest = self._latest(route, order, places)
        return tour

    def grown(self, tour: DayTour, job: int, position: int) -> DayTour:
        """See Routing."""
        return self.tour(tour.route, (*tour.order[:position], job, *tour.order[position:]))

    def _latest(self, route: int, order: tuple[int, ...], places: Sequence[int]) -> list[int]:
        by_s = self._routes[route].end_s
        found = [by_s]
        for at in range(len(order) - 1, -1, -1):
            job = order[at]
            last_s = last_start(self._starts[job], by_s - self._legs[places[at + 1]][places[at + 2]] - self._work[job])
            by_s = _NEVER_S if last_s is None else last_s
            found.append(by_s)
        found.reverse()
        return found

    def may_serve(self, route: int, job: int) -> bool:
        """Whether the route's worker has the skills for the job, and no pin says otherwise."""
        worker, pin = self._routes[route].worker, self._jobs[job].pinned
        return self._jobs[job].skills <= worker.skills and (pin is None or pin.worker in (None, worker.id))

    def may_follow(self, route: int, order: tuple[int, ...], job: int) -> bool:
        """Whether the worker of the route has time for the job after those of the order, and then for the way home."""
        ready_s, place = self._routes[route].ready_s, self._from[route]
        for one in (*order, job):
            start_s = first_start(self._starts[one], ready_s + self._legs[place][self._place[one]])
            if start_s is None:
                return False
            ready_s, place = start_s + self._work[one], self._place[one]
        return ready_s + self._legs[place][self._home[route]] <= self._routes[route].end_s

    def insertion(self, tour: DayTour, job: int) -> Insertion:
        """See Routing."""
        places, ends, latest, legs = tour.places, tour.ends, tour.latest, self._legs
        spans, work, due_s, weight = self._starts[job], self._work[job], self._due[job], self._weight[job]
        here = self._place[job]
        from_here = legs[here]
        delayed_after = inf if self._known[job] != tour.route else self._delayed_after[job] + work
        least, at = inf, -1
        for position in range(len(ends)):
            leg = legs[places[position]]
            ready_s = ends[position] + leg[here]
            for low, high in spans:
                if ready_s <= high:
                    end_s = (ready_s if ready_s > low else low) + work
                    break
            else:
                continue
            following = places[position + 1]
            arrival_s = end_s + from_here[following]
            if arrival_s > latest[position]:
                continue
            cost = (leg[here] + from_here[following] - leg[following]) / 60.0
            if end_s > due_s:
                cost += (end_s - due_s) * weight
            if end_s > delayed_after:
                cost += self._delay_cost
            if cost < least:
                cost += self._delay(tour, position, arrival_s)
                if cost < least:
                    least, at = cost, position
        if at < 0:
            return NOWHERE
        if self._known[job] not in (-1, tour.route):
            least += self._move_cost
        return least + self._wait[tour.route], at

    def _delay(self, tour: DayTour, first: int, arrival_s: int) -> float:
        """What it costs that the worker reaches the job at place `first` of the order only now."""
        cost = 0.0
        order, starts = tour.order, tour.starts
        for at in range(first, len(order)):
            job = order[at]
            start_s = first_start(self._starts[job], arrival_s)
            if start_s is None:
                raise AssertionError("an arrival by the latest leaves a start")
            if start_s == starts[at]:
                break
            end_s, due_s = start_s + self._work[job], self._due[job]
            if end_s > due_s:
                cost += (end_s - max(due_s, starts[at] + self._work[job])) * self._weight[job]
            if starts[at] <= self._delayed_after[job] < start_s and self._known[job] == tour.route:
                cost += self._delay_cost
            arrival_s = end_s + self._legs[tour.places[at + 1]][tour.places[at + 2]]
        return cost

    def visits(self, tour: DayTour) -> list[Visit]:
        """The visits of a tour."""
        worker = self._routes[tour.route].worker.id
        return [
            Visit(
                self._jobs[job].id,
                worker,
                start_s,
                start_s + self._work[job],
                self._legs[tour.places[at]][tour.places[at + 1]],
            )
            for at, (job, start_s) in enumerate(zip(tour.order, self._held(tour), strict=True))
        ]

    def _held(self, tour: DayTour) -> list[int]:
        """Starts of the jobs: those people know where nothing gets late by it, else as early as what is before allows.

        What people do not know yet may give way to what they know, as far as it is in time all the same.
        """
        wanted = [self._known_start[job] if self._known[job] == tour.route else 0 for job in tour.order]
        if not any(map(gt, wanted, tour.starts)):
            return tour.starts
        legs, places, starts = self._legs, tour.places, list[int]()
        place_of_ready, ready_s = 0, tour.ends[0]
        for at, (job, by_s) in enumerate(zip(tour.order, self._latest_in_time(tour), strict=True)):
            ready_s += legs[places[place_of_ready]][places[at + 1]]
            start_s = first_start(self._starts[job], ready_s)
            if wanted[at] <= min(by_s, tour.starts[at] + self._hold_s):
                start_s = first_start(self._starts[job], max(ready_s, wanted[at]))
            if start_s is None or start_s > by_s:
                raise AssertionError("a start by the latest leaves the next one a start")
            starts.append(start_s)
            place_of_ready, ready_s = at + 1, start_s + self._work[job]
        return starts

    def _latest_in_time(self, tour: DayTour) -> list[int]:
        """The last start of each job with which no job ends late that need not, and none later than people know."""
        found = []
        by_s = self._routes[tour.route].end_s
        for at in range(len(tour.order) - 1, -1, -1):
            job = tour.order[at]
            is_known = self._known[job] == tour.route
            enough_s = self._due[job] - self._work[job]
            if is_known:
                enough_s = min(enough_s, self._known_start[job])
            by_s -= self._legs[tour.places[at + 1]][tour.places[at + 2]] + self._work[job]
            by_s = min(by_s, max(tour.starts[at], enough_s))
            last_s = last_start(self._starts[job], by_s)
            if last_s is None:
                raise AssertionError("a tour has a start for each of its jobs")
            by_s = last_s
            found.append(by_s)
        found.reverse()
        return found


class _PerJob(dict[int, list[int]]):
    """Worked out for a job when first asked: an insertion asks for one job, a search for all."""

    def __init__(self, work_out: Callable[[int], list[int]]) -> None:
        super().__init__()
        self._work_out = work_out

    def __missing__(self, job: int) -> list[int]:
        found = self[job] = self._work_out(job)
        return found


def _pinned_in_time(job: Job) -> bool:
    return job.pinned is not None and job.pinned.start_s is not None
