"""The maintenance agent's shell: alerts and orders in, tasks and messages out, all of it on disk first.

Everything that changes the book takes a turn: decide, then save work, outbox, handled alerts, history and messages in
one transaction. Beside it a courier publishes the outbox, and an alert is acknowledged once what it led to is with the
hub. A crash between any two of these repeats what the next step makes harmless: a handled alert is known again, a task
published twice has the same id and revision, an order that comes again has its answer already.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from fieldline import Start
from fieldline.errors import DecodeError, Refused
from fieldline.model import Alert, RemainingLife, TaskState, Verdict
from fieldline.topics import matches
from fieldline.wire.plant import decode_alert, decode_verdict
from fieldline_cloud.agents.bus import Bus, FrameIn
from fieldline_cloud.agents.courier import Courier
from fieldline_cloud.agents.maintenance.book import Book, Changes, MaintenanceStats
from fieldline_cloud.agents.maintenance.counter import Counter
from fieldline_cloud.agents.maintenance.desk import Desk
from fieldline_cloud.agents.maintenance.nightly import Nightly
from fieldline_cloud.agents.maintenance.notices import NoticeKind
from fieldline_cloud.agents.maintenance.notify.channels import build_channels
from fieldline_cloud.agents.maintenance.notify.message import Delivery, deliveries_of
from fieldline_cloud.agents.maintenance.notify.notifier import Notifier
from fieldline_cloud.agents.maintenance.search_process import SearchFailed, search
from fieldline_cloud.agents.maintenance.settings import MaintenanceSettings
from fieldline_cloud.agents.maintenance.store import MaintenanceStore
from fieldline_cloud.agents.maintenance.timeline import Event, EventKind
from fieldline_cloud.agents.maintenance.upkeep import Upkeep
from fieldline_cloud.agents.maintenance.work import Work
from fieldline_cloud.prognosis.tags import read_prognosis

__all__ = ["GAUGES", "MaintenanceAgent"]

log = logging.getLogger(__name__)

GAUGES: Final = ("tasks_not_over", "tasks_without_slot", "tasks_late", "tasks_waiting_for_parts", "alerts_silenced_now")
"""What stands now, for metrics."""
_TICK_S: Final = 1.0
_PAUSE_S: Final = 0.2
"""Changes within this time are searched for together."""


class MaintenanceAgent:
    """Turns alerts into tasks. Construct, then `await run(runtime)` until cancelled."""

    def __init__(
        self, settings: MaintenanceSettings, *, now_ns: Callable[[], int] = time.time_ns, tick_s: float = _TICK_S
    ) -> None:
        self.settings = settings
        self.stats = MaintenanceStats()
        self.counter: Counter | None = None
        """Answers orders and questions while the agent runs."""
        self._channels = build_channels(settings.notify.channels, timeout_s=settings.notify.timeout_s)
        self._now_ns = now_ns
        self._tick_s = tick_s
        self._routing = settings.routing()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._long_s = 0.0

    @property
    def gauges(self) -> dict[str, Callable[[], int]]:
        """What stands now, for metrics."""
        return dict(
            zip(
                GAUGES,
                (
                    lambda: self._count(lambda work: True),
                    lambda: self._count(lambda work: work.task.state is TaskState.OPEN),
                    lambda: self._count(lambda work: work.task.planned_end_ns > work.task.due_at_ns),
                    lambda: self._count(lambda work: bool(work.waits_for)),
                    lambda: self._book.silenced if self.counter else 0,
                ),
                strict=True,
            )
        )

    def page(self, path: str, query: str) -> tuple[str, bytes] | None:
        """An HTTP page beside the metrics (see `Counter.page`); called from another thread."""
        return self.counter.page(path, query) if self.counter else None

    async def run(self, bus: Bus) -> None:
        """Work until cancelled; nothing that was acknowledged is lost. Raises StorageError, HubError."""
        for skill in self.settings.skills_missing():
            log.warning("no technician has this skill; tasks that take it stay open", extra={"skill": skill})
        self._store = await MaintenanceStore.open(self.settings.data)
        try:
            await self._build(bus)
            try:
                async with asyncio.TaskGroup() as group:
                    for work in (self._alerts, self._context, self._orders):
                        group.create_task(work(bus))
                    for beside in (self._courier.run, self._ticks, self._searches, self._messages):
                        group.create_task(beside())
            except BaseExceptionGroup as several:
                raise _first(several) from None
            finally:
                self._notifier.close()
        finally:
            self.counter = None
            await self._store.close()

    async def _build(self, bus: Bus) -> None:
        settings = self.settings
        known = await self._store.load()
        self._book = Book(
            settings.rules(),
            settings.planboard(),
            settings.inhibition(),
            open_tasks_max=settings.open_tasks_max,
            known=known,
            stats=self.stats,
        )
        self._upkeep = Upkeep(settings.steps(), round(settings.verify_h * 3_600_000_000_000))
        self._courier = Courier(bus, self._store)
        self._notifier = Notifier(
            self._store,
            self._channels,
            settings.notify.repeats(),
            self.stats,
            is_wanted=self._is_wanted,
            per_minute_max=settings.notify.per_minute_max,
            attempts_max=settings.notify.attempts_max,
            now_ns=self._now_ns,
        )
        self.counter = Counter(
            self._book,
            Desk(self._book, known.answers),
            self._store,
            self._notifier,
            self.take_turn,
            self._now_ns,
            {one.name: one.calendar_token.get_secret_value() for one in settings.technicians if one.calendar_token},
            search=self._changed.set,
        )
        self._nightly = Nightly(settings.plan.nightly_at, self._book.board.crew.zone, self._now_ns())

    @asynccontextmanager
    async def take_turn(self) -> AsyncIterator[Changes]:
        """Change the book, alone: what the body adds to the changes is saved when it ends, unless it raises."""
        async with self._turn:
            changes = Changes()
            yield changes
            await self._save(changes)

    async def _save(self, changes: Changes) -> int:
        """Keep it; the id up to which the outbox must be sent until all of it is published."""
        if not changes:
            return 0
        deliveries = [one for notice in changes.notices for one in deliveries_of(notice, self._routing)]
        try:
            posted = await self._store.save(changes, deliveries, waiting_max=self.settings.notify.waiting_max)
        finally:  # a caller that gives up does not cut the transaction short
            self._courier.wake()
        for work in changes.revisions:
            self._report(work)
        return posted

    async def _alerts(self, bus: Bus) -> None:
        topics, durable = self.settings.subscribe, self.settings.name
        async with bus.subscribe(topics, durable=durable, start=Start.EARLIEST, ack="manual") as frames:
            async with self.take_turn() as changes:
                self._book.revisit(changes, self._now_ns())
            await frames.wait_open()
            await self._courier.until_empty()  # an alert that comes again is acknowledged at once
            log.info("subscribed", extra={"topics": topics, "durable": durable, "open_tasks": len(self._book.works)})
            async for frame in frames.deliveries():
                async with self._turn:
                    changes = self._decide(frame)
                    posted = await self._save(changes)
                if posted:
                    self._changed.set()
                    await self._courier.until(posted)
                frame.ack_through()

    def _decide(self, frame: FrameIn) -> Changes:
        self.stats.frames += 1
        changes = Changes()
        for alert in self._alerts_in(frame):
            refused = self.stats.alerts_refused
            self._book.take(alert, changes, self._now_ns())
            if self.stats.alerts_refused > refused == 0:
                log.error(
                    "alert refused: raise open_tasks_max (said once)",
                    extra={"alert": alert.fingerprint, "open_tasks": len(self._book.works)},
                )
        return changes

    def _alerts_in(self, frame: FrameIn) -> list[Alert]:
        """The alerts of a frame, without those that cannot be read."""
        alerts = []
        try:
            for message in frame.messages():
                try:
                    alerts.append(decode_alert(message.content))
                except DecodeError as error:
                    self._skip(frame, error)
        except DecodeError as error:
            self._skip(frame, error)
        return alerts

    def _skip(self, frame: FrameIn, error: DecodeError) -> None:
        self.stats.alerts_undecodable += 1
        if self.stats.alerts_undecodable == 1:
            log.warning(
                "alert skipped (said once)",
                extra={"topic": frame.topic, "offset": frame.offset, "reason": str(error)},
            )

    async def _context(self, bus: Bus) -> None:
        """Prognoses, which move due dates, and verdicts of others, which belong into the history."""
        topics, durable = ["prognoses/#", "verdicts/#"], f"{self.settings.name}.context"
        try:
            async with bus.subscribe(topics, durable=durable, start=Start.EARLIEST, ack="manual") as frames:
                async for frame in frames.deliveries():
                    await self._take_context(frame)
                    frame.ack_through()
        except Refused as refusal:  # an agent that may read alerts and publish tasks does its work all the same
            log.warning("prognoses and verdicts are not heard", extra={"topics": topics, "reason": str(refusal)})

    async def _take_context(self, frame: FrameIn) -> None:
        try:
            async with self.take_turn() as changes:
                if matches("verdicts/#", frame.topic):
                    self._take_verdicts(frame, changes)
                else:
                    self._take_prognosis(frame, changes)
        except DecodeError as error:
            self._skip(frame, error)

    def _take_prognosis(self, frame: FrameIn, changes: Changes) -> None:
        self.stats.prognoses += 1
        device = frame.topic.partition("/")[2]
        for tag, prognosis in read_prognosis(frame.readings()).items():
            life = RemainingLife(prognosis.p10_h, prognosis.p50_h, prognosis.p90_h) if prognosis else None
            self._book.prognosis(device, tag, life, changes, self._now_ns())

    def _take_verdicts(self, frame: FrameIn, changes: Changes) -> None:
        for message in frame.messages():
            verdict = decode_verdict(message.content)
            if verdict.task_id not in self._book.works:  # what the agent itself has published is in the history
                changes.events.append(_verdict_event(verdict, self._now_ns()))

    async def _orders(self, bus: Bus) -> None:
        assert self.counter is not None
        await bus.respond(self.settings.ask_topic, self.counter.answer)
        await self.counter.broken.wait()
        assert self.counter.error is not None
        raise self.counter.error

    async def _ticks(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            async with self.take_turn() as changes:
                now_ns = self._now_ns()
                self._upkeep.tick(self._book, changes, now_ns)
                if changes.revisions:
                    self._changed.set()
            if self._nightly.is_due(now_ns):
                self._long_s = self.settings.plan.nightly_s
                self._changed.set()

    async def _searches(self) -> None:
        """After every change a search for a better plan; changes while it runs lead to the next one."""
        seed = 0
        while True:
            await self._changed.wait()
            await asyncio.sleep(_PAUSE_S)
            self._changed.clear()
            seconds, self._long_s = self._long_s or self.settings.plan.search_s, 0.0
            if not seconds:
                continue
            wanted = self._book.board.search(list(self._book.works.values()), self._book.absences, self._now_ns())
            if wanted is None:
                continue
            seed += 1
            self.stats.searches += 1
            try:
                found = await search(wanted, seconds, seed=seed)
            except (SearchFailed, OSError) as error:
                self.stats.searches_failed += 1
                log.warning("search for a better plan failed; the plan stays as it is", extra={"reason": str(error)})
                continue
            async with self.take_turn() as changes:
                self._book.adopt(wanted, found, changes, self._now_ns())

    async def _messages(self) -> None:
        while True:
            if not self._channels or not await self._notifier.round():
                await asyncio.sleep(self._tick_s)

    def _is_wanted(self, delivery: Delivery) -> bool:
        """Whether a message still makes sense when its time has come."""
        if delivery.kind not in (NoticeKind.ASSIGNED, NoticeKind.REMINDED):
            return True
        work = self._book.works.get(delivery.task)
        return (
            work is not None and work.task.state is TaskState.ASSIGNED and work.task.technician == delivery.technician
        )

    def _report(self, work: Work) -> None:
        task = work.task
        fields = {"task": task.id, "device": str(task.device), "cause": task.cause, "skill": task.skill}
        if task.state is TaskState.OPEN and not work.held_by:
            log.warning("task without technician: %s", task.reason, extra=fields)
        elif task.revision == 1:
            log.info("task %s", task.state.value, extra={**fields, "technician": task.technician})

    def _count(self, condition: Callable[[Work], bool]) -> int:
        return sum(map(condition, list(self._book.works.values()))) if self.counter else 0


def _first(error: BaseException) -> BaseException:
    """The first error of nested groups: what one room met ends them all, and says enough."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _verdict_event(verdict: Verdict, now_ns: int) -> Event:
    data = {"kind": verdict.kind.value, "cause": verdict.cause, "alerts": [verdict.alert_id]}
    text = verdict.kind.value + (f": {verdict.note}" if verdict.note else "")
    return Event(
        now_ns, EventKind.VERDICT, str(verdict.device), verdict.cause, verdict.task_id, "", verdict.by, text, data
    )
