"""Who gets the parts that are in the store: reserved for planned work, awaited by the rest. Pure.

A task reserves all it takes or nothing. Work that somebody is at has its parts, work that has reserved keeps them, and
what is left goes to the rest, the most urgent first. Whoever gets none waits for the lead time of what is missing,
counted from when it was found missing, or until there is enough.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Final

from fieldline.model import TaskState
from fieldline_cloud.agents.maintenance.stock import Stock
from fieldline_cloud.agents.maintenance.work import PLANNABLE, Work, cut

__all__ = ["WAITS", "is_idle", "reserve", "takes_parts", "worded"]

WAITS: Final = "waits for parts: "
"""How the reason of a task begins that is planned for when its parts come."""
_NS: Final = 1_000_000_000


def reserve(works: Iterable[Work], stock: Stock, now_ns: int, *, last: Collection[str] = ()) -> list[Work]:
    """The works that change when the store is shared out among them.

    `last` are ids of tasks that get what nobody else takes, though they may have reserved before.
    """
    if not stock.items:
        return []
    changed, taking = list[Work](), list[Work]()
    for work in works:
        if takes_parts(work, stock):
            taking.append(work)
        elif work.parts_held or work.waits_for:
            changed.append(replace(work, parts_held=False, waits_for=(), parts_at_ns=0))
    reserved: Counter[str] = Counter()
    for work in sorted(taking, key=lambda one: _turn(one, last)):
        missing = () if work.is_begun else stock.missing(work.task.parts, reserved)
        following = _waiting(work, missing, stock, now_ns) if missing else _holding(work)
        if not missing:
            reserved += stock.listed(work.task.parts)
        if following != work:
            changed.append(following)
    return changed


def takes_parts(work: Work, stock: Stock) -> bool:
    """Whether it takes parts that are counted, now or when it is planned."""
    return work.task.state in PLANNABLE and not work.held_by and bool(stock.listed(work.task.parts))


def is_idle(work: Work) -> bool:
    """Whether it has reserved parts that it has no time for: others may have them."""
    return work.parts_held and work.task.state is TaskState.OPEN and not work.has_slot


def worded(work: Work, zone: tzinfo) -> Work:
    """The work, saying whether it is planned for when its parts come. What else is said of it stays."""
    task = work.task
    is_free = not task.reason or task.reason.startswith(WAITS)
    if not is_free:
        return work
    reason = _words(work, zone) if work.waits_for and work.has_slot else ""
    return work if reason == task.reason else replace(work, task=replace(task, reason=reason))


def _turn(work: Work, last: Collection[str]) -> tuple[int, float, int, str]:
    task = work.task
    if work.is_begun:
        rank = 0
    elif task.id in last:
        rank = 3
    else:  # a slot without waiting was planned with parts, also by a release that did not count them
        rank = 1 if work.parts_held or (work.has_slot and not work.waits_for) else 2
    return rank, -task.priority, task.due_at_ns, task.id


def _holding(work: Work) -> Work:
    """With its parts reserved. Only what it has waited for so far is over: a person may have said another time."""
    waited = bool(work.waits_for) or (work.task.state is TaskState.WAITING_FOR_PARTS and not work.parts_held)
    at_ns = 0 if waited or work.is_begun else work.parts_at_ns
    return replace(work, parts_held=True, waits_for=(), parts_at_ns=at_ns)


def _waiting(work: Work, missing: Sequence[str], stock: Stock, now_ns: int) -> Work:
    """Without its parts; a time that a person has said, or that was reckoned for the same parts, stays."""
    if work.task.state is TaskState.WAITING_FOR_PARTS:
        return replace(work, parts_held=False, waits_for=())
    at_ns = work.parts_at_ns
    if not set(missing) <= set(work.waits_for):
        at_ns = max(at_ns, stock.lead_ns(missing, now_ns))
    return replace(work, parts_held=False, waits_for=tuple(missing), parts_at_ns=at_ns)


def _words(work: Work, zone: tzinfo) -> str:
    needed: Counter[str] = Counter()
    for part in work.task.parts:
        needed[part.name] += part.count
    parts = ", ".join(f"{needed[name]} {name}" for name in work.waits_for)
    at = datetime.fromtimestamp(work.parts_at_ns // _NS, UTC).astimezone(zone)
    return cut(f"{WAITS}{parts}, expected {at:%Y-%m-%d %H:%M}")
