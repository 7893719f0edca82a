"""The anomaly agent's shell: frames in, alerts out, state on disk.

Order of events for every frame: judge it, save state and alerts in one transaction, publish the alerts until
the hub has fsynced them, strike them off, acknowledge the frame. A crash between any two of these repeats
what the next step makes harmless. Saves are bundled: frames that change nothing of note wait for up to
`save_every_s`.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from operator import attrgetter
from typing import Final

from fieldline import Start
from fieldline.errors import BadName, DecodeError
from fieldline.model import Alert, DeviceId
from fieldline_cloud.agents import outbox
from fieldline_cloud.agents.anomaly.alarms.desk import ALARMS_TOPIC, AlarmDesk
from fieldline_cloud.agents.anomaly.monitor import Monitor
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.stats import AnomalyStats
from fieldline_cloud.agents.anomaly.store import AnomalyStore, Seen
from fieldline_cloud.agents.answering import answer_on
from fieldline_cloud.agents.bus import Bus, FrameIn, FramesIn, RequestIn

__all__ = ["AnomalyAgent"]

log = logging.getLogger(__name__)

_AT_NS: Final = attrgetter("at_ns")
IDLE_S_MIN: Final = 0.001
"""A wait for the next frame of this length means that the agent has caught up with what the hub sent."""
QUIET_S_MIN: Final = 5.0
"""When the hub sends nothing for so long on a link that is up, history has been read, whatever the offsets say."""
SAVE_SHARE_MAX: Final = 0.05
"""Share of the time that may go into saving: with very many tags, saves become rarer."""


class AnomalyAgent:
    """Watches readings and raises alerts. Construct, then `await run(runtime)` until cancelled."""

    def __init__(self, settings: AnomalySettings, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.settings = settings
        self.stats = AnomalyStats()
        self.monitor = Monitor(
            settings.rule_book(), tags_max=settings.tags_max, stats=self.stats, board=settings.alarms.build()
        )
        self.desk = AlarmDesk(self.monitor)
        self._now_ns = now_ns
        self._lock = asyncio.Lock()  # a frame or a tick is judged, saved and published before the next one
        self._seen = Seen()
        self._alerts: list[Alert] = []
        self._judged: FrameIn | None = None  # the last frame judged and not yet acknowledged
        self._waiting_since_s: float | None = None
        self._caught_up = False  # since the last tick
        self._save_due_s = 0.0

    async def run(self, bus: Bus) -> None:
        """Work until cancelled; what was judged is saved when this returns. Raises StorageError, HubError."""
        store = await AnomalyStore.open(self.settings.data)
        try:
            saved = await store.load()
            self._seen = Seen(saved.seen)
            self._alerts = self.monitor.restore(saved.tags, saved.raised, self._now_ns())
            await self._work(bus, store)
        finally:
            await self._last_save(store)

    async def _work(self, bus: Bus, store: AnomalyStore) -> None:
        durable = self.settings.name
        topics = self.settings.subscribe
        async with bus.subscribe(topics, durable=durable, start=Start.EARLIEST, ack="manual") as frames:
            await self._save(bus, store)
            await self._publish(bus, store)  # what a former run decided and did not deliver
            await frames.wait_open()
            await answer_on(bus, ALARMS_TOPIC, lambda request: self._answer(request, bus, store))
            log.info("subscribed", extra={"topics": topics, "durable": durable, "tags": self.monitor.tags})
            try:
                async with asyncio.TaskGroup() as tasks:
                    ticking = tasks.create_task(self._tick(bus, store, frames))
                    await self._consume(bus, store, frames)
                    ticking.cancel()
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None  # one of two tasks failed; the other was cancelled for it

    async def _consume(self, bus: Bus, store: AnomalyStore, frames: FramesIn) -> None:
        deliveries = aiter(frames.deliveries())
        while True:
            waiting_since_s = self._waiting_since_s = time.monotonic()
            frame = await anext(deliveries, None)
            self._waiting_since_s = None
            if frame is None:
                return
            if time.monotonic() - waiting_since_s >= IDLE_S_MIN:
                self._caught_up = True
            async with self._lock:
                self._judge(frame)
                if self._alerts or time.monotonic() >= self._save_due_s:
                    await self._save(bus, store)

    def _judge(self, frame: FrameIn) -> None:
        self._judged = frame
        if not self._seen.is_new(frame.producer, frame.epoch, frame.sequence):
            self.stats.frames_repeated += 1
            return
        self.stats.frames += 1
        try:
            device = DeviceId.from_topic(frame.topic)
            readings = sorted(frame.readings(), key=_AT_NS)  # batches come tag by tag and type by type
        except BadName:
            self.stats.frames_misplaced += 1
        except DecodeError as error:
            self.stats.frames_undecodable += 1
            if self.stats.frames_undecodable == 1:
                log.warning(
                    "frame skipped (said once)",
                    extra={"topic": frame.topic, "offset": frame.offset, "reason": str(error)},
                )
        else:
            self._alerts += self.monitor.readings(device, readings, self._now_ns())

    async def _tick(self, bus: Bus, store: AnomalyStore, frames: FramesIn) -> None:
        connects = frames.connects
        while True:
            await asyncio.sleep(self.settings.tick_s)
            async with self._lock:
                live = frames.connects == connects and self._is_live(frames)
                connects, self._caught_up = frames.connects, False
                self._alerts += self.monitor.tick(self._now_ns(), live=live)
                if self._alerts or (self._judged and time.monotonic() >= self._save_due_s):
                    await self._save(bus, store)

    def _is_live(self, frames: FramesIn) -> bool:
        """Whether silence means something: the link is up, and history has been read to its end."""
        if not frames.connected or frames.end_offset is None:
            return False
        waiting_s = 0.0 if self._waiting_since_s is None else time.monotonic() - self._waiting_since_s
        if frames.next_offset < frames.end_offset:
            return waiting_s >= QUIET_S_MIN
        return waiting_s > 0.0 or self._caught_up

    async def _answer(self, request: RequestIn, bus: Bus, store: AnomalyStore) -> str:
        """The reply to a request on `ask/alarms`; what it changes is on disk and with the hub before it is sent."""

        async def carry_out() -> str:
            async with self._lock:
                reply, alerts = self.desk.answer(request.content, request.by, self._now_ns())
                self._alerts += alerts
                if alerts:
                    await self._save(bus, store)
                return json.dumps(reply)

        return await asyncio.shield(carry_out())  # the deadline of the one who asks must not cut a save in two

    async def _save(self, bus: Bus, store: AnomalyStore) -> None:
        started_s = time.monotonic()
        alerts, self._alerts = self._alerts, []
        await store.save(self.monitor.take_changes(), self._seen.take_changes(), alerts)
        self.stats.saves += 1
        ended_s = time.monotonic()
        self._save_due_s = ended_s + max(self.settings.save_every_s, (ended_s - started_s) / SAVE_SHARE_MAX)
        if alerts:
            await self._publish(bus, store)
            for alert in alerts:
                log.info("alert", extra=_fields(alert))
        if self._judged:
            self._judged.ack_through()
            self._judged = None

    async def _publish(self, bus: Bus, store: AnomalyStore) -> None:
        last_id = await outbox.publish(bus, await store.waiting())
        if last_id is not None:
            await store.sent(last_id)

    async def _last_save(self, store: AnomalyStore) -> None:
        """Keep what was judged since the last save; its frames come again and are then known."""
        try:
            await store.save(self.monitor.take_changes(), self._seen.take_changes(), self._alerts)
        finally:
            await store.close()


def _fields(alert: Alert) -> dict[str, str]:
    return {
        "state": alert.state.value,
        "severity": alert.severity.name.lower(),
        "device": str(alert.device),
        "rule": alert.rule,
        "text": alert.message,
    }
