"""Carries out what people order: checks it, moves the task, plans anew, and says what came of it. Pure.

An order that was carried out is known by its id: it comes again, and the answer is the same and nothing happens.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from fieldline.errors import BadName, LimitError
from fieldline.model import TaskState, Verdict, VerdictKind
from fieldline.wire.plant import encode_verdict
from fieldline_cloud.agents.maintenance import orders
from fieldline_cloud.agents.maintenance.book import Book, Changes
from fieldline_cloud.agents.maintenance.crew import Absence
from fieldline_cloud.agents.maintenance.lifecycle import Move, NotPossible
from fieldline_cloud.agents.maintenance.orders import Order, Refusal
from fieldline_cloud.agents.maintenance.timeline import Event, EventKind
from fieldline_cloud.agents.maintenance.views import part_view, plan_view, task_view, unix_ns
from fieldline_cloud.agents.maintenance.work import Work, cut, moved

__all__ = ["Desk"]

_NS: Final = 1_000_000_000
_ANSWERS_MAX: Final = 10_000
_AWAY_DAYS_MAX: Final = 3_650
_MOVES: Final[Mapping[str, Move]] = {
    "accept": Move.ACCEPT,
    "travel": Move.TRAVEL,
    "start": Move.START,
    "wait_for_parts": Move.WAIT,
    "done": Move.FINISH,
}


class Desk:
    """The one place where orders change the book."""

    def __init__(self, book: Book, answers: Mapping[str, tuple[str, str]] | None = None) -> None:
        self._book = book
        self._answers = dict(answers or {})

    def known(self, order: Order) -> dict[str, Any] | None:
        """The answer to an order that was carried out before; Refusal("id_reused") if it was another one."""
        known = self._answers.get(order.id)
        if known is None:
            return None
        digest, answer = known
        if digest != _digest(order):
            raise Refusal("id_reused", f"id {order.id!r} was used for another order; give every order an id of its own")
        return {**json.loads(answer), "repeated": True}

    def carry_out(self, order: Order, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        """Do it and return the answer. Refusal if it cannot be done: then nothing has changed."""
        by = cut(order.by or by, 256)
        handler = _HANDLERS[type(order)]
        try:
            said = handler(self, order, by, changes, now_ns)
        except NotPossible as error:
            raise Refusal("not_possible", str(error)) from error
        answer = {"id": order.id, "status": "done", **said}
        changes.answers[order.id] = self._answers[order.id] = (_digest(order), json.dumps(answer))
        while len(self._answers) > _ANSWERS_MAX:
            del self._answers[next(iter(self._answers))]
        return answer

    def task(self, task: str) -> Work:
        """The work with this id, or the only one whose id begins so. Refusal("unknown_task")."""
        works = self._book.works
        if task in works:
            return works[task]
        alike = [work for id_, work in works.items() if id_.startswith(task)]
        if len(alike) != 1:
            many = f"; {len(alike)} begin so, write more of it" if alike else "; 'list' shows those that are not over"
            raise Refusal("unknown_task", f"{task[:64]!r} is no task that is not over{many}")
        return alike[0]

    def _progress(self, order: orders.Progress, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        work = self.task(order.task)
        self._check_whose(work, order.technician)
        if order.do == "note":
            return self._note(work, order.note, by, changes, now_ns)
        move = _MOVES[order.do]
        following = moved(work, move, now_ns, reason=order.note or _default_note(order), by=by)
        task = following.task
        if move is Move.START:
            end_ns = now_ns + task.work_s * _NS
            task = replace(
                task, planned_start_ns=now_ns, planned_end_ns=end_ns, condition_cleared=task.condition_cleared
            )
            following = replace(following, task=task, started_at_ns=following.started_at_ns or now_ns)
        elif move is Move.WAIT:
            ready_ns = unix_ns(order.until) if order.until else self._lead_ns(work, now_ns)
            task = replace(task, planned_start_ns=0, planned_end_ns=0, travel_s=0)
            following = replace(following, task=task, parts_at_ns=ready_ns, waits_for=())
        elif move is Move.FINISH:
            task = replace(task, planned_end_ns=max(now_ns, task.planned_start_ns) if task.planned_start_ns else 0)
            following = replace(following, task=task, verdict=order.verdict.value if order.verdict else "", held_by="")
        if move is Move.FINISH and order.verdict:
            self._say_verdict(work, order.verdict, order.cause, order.note, by, changes, now_ns)
        self._note_order(order, work, by, order.note, changes, now_ns)
        self._book.settle({task.id: following}, following, changes, now_ns, by=by)
        return self._shown(task.id, following)

    def _reject(self, order: orders.Reject, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        work = self.task(order.task)
        self._check_whose(work, order.technician)
        name = work.task.technician
        rejected = moved(work, Move.REJECT, now_ns, reason=order.reason or "rejected", by=by)
        task = replace(rejected.task, planned_start_ns=0, planned_end_ns=0, travel_s=0, pinned=False)
        rejected = replace(
            rejected, task=task, declined=tuple(dict.fromkeys((*work.declined, name))), pinned_to="", wanted_ns=0
        )
        self._note_order(order, work, by, order.reason, changes, now_ns)
        self._book.put(rejected, changes, now_ns, by=by)
        current = self._book.works[task.id]
        freed = replace(current, task=replace(current.task, technician=""), started_at_ns=0)
        self._book.settle({task.id: freed}, freed, changes, now_ns)
        return self._shown(task.id, freed)

    def _assign(self, order: orders.Assign | orders.Pin, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        work = self.task(order.task)
        name, task = order.technician or work.task.technician, work.task
        self._check_known(name)
        if work.is_begun or task.state in (TaskState.DONE, TaskState.VERIFIED):
            raise Refusal(
                "not_possible", f"the task is {task.state.value}; only work that has not begun can be given out"
            )
        skills = task.skills or (task.skill,)
        if missing := sorted(set(skills) - self._book.board.crew.technicians[name].skills):
            raise Refusal("not_possible", f"{name} has not the skill {', '.join(missing)}; choose somebody who has")
        start_ns = unix_ns(order.start) if order.start else 0
        if order.start is None and isinstance(order, orders.Pin):
            start_ns = task.planned_start_ns
        if start_ns and start_ns < now_ns:
            raise Refusal("wrong_value", f"start {order.start or 'of the present slot'} is over; give one to come")
        draft = replace(
            work,
            task=replace(task, pinned=True, planned_start_ns=0, planned_end_ns=0, travel_s=0),
            pinned_to=name,
            wanted_ns=start_ns,
            declined=tuple(each for each in work.declined if each != name),
            held_by="",
        )
        self._note_order(order, work, by, f"to {name}", changes, now_ns)
        self._book.settle({task.id: draft}, draft, changes, now_ns, by=by)
        return self._shown(task.id, draft)

    def _unpin(self, order: orders.Unpin, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        work = self.task(order.task)
        draft = replace(work, task=replace(work.task, pinned=False), pinned_to="", wanted_ns=0)
        self._note_order(order, work, by, "", changes, now_ns)
        self._book.settle({work.task.id: draft}, draft, changes, now_ns, by=by)
        return self._shown(work.task.id, draft)

    def _cancel(self, order: orders.Cancel, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        work = self.task(order.task)
        cancelled = moved(work, Move.CANCEL, now_ns, reason=order.reason or "cancelled", by=by)
        self._note_order(order, work, by, order.reason, changes, now_ns)
        self._book.settle({work.task.id: cancelled}, None, changes, now_ns, by=by)
        return self._shown(work.task.id, cancelled)

    def _verdict(self, order: orders.VerdictOrder, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        work = self.task(order.task)
        self._say_verdict(work, order.kind, order.cause, order.note, by, changes, now_ns)
        self._book.put(replace(work, verdict=order.kind.value), changes, now_ns)
        return self._shown(work.task.id, work)

    def _absent(self, order: orders.Absent, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        self._check_known(order.technician)
        from_ns = unix_ns(order.start) if order.start else now_ns
        to_ns = unix_ns(order.until)
        if to_ns <= max(from_ns, now_ns):
            raise Refusal(
                "wrong_value", f"until {order.until.isoformat()} is not after the start and now; give a later one"
            )
        if to_ns - now_ns > _AWAY_DAYS_MAX * 86_400 * _NS:
            raise Refusal(
                "wrong_value", f"until {order.until.isoformat()} is more than ten years away; take them out of the file"
            )
        absence = Absence(order.technician, from_ns, to_ns, order.note)
        self._note_person(order, order.technician, by, order.note or "away", changes, now_ns)
        self._book.set_absences([*self._book.absences, absence], changes, now_ns)
        return {"plan": plan_view(self._book)}

    def _back(self, order: orders.Back, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        self._check_known(order.technician)
        left = [absence for absence in self._book.absences if absence.technician != order.technician]
        self._note_person(order, order.technician, by, "back", changes, now_ns)
        self._book.set_absences(left, changes, now_ns)
        return {"plan": plan_view(self._book)}

    def _plan(self, order: orders.Plan, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        if order.technician:
            self._check_known(order.technician)
        self._book.replan(changes, now_ns)
        return {"plan": plan_view(self._book, order.technician)}

    def _receive(self, order: orders.Receive, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        self._check_part(order.part)
        on_hand = self._book.stock.on_hand(order.part) + order.count
        return self._restock(order, on_hand, f"{order.count} booked in", by, changes, now_ns)

    def _stocktake(self, order: orders.Stocktake, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        self._check_part(order.part)
        return self._restock(order, order.count, "counted", by, changes, now_ns)

    def _restock(
        self, order: orders.Receive | orders.Stocktake, on_hand: int, text: str, by: str, changes: Changes, now_ns: int
    ) -> dict[str, Any]:
        text += f" ({order.note})" if order.note else ""
        self._book.restock(order.part, on_hand, text, by, changes, now_ns)
        return {"part": part_view(self._book, order.part)}

    def _check_part(self, part: str) -> None:
        listed = self._book.stock.items
        if part not in listed:
            known = ", ".join(sorted(listed)[:20]) or "none"
            raise Refusal("unknown_part", f"{part!r} is no part that is counted; list it under parts; known: {known}")

    def _note(self, work: Work, text: str, by: str, changes: Changes, now_ns: int) -> dict[str, Any]:
        if not text:
            raise Refusal("wrong_value", "note: is empty; write what there is to say")
        task = work.task
        changes.events.append(
            Event(now_ns, EventKind.NOTE, str(task.device), task.cause, task.id, task.technician, by, text)
        )
        return self._shown(task.id, work)

    def _say_verdict(
        self, work: Work, kind: VerdictKind, cause: str, note: str, by: str, changes: Changes, now_ns: int
    ) -> None:
        """One verdict for each alert whose fingerprint is known: detectors learn by tag and rule, not by task."""
        task = work.task
        newest: dict[str, str] = {mark: alert for alert, mark in work.marks.items()}
        for mark, alert in newest.items():
            verdict = Verdict(task.device, alert, mark, kind, by, now_ns, cause, note, task.id)
            try:
                changes.outgoing.append((verdict.topic, encode_verdict(verdict)))
            except (LimitError, BadName) as error:
                raise Refusal("wrong_value", str(error)) from error
        text = kind.value + (f": {note}" if note else "")
        data = {"kind": kind.value, "cause": cause, "alerts": list(newest.values())}
        place = (str(task.device), task.cause, task.id, task.technician)
        changes.events.append(Event(now_ns, EventKind.VERDICT, *place, by, text, data))

    def _note_order(self, order: Order, work: Work, by: str, text: str, changes: Changes, now_ns: int) -> None:
        task = work.task
        said = f"{order.do}: {text}" if text else order.do
        place = (str(task.device), task.cause, task.id, task.technician)
        changes.events.append(Event(now_ns, EventKind.ORDER, *place, by, said, {"order": order.id}))

    def _note_person(self, order: Order, name: str, by: str, text: str, changes: Changes, now_ns: int) -> None:
        said = Event(now_ns, EventKind.ABSENCE, technician=name, by=by, text=text, data={"order": order.id})
        changes.events.append(said)

    def _check_whose(self, work: Work, technician: str) -> None:
        if technician:
            self._check_known(technician)
            if technician != work.task.technician:
                whose = f"is {work.task.technician}'s" if work.task.technician else "is nobody's"
                raise Refusal("not_yours", f"the task {whose}, not {technician}'s; 'assign' it first")

    def _check_known(self, technician: str) -> None:
        crew = self._book.board.crew
        if technician not in crew:
            known = ", ".join(sorted(crew.technicians)[:20])
            raise Refusal("unknown_technician", f"{technician[:64]!r} is no technician here; known are {known}")

    def _lead_ns(self, work: Work, now_ns: int) -> int:
        """When ordered parts come, where nobody says when: after their lead time, a day at least."""
        ready_ns = self._book.stock.lead_ns((part.name for part in work.task.parts), now_ns)
        return max(ready_ns, now_ns + 86_400 * _NS)

    def _shown(self, task: str, otherwise: Work) -> dict[str, Any]:
        return {"task": task_view(self._book.works.get(task, otherwise), self._book.board.crew.zone)}


def _default_note(order: orders.Progress) -> str | None:
    return "" if order.do in ("accept", "travel", "start", "done") else None


def _digest(order: Order) -> str:
    return hashlib.blake2b(order.model_dump_json().encode(), digest_size=8).hexdigest()


_HANDLERS: Final[Mapping[type[Order], Callable[..., dict[str, Any]]]] = {
    orders.Progress: Desk._progress,
    orders.Reject: Desk._reject,
    orders.Assign: Desk._assign,
    orders.Pin: Desk._assign,
    orders.Unpin: Desk._unpin,
    orders.Cancel: Desk._cancel,
    orders.VerdictOrder: Desk._verdict,
    orders.Absent: Desk._absent,
    orders.Back: Desk._back,
    orders.Plan: Desk._plan,
    orders.Receive: Desk._receive,
    orders.Stocktake: Desk._stocktake,
}
