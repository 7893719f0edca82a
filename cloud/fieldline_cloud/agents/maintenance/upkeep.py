"""What time alone brings about: telling people, escalating, planning anew what was not begun, verifying. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from fieldline.model import TaskState
from fieldline_cloud.agents.maintenance.book import Book, Changes
from fieldline_cloud.agents.maintenance.escalation import Step, StepKind, step_due
from fieldline_cloud.agents.maintenance.lifecycle import Move
from fieldline_cloud.agents.maintenance.notices import Notice, NoticeKind
from fieldline_cloud.agents.maintenance.planboard import Planboard
from fieldline_cloud.agents.maintenance.stages import reopened
from fieldline_cloud.agents.maintenance.work import NOT_A_FAULT, NOT_MENDED, Work, moved

__all__ = ["Upkeep"]

_RETRY_NS: Final = 15 * 60 * 1_000_000_000
"""Work without a slot is tried again so often: days ahead come into sight, technicians become free."""


@dataclass(slots=True)
class Upkeep:
    """Looks at the book from time to time. Asked twice at the same moment, it has nothing to say the second time."""

    steps: Sequence[Step]
    verify_ns: int
    _retried_ns: int = 0

    def tick(self, book: Book, changes: Changes, now_ns: int) -> None:
        """Whatever is due at `now_ns`."""
        for work in list(book.works.values()):
            if work.task.state is TaskState.DONE:
                self._verify(work, book, changes, now_ns)
        self._replan_overdue(book, changes, now_ns)
        for work in list(book.works.values()):
            book.put(book.board.told(work, now_ns), changes, now_ns)
            self._escalate(book.works[work.task.id], book, changes, now_ns)
        if not 0 <= now_ns - self._retried_ns < _RETRY_NS:  # also if the clock was set back
            self._retried_ns = now_ns
            if any(work.task.state is TaskState.OPEN and not work.held_by for work in book.works.values()):
                book.replan(changes, now_ns)

    def _verify(self, work: Work, book: Book, changes: Changes, now_ns: int) -> None:
        """Verified once the signal was normal for long enough since the work; open again if it never became so."""
        done_ns = work.task.changed_at_ns
        if work.verdict in NOT_A_FAULT:
            if now_ns - done_ns >= self.verify_ns:
                book.put(moved(work, Move.VERIFY, now_ns, reason=f"a person says: {work.verdict}"), changes, now_ns)
        elif not work.raised:
            if now_ns - max(done_ns, work.calm_since_ns) >= self.verify_ns:
                book.put(moved(work, Move.VERIFY, now_ns, reason="the signal stayed normal"), changes, now_ns)
        elif now_ns - done_ns >= self.verify_ns:
            reason = f"{NOT_MENDED}the signal has not returned to normal since the work"
            following = reopened(work, book.rules, book.life_left(work), reason, now_ns)
            book.settle({work.task.id: following}, following, changes, now_ns)

    def _replan_overdue(self, book: Book, changes: Changes, now_ns: int) -> None:
        drafts = {}
        for work in book.works.values():
            if book.board.is_overdue(work, now_ns):
                name = work.task.technician
                task = replace(work.task, planned_start_ns=0, planned_end_ns=0, reason=f"{name} did not begin in time")
                drafts[task.id] = replace(work, task=task)
        if drafts:
            book.settle(drafts, None, changes, now_ns)

    def _escalate(self, work: Work, book: Book, changes: Changes, now_ns: int) -> None:
        step = step_due(work, self.steps, book.board.crew, now_ns)
        if step is None:
            return
        book.stats.escalations += 1
        taken = replace(work, steps_taken=work.steps_taken + 1)
        task = work.task
        if step.kind is StepKind.NEXT_TECHNICIAN and self._others(work, book.board):
            name = task.technician
            freed = replace(task, technician="", planned_start_ns=0, planned_end_ns=0, reason=f"{name} did not accept")
            draft = replace(taken, task=freed, declined=(*taken.declined, name))
            book.settle({task.id: draft}, draft, changes, now_ns)
            book.put(replace(book.works[task.id], steps_taken=taken.steps_taken), changes, now_ns)
            return
        book.put(taken, changes, now_ns)
        kind = NoticeKind.REMINDED if step.kind is StepKind.REMIND else NoticeKind.ESCALATED
        changes.notices.append(Notice(kind, task, task.technician, now_ns, round=work.steps_taken))

    def _others(self, work: Work, board: Planboard) -> bool:
        """Whether there is anybody else; the last one keeps it, and somebody is told."""
        gone = {*work.declined, work.task.technician}
        skills = work.task.skills or (work.task.skill,)
        return not work.task.pinned and any(one.name not in gone for one in board.crew.with_skills(skills))
