"""The maintenance agent's shell: alerts in, tasks out, both on disk.

Order of events for every frame of alerts: decide, save tasks, outbox and handled alerts in one transaction,
publish until the hub has fsynced, strike off, acknowledge. A crash between any two of these repeats what the
next step makes harmless: a handled alert is known again, and a task published twice has the same id and
revision.
"""

import logging
import time
from collections.abc import Callable

from fieldline import Start
from fieldline.errors import DecodeError
from fieldline.model import Alert, TaskState
from fieldline.wire.plant import decode_alert
from fieldline_cloud.agents import outbox
from fieldline_cloud.agents.bus import Bus, FrameIn
from fieldline_cloud.agents.maintenance.book import Book, Changes, MaintenanceStats
from fieldline_cloud.agents.maintenance.settings import MaintenanceSettings
from fieldline_cloud.agents.maintenance.stages import OpenTask
from fieldline_cloud.agents.maintenance.store import MaintenanceStore

__all__ = ["MaintenanceAgent"]

log = logging.getLogger(__name__)


class MaintenanceAgent:
    """Turns alerts into tasks. Construct, then `await run(runtime)` until cancelled."""

    def __init__(self, settings: MaintenanceSettings, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.settings = settings
        self.stats = MaintenanceStats()
        self._policy = settings.policy()
        self._now_ns = now_ns

    async def run(self, bus: Bus) -> None:
        """Work until cancelled; nothing that was acknowledged is lost. Raises StorageError, HubError."""
        for skill in self.settings.skills_missing():
            log.warning("no technician has this skill; tasks that take it stay open", extra={"skill": skill})
        store = await MaintenanceStore.open(self.settings.data)
        try:
            saved = await store.load()
            book = Book(
                self._policy,
                open_tasks_max=self.settings.open_tasks_max,
                tasks=saved.tasks,
                handled=saved.handled,
                stats=self.stats,
            )
            await self._work(bus, store, book)
        finally:
            await store.close()

    async def _work(self, bus: Bus, store: MaintenanceStore, book: Book) -> None:
        topics, durable = self.settings.subscribe, self.settings.name
        async with bus.subscribe(topics, durable=durable, start=Start.EARLIEST, ack="manual") as frames:
            await self._commit(bus, store, book.reassess(self._now_ns()))
            await frames.wait_open()
            log.info("subscribed", extra={"topics": topics, "durable": durable, "open_tasks": len(book.open)})
            async for frame in frames.deliveries():
                changes = self._decide(frame, book)
                if changes.handled:
                    await self._commit(bus, store, changes)
                frame.ack_through()

    def _decide(self, frame: FrameIn, book: Book) -> Changes:
        self.stats.frames += 1
        changes = Changes()
        for alert in self._alerts(frame):
            refused = self.stats.alerts_refused
            revision = book.take(alert, changes, self._now_ns())
            if revision:
                self._report(revision)
            if self.stats.alerts_refused > refused == 0:
                log.error(
                    "alert refused: raise open_tasks_max (said once)",
                    extra={"alert": alert.fingerprint, "open_tasks": len(book.open)},
                )
        return changes

    def _alerts(self, frame: FrameIn) -> list[Alert]:
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

    def _report(self, revision: OpenTask) -> None:
        task = revision.task
        fields = {"task": task.id, "device": str(task.device), "cause": task.cause, "skill": task.skill}
        if task.state is TaskState.OPEN:
            log.warning("task without technician: nobody has the skill and a shift", extra=fields)
        elif task.revision == 1:
            log.info("task assigned", extra={**fields, "technician": task.technician})

    async def _commit(self, bus: Bus, store: MaintenanceStore, changes: Changes) -> None:
        last_id = await outbox.publish(bus, await store.save(changes))
        if last_id is not None:
            await store.sent(last_id)
