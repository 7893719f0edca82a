"""What the time lapse tells: a bearing that wears for days, is found, gets a slot, is replaced, and proves it. Pure.

All times are Unix nanoseconds of the plant's own clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fieldline.cli.text import timestamp
from fieldline.model import Alert, AlertState, Reading, Task, TaskState
from fieldline_cloud.demo.truth import TrueFault

__all__ = ["LIFE_TAG", "Story"]

LIFE_TAG = "vibration_bpfo.remaining_h.p50"
"""The reading that says how many hours are left, with even odds."""
_HOUR_NS = 3_600_000_000_000
_LIVES_MAX = 1_000
_EARLY_H_MIN = 24.0


@dataclass(frozen=True, slots=True)
class _Line:
    at_ns: int
    text: str


class Story:
    """The story of one device, put together from what everybody may read at the hub."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.fault: TrueFault | None = None
        """What the plant says is true; the agents never see it."""
        self.found: Alert | None = None
        """The first alert."""
        self.tasks: dict[str, Task] = {}
        """The last state of each task of this device."""
        self.lives_h: list[tuple[int, float]] = []
        """The remaining life that was foretold, and when."""
        self._reached: dict[TaskState, Task] = {}
        self._planned: Task | None = None

    def note_alert(self, alert: Alert) -> None:
        """An alert of some device."""
        if str(alert.device) == self.device and self.found is None and alert.state is AlertState.RAISED:
            self.found = alert

    def note_task(self, task: Task) -> None:
        """A task of some device has been created or changed."""
        if str(task.device) != self.device:
            return
        known = self.tasks.get(task.id)
        if known is None or task.revision > known.revision:
            self.tasks[task.id] = task
            self._reached.setdefault(task.state, task)
            if self._planned is None and task.planned_start_ns:
                self._planned = task

    def note_prognosis(self, device: str, readings: Sequence[Reading]) -> None:
        """Readings of the prognosis agent."""
        if device != self.device:
            return
        for reading in readings:
            if reading.tag == LIFE_TAG and isinstance(reading.value, float) and len(self.lives_h) < _LIVES_MAX:
                self.lives_h.append((reading.at_ns, reading.value))

    @property
    def is_over(self) -> bool:
        """Whether the signal has proved the repair."""
        return TaskState.VERIFIED in self._reached

    @property
    def is_repaired(self) -> bool:
        """Whether the work is done, proved or not."""
        return TaskState.DONE in self._reached

    @property
    def found_before_failure_h(self) -> float | None:
        """How long before the failure that was to come the first alert was raised; None before both are known."""
        if self.found is None or self.fault is None or self.fault.failure_ns is None:
            return None
        return (self.fault.failure_ns - self.found.raised_at_ns) / _HOUR_NS

    @property
    def _failure_ns(self) -> int | None:
        return self.fault.failure_ns if self.fault is not None else None

    @property
    def _is_repaired_in_time(self) -> bool:
        done = self._reached.get(TaskState.DONE)
        return done is not None and (self._failure_ns is None or _changed_ns(done) < self._failure_ns)

    def report(self) -> dict[str, Any]:
        """What a report says of it: None where it did not come so far."""
        slot = self._slot()
        early_h = self.found_before_failure_h
        return {
            "found_before_failure_h": None if early_h is None else round(early_h, 1),
            "planned_start": timestamp(slot.planned_start_ns) if slot else None,
            "technician": slot.technician if slot else None,
            "verified": self.is_over,
            "remaining_life_h": [round(life_h, 1) for _, life_h in self.lives_h],
            "story": [{"at": timestamp(line.at_ns), "what": line.text} for line in self._lines()],
        }

    def lines(self) -> list[tuple[int, str]]:
        """The story so far, in order: when and what."""
        return [(line.at_ns, line.text) for line in self._lines()]

    def _slot(self) -> Task | None:
        """The task with the slot that the work was accepted in, or the first it got."""
        accepted = self._reached.get(TaskState.ACCEPTED)
        if accepted is not None and accepted.planned_start_ns:
            return accepted
        return self._planned

    def _lines(self) -> list[_Line]:
        lines = list(self._told())
        failure_ns = self._failure_ns
        if failure_ns is not None and any(line.at_ns >= failure_ns for line in lines) and not self._is_repaired_in_time:
            lines.append(_Line(failure_ns, f"the bearing of {self.device} fails; the machine stands still"))
        return sorted(lines, key=lambda line: line.at_ns)

    def _told(self) -> Iterable[_Line]:
        if self.fault is not None:
            yield _Line(self.fault.began_ns, f"the bearing of {self.device} begins to wear; nobody has been told")
        if self.found is not None:
            early_h = self.found_before_failure_h
            early = "" if early_h is None else f", {early_h / 24.0:.1f} days before it would fail"
            yield _Line(self.found.raised_at_ns, f"found{early}: {self.found.message}")
            after = (life for life in self.lives_h if life[0] >= self.found.raised_at_ns)
            for at_ns, life_h in list(after)[:1]:
                yield _Line(at_ns, f"foretold: its bearing has {life_h / 24.0:.1f} days left")
        yield from self._of_task()

    def _of_task(self) -> Iterable[_Line]:
        slot = self._slot()
        if slot is not None and self._planned is not None:
            begins = timestamp(slot.planned_start_ns)[:16]
            yield _Line(_changed_ns(self._planned), f"planned for {begins}: {slot.title}, {slot.technician}")
        told = {
            TaskState.ACCEPTED: "accepted by {technician}",
            TaskState.IN_PROGRESS: "{technician} is at work",
            TaskState.DONE: "done: the bearing is replaced",
            TaskState.VERIFIED: "verified: the signal has stayed normal since",
        }
        for state, text in told.items():
            task = self._reached.get(state)
            if task is not None:
                yield _Line(_changed_ns(task), text.format(technician=task.technician))

    def problems(self) -> list[str]:
        """What did not come as promised, one sentence each; none is a good end."""
        if self.fault is None:
            return [f"the bearing of {self.device} did not begin to wear; give it at least 30 s"]
        early_h = self.found_before_failure_h
        if early_h is None:
            return [f"the wearing bearing of {self.device} was not found; give it at least 30 s"]
        problems = list(self._too_late())
        if 0.0 <= early_h < _EARLY_H_MIN:
            problems.append(f"the bearing of {self.device} was found {early_h:.1f} h before its failure, not days")
        slot = self._slot()
        if slot is None or not slot.technician:
            problems.append(f"the bearing of {self.device} has no slot of anybody")
        elif not self.is_over:
            state = next(iter(sorted(task.state.value for task in self.tasks.values())))
            problems.append(f"the repair of {self.device} was not verified, it is {state}; give it at least 30 s")
        return problems

    def _too_late(self) -> Iterable[str]:
        """The steps that came only after the machine had failed."""
        failure_ns = self._failure_ns
        if failure_ns is None:
            return
        done = self._reached.get(TaskState.DONE)
        steps = (
            (f"the bearing of {self.device} was found", self.found.raised_at_ns if self.found else 0),
            (f"the repair of {self.device} got its slot", _changed_ns(self._planned) if self._planned else 0),
            (f"the repair of {self.device} was done", _changed_ns(done) if done else 0),
        )
        for text, at_ns in steps:
            if at_ns >= failure_ns:
                yield f"{text} {(at_ns - failure_ns) / _HOUR_NS:.1f} h after its failure"


def _changed_ns(task: Task) -> int:
    return task.changed_at_ns or task.created_at_ns
