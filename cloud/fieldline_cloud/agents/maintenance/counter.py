"""Where people and programs ask: takes a request, has it carried out or looked up, and replies. Never raises."""

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from fieldline.errors import FieldlineError
from fieldline.model import Severity
from fieldline_cloud.agents.bus import RequestIn
from fieldline_cloud.agents.maintenance import orders
from fieldline_cloud.agents.maintenance.book import Book, Changes
from fieldline_cloud.agents.maintenance.calendar import feed
from fieldline_cloud.agents.maintenance.desk import Desk
from fieldline_cloud.agents.maintenance.history import HistoryQuery
from fieldline_cloud.agents.maintenance.notices import NoticeKind
from fieldline_cloud.agents.maintenance.notify.message import Delivery
from fieldline_cloud.agents.maintenance.notify.notifier import Notifier
from fieldline_cloud.agents.maintenance.orders import Order, Refusal, parse_order
from fieldline_cloud.agents.maintenance.store import MaintenanceStore
from fieldline_cloud.agents.maintenance.views import event_view, part_view, task_view, technicians_view, unix_ns

__all__ = ["Counter"]

_NS_PER_DAY: Final = 24 * 3_600 * 1_000_000_000
_CALENDAR_DAYS: Final = 30
_CALENDAR_EVENTS_MAX: Final = 500
_TIMELINE_MAX: Final = 200
_PAGE_TIMEOUT_S: Final = 5.0


class Counter:
    """Answers requests with JSON: {"id", "status": "done" | "refused", "code", "message", ...}."""

    def __init__(
        self,
        book: Book,
        desk: Desk,
        store: MaintenanceStore,
        notifier: Notifier,
        take_turn: Callable[[], AbstractAsyncContextManager[Changes]],
        now_ns: Callable[[], int],
        tokens: Mapping[str, str],
        *,
        search: Callable[[], None],
    ) -> None:
        self.broken = asyncio.Event()
        """The agent's state cannot be kept any more; `error` says why."""
        self.error: FieldlineError | None = None
        self._book = book
        self._desk = desk
        self._store = store
        self._notifier = notifier
        self._take_turn = take_turn
        self._now_ns = now_ns
        self._tokens = tokens
        self._search = search
        self._loop = asyncio.get_running_loop()

    async def answer(self, request: RequestIn) -> str:
        """The reply to one request."""
        order: Order | None = None
        try:
            order = parse_order(request.content)
            said = (
                await self._look_up(order) if isinstance(order, orders.QUESTIONS) else await self._do(order, request.by)
            )
        except Refusal as refusal:
            self._book.stats.orders_refused += 1
            said = {"status": "refused", "code": refusal.code, "message": refusal.message}
        except FieldlineError as error:
            self.error = error
            self.broken.set()
            said = {"status": "refused", "code": "storage", "message": f"{error}; nothing was changed, ask again later"}
        return json.dumps({"id": order.id if order else "", "status": "done", **said})

    def page(self, path: str, query: str) -> tuple[str, bytes] | None:
        """Content type and content of an HTTP path; None: there is no such page. Called from another thread.

        `/calendar/<technician>.ics?token=<secret>`; without a token in the configuration there is no feed, and a wrong
        one looks like a technician who does not exist.
        """
        name = unquote(path.removeprefix("/calendar/").removesuffix(".ics"))
        token = self._tokens.get(name, "")
        given = parse_qs(query).get("token", [""])[0]
        if not (path.startswith("/calendar/") and path.endswith(".ics") and token):
            return None
        if not hmac.compare_digest(given.encode(), token.encode()):
            return None
        asked = asyncio.run_coroutine_threadsafe(self._calendar(name), self._loop)
        return "text/calendar; charset=utf-8", asked.result(_PAGE_TIMEOUT_S).encode()

    async def _do(self, order: Order, by: str) -> dict[str, Any]:
        if isinstance(order, orders.NotifyTest):
            return await self._notify_test(order)
        known = self._desk.known(order)
        if known is not None:
            self._book.stats.orders_repeated += 1
            return known
        async with self._take_turn() as changes:
            known = self._desk.known(order)  # the same order may have been carried out while this one waited
            if known is not None:
                return known
            said = self._desk.carry_out(order, by, changes, self._now_ns())
            self._book.stats.orders += 1
        self._search()
        return said

    async def _look_up(self, order: Order) -> dict[str, Any]:
        zone = self._book.board.crew.zone
        if isinstance(order, orders.ListTasks):
            return self._list(order)
        if isinstance(order, orders.Show):
            return await self._show(order)
        if isinstance(order, orders.History):
            events = await self._store.history(_query(order))
            return {"events": [event_view(id_, event, zone) for id_, event in events]}
        if isinstance(order, orders.Technicians):
            return {"technicians": technicians_view(self._book, self._now_ns())}
        if isinstance(order, orders.Parts):
            return {"parts": [part_view(self._book, part) for part in sorted(self._book.stock.items)]}
        assert isinstance(order, orders.Calendar)
        if order.technician not in self._book.board.crew:
            raise Refusal("unknown_technician", f"{order.technician!r} is no technician here; 'technicians' shows them")
        return {"calendar": await self._calendar(order.technician)}

    def _list(self, order: orders.ListTasks) -> dict[str, Any]:
        found = [
            work
            for work in self._book.works.values()
            if (not order.states or work.task.state.value in order.states)
            and order.technician in ("", work.task.technician)
            and order.area in ("", f"{work.task.device.site}/{work.task.device.area}", work.task.device.area)
        ]
        found.sort(key=lambda work: (-work.task.priority, work.task.due_at_ns))
        shown = [task_view(work, self._book.board.crew.zone) for work in found[: order.count_max]]
        return {"tasks": shown, "count": len(found)}

    async def _show(self, order: orders.Show) -> dict[str, Any]:
        zone = self._book.board.crew.zone
        try:
            work = self._desk.task(order.task)
        except Refusal:
            over = await self._store.work(order.task)
            if over is None:
                raise
            work = over
        device, cause = work.place
        since_ns = max(0, work.task.created_at_ns - _NS_PER_DAY)
        query = HistoryQuery(device=device, cause=cause, from_ns=since_ns, count_max=_TIMELINE_MAX)
        events = await self._store.history(query)
        return {
            "task": task_view(work, zone),
            "timeline": [event_view(id_, one, zone) for id_, one in reversed(events)],
        }

    async def _calendar(self, technician: str) -> str:
        now_ns = self._now_ns()
        slots = await self._store.slots(technician, now_ns - _CALENDAR_DAYS * _NS_PER_DAY, _CALENDAR_EVENTS_MAX)
        titled = []
        for event, is_theirs in slots:
            work = self._book.works.get(event.task) or await self._store.work(event.task)
            if is_theirs and work is not None:
                task = work.task
                data = {**event.data, "planned_start_ns": task.planned_start_ns or event.data["planned_start_ns"]}
                data["planned_end_ns"] = task.planned_end_ns or event.data["planned_end_ns"]
                event = replace(event, data=data)
            titled.append((event, is_theirs, work.task.title if work else ""))
        return feed(technician, titled, now_ns)

    async def _notify_test(self, order: orders.NotifyTest) -> dict[str, Any]:
        delivery = Delivery(
            *(f"test:{order.id}", order.channel, self._now_ns(), NoticeKind.TEST, "", order.by, Severity.INFO),
            "A test of this channel",
            "Fieldline can reach you here. There is nothing to do.",
        )
        said = await self._notifier.test(delivery)
        if said:
            raise Refusal("not_delivered", f"{order.channel}: {said}")
        return {"message": f"{order.channel}: delivered"}


def _query(order: orders.History) -> HistoryQuery:
    return HistoryQuery(
        order.device,
        order.cause,
        order.task,
        order.technician,
        order.kind,
        unix_ns(order.since) if order.since else 0,
        unix_ns(order.until) if order.until else 0,
        order.before_id,
        order.count_max,
    )
