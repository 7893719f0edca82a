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
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Final

from fieldline import Start
from fieldline.errors import BadName, DecodeError, HubError, Refused
from fieldline.model import Alert, DeviceId
from fieldline.wire.plant import decode_verdict
from fieldline_cloud.agents import outbox
from fieldline_cloud.agents.anomaly.alarms.desk import ALARMS_TOPIC, AlarmDesk
from fieldline_cloud.agents.anomaly.detector_desk import DETECTORS_TOPIC, DetectorDesk
from fieldline_cloud.agents.anomaly.handover import Handover
from fieldline_cloud.agents.anomaly.learned.thresholds import Outcome
from fieldline_cloud.agents.anomaly.learned_store import LearnedChanges, LearnedSaved
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.store import AnomalyStore
from fieldline_cloud.agents.anomaly.watch import Watch
from fieldline_cloud.agents.answering import answer_on
from fieldline_cloud.agents.bus import Bus, FrameIn, FramesIn, RequestIn
from fieldline_cloud.agents.frames_seen import Seen

__all__ = ["AnomalyAgent"]

log = logging.getLogger(__name__)

VERDICTS: Final = "verdicts/#"
IDLE_S_MIN: Final = 0.001
"""A wait for the next frame of this length means that the agent has caught up with what the hub sent."""
QUIET_S_MIN: Final = 5.0
"""When the hub sends nothing for so long on a link that is up, history has been read, whatever the offsets say."""
LEAVE_S_MAX: Final = 10.0
"""How long a member of a group takes at most to leave its devices to the others."""
SAVE_SHARE_MAX: Final = 0.05
"""Share of the time that may go into saving: with very many tags, saves become rarer."""


class AnomalyAgent:
    """Watches readings and raises alerts. Construct, then `await run(runtime)` until cancelled."""

    def __init__(self, settings: AnomalySettings, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.settings = settings
        self.watch = Watch(settings)
        self.stats = self.watch.stats
        self.monitor = self.watch.monitor
        self.desk = AlarmDesk(self.monitor)
        self.detectors = DetectorDesk(self.watch)
        self._now_ns = now_ns
        self._lock = asyncio.Lock()  # a frame or a tick is judged, saved and published before the next one
        self._seen = Seen()
        self._alerts: list[Alert] = []
        self._outcomes: list[Outcome] = []
        self._judged: FrameIn | None = None  # the last frame judged and not yet acknowledged
        self._unsettled: list[FrameIn] = []  # of a group, which acknowledges each frame: all of them
        self.handover = Handover(settings.group, self.watch) if settings.group else None
        self._waiting_since_s: float | None = None
        self._caught_up = False  # since the last tick
        self._save_due_s = 0.0
        self._learned_saved_s = 0.0

    def gauges(self) -> dict[str, Callable[[], int]]:
        """What to show besides `stats`: of what is learned, and of the devices that come and go."""
        shown = self.watch.gauges()
        for name, value in asdict(self.watch.learn_stats).items():
            assert isinstance(value, int)
            shown[name] = partial(getattr, self.watch.learn_stats, name)
        if (handover := self.handover) is not None:
            shown["devices_held"] = lambda: len(handover.held)
            for name in ("taken_over", "given_up", "left", "learned_lost"):
                shown[f"handover_{name}"] = partial(getattr, handover, name)
        return shown

    async def run(self, bus: Bus) -> None:
        """Work until cancelled; what was judged is saved when this returns. Raises StorageError, HubError."""
        store = await AnomalyStore.open(self.settings.data)
        try:
            saved = await store.load()
            if self.handover is None:
                self._seen = Seen(saved.seen)
                self._alerts = self.monitor.restore(saved.tags, saved.raised, self._now_ns())
                self._restore_learned(saved.learned)
                await self._work(bus, store)
            else:  # what is known of devices lies with the hub
                async with self.handover.listening(bus):
                    await self._work(bus, store)
        finally:
            await self._last_save(store)

    async def _work(self, bus: Bus, store: AnomalyStore) -> None:
        group, topics = self.settings.group, self.settings.subscribe
        durable = "" if group else self.settings.name
        async with bus.subscribe(topics, durable=durable, group=group, start=Start.EARLIEST, ack="manual") as frames:
            await self._save(bus, store)
            await self._publish(bus, store)  # what a former run decided and did not deliver
            await frames.wait_open()
            await answer_on(bus, ALARMS_TOPIC, lambda request: self._answer(request, bus, store))
            await answer_on(bus, DETECTORS_TOPIC, self._answer_on_detectors)
            log.info("subscribed", extra={"topics": topics, "durable": durable, "tags": self.monitor.tags})
            try:
                async with asyncio.TaskGroup() as tasks:
                    ticking = tasks.create_task(self._tick(bus, store, frames))
                    hearing = tasks.create_task(self._hear_verdicts(bus, store))
                    await self._consume(bus, store, frames)
                    ticking.cancel()
                    hearing.cancel()
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None  # one of the tasks failed; the others were cancelled for it
            finally:
                if self.handover is not None:
                    await self._leave(bus, store)

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
                await self._judge(frame, bus)
                if self._alerts or time.monotonic() >= self._save_due_s:
                    await self._save(bus, store)

    async def _judge(self, frame: FrameIn, bus: Bus) -> None:
        self._judged = frame
        self._unsettled.append(frame)
        try:
            device = DeviceId.from_topic(frame.topic)
            if not await self._is_new(frame, device, bus):
                self.stats.frames_repeated += 1
                return
            self.stats.frames += 1
            series = frame.series()
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
            self._alerts += self.watch.frame(device, series, self._now_ns())

    async def _is_new(self, frame: FrameIn, device: DeviceId, bus: Bus) -> bool:
        """Whether a frame is to be judged; a member of a group takes its device over first."""
        handover = self.handover
        if handover is None:
            return self._seen.is_new(frame.producer, frame.epoch, frame.sequence)
        handover.give_up()
        await handover.hold(bus, device, self._now_ns())
        return handover.seen.is_new(device, frame.producer, frame.epoch, frame.sequence)

    async def _tick(self, bus: Bus, store: AnomalyStore, frames: FramesIn) -> None:
        connects = frames.connects
        while True:
            await asyncio.sleep(self.settings.tick_s)
            async with self._lock:
                live = frames.connects == connects and self._is_live(frames)
                connects, self._caught_up = frames.connects, False
                self._alerts += self.watch.tick(self._now_ns(), live=live)
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

    async def _answer_on_detectors(self, request: RequestIn) -> str:
        async with self._lock:
            return json.dumps(self.detectors.answer(request.content, self._now_ns()))

    async def _hear_verdicts(self, bus: Bus, store: AnomalyStore) -> None:
        """Verdicts move thresholds; each is on disk with what it moved before it is acknowledged."""
        durable = "" if self.settings.group else f"{self.settings.name}-verdicts"
        start = Start.LIVE if self.settings.group else Start.EARLIEST  # every member hears all, and knows its own
        try:
            async with bus.subscribe(VERDICTS, durable=durable, start=start, ack="manual") as frames:
                async for frame in frames.deliveries():
                    async with self._lock:
                        self._outcomes += self._weigh(frame)
                        await self._save(bus, store)
                    frame.ack_through()
        except Refused as refusal:  # an agent that may read and publish does its work all the same
            log.warning("verdicts are not heard", extra={"topic": VERDICTS, "reason": str(refusal)})

    def _weigh(self, frame: FrameIn) -> Iterator[Outcome]:
        try:
            for message in frame.messages():
                yield self.watch.verdict(decode_verdict(message.content), self._now_ns())
        except DecodeError as error:
            self.stats.frames_undecodable += 1
            log.warning("verdict skipped", extra={"topic": frame.topic, "offset": frame.offset, "reason": str(error)})

    def _restore_learned(self, saved: LearnedSaved) -> None:
        refused = self.watch.restore(saved.states, saved.tuned, saved.raisings, saved.said)
        if refused + saved.damaged:
            log.warning("devices learn anew: their state cannot be read", extra={"devices": refused + saved.damaged})
        self._alerts += self.watch.reconcile(self._now_ns())

    def _learned_changes(self, *, everything: bool = False) -> LearnedChanges:
        """What was learned and must be saved now: of devices with an alert at once, of the others in turn."""
        passed_s = time.monotonic() - self._learned_saved_s
        self._learned_saved_s += passed_s
        share = 1.0 if everything else min(passed_s / self.settings.learn.save_every_s, 1.0)
        states = self.watch.take_learned(share)
        tuned, raisings = self.watch.thresholds.take_changes()
        outcomes, self._outcomes = self._outcomes, []
        return LearnedChanges(states, tuned, raisings, outcomes)

    async def _save(self, bus: Bus, store: AnomalyStore) -> None:
        started_s = time.monotonic()
        self._alerts += self.watch.flush(self._now_ns())
        if self._alerts and self.handover is not None:
            await self._judge_again(bus)
        alerts, self._alerts = self._alerts, []
        learned = self._learned_changes()
        if self.handover is None:
            await store.save(self.monitor.take_changes(), self._seen.take_changes(), alerts, learned)
        else:
            self.monitor.take_changes()
            devices = {*(alert.device for alert in alerts), *(state.device for state in learned.states)}
            await self.handover.leave_states(bus, devices, alerts, learned.states)
            await store.save([], [], [], replace(learned, states=[]))
        self.stats.saves += 1
        ended_s = time.monotonic()
        self._save_due_s = ended_s + max(self.settings.save_every_s, (ended_s - started_s) / SAVE_SHARE_MAX)
        if alerts:
            await self._publish(bus, store)
            for alert in alerts:
                log.info("alert", extra=_fields(alert))
        self._settle()

    def _settle(self) -> None:
        """Acknowledge what was judged."""
        if self.handover is not None:
            for frame in self._unsettled:
                frame.ack()
        elif self._judged:
            self._judged.ack_through()
        self._judged = None
        self._unsettled.clear()

    async def _judge_again(self, bus: Bus) -> None:
        """Before anything is told: what another member has held meanwhile is judged from the state it has left."""
        assert self.handover is not None
        await self.handover.catch_up(bus)
        given_up = self.handover.give_up()
        if not given_up:
            return
        self._alerts = [alert for alert in self._alerts if alert.device not in given_up]
        frames, self._unsettled = self._unsettled, []
        topics = {device.readings_topic for device in given_up}
        for frame in frames:
            if frame.topic in topics:
                await self._judge(frame, bus)
            else:
                self._unsettled.append(frame)
        self._alerts += self.watch.flush(self._now_ns())

    async def _leave(self, bus: Bus, store: AnomalyStore) -> None:
        """The other members are to go on where this one ends: all it knows, within bounded time."""
        assert self.handover is not None
        try:
            async with asyncio.timeout(LEAVE_S_MAX):
                await self._save(bus, store)
                learned = self._learned_changes(everything=True)
                await self.handover.leave_states(bus, [*self.handover.held], [], learned.states)
        except (TimeoutError, HubError) as error:
            log.warning("left without handing over", extra={"reason": str(error) or "it took too long"})

    async def _publish(self, bus: Bus, store: AnomalyStore) -> None:
        last_id = await outbox.publish(bus, await store.waiting())
        if last_id is not None:
            await store.sent(last_id)

    async def _last_save(self, store: AnomalyStore) -> None:
        """Keep what was judged since the last save; its frames come again and are then known."""
        try:
            self._alerts += self.watch.flush(self._now_ns())
            learned = self._learned_changes(everything=True)
            if self.handover is not None:
                learned = replace(learned, states=[])
                await store.save([], [], [], learned)
            else:
                await store.save(self.monitor.take_changes(), self._seen.take_changes(), self._alerts, learned)
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
