"""What the search must be told about a problem: tours, what they cost, and where a job could go in."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

__all__ = ["NOWHERE", "Insertion", "PerJob", "Routing", "Tour"]

Insertion = tuple[float, int]
"""What putting a job in costs more, and the place in the order where that is cheapest."""

NOWHERE: Insertion = (float("inf"), -1)
"""The job cannot go into this tour."""


class Tour:
    """Jobs in their order on one route, what they cost, and for jobs that were tried the best place to go in.

    A tour never changes: another order is another tour. So whatever was worked out about it stays true, and the search,
    which comes back to the same tours again and again, works it out once. Kinds of routing add slots of their own.
    """

    __slots__ = ("best", "cost", "order", "route")

    def __init__(self, route: int, order: tuple[int, ...], cost: float) -> None:
        self.route = route
        self.order = order
        self.cost = cost
        self.best: dict[int, Insertion] = {}


T = TypeVar("T", bound=Tour)
V_co = TypeVar("V_co", covariant=True)


class PerJob(Protocol[V_co]):
    """Something for each job: a list, or a mapping that works it out when asked."""

    def __getitem__(self, job: int, /) -> V_co:
        """That of one job."""


class Routing(Protocol[T]):
    """A problem as numbers: jobs 0 to n-1 and routes 0 to m-1, each with at most one tour."""

    @property
    def routes_of(self) -> PerJob[Sequence[int]]:
        """For each job the routes that may serve it."""

    @property
    def near(self) -> Sequence[Sequence[int]]:
        """For each job the other jobs that it might change places with, the most alike first."""

    @property
    def ranks(self) -> Sequence[Sequence[float]]:
        """Some orders in which jobs may be put back, each a key per job; low keys come first."""

    @property
    def skip_cost(self) -> Sequence[float]:
        """For each job what leaving it out costs."""

    @property
    def routes(self) -> int:
        """How many routes there are."""

    def tour(self, route: int, order: tuple[int, ...]) -> T:
        """The tour of these jobs in this order; its cost is infinite where that cannot be done.

        Where a way over a third place is shorter than the direct one, a tour may become impossible by losing a job.
        """

    def grown(self, tour: T, job: int, position: int) -> T:
        """The tour with one more job at this place of the order, where `insertion` has found that it can be."""

    def insertion(self, tour: T, job: int) -> Insertion:
        """The cheapest place for one more job in this tour, or NOWHERE."""
