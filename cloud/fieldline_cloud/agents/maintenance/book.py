"""All open tasks, and which alerts have been dealt with. Pure, bounded; changes are handed to the store."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from fieldline.model import Alert, AlertState, DeviceId, TaskState
from fieldline_cloud.agents.maintenance.stages import OpenTask, Policy, handle, reassess

__all__ = ["HANDLED_MAX", "Book", "Changes", "MaintenanceStats"]

HANDLED_MAX: Final = 100_000
"""Alert states remembered as dealt with; a repetition comes within seconds, this is years of alerts."""


@dataclass(slots=True)
class MaintenanceStats:
    """Counters since the start; plain integers."""

    frames: int = 0
    alerts: int = 0
    alerts_repeated: int = 0
    alerts_undecodable: int = 0
    alerts_refused: int = 0
    tasks_opened: int = 0
    tasks_changed: int = 0
    tasks_unassigned: int = 0


@dataclass(slots=True)
class Changes:
    """What one frame has led to: revisions in order, and the keys of the alerts that have been dealt with."""

    revisions: list[OpenTask] = field(default_factory=list)
    """Published, each of them."""
    quiet: list[OpenTask] = field(default_factory=list)
    """Kept, but nothing a technician would see has changed."""
    handled: list[str] = field(default_factory=list)


class Book:
    """The open tasks, by device and cause."""

    def __init__(
        self,
        policy: Policy,
        *,
        open_tasks_max: int,
        tasks: Iterable[OpenTask] = (),
        handled: Iterable[str] = (),
        stats: MaintenanceStats | None = None,
    ) -> None:
        self.stats = stats or MaintenanceStats()
        self._policy = policy
        self._open_tasks_max = open_tasks_max
        self._open: dict[tuple[DeviceId, str], OpenTask] = {}
        self._handled: dict[str, None] = dict.fromkeys(handled)
        for task in tasks:
            if task.task.state is not TaskState.DONE:
                self._open[task.task.device, task.task.cause] = task

    @property
    def open(self) -> tuple[OpenTask, ...]:
        """Every task that is not done."""
        return tuple(self._open.values())

    def take(self, alert: Alert, changes: Changes, now_ns: int) -> OpenTask | None:
        """Deal with an alert and note in `changes` what follows; return the new revision if there is one."""
        key = f"{alert.id}:{alert.state.value}"
        if key in self._handled:
            self.stats.alerts_repeated += 1
            return None
        place = (alert.device, alert.cause)
        current = self._open.get(place)
        is_raised = alert.state is AlertState.RAISED
        if is_raised and current is None and len(self._open) >= self._open_tasks_max:
            self.stats.alerts_refused += 1
            return None
        self._note_handled(key)
        changes.handled.append(key)
        self.stats.alerts += 1
        following = handle(alert, current, self._policy, self._load(), now_ns)
        if following is None:
            return None
        self._open[place] = following
        if current is not None and following.task == current.task:
            changes.quiet.append(following)
            return None
        self._count(following, is_new=current is None)
        changes.revisions.append(following)
        return following

    def reassess(self, now_ns: int) -> Changes:
        """Look at every open task again, after technicians may have come or gone."""
        changes = Changes()
        for place, current in list(self._open.items()):
            following = reassess(current, self._policy, self._load(), now_ns)
            if following is not None:
                self._open[place] = following
                self._count(following, is_new=False)
                changes.revisions.append(following)
        return changes

    def _load(self) -> Counter[str]:
        return Counter(current.task.technician for current in self._open.values())

    def _count(self, task: OpenTask, *, is_new: bool) -> None:
        if is_new:
            self.stats.tasks_opened += 1
        else:
            self.stats.tasks_changed += 1
        if task.task.state is TaskState.OPEN:
            self.stats.tasks_unassigned += 1

    def _note_handled(self, key: str) -> None:
        self._handled[key] = None
        if len(self._handled) > HANDLED_MAX:
            del self._handled[next(iter(self._handled))]
