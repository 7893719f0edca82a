"""Reads one Modbus device again and again, and hands over what it says, or why it says nothing."""

import asyncio
import logging
from collections.abc import Sequence

from fieldline.model import Quality, Reading
from fieldline_edge.drivers.base import Clock, DeviceStats, DriverStats, Gate, GroupStats, Sink
from fieldline_edge.drivers.modbus.asker import Asker, BlockSource, Harvest
from fieldline_edge.drivers.modbus.group import Group, Part
from fieldline_edge.drivers.modbus.patience import Patience
from fieldline_edge.drivers.modbus.schedule import Schedule
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

__all__ = ["Poller"]

_log = logging.getLogger(__name__)


class Poller:
    """One device. A group never overlaps itself: a poll that takes too long costs the moments it ran over, counted
    as missed. Groups wait for each other one request at a time.

    Every poll hands over one reading per tag of its group. A tag without a value carries the reason as its quality,
    at the moment it fails and then once per period as long as it lasts; a device that is left alone keeps its last
    reason.
    """

    def __init__(
        self,
        device: ModbusDeviceSettings,
        *,
        site: str,
        source: BlockSource,
        sink: Sink,
        clock: Clock,
        stats: DriverStats,
        seed: int = 0,
        patience: Patience,
        gate: Gate | None = None,
    ) -> None:
        self.device = device.device_id(site)
        self._period_ms = device.period_ms
        self._sink = sink
        self._gate = gate
        self._clock = clock
        self._stats = stats
        self._asker = Asker(
            device,
            name=str(self.device),
            source=source,
            clock=clock,
            seed=seed,
            patience=patience,
            deliver=self._hand_over,
            found=self._wake_the_waiting,
        )
        self.stats = DeviceStats(self.device, {group.name: GroupStats() for group in self._asker.groups})
        self._alarms: dict[asyncio.Future[None], bool] = {}  # of those asleep; rung when the device is found, or not

    async def run(self) -> None:
        """Poll every group at its due moments until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            for group in self._asker.groups:
                tasks.create_task(self._run_once(group) if group.period_ms == 0 else self._run_group(group))

    def stop(self) -> None:
        """Let `run` end as soon as the requests in flight are answered; what they brought is handed over."""
        self._asker.stopping = True
        for alarm in self._alarms:
            _ring(alarm)

    async def _run_group(self, group: Group) -> None:
        name = f"{self.device}/{group.name}" if group.name else str(self.device)
        schedule = Schedule(name, period_ms=group.period_ms, phase_ms=group.phase_ms)
        both = self._stats, self.stats.groups[group.name]
        while True:
            due = schedule.next_after(self._clock.time_ns())
            for counts in both:
                counts.polls_missed += due.missed
            await self._sleep((due.at_ns - self._clock.time_ns()) / 1e9)
            if self._asker.stopping:
                return
            is_late = schedule.is_late(due.at_ns, self._clock.time_ns())
            for counts in both:
                counts.polls_late += is_late
            await self._guarded_poll(group)

    async def _run_once(self, group: Group) -> None:
        """Poll until every tag has its reading or is known not to exist, and again whenever the device is found."""
        first = Schedule(f"{self.device}/{group.name}", period_ms=self._period_ms).next_after(self._clock.time_ns())
        await self._sleep((first.at_ns - self._clock.time_ns()) / 1e9)
        while not self._asker.stopping:
            found = self._asker.health.found
            pause_s: float | None = self._period_ms / 1000
            if await self._guarded_poll(group):
                pause_s = None
            if pause_s is not None or self._asker.health.found == found:
                await self._sleep(pause_s, until_found=pause_s is None)

    async def _guarded_poll(self, group: Group) -> bool:
        try:
            return await self.poll(group)
        except Exception:  # noqa: BLE001 - a fault of ours with one device leaves the others alone
            self._stats.errors += 1
            _log.exception("poll failed: device=%s", self.device)
            return False

    async def poll(self, group: Group) -> bool:
        """Read a group once and hand the readings over. Trouble with the device becomes their quality.

        Returns whether nothing more is to be expected: every tag was read, or cannot be.
        """
        if self._gate is not None and self._gate.paused:
            self._gate.skipped(sum(len(part.reader.tag_names) for part in group.parts))
            for counts in (self._stats, self.stats.groups[group.name]):
                counts.polls_skipped += 1
            return False
        harvest = await self._asker.ask(group)
        was_asked = harvest is not None
        harvest = harvest or Harvest()
        missing = [part for part in group.parts if part not in harvest.done]
        failed = any(not part.refused and part not in harvest.searched for part in missing)
        for counts in (self._stats, self.stats.groups[group.name]):
            counts.polls += was_asked
            counts.polls_skipped += not was_asked
            counts.polls_failed += was_asked and failed
        if not self._asker.stopping:
            harvest.readings.extend(self._marks([part for part in missing if part not in harvest.unfinished], harvest))
        self._hand_over(harvest.readings)
        return was_asked and not failed

    def _hand_over(self, readings: list[Reading]) -> None:
        self.stats.quality = self._asker.health.quality
        self.stats.answered_at_ns = self._asker.answered_at_ns
        self.stats.ranges_refused = self._asker.refusals.shown
        if readings:
            self._stats.count_readings(readings)
            self._sink.put(self.device, readings)

    def _marks(self, parts: Sequence[Part], harvest: Harvest) -> list[Reading]:
        at_ns = self._clock.time_ns()
        marks: list[Reading] = []
        for part in parts:
            quality = self._asker.health.quality_of(part.health)
            if self._asker.health.quality.is_good and (part.refused or part in harvest.searched):
                quality = Quality.BAD_EXCEPTION
            marks.extend(part.reader.marks(quality, at_ns))
        return [mark for mark in marks if mark.tag not in harvest.served] if harvest.served else marks

    def _wake_the_waiting(self) -> None:
        for alarm in [alarm for alarm, until_found in self._alarms.items() if until_found]:
            _ring(alarm)

    async def _sleep(self, seconds: float | None, *, until_found: bool = False) -> None:
        """Sleep, or return at once when `stop` is called, or when the device is found: one timer, no task."""
        if self._asker.stopping:
            return
        loop = asyncio.get_running_loop()
        alarm: asyncio.Future[None] = loop.create_future()
        handle = None if seconds is None else loop.call_later(max(0.0, seconds), _ring, alarm)
        self._alarms[alarm] = until_found
        try:
            await alarm
        finally:
            del self._alarms[alarm]
            if handle is not None:
                handle.cancel()


def _ring(alarm: "asyncio.Future[None]") -> None:
    if not alarm.done():
        alarm.set_result(None)
