"""What happens when nobody accepts a task: remind, give it to the next, tell the supervisor. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from fieldline.model import Severity, TaskState
from fieldline_cloud.agents.maintenance.crew import Crew
from fieldline_cloud.agents.maintenance.work import Work

__all__ = ["Step", "StepKind", "step_due"]


class StepKind(Enum):
    """What a step does."""

    REMIND = "remind"
    NEXT_TECHNICIAN = "next_technician"
    SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class Step:
    """A step, and how long after the task was assigned it is taken, by severity. Nanoseconds."""

    kind: StepKind
    after_ns: Mapping[Severity, int]


def step_due(work: Work, steps: Sequence[Step], crew: Crew, now_ns: int) -> Step | None:
    """The next step, if it is time for it. Only what is assigned and not accepted escalates.

    A critical task counts from when it was assigned. Any other waits for its technician to be at work: nobody is to be
    woken for it.
    """
    task = work.task
    if task.state is not TaskState.ASSIGNED or work.steps_taken >= len(steps):
        return None
    step = steps[work.steps_taken]
    begins_ns: int | None = task.changed_at_ns
    if task.severity is not Severity.CRITICAL:
        begins_ns = crew.working_from_ns(task.technician, task.changed_at_ns)
    if begins_ns is None or now_ns < begins_ns + step.after_ns[task.severity]:
        return None
    return step
