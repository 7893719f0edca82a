"""Between tasks and the planner: what is to be planned, and what a plan makes of the tasks. Pure.

The tasks are the plan: who does what and when stands in each of them, so nothing else has to be kept or can disagree.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from fieldline.model import TaskState
from fieldline_cloud.agents.maintenance.crew import Absence, Crew
from fieldline_cloud.agents.maintenance.lifecycle import Move
from fieldline_cloud.agents.maintenance.machines import Machines
from fieldline_cloud.agents.maintenance.work import NOT_MENDED, PLANNABLE, Work, moved, unplanned
from fieldline_cloud.planning.insert import insert
from fieldline_cloud.planning.model import (
    Job,
    Pin,
    Plan,
    Problem,
    Reason,
    ReasonKind,
    SearchSettings,
    Span,
    Travel,
    Visit,
    Worker,
)

__all__ = ["PlanRules", "Planboard", "Search"]

_NS: Final = 1_000_000_000
_LONGER_S: Final = 600
"""Work that takes longer than planned is taken to end so much later than now, again and again."""
_NEVER: Final = Span(0, 1)
"""A window that is over: for a machine that never stands still in the days ahead."""
_FAR_S: Final = 10**9
_SAME_WAY_S: Final = 600
"""A task whose slot stays is not told that the way there has become so much longer or shorter."""
_WEIGHT_MOST: Final = 10.0
"""Minutes of travel that one minute late is worth at priority 100; it falls with the square of the priority."""


@dataclass(frozen=True, slots=True)
class PlanRules:
    """How far ahead is planned, what is left alone, and what moving a job costs."""

    days: int = 14
    jobs_max: int = 500
    """Jobs planned at a time, the most urgent ones; the others wait."""
    frozen_s: int = 2 * 3_600
    """What begins within this time is not moved any more."""
    tell_s: int = 24 * 3_600
    """So long before it begins, a technician is told."""
    grace_s: int = 30 * 60
    """So late a technician may begin before the job is planned anew."""
    move_cost: float = 120.0
    """Minutes of travel that a plan must save for each job it gives to another worker or shift; 0: churn."""
    delay_cost: float = 10.0
    """Minutes of travel that a plan must save for each job it lets begin a quarter of an hour later on its shift."""
    hold_s: int = 7_200
    """A job keeps its start though it could begin so much sooner, where nothing else gets late by that."""
    day_cost: float = 2.0
    """Minutes of travel that it is worth to do a job a day sooner."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a background search gets, and what is needed to see whether its result still holds."""

    problem: Problem
    plan: Plan
    settings: SearchSettings


class Planboard:
    """Reads a plan from the tasks, has jobs put into it, and writes it back."""

    def __init__(self, crew: Crew, machines: Machines, travel: Travel, rules: PlanRules) -> None:
        self.crew = crew
        self.rules = rules
        self._machines = machines
        self._travel = travel

    def place(self, works: Sequence[Work], first: Work | None, absences: Sequence[Absence], now_ns: int) -> list[Work]:
        """The works that change when everything without a slot gets one at once, `first` before the others."""
        problem = self._problem(works, absences, now_ns)
        jobs = {job.id: job for job in problem.jobs}
        job = jobs.get(first.task.id) if first else next(iter(problem.jobs), None)
        if job is None:
            return []
        plan = self._plan(works)
        return self.adopt(works, problem, insert(problem, plan, job, settings=self._settings(plan)), now_ns)

    def search(self, works: Sequence[Work], absences: Sequence[Absence], now_ns: int) -> Search | None:
        """What a search may make better; None where there is nothing to search."""
        problem = self._problem(works, absences, now_ns, frozen_s=self.rules.frozen_s)
        if len(problem.jobs) < 2:
            return None
        plan = self._plan(works)
        return Search(problem, plan, self._settings(plan))

    def adopt_search(
        self, search: Search, found: Plan, works: Sequence[Work], absences: Sequence[Absence], now_ns: int
    ) -> list[Work]:
        """The works that change by a search's result, though others may have changed meanwhile.

        Visits of jobs and workers that are no longer what they were when it began keep their present place, or get a
        new one.
        """
        problem = self._problem(works, absences, now_ns)
        before = {job.id: job for job in search.problem.jobs}
        workers = {worker.id: _at_rest(worker, now_ns) for worker in search.problem.workers}
        same_workers = {one.id for one in problem.workers if workers.get(one.id) == _at_rest(one, now_ns)}
        known = self._plan(works)
        present = {visit.job: visit for visit in known}
        visits: list[Visit] = []
        for job in problem.jobs:
            wanted = found.visit_of(job.id)
            stays = job.pinned is not None or before.get(job.id) != job
            if stays or wanted is None or wanted.worker not in same_workers or wanted.start_s * _NS < now_ns:
                wanted = present.get(job.id)
            if wanted is not None:
                visits.append(wanted)
        if not problem.jobs:
            return []
        plan = Plan(tuple(sorted(visits, key=lambda visit: (visit.worker, visit.start_s))))
        settled = insert(problem, plan, problem.jobs[0], settings=self._settings(known))
        return self.adopt(works, problem, settled, now_ns)

    def adopt(self, works: Sequence[Work], problem: Problem, plan: Plan, now_ns: int) -> list[Work]:
        """The works that change when `plan` is what holds."""
        visits = {visit.job: visit for visit in plan}
        planned = {job.id for job in problem.jobs}
        changed = []
        for work in works:
            if work.task.state not in PLANNABLE or work.held_by or self._is_fact(work):
                continue
            visit = visits.get(work.task.id)
            if work.task.id not in planned:
                following = self._waits_in_line(work, now_ns)
            elif visit is not None:
                following = self._given(work, visit, now_ns)
            else:
                following = self._left_out(work, plan.unplaced.get(work.task.id), now_ns)
            if following != work:
                changed.append(following)
        return changed

    def told(self, work: Work, now_ns: int) -> Work:
        """The work after its technician was told, if it is time to."""
        task = work.task
        if task.state is TaskState.PLANNED and task.planned_start_ns - now_ns <= self.rules.tell_s * _NS:
            return moved(work, Move.TELL, now_ns)
        return work

    def is_overdue(self, work: Work, now_ns: int) -> bool:
        """Whether its slot has passed and nobody has begun."""
        task = work.task
        waits = work.has_slot and not work.is_begun
        return waits and task.planned_start_ns + self.rules.grace_s * _NS < now_ns

    def _given(self, work: Work, visit: Visit, now_ns: int) -> Work:
        task = work.task
        start_ns, end_ns = visit.start_s * _NS, visit.end_s * _NS
        is_new = visit.worker != task.technician
        keeps = task.state in (TaskState.ACCEPTED, TaskState.WAITING_FOR_PARTS, TaskState.ASSIGNED) and not is_new
        if not keeps:
            soon = start_ns - now_ns <= self.rules.tell_s * _NS
            if task.state is TaskState.WAITING_FOR_PARTS or work.is_begun:
                work = moved(work, Move.UNPLAN, now_ns)
            work = moved(
                work, Move.TELL if soon else Move.PLAN, now_ns, reason=_reason_kept(task.reason) if is_new else None
            )
        task = replace(
            work.task,
            technician=visit.worker,
            planned_start_ns=start_ns,
            planned_end_ns=end_ns,
            travel_s=task.travel_s if self._is_same(work, visit) else visit.travel_s,
            changed_at_ns=now_ns if is_new else work.task.changed_at_ns,
        )
        return replace(work, task=task, steps_taken=0 if is_new else work.steps_taken)

    @staticmethod
    def _is_same(work: Work, visit: Visit) -> bool:
        """Whether a visit is the slot that the work has, but for a way that is about as long."""
        task = work.task
        slot = (task.technician, task.planned_start_ns, task.planned_end_ns)
        same = slot == (visit.worker, visit.start_s * _NS, visit.end_s * _NS)
        return same and abs(task.travel_s - visit.travel_s) <= _SAME_WAY_S

    def _left_out(self, work: Work, reason: Reason | None, now_ns: int) -> Work:
        text = self._words(work, reason)
        if work.task.state is TaskState.WAITING_FOR_PARTS and work.task.technician in self.crew:
            return replace(work, task=replace(work.task, planned_start_ns=0, planned_end_ns=0, travel_s=0, reason=text))
        if work.task.state is TaskState.OPEN and work.task.reason == text:
            return work
        return unplanned(work, now_ns, text)

    def _waits_in_line(self, work: Work, now_ns: int) -> Work:
        text = f"{self.rules.jobs_max} more urgent tasks are planned first"
        return work if work.task.reason == text else unplanned(work, now_ns, text)

    def _settings(self, known: Plan) -> SearchSettings:
        """What a plan is judged by, where `known` is the one people know."""
        rules = self.rules
        return SearchSettings(
            move_cost=rules.move_cost,
            delay_cost=rules.delay_cost,
            hold_s=rules.hold_s,
            day_cost=rules.day_cost,
            reference=known,
        )

    def _plan(self, works: Iterable[Work]) -> Plan:
        visits = [
            Visit(
                work.task.id,
                work.task.technician,
                work.task.planned_start_ns // _NS,
                work.task.planned_end_ns // _NS,
                work.task.travel_s,
            )
            for work in works
            if work.has_slot and not work.held_by and work.task.technician in self.crew
        ]
        return Plan(tuple(sorted(visits, key=lambda visit: (visit.worker, visit.start_s, visit.job))))

    def _problem(
        self, works: Sequence[Work], absences: Sequence[Absence], now_ns: int, *, frozen_s: int = 0
    ) -> Problem:
        now_s = -(-now_ns // _NS)
        to_plan = [work for work in works if work.task.state in PLANNABLE and not work.held_by]
        if len(to_plan) > self.rules.jobs_max:
            to_plan = sorted(to_plan, key=_urgency)[: self.rules.jobs_max]
        tokens = {work.task.id: _token(work) for work in to_plan if work.declined}
        refused = {(name, tokens[work.task.id]) for work in to_plan for name in work.declined}
        workers = []
        for name in sorted(self.crew.technicians):
            technician = self.crew.technicians[name]
            hours = self.crew.hours(name, absences, now_ns, self.rules.days)
            may = {token for token in tokens.values() if (name, token) not in refused}
            spans = tuple(Span(start // _NS, end // _NS) for start, end in hours if end // _NS > start // _NS)
            workers.append(Worker(name, technician.skills | may, spans, technician.home))
        workers.sort(key=lambda worker: (_idle_s(worker, to_plan, now_s), worker.id))
        shifts = {worker.id: worker.shifts for worker in workers}
        busy = {work.task.technician: work for work in to_plan if self._is_fact(work)}
        pins = {work.task.id: self._pin(work, shifts.get(work.task.technician, ()), busy, now_ns) for work in to_plan}
        jobs = tuple(self._job(work, tokens, pins[work.task.id], now_ns) for work in to_plan)
        return Problem(jobs, tuple(workers), self._ways(jobs), now_s, now_s + frozen_s)

    def _ways(self, jobs: Sequence[Job]) -> Travel:
        """The travel times; whoever has no home begins and ends the day wherever the work is."""
        from_nowhere = {("", job.place): 0 for job in jobs}
        return Travel({**self._travel.seconds, **from_nowhere}, self._travel.default_s)

    def _job(self, work: Work, tokens: Mapping[str, str], pin: Pin | None, now_ns: int) -> Job:
        task = work.task
        skills = {*(task.skills or (task.skill,))}
        if task.id in tokens:
            skills.add(tokens[task.id])
        return Job(
            id=task.id,
            skills=frozenset(skills),
            work_s=self._work_s(work, now_ns),
            place=task.place,
            release_s=work.parts_at_ns // _NS,
            due_s=task.due_at_ns // _NS,
            weight=0.05 + _WEIGHT_MOST * (task.priority / 100.0) ** 2,
            windows=self._windows(work, now_ns),
            pinned=pin,
        )

    def _windows(self, work: Work, now_ns: int) -> tuple[Span, ...]:
        """When the machine may stand still for it; empty: at any time."""
        if not work.task.downtime_s:
            return ()
        windows = self._machines.standstill(work.task.device, now_ns, self.rules.days)
        if windows is None:
            return ()
        return tuple(Span(start // _NS, end // _NS) for start, end in windows if end // _NS > start // _NS) or (_NEVER,)

    def _work_s(self, work: Work, now_ns: int) -> int:
        work_s = max(1, work.task.work_s)
        if not self._is_fact(work):
            return work_s
        so_far_s = max(0, now_ns - work.task.planned_start_ns) // _NS
        return work_s if so_far_s < work_s else so_far_s + _LONGER_S

    def _pin(self, work: Work, shifts: Sequence[Span], busy: Mapping[str, Work], now_ns: int) -> Pin | None:
        """What a person has fixed, what has begun, and what is too near to be moved."""
        task = work.task
        start_s = task.planned_start_ns // _NS
        if self._is_fact(work):
            return Pin(task.technician, start_s)
        if task.pinned and (work.pinned_to or work.wanted_ns):
            return Pin(work.pinned_to or None, work.wanted_ns // _NS or None)
        if not work.has_slot or not self._still_fits(work, shifts) or self.is_overdue(work, now_ns):
            return None
        other = busy.get(task.technician)
        is_free = other is None or self._ends_ns(other, now_ns) <= task.planned_start_ns
        if is_free and task.planned_start_ns <= now_ns + self.rules.frozen_s * _NS:
            return Pin(task.technician, start_s)
        if task.state in (TaskState.ACCEPTED, TaskState.WAITING_FOR_PARTS):
            return Pin(task.technician)
        return None

    def _is_fact(self, work: Work) -> bool:
        """Whether somebody who is still on the list is at it: no plan may change that."""
        return work.is_begun and work.task.technician in self.crew

    def _ends_ns(self, begun: Work, now_ns: int) -> int:
        return begun.task.planned_start_ns + self._work_s(begun, now_ns) * _NS

    def _still_fits(self, work: Work, shifts: Sequence[Span]) -> bool:
        """Whether the technician is still there at that time, and may still be given it."""
        task = work.task
        start_s, end_s = task.planned_start_ns // _NS, task.planned_end_ns // _NS
        there = any(shift.start_s <= start_s and end_s <= shift.end_s for shift in shifts)
        return there and task.technician not in work.declined and work.parts_at_ns // _NS <= start_s

    def _words(self, work: Work, reason: Reason | None) -> str:
        """Why a task has no slot, for people: names and times instead of numbers."""
        if reason is None:
            return "not planned yet"
        skills = " and ".join(work.task.skills or (work.task.skill,))
        days = self.rules.days
        if reason.kind is ReasonKind.NO_SKILL and self.crew.with_skills(work.task.skills or (work.task.skill,)):
            return f"everybody with the skill {skills} has declined or not accepted it: {', '.join(work.declined)}"
        if reason.kind is ReasonKind.PARTS_TOO_LATE:
            return (
                f"its parts come {self._when(work.parts_at_ns)}; no shift with time enough follows within {days} days"
            )
        if reason.kind is ReasonKind.PIN_CANNOT_HOLD:
            when = f" at {self._when(work.wanted_ns)}" if work.wanted_ns else ""
            who = f" to {work.pinned_to}" if work.pinned_to else ""
            return f"it is pinned{who}{when}, which skills, shifts, windows or parts do not allow; unpin it"
        minutes = work.task.work_s // 60
        return {
            ReasonKind.NO_WORKERS: "there are no technicians",
            ReasonKind.NO_SKILL: f"nobody has the skill {skills}",
            ReasonKind.NO_SHIFT: f"nobody with the skill {skills} has a shift within {days} days",
            ReasonKind.SHIFT_TOO_SHORT: f"no shift of those with the skill {skills} is long enough for {minutes} min "
            "of work and the way",
            ReasonKind.WINDOW_OVER: f"the machine may not stand still within {days} days any more",
            ReasonKind.WINDOW_TOO_SHORT: f"the machine never stands still for the {minutes} min it takes",
            ReasonKind.WINDOW_MEETS_NO_SHIFT: f"nobody with the skill {skills} is at work while the machine may stand "
            f"still for {minutes} min",
            ReasonKind.NO_ROOM: f"all time of those with the skill {skills} within {days} days is taken",
        }[reason.kind]

    def _when(self, at_ns: int) -> str:
        return datetime.fromtimestamp(at_ns // _NS, UTC).astimezone(self.crew.zone).strftime("%Y-%m-%d %H:%M")


def _reason_kept(reason: str) -> str:
    """Why a task had no slot is past once it has one; that it was not mended is not."""
    return reason if reason.startswith(NOT_MENDED) else ""


def _token(work: Work) -> str:
    """A skill that everybody has but those who declined the task, so that the planner passes them over."""
    return f"task {work.task.id}"


def _at_rest(worker: Worker, now_ns: int) -> tuple[object, ...]:
    """What of a worker must not have changed: skills aside from tokens, and the shifts still to come."""
    ahead = tuple(shift for shift in worker.shifts if shift.end_s * _NS > now_ns)
    return frozenset(skill for skill in worker.skills if not skill.startswith("task ")), ahead, worker.home


def _idle_s(worker: Worker, works: Iterable[Work], now_s: int) -> int:
    """When this worker is first at work with nothing planned to the end of that shift.

    The planner takes the first of several workers that cost the same: so it is the one who can begin soonest.
    """
    shift = next((shift for shift in worker.shifts if shift.end_s > now_s), None)
    if shift is None:
        return now_s + _FAR_S
    ends = [work.task.planned_end_ns // _NS for work in works if work.task.technician == worker.id and work.has_slot]
    return max(shift.start_s, now_s, *(end_s for end_s in ends if end_s <= shift.end_s))


def _urgency(work: Work) -> tuple[bool, bool, float, int]:
    """What is planned first where not everything can be: what has begun or is fixed, then by priority and due date."""
    return not work.is_begun, not work.task.pinned, -work.task.priority, work.task.due_at_ns
