"""The prognosis agent's shell: frames of readings in, frames of prognoses out, state on disk.

Order of events for every frame: take it in, save state and prognoses in one transaction, publish the prognoses until
the hub has fsynced them, strike them off, acknowledge the frame. A crash between any two of these repeats what the next
step makes harmless. Saves are bundled: frames that lead to nothing new wait for up to `save_every_s`.

Models are learned at the start, beside the event loop; readings wait at the hub until they are there.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from fieldline import Start
from fieldline.errors import BadName, DecodeError
from fieldline.model import DeviceId, Reading
from fieldline.wire.readings import decode_readings
from fieldline_cloud.agents.bus import Bus, FrameIn, FramesIn
from fieldline_cloud.agents.frames_seen import Seen
from fieldline_cloud.agents.prognosis.forecaster import Announcement, Forecaster, PrognosisStats
from fieldline_cloud.agents.prognosis.learning import learn
from fieldline_cloud.agents.prognosis.machines import Machines
from fieldline_cloud.agents.prognosis.settings import PrognosisSettings
from fieldline_cloud.agents.prognosis.store import PrognosisStore
from fieldline_cloud.prognosis.tags import read_prognosis

__all__ = ["PrognosisAgent"]

log = logging.getLogger(__name__)

SAVE_SHARE_MAX: Final = 0.05
"""Share of the time that may go into saving: with very many tags, saves become rarer."""


class PrognosisAgent:
    """Follows tags that show wear and says how long they last. Construct, then `await run(runtime)` until cancelled."""

    def __init__(self, settings: PrognosisSettings, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.settings = settings
        self.stats = PrognosisStats()
        self.forecaster = Forecaster(
            settings.wears(),
            publish_every_s=settings.publish_every_s,
            tags_max=settings.tags_max,
            stats=self.stats,
        )
        self.machines = Machines((), publish_every_s=0.0, machines_max=1)
        """Those that models follow; empty until the models are learned."""
        self._now_ns = now_ns
        self._lock = asyncio.Lock()  # a frame is taken in, saved and published before the next one
        self._seen = Seen()
        self._said: list[Announcement] = []
        self._taken: FrameIn | None = None  # the last frame taken in and not yet acknowledged
        self._save_due_s = 0.0

    async def run(self, bus: Bus) -> None:
        """Work until cancelled; what was taken in is saved when this returns.

        Raises StorageError, HubError, and ConfigError where histories cannot be learned from.
        """
        await self._learn()
        store = await PrognosisStore.open(self.settings.data)
        try:
            saved = await store.load()
            self._seen = Seen(saved.seen)
            self.forecaster.restore(saved.tags)
            self.machines.restore(saved.machines)
            await self._work(bus, store)
        finally:
            await self._last_save(store)

    async def _learn(self) -> None:
        started_s = time.monotonic()
        fleets = await asyncio.to_thread(learn, self.settings.models)
        self.machines = Machines(
            fleets,
            publish_every_s=self.settings.publish_every_s,
            machines_max=self.settings.machines_max,
            stats=self.stats,
        )
        for entry, fleet in zip(self.settings.models, fleets, strict=True):
            took_s = round(time.monotonic() - started_s, 1)
            fields = {"devices": entry.device, "failed": fleet.failed, "tags": len(fleet.tags), "took_s": took_s}
            log.info("learned", extra=fields)

    async def _work(self, bus: Bus, store: PrognosisStore) -> None:
        durable = self.settings.name
        topics = self.settings.subscribe
        async with bus.subscribe(topics, durable=durable, start=Start.EARLIEST, ack="manual") as frames:
            await self._publish(bus, store)  # what a former run decided and did not deliver
            await frames.wait_open()
            log.info("subscribed", extra={"topics": topics, "durable": durable, "tags": self.forecaster.tags})
            try:
                async with asyncio.TaskGroup() as tasks:
                    saving = tasks.create_task(self._save_in_time(bus, store))
                    await self._consume(bus, store, frames)
                    saving.cancel()
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None  # one of two tasks failed; the other was cancelled for it

    async def _consume(self, bus: Bus, store: PrognosisStore, frames: FramesIn) -> None:
        async for frame in frames.deliveries():
            async with self._lock:
                self._take(frame)
                if self._said or time.monotonic() >= self._save_due_s:
                    await self._save(bus, store)

    def _take(self, frame: FrameIn) -> None:
        self._taken = frame
        if not self._seen.is_new(frame.producer, frame.epoch, frame.sequence):
            self.stats.frames_repeated += 1
            return
        self.stats.frames += 1
        refused, machines_refused = self.stats.readings_refused, self.stats.machines_refused
        try:
            device = DeviceId.from_topic(frame.topic)
            self._said += self._foretold(device, frame.readings())
        except BadName:
            self.stats.frames_misplaced += 1
        except DecodeError as error:
            self.stats.frames_undecodable += 1
            if self.stats.frames_undecodable == 1:
                log.warning(
                    "frame skipped (said once)",
                    extra={"topic": frame.topic, "offset": frame.offset, "reason": str(error)},
                )
        if self.stats.readings_refused > refused == 0:
            log.error("tag refused: raise tags_max (said once)", extra={"tags": self.forecaster.tags})
        if self.stats.machines_refused > machines_refused == 0:
            log.error("machine refused: raise machines_max (said once)", extra={"machines": self.machines.followed})

    def _foretold(self, device: DeviceId, readings: Sequence[Reading]) -> list[Announcement]:
        """What is to be said because of them. What a model speaks of, no trend speaks of as well."""
        now_ns = self._now_ns()
        fleet = self.machines.fleet_of(device)
        if fleet is None:
            return self.forecaster.readings(device, readings, now_ns)
        others = (reading for reading in readings if reading.tag != fleet.publish_as)
        return self.machines.readings(device, readings, now_ns) + self.forecaster.readings(device, others, now_ns)

    async def _save_in_time(self, bus: Bus, store: PrognosisStore) -> None:
        """Acknowledge what was taken in also when no further frame comes."""
        while True:
            await asyncio.sleep(self.settings.save_every_s)
            async with self._lock:
                if self._taken and time.monotonic() >= self._save_due_s:
                    await self._save(bus, store)

    async def _save(self, bus: Bus, store: PrognosisStore) -> None:
        started_s = time.monotonic()
        said, self._said = self._said, []
        await store.save(self.forecaster.take_changes(), self.machines.take_changes(), self._seen.take_changes(), said)
        self.stats.saves += 1
        ended_s = time.monotonic()
        self._save_due_s = ended_s + max(self.settings.save_every_s, (ended_s - started_s) / SAVE_SHARE_MAX)
        if said:
            await self._publish(bus, store)
            for announcement in said:
                _report(announcement)
        if self._taken:
            self._taken.ack_through()
            self._taken = None

    async def _publish(self, bus: Bus, store: PrognosisStore) -> None:
        last_id = None
        for message in await store.waiting():
            device = DeviceId.from_topic(message.topic)
            await bus.publish_readings(message.topic, decode_readings(message.content), key=device.device, stored=True)
            last_id = message.id
        if last_id is not None:
            await store.sent(last_id)

    async def _last_save(self, store: PrognosisStore) -> None:
        """Keep what was taken in since the last save; its frames come again and are then known."""
        try:
            await store.save(
                self.forecaster.take_changes(), self.machines.take_changes(), self._seen.take_changes(), self._said
            )
        finally:
            await store.close()


def _report(announcement: Announcement) -> None:
    for tag, prognosis in read_prognosis(announcement.readings).items():
        fields: dict[str, object] = {"device": str(announcement.device), "tag": tag}
        if prognosis is None:
            log.info("prognosis withdrawn", extra=fields)
        else:
            hours = {"p10_h": prognosis.p10_h, "p50_h": prognosis.p50_h, "p90_h": prognosis.p90_h}
            rounded = {name: round(value, 1) for name, value in hours.items()}
            log.info("prognosis", extra={**fields, **rounded, "trend": prognosis.trend})
