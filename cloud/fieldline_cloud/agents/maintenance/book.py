"""All work that is not over, and what has been dealt with. Pure, bounded; changes are handed to the store.

Every method takes the `Changes` it adds to: what one frame, one order or one tick leads to is kept as one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fieldline.model import Alert, DeviceId, RemainingLife, TaskState
from fieldline_cloud.agents.maintenance.crew import Absence
from fieldline_cloud.agents.maintenance.inhibit import Inhibition
from fieldline_cloud.agents.maintenance.notices import Notice, notices_of
from fieldline_cloud.agents.maintenance.planboard import Planboard, Search
from fieldline_cloud.agents.maintenance.reserving import is_idle, reserve, worded
from fieldline_cloud.agents.maintenance.stages import WorkRules, handle, life_of, weighed
from fieldline_cloud.agents.maintenance.stock import Shelf, Stock
from fieldline_cloud.agents.maintenance.timeline import (
    Event,
    EventKind,
    alert_event,
    parts_event,
    stock_event,
    task_event,
)
from fieldline_cloud.agents.maintenance.work import NOT_A_FAULT, PLANNABLE, Work, unplanned
from fieldline_cloud.planning.model import Plan

__all__ = ["HANDLED_MAX", "LIVES_MAX", "Book", "Changes", "Known", "MaintenanceStats"]

HANDLED_MAX: Final = 100_000
"""Alert states remembered as dealt with; a repetition comes within seconds, this is years of alerts."""
LIVES_MAX: Final = 100_000
"""Tags whose life left is remembered; those heard of last stay."""

_TAKEN: Final = (TaskState.PLANNED, TaskState.ASSIGNED, TaskState.OPEN)


@dataclass(slots=True)
class MaintenanceStats:
    """Counters since the start; plain integers."""

    frames: int = 0
    alerts: int = 0
    alerts_repeated: int = 0
    alerts_undecodable: int = 0
    alerts_refused: int = 0
    alerts_silenced: int = 0
    prognoses: int = 0
    tasks_opened: int = 0
    tasks_changed: int = 0
    tasks_unassigned: int = 0
    tasks_verified: int = 0
    tasks_reopened: int = 0
    orders: int = 0
    orders_refused: int = 0
    orders_repeated: int = 0
    parts_used: int = 0
    parts_booked_in: int = 0
    escalations: int = 0
    searches: int = 0
    searches_failed: int = 0
    jobs_moved: int = 0
    notices_sent: int = 0
    notices_failed: int = 0
    notices_dropped: int = 0


@dataclass(slots=True)
class Changes:
    """What one frame, order or tick has led to; kept in one transaction."""

    revisions: list[Work] = field(default_factory=list)
    """Published, each of them."""
    quiet: list[Work] = field(default_factory=list)
    """Kept, but nothing a technician would see has changed."""
    handled: list[str] = field(default_factory=list)
    """Keys of alerts that have been dealt with."""
    events: list[Event] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    silenced: dict[str, Alert | None] = field(default_factory=dict)
    """Alerts by fingerprint that are consequences; None: no longer."""
    lives: dict[tuple[str, str], RemainingLife | None] = field(default_factory=dict)
    """Life left by device and tag; None: not known any more."""
    absences: list[Absence] | None = None
    """All of them, where they have changed."""
    shelves: dict[str, Shelf] = field(default_factory=dict)
    """Parts by name whose count has changed."""
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Digest and answer by the id of an order."""
    outgoing: list[tuple[str, bytes]] = field(default_factory=list)
    """Messages to publish besides the revisions: (topic, content)."""

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__) or self.absences is not None


@dataclass(slots=True)
class Known:
    """What a former run left."""

    works: list[Work] = field(default_factory=list)
    handled: list[str] = field(default_factory=list)
    silenced: list[Alert] = field(default_factory=list)
    lives: dict[tuple[str, str], RemainingLife] = field(default_factory=dict)
    absences: list[Absence] = field(default_factory=list)
    shelves: dict[str, Shelf] = field(default_factory=dict)
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)


class Book:
    """The work of a plant: one for each device and cause, until it is over."""

    def __init__(
        self,
        rules: WorkRules,
        board: Planboard,
        inhibition: Inhibition,
        *,
        open_tasks_max: int,
        known: Known | None = None,
        stats: MaintenanceStats | None = None,
    ) -> None:
        known = known or Known()
        self.stats = stats or MaintenanceStats()
        self.board = board
        self.rules = rules
        self.works: dict[str, Work] = {work.task.id: work for work in known.works if not work.task.state.is_over}
        self.absences = list(known.absences)
        self.stock = Stock(rules.parts, dict(known.shelves))
        self._inhibition = inhibition
        self._open_tasks_max = open_tasks_max
        self._by_place = {work.place: work.task.id for work in self.works.values()}
        self._handled: dict[str, None] = dict.fromkeys(known.handled)
        self._silenced: dict[str, Alert] = {alert.fingerprint: alert for alert in known.silenced}
        self._lives: dict[str, dict[str, RemainingLife]] = {}
        for (device, tag), life in known.lives.items():
            self._lives.setdefault(device, {})[tag] = life

    @property
    def silenced(self) -> int:
        """Alerts that stand and are only consequences."""
        return len(self._silenced)

    def take(self, alert: Alert, changes: Changes, now_ns: int) -> Work | None:
        """Deal with an alert and note in `changes` what follows; return the new revision if there is one."""
        key = _key(alert)
        if key in self._handled:
            self.stats.alerts_repeated += 1
            return None
        place = (str(alert.device), alert.cause)
        is_new = place not in self._by_place
        held_by = self._held_by(alert.device, alert.cause) if is_new and alert.state.is_active else ""
        is_full = len(self.works) + len(self._silenced) >= self._open_tasks_max
        if alert.state.is_active and is_new and is_full and alert.fingerprint not in self._silenced:
            self.stats.alerts_refused += 1
            return None
        self._note_handled(key, changes)
        self.stats.alerts += 1
        if held_by:
            self._silence(alert, held_by, changes, now_ns)
            return None
        self._unsilence(alert.fingerprint, changes)
        changes.events.append(alert_event(alert, now_ns))
        return self._handle(alert, changes, now_ns)

    def prognosis(self, device: str, tag: str, life: RemainingLife | None, changes: Changes, now_ns: int) -> None:
        """The life left of a tag is known (anew), or no longer."""
        lives = self._lives.setdefault(device, {})
        known = lives.pop(tag, None)
        if life is not None:
            lives[tag] = life
        if known != life:
            changes.lives[device, tag] = life
        if not lives or len(self._lives) > LIVES_MAX:
            del self._lives[device if not lives else next(iter(self._lives))]
        drafts = {}
        for work in self.works.values():
            if str(work.task.device) == device and work.task.state in PLANNABLE:
                following = weighed(work, self.rules, life_of(work, lives), now_ns)
                if following != work:
                    drafts[work.task.id] = following
        if drafts:
            self.settle(drafts, None, changes, now_ns)

    def settle(
        self, drafts: Mapping[str, Work], first: Work | None, changes: Changes, now_ns: int, *, by: str = ""
    ) -> None:
        """Write drafts into the book, after giving parts and a slot to what lacks them; one revision for each change.

        Parts of work that finds no slot go to work that waits for them: then all is shared out and placed once more.
        """
        for work in drafts.values():
            self._use_parts(work, changes, now_ns, by)
        shared = self._shared(drafts, (), now_ns)
        if first is not None and first.task.state not in PLANNABLE and shared.keys() != drafts.keys():
            first = None  # it needs no slot itself, but others have gained or lost their parts by it
        pending = self._placed(shared, first, now_ns)
        works = {**self.works, **pending}.values()
        idle = {work.task.id for work in works if is_idle(work)}
        if idle and any(work.waits_for for work in works):
            again = self._shared(drafts, idle, now_ns)
            if again != shared:
                pending = self._placed(again, first, now_ns)
        for work in pending.values():
            self._note_parts(work, changes, now_ns)
            self.put(work, changes, now_ns, by=by if work.task.id in drafts else "")

    def put(self, work: Work, changes: Changes, now_ns: int, *, by: str = "") -> Work | None:
        """Write one work into the book; its new revision, or None if nothing that is published has changed."""
        before = self.works.get(work.task.id)
        work = worded(work, self.board.crew.zone)
        if before is not None and replace(work.task, by=before.task.by) == before.task:
            if work != before:
                self._keep(replace(work, task=before.task))
                changes.quiet.append(self.works[work.task.id])
            return None
        revision = before.task.revision + 1 if before is not None else 1
        work = replace(work, task=replace(work.task, revision=revision, by=by))
        self._keep(work)
        changes.revisions.append(work)
        changes.events.append(task_event(work.task, now_ns))
        changes.notices += notices_of(before, work, now_ns)
        self._count(work, before)
        return work

    def replan(self, changes: Changes, now_ns: int) -> None:
        """Give a slot to everything that lacks one or has one that no longer holds."""
        self.settle({}, None, changes, now_ns)

    def adopt(self, search: Search, found: Plan, changes: Changes, now_ns: int) -> None:
        """Take over what a search has found, as far as it still holds."""
        for work in self.board.adopt_search(search, found, list(self.works.values()), self.absences, now_ns):
            if self.put(work, changes, now_ns) is not None:
                self.stats.jobs_moved += 1

    def revisit(self, changes: Changes, now_ns: int) -> None:
        """Look at every work again at the start: technicians may have left, rules and counts may have changed."""
        for part, shelf in self.stock.counted_anew().items():
            is_new = part not in self.stock.shelves
            self._put_shelf(part, shelf, f"{'counted' if is_new else 'counted anew'} in the file", "", changes, now_ns)
        self._review_holds(changes, now_ns)
        self.replan(changes, now_ns)

    def set_absences(self, absences: Iterable[Absence], changes: Changes, now_ns: int) -> None:
        """Somebody is away, or back: their work is planned anew."""
        self.absences = [absence for absence in absences if absence.to_ns > now_ns]
        changes.absences = self.absences
        self.replan(changes, now_ns)

    def restock(self, part: str, on_hand: int, text: str, by: str, changes: Changes, now_ns: int) -> None:
        """So many of a listed part lie in the store now, and why: what waits for it is planned anew."""
        self.stats.parts_booked_in += max(0, on_hand - self.stock.on_hand(part))
        self._put_shelf(part, self.stock.shelf(part, on_hand), text, by, changes, now_ns)
        self.replan(changes, now_ns)

    def life_left(self, work: Work) -> RemainingLife | None:
        """The shortest life left that is known of what this work is about."""
        return life_of(work, self._lives.get(str(work.task.device), {}))

    def _handle(self, alert: Alert, changes: Changes, now_ns: int) -> Work | None:
        place = (str(alert.device), alert.cause)
        current = self.works.get(self._by_place.get(place, ""))
        tags = self._lives.get(str(alert.device), {})
        life = life_of(current, tags) if current is not None else tags.get(alert.tag)
        following = handle(alert, current, self.rules, life=life, now_ns=now_ns)
        if following is None or following == current:
            return None
        count = len(changes.revisions)
        if current is None or _wants_slot(current, following, self.board, now_ns):
            self.settle({following.task.id: following}, following, changes, now_ns)
        else:
            self.put(following, changes, now_ns)
        if alert.cause in self._inhibition.causes:
            self._review_holds(changes, now_ns)
        return next((w for w in changes.revisions[count:] if w.task.id == following.task.id), None)

    def _shared(self, drafts: Mapping[str, Work], last: Collection[str], now_ns: int) -> dict[str, Work]:
        """The drafts, and whatever else changes when the store is shared out among all work."""
        works = {**self.works, **drafts}.values()
        return {**drafts, **{work.task.id: work for work in reserve(works, self.stock, now_ns, last=last)}}

    def _placed(self, shared: Mapping[str, Work], first: Work | None, now_ns: int) -> dict[str, Work]:
        pending = {task: self._freed(work, now_ns) for task, work in shared.items()}
        works = list({**self.works, **pending}.values())
        placed = self.board.place(works, first, self.absences, now_ns)
        return {**pending, **{work.task.id: work for work in placed}}

    def _use_parts(self, work: Work, changes: Changes, now_ns: int, by: str) -> None:
        """Take from the store what a task has used that is done now; nothing, where nothing was wrong."""
        before = self.works.get(work.task.id)
        is_done = work.task.state is TaskState.DONE and before is not None and before.task.state is not TaskState.DONE
        if not is_done or work.verdict in NOT_A_FAULT:
            return
        for part, count in self.stock.listed(work.task.parts).items():
            self.stats.parts_used += count
            shelf = self.stock.shelf(part, self.stock.on_hand(part) - count)
            self._put_shelf(part, shelf, f"{count} used", by, changes, now_ns, work)

    def _put_shelf(
        self, part: str, shelf: Shelf, text: str, by: str, changes: Changes, now_ns: int, work: Work | None = None
    ) -> None:
        change = shelf.on_hand - self.stock.on_hand(part)
        self.stock = self.stock.with_shelves({part: shelf})
        changes.shelves[part] = shelf
        changes.events.append(stock_event(part, shelf.on_hand, change, text, work.task if work else None, by, now_ns))

    def _note_parts(self, work: Work, changes: Changes, now_ns: int) -> None:
        """Say in the history that parts are reserved, or are no longer."""
        before = self.works.get(work.task.id)
        had = before is not None and before.parts_held
        if work.task.state is TaskState.DONE and work.verdict not in NOT_A_FAULT:
            return  # used
        if had != work.parts_held and (parts := self.stock.listed(work.task.parts)):
            changes.events.append(parts_event("reserved" if work.parts_held else "released", parts, work.task, now_ns))

    def _freed(self, work: Work, now_ns: int) -> Work:
        """Without the slot, where that makes it late and an earlier one may be found."""
        task = work.task
        may_move = task.state in _TAKEN and not task.pinned and not work.held_by
        if may_move and work.has_slot and task.planned_end_ns > task.due_at_ns and now_ns < task.planned_start_ns:
            return replace(work, task=replace(task, planned_start_ns=0, planned_end_ns=0, travel_s=0))
        return work

    def _held_by(self, device: DeviceId, cause: str) -> str:
        if cause not in self._inhibition.consequences:
            return ""
        return self._inhibition.held_by(device, cause, self._lasting())

    def _lasting(self) -> list[tuple[DeviceId, str]]:
        """Causes that can silence others and hold now."""
        causes = self._inhibition.causes
        works = self.works.values()
        return [(w.task.device, w.task.cause) for w in works if w.raised and w.task.cause in causes]

    def _review_holds(self, changes: Changes, now_ns: int) -> None:
        """After a cause has come or gone: hold back its consequences, or let them go."""
        drafts = {}
        for work in self.works.values():
            if work.task.state not in _TAKEN or work.task.pinned:
                continue
            held_by = self._held_by(work.task.device, work.task.cause) if work.raised else ""
            was_held = bool(work.held_by) and " at " in work.held_by
            if held_by and held_by != work.held_by:
                drafts[work.task.id] = replace(unplanned(work, now_ns, f"follows from {held_by}"), held_by=held_by)
            elif was_held and not held_by:
                drafts[work.task.id] = replace(work, held_by="")
        if drafts:
            self.settle(drafts, None, changes, now_ns)
        for alert in list(self._silenced.values()):
            if not self._held_by(alert.device, alert.cause):
                self._unsilence(alert.fingerprint, changes)
                changes.events.append(alert_event(alert, now_ns, text="its cause has gone and it still holds"))
                self._handle(alert, changes, now_ns)

    def _silence(self, alert: Alert, held_by: str, changes: Changes, now_ns: int) -> None:
        self.stats.alerts_silenced += 1
        self._silenced[alert.fingerprint] = alert
        changes.silenced[alert.fingerprint] = alert
        changes.events.append(alert_event(alert, now_ns, EventKind.SILENCED, f"follows from {held_by}"))

    def _unsilence(self, fingerprint: str, changes: Changes) -> None:
        if self._silenced.pop(fingerprint, None) is not None:
            changes.silenced[fingerprint] = None

    def _keep(self, work: Work) -> None:
        if work.task.state.is_over:
            self.works.pop(work.task.id, None)
            self._by_place.pop(work.place, None)
        else:
            self.works[work.task.id] = work
            self._by_place[work.place] = work.task.id

    def _count(self, work: Work, before: Work | None) -> None:
        if before is None:
            self.stats.tasks_opened += 1
        else:
            self.stats.tasks_changed += 1
            self.stats.tasks_reopened += before.task.state is TaskState.DONE and work.task.state in PLANNABLE
        self.stats.tasks_unassigned += work.task.state is TaskState.OPEN
        self.stats.tasks_verified += work.task.state is TaskState.VERIFIED

    def _note_handled(self, key: str, changes: Changes) -> None:
        self._handled[key] = None
        changes.handled.append(key)
        if len(self._handled) > HANDLED_MAX:
            del self._handled[next(iter(self._handled))]


def _key(alert: Alert) -> str:
    """The same for the same state of the same raising: shelved, raised and shelved again are four."""
    since = f":{alert.changed_at_ns}" if alert.changed_at_ns else ""
    return f"{alert.id}:{alert.state.value}{since}"


def _wants_slot(before: Work, after: Work, board: Planboard, now_ns: int) -> bool:
    """Whether the planner has to look at it: it became more urgent, was opened again, or lacks a slot."""
    task = after.task
    if task.state not in PLANNABLE or after.held_by:
        return bool(before.held_by) != bool(after.held_by)
    return not after.has_slot or task.due_at_ns < before.task.due_at_ns or bool(before.held_by)
