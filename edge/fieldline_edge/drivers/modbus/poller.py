"""Reads one Modbus device again and again, and hands over what it says, or why it says nothing."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from fieldline.model import Quality, Reading
from fieldline_edge.drivers.base import Clock, DeviceStats, DriverStats, GroupStats, Sink
from fieldline_edge.drivers.modbus.client import DeviceRefused, NoAnswer, NoConnection, Stopping, WrongAnswer
from fieldline_edge.drivers.modbus.group import Group, Part, groups_of, holes_of
from fieldline_edge.drivers.modbus.health import BlockHealth, Change, DeviceHealth, Look
from fieldline_edge.drivers.modbus.plan import Block, Range
from fieldline_edge.drivers.modbus.refusals import Refusals, search
from fieldline_edge.drivers.modbus.schedule import Schedule
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

__all__ = ["BlockSource", "Poller"]

_log = logging.getLogger(__name__)

# Illegal data address, illegal data value (Modbus application protocol, section 7): something in the range cannot be
# read, or not in one request.
_RANGE_CODES = (2, 3)
_ONCE_LOOKS_MS = 10_000
_RANGES_IN_LOG_MAX = 10


class BlockSource(Protocol):
    """Where answers come from: a Connection."""

    async def read(self, block: Block, *, unit: int, timeout_s: float) -> Sequence[int]:
        """The answer to one block, or a ModbusTrouble."""
        ...


class _RangeRefused(Exception):
    """The device is alive and does not let us read this range."""


class _Harvest:
    """What one poll has brought."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.done: set[Part] = set()
        self.searched: set[Part] = set()  # refused, and why is known: what has no reading cannot be read
        self.served: set[str] = set()  # tags that a part of a refused request was read for


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
        in_flight_max: int = 1,
    ) -> None:
        self.device = device.device_id(site)
        self._settings = device
        self._source = source
        self._sink = sink
        self._clock = clock
        self._stats = stats
        self._health = DeviceHealth(
            backoff_base_s=device.period_ms / 1000,
            backoff_max_s=device.backoff_ms_max / 1000,
            source=random.Random(f"{seed}/{self.device}"),
        )
        self._refusals = Refusals(holes_of(device), source=random.Random(f"{seed}/{self.device}/refusals"))
        self._groups = groups_of(device)
        for group in self._groups:
            group.replan(self._refusals, self._health)
        self.stats = DeviceStats(self.device, {group.name: GroupStats() for group in self._groups})
        self._in_flight_max = in_flight_max
        self._turnstile = asyncio.Semaphore(in_flight_max)
        self._stopping = False
        self._alarms: set[asyncio.Future[None]] = set()

    async def run(self) -> None:
        """Poll every group at its due moments until `stop`."""
        async with asyncio.TaskGroup() as tasks:
            for group in self._groups:
                tasks.create_task(self._run_once(group) if group.period_ms == 0 else self._run_group(group))

    def stop(self) -> None:
        """Let `run` end as soon as the requests in flight are answered; what they brought is handed over."""
        self._stopping = True
        for alarm in self._alarms:
            _ring(alarm)

    async def _run_group(self, group: Group) -> None:
        name = f"{self.device}/{group.name}" if group.name else str(self.device)
        schedule = Schedule(name, period_ms=group.period_ms, phase_ms=group.phase_ms)
        counts = self.stats.groups[group.name]
        while True:
            due = schedule.next_after(self._clock.time_ns())
            self._stats.polls_missed += due.missed
            counts.polls_missed += due.missed
            await self._sleep((due.at_ns - self._clock.time_ns()) / 1e9)
            if self._stopping:
                return
            if schedule.is_late(due.at_ns, self._clock.time_ns()):
                self._stats.polls_late += 1
                counts.polls_late += 1
            await self._guarded_poll(group)

    async def _run_once(self, group: Group) -> None:
        """Poll until every tag has its reading or is known not to exist, and again whenever the device is found."""
        complete_for = -1
        while not self._stopping:
            found = self._health.found
            if complete_for != found and await self._guarded_poll(group):
                complete_for = found
            pause_ms = self._settings.period_ms
            if complete_for == found:
                pause_ms = max(pause_ms, _ONCE_LOOKS_MS)
            await self._sleep(pause_ms / 1000)

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
        counts = self.stats.groups[group.name]
        look = self._health.begin(self._clock.monotonic())
        harvest = _Harvest()
        if look is None:
            self._stats.polls_skipped += 1
            counts.polls_skipped += 1
        else:
            self._stats.polls += 1
            counts.polls += 1
            try:
                await self._look(group, look, harvest)
            finally:
                self._health.end(look)
        open_parts = [part for part in group.parts if part not in harvest.done]
        failed = any(not part.refused and part not in harvest.searched for part in open_parts)
        if look is not None and failed:
            self._stats.polls_failed += 1
            counts.polls_failed += 1
        if not self._stopping:
            harvest.readings.extend(self._marks(open_parts, harvest))
        self._hand_over(harvest.readings)
        return not failed and look is not None

    def _hand_over(self, readings: list[Reading]) -> None:
        self.stats.quality = self._health.quality
        self.stats.ranges_refused = len(self._refusals.learnt)
        if readings:
            self._stats.count_readings(readings)
            self._sink.put(self.device, readings)

    async def _look(self, group: Group, look: Look, harvest: _Harvest) -> None:
        group.replan(self._refusals, self._health)
        if look.is_probe:
            owner, part = self._probe()
            await self._ask(owner, part, look, harvest)
        now_s = self._clock.monotonic()
        parts = [
            part for part in group.parts if not part.refused and part not in harvest.done and part.health.ready(now_s)
        ]
        parts.sort(key=lambda part: part.health.quality.is_bad)  # healthy ones first
        await self._ask_all(group, parts, look, harvest)
        await self._recheck(group, look, harvest)

    def _probe(self) -> tuple[Group, Part]:
        """What a lost device is asked first: all its requests by turns, whichever group they belong to."""
        every = [(group, part) for group in self._groups for part in group.parts]
        hopeful = [(group, part) for group, part in every if not part.refused] or every
        return hopeful[self._health.turn(len(hopeful))]

    async def _ask_all(self, group: Group, parts: Sequence[Part], look: Look, harvest: _Harvest) -> None:
        """Ask as many at once as the line takes."""
        waiting = deque(parts)

        async def work() -> None:
            while waiting and not self._given_up(look):
                await self._ask(group, waiting.popleft(), look, harvest)

        workers = min(self._in_flight_max, len(parts))
        if workers <= 1:
            await work()
            return
        # Not a TaskGroup: a request must not be cancelled because another one met a fault of ours.
        for outcome in await asyncio.gather(*(work() for _ in range(workers)), return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _ask(self, group: Group, part: Part, look: Look, harvest: _Harvest) -> None:
        try:
            answer = await self._answer(part.block, part.health, look)
        except _RangeRefused:
            await self._search(group, part, look, harvest)
            return
        if answer is not None:
            self._tell(self._health.answered(part.health), None)
            harvest.readings.extend(part.reader.read(answer, self._arrived_ns()))
            harvest.done.add(part)

    async def _search(self, group: Group, part: Part, look: Look, harvest: _Harvest) -> None:
        """Find what in a refused request cannot be read, while reading the rest."""
        values = group.values(part.block)
        steps = search(len(values))
        found: list[tuple[int, int]] = []
        try:
            first, last = next(steps)
            while True:
                good = await self._try(group, _around(values[first : last + 1]), part.health, look, harvest)
                if good is None:
                    return
                first, last = steps.send(good)
        except StopIteration as end:
            found = end.value
        harvest.searched.add(part)
        ranges = [_around(values[first : last + 1]) for first, last in found]
        news = [each for each in ranges if each not in set(self._refusals.learnt)]
        for each in ranges:
            self._refusals.learn(each, self._clock.monotonic())
        if news:
            _log.warning(
                "modbus device refuses addresses, they are left out from now on: device=%s unit=%d ranges=%s",
                self.device,
                self._settings.unit,
                _listed(news),
            )

    async def _recheck(self, group: Group, look: Look, harvest: _Harvest) -> None:
        """Try a few of the ranges again that were refused: a firmware may have changed, or a device was starting."""
        for tried in self._refusals.due(self._clock.monotonic(), group.concerns):
            health = next((part.health for part in group.parts if part.block.range.holds(tried)), group.parts[0].health)
            good = await self._try(group, tried, health, look, harvest)
            if good is None:
                return
            if good:
                self._refusals.answered(tried)
                _log.info("modbus device answers again: device=%s range=%s", self.device, tried)
            else:
                self._refusals.still_refused(tried, self._clock.monotonic())

    async def _try(self, group: Group, asked: Range, health: BlockHealth, look: Look, harvest: _Harvest) -> bool | None:
        """Whether a range is answered, and the readings in it if so; None if there was other trouble."""
        block = group.within(asked, harvest.served)
        try:
            answer = await self._answer(block, health, look)
        except _RangeRefused:
            return False
        if answer is None:
            return None
        self._tell(self._health.alive(), None)
        if block.spans:
            reader = group.reader(block)
            harvest.served.update(reader.tag_names)
            harvest.readings.extend(reader.read(answer, self._arrived_ns()))
        return True

    async def _answer(self, block: Block, health: BlockHealth, look: Look) -> Sequence[int] | None:
        """The answer, or None once the health has been told why there is none. Raises _RangeRefused."""
        async with self._turnstile:
            attempts = 1 + self._settings.retries if self._health.may_retry(health) else 1
            while attempts and not self._given_up(look):
                attempts -= 1
                try:
                    return await self._source.read(
                        block, unit=self._settings.unit, timeout_s=self._settings.timeout_ms / 1000
                    )
                except Stopping:
                    self._stopping = True
                except NoConnection as error:
                    self._tell(self._health.disconnected(look), error)
                except NoAnswer as error:
                    if not attempts or self._stopping:
                        change = self._health.silent(look, health, Quality.BAD_TIMEOUT, self._clock.monotonic())
                        self._tell(change, error)
                    continue
                except DeviceRefused as error:
                    self._refused(error, health, look)
                except WrongAnswer as error:
                    change = self._health.refused(health, Quality.BAD_RESPONSE, self._clock.monotonic())
                    self._tell(change, error)
                return None
        return None

    def _refused(self, error: DeviceRefused, health: BlockHealth, look: Look) -> None:
        now_s = self._clock.monotonic()
        if error.is_unit_gone:
            self._tell(self._health.silent(look, health, Quality.BAD_EXCEPTION, now_s), error)
        elif error.code in _RANGE_CODES:
            self._tell(self._health.alive(), error)
            raise _RangeRefused from error
        else:
            self._tell(self._health.refused(health, Quality.BAD_EXCEPTION, now_s), error)

    def _given_up(self, look: Look) -> bool:
        return self._stopping or self._health.given_up(look)

    def _arrived_ns(self) -> int:
        self.stats.answered_at_ns = self._clock.time_ns()
        return self.stats.answered_at_ns

    def _marks(self, parts: Sequence[Part], harvest: _Harvest) -> list[Reading]:
        at_ns = self._clock.time_ns()
        marks: list[Reading] = []
        for part in parts:
            quality = self._health.quality_of(part.health)
            if self._health.quality.is_good and (part.refused or part in harvest.searched):
                quality = Quality.BAD_EXCEPTION
            marks.extend(part.reader.marks(quality, at_ns))
        return [mark for mark in marks if mark.tag not in harvest.served] if harvest.served else marks

    def _tell(self, change: Change, error: Exception | None) -> None:
        if change is Change.LOST:
            _log.warning("modbus device lost: device=%s unit=%d why=%s", self.device, self._settings.unit, error)
        elif change is Change.FOUND:
            _log.info("modbus device answers again: device=%s unit=%d", self.device, self._settings.unit)
            self._refusals.hurry()  # it may have been restarted with another firmware

    async def _sleep(self, seconds: float) -> None:
        """Sleep, or return at once when `stop` is called: one timer, no task."""
        if self._stopping:
            return
        loop = asyncio.get_running_loop()
        alarm = loop.create_future()
        self._alarms.add(alarm)
        handle = loop.call_later(max(0.0, seconds), _ring, alarm)
        try:
            await alarm
        finally:
            handle.cancel()
            self._alarms.discard(alarm)


def _ring(alarm: "asyncio.Future[None]") -> None:
    if not alarm.done():
        alarm.set_result(None)


def _around(values: Sequence[Range]) -> Range:
    """From the first to the last address of some values, given by address."""
    return Range(values[0].kind, values[0].start, max(each.end for each in values))


def _listed(ranges: Sequence[Range]) -> str:
    more = len(ranges) - _RANGES_IN_LOG_MAX
    text = ", ".join(map(str, ranges[:_RANGES_IN_LOG_MAX]))
    return f"{text} and {more} more" if more > 0 else text
