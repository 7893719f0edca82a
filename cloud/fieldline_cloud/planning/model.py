"""What a plan is made of: jobs, workers, travel, and the plan itself with a reason for every job left out.

Times are whole seconds since an origin of the caller's choice (the plan's origin), durations are whole seconds, and
costs are minutes: one minute of travel costs 1, one minute late costs the job's `weight`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "Job",
    "Pin",
    "Plan",
    "Problem",
    "Reason",
    "ReasonKind",
    "SearchSettings",
    "Span",
    "Travel",
    "Visit",
    "Worker",
]


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_s` (included) to `end_s` (excluded). ValueError where the end is not after the start."""

    start_s: int
    end_s: int

    def __post_init__(self) -> None:
        if self.end_s <= self.start_s:
            raise ValueError(f"a span ends after its start, this one is {self.start_s} s to {self.end_s} s")


@dataclass(frozen=True, slots=True)
class Pin:
    """What somebody has decided about a job and no search may change: its worker, its start, or both.

    A pin with both whose start is not after the problem's `now_s` is work that has begun. It is a fact: it stays where
    it is, even past the end of a shift or without the skill, and the worker is busy until its end.
    Any other pin is held to the same rules as a free job; where they leave no room for it, the job is left out with
    the reason PIN_CANNOT_HOLD.
    """

    worker: str | None = None
    start_s: int | None = None

    def __post_init__(self) -> None:
        if self.worker is None and self.start_s is None:
            raise ValueError("a pin names a worker, a start, or both; for a free job leave `pinned` out")


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work for one worker at one place, done in one go within one shift.

    `skills`: all of them are needed, of one worker. `work_s`: time at the place. `release_s`: not before, for example
    because parts arrive then. `due_s`: finished by then, or every minute late costs `weight` (minutes of travel).
    `windows`: the machine may be worked on only inside one of these, from start to end of the work; empty: at any time.
    """

    id: str
    skills: frozenset[str]
    work_s: int
    place: str
    release_s: int
    due_s: int
    weight: float = 1.0
    windows: tuple[Span, ...] = ()
    pinned: Pin | None = None

    def __post_init__(self) -> None:
        if self.work_s <= 0:
            raise ValueError(f"job {self.id}: work_s is {self.work_s}, it must be at least 1")
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"job {self.id}: weight is {self.weight}, it must be 0 or more, and finite")


@dataclass(frozen=True, slots=True)
class Worker:
    """A technician. A shift begins and ends at `home`, with both ways inside it; days off are days without a shift.

    Shifts do not overlap (ValueError). `at` is where the worker is at the problem's `now_s`, if not at home; it counts
    for the shift that is running then, unless a visit of that shift has begun and says better.
    """

    id: str
    skills: frozenset[str]
    shifts: tuple[Span, ...]
    home: str
    at: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shifts", tuple(sorted(self.shifts, key=lambda shift: shift.start_s)))
        for one, other in zip(self.shifts, self.shifts[1:], strict=False):
            if other.start_s < one.end_s:
                raise ValueError(
                    f"worker {self.id}: the shift from {other.start_s} s begins before the one to {one.end_s} s ends"
                )


@dataclass(frozen=True, slots=True)
class Travel:
    """Travel times in seconds between places: of the pair, else of the pair the other way round, else `default_s`.

    They should be those of the fastest way. Where a detour over a third place is faster than the direct way no plan
    breaks a rule either, but a job may be left out that the detour had made possible.
    """

    seconds: Mapping[tuple[str, str], int] = field(default_factory=dict)
    default_s: int = 0

    def __post_init__(self) -> None:
        for (start, end), seconds in self.seconds.items():
            if seconds < 0:
                raise ValueError(f"travel from {start} to {end} takes {seconds} s, it must be 0 or more")
        if self.default_s < 0:
            raise ValueError(f"default_s is {self.default_s}, it must be 0 or more")

    def between(self, start: str, end: str) -> int:
        """Seconds from one place to another; 0 within one place unless the table says otherwise."""
        found = self.seconds.get((start, end))
        if found is None:
            found = self.seconds.get((end, start))
        if found is not None:
            return found
        return 0 if start == end else self.default_s


@dataclass(frozen=True, slots=True)
class Problem:
    """All that a plan has to answer to. ValueError where an id comes twice.

    Nothing is planned to start before `now_s`. A visit of the present plan that starts from then on, but before
    `frozen_until_s`, is kept as it is while the rules allow it, and no other job is planned to start before then.
    """

    jobs: tuple[Job, ...]
    workers: tuple[Worker, ...]
    travel: Travel = field(default_factory=Travel)
    now_s: int = 0
    frozen_until_s: int = 0

    def __post_init__(self) -> None:
        for kind, ids in (("job", [job.id for job in self.jobs]), ("worker", [worker.id for worker in self.workers])):
            if len(set(ids)) != len(ids):
                twice = sorted({one for one in ids if ids.count(one) > 1})
                raise ValueError(f"{kind} {', '.join(twice)} is in the problem more than once")


class ReasonKind(StrEnum):
    """Which constraint keeps a job out of the plan. All but NO_ROOM hold even if there were no other job."""

    NO_WORKERS = "no workers"
    NO_SKILL = "no skill"
    NO_SHIFT = "no shift"
    SHIFT_TOO_SHORT = "shift too short"
    PARTS_TOO_LATE = "parts too late"
    WINDOW_OVER = "window over"
    WINDOW_TOO_SHORT = "window too short"
    WINDOW_MEETS_NO_SHIFT = "window meets no shift"
    PIN_CANNOT_HOLD = "pin cannot hold"
    NO_ROOM = "no room"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job is not in the plan: the constraint, and a sentence for people that names the values."""

    kind: ReasonKind
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Visit:
    """A job in the plan: who, from when to when at the place, and `travel_s` on the way there (not in start to end)."""

    job: str
    worker: str
    start_s: int
    end_s: int
    travel_s: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Visits by worker and start, and for each job that has none the reason. The empty plan is `Plan()`."""

    visits: tuple[Visit, ...] = ()
    unplaced: Mapping[str, Reason] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Visit]:
        return iter(self.visits)

    def visit_of(self, job: str) -> Visit | None:
        """The visit of a job, None where it has none."""
        return next((visit for visit in self.visits if visit.job == job), None)

    def of_worker(self, worker: str) -> tuple[Visit, ...]:
        """The visits of a worker in their order."""
        return tuple(visit for visit in self.visits if visit.worker == worker)


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What a plan is judged by. Costs are minutes of travel.

    `move_cost`: for each job that the `reference` plan gives to another worker or another shift; 0 lets the plan churn.
    `delay_cost`: for each job that stays on its shift, but begins more than `steady_s` later than in the reference.
    `hold_s`: a job on its shift keeps the start of the reference, as long as that delays nothing, makes nothing late
    and is at most so much later than it could begin; 0: everything begins as soon as it can.
    `day_cost`: for each job and day from now to the start of its shift, so that of two days that suit as well the
    first is taken.
    `unplaced_cost`: for each job left out. `reference`: the plan people know; None: the plan that is handed in.
    """

    move_cost: float = 120.0
    delay_cost: float = 10.0
    steady_s: int = 900
    hold_s: int = 7_200
    day_cost: float = 2.0
    unplaced_cost: float = 20_000.0
    reference: Plan | None = None
