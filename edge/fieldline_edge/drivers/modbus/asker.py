"""Asks one Modbus device: whose turn it is, what is asked again, and what is done about a refusal."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from fieldline.model import Quality, Reading
from fieldline_edge.drivers.base import Clock
from fieldline_edge.drivers.modbus.client import DeviceRefused, NoAnswer, NoConnection, Stopping, WrongAnswer
from fieldline_edge.drivers.modbus.group import Group, Part, groups_of, holes_of
from fieldline_edge.drivers.modbus.health import BlockHealth, Change, DeviceHealth, Look
from fieldline_edge.drivers.modbus.plan import Block, Range, gaps
from fieldline_edge.drivers.modbus.refusals import Refusals, search
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

__all__ = ["Asker", "BlockSource", "Harvest"]

_log = logging.getLogger(__name__)

# Illegal data address, illegal data value (Modbus application protocol, section 7): something in the range cannot be
# read, or not in one request.
_RANGE_CODES = (2, 3)
_RANGES_IN_LOG_MAX = 10
# A search for several holes goes on in the next poll, or a device that lacks everything would keep the rest waiting.
_TRIES_PER_POLL = 64


class BlockSource(Protocol):
    """Where answers come from: a Connection."""

    async def read(self, block: Block, *, unit: int, timeout_s: float) -> Sequence[int]:
        """The answer to one block, or a ModbusTrouble."""
        ...


class _RangeRefused(Exception):
    """The device is alive and does not let us read this range."""


class Harvest:
    """What one poll has brought."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.done: set[Part] = set()
        self.refused: list[tuple[Group, Part]] = []  # something in them cannot be read
        self.searched: set[Part] = set()  # of these, it is known what: all that has no reading
        self.unfinished: set[Part] = set()  # of these, the next poll goes on with the search
        self.tries_left = _TRIES_PER_POLL
        self.served: set[str] = set()  # tags that a part of a refused request was read for

    def taken(self) -> list[Reading]:
        """The readings so far, which are then no longer in here."""
        readings, self.readings = self.readings, []
        return readings


class Asker:
    """Asks one device for the requests of its groups, at most `in_flight_max` at once, the groups by turns.

    `name` is for the log. `deliver` takes readings that should not wait for the end of a poll. `found` is called when
    the device answers after it was lost.
    """

    def __init__(
        self,
        device: ModbusDeviceSettings,
        *,
        name: str,
        source: BlockSource,
        clock: Clock,
        seed: int,
        in_flight_max: int,
        deliver: Callable[[list[Reading]], None],
        found: Callable[[], None],
    ) -> None:
        self.groups = groups_of(device)
        self.health = DeviceHealth(
            backoff_base_s=device.period_ms / 1000,
            backoff_max_s=device.backoff_ms_max / 1000,
            source=random.Random(f"{seed}/{name}"),
        )
        self.refusals = Refusals(holes_of(device), source=random.Random(f"{seed}/{name}/refusals"))
        for group in self.groups:
            group.replan(self.refusals, self.health)
        self.answered_at_ns = 0  # Unix time of the last good answer
        self.stopping = False  # set to True, nothing more is asked
        self._name = name
        self._settings = device
        self._source = source
        self._clock = clock
        self._in_flight_max = in_flight_max
        self._turnstile = asyncio.Semaphore(in_flight_max)
        self._deliver = deliver
        self._found = found

    async def ask(self, group: Group) -> "Harvest | None":
        """What can be had of a group now; None if the device is left alone for the moment."""
        look = self.health.begin(self._clock.monotonic())
        if look is None:
            return None
        harvest = Harvest()
        try:
            await self._look(group, look, harvest)
        finally:
            self.health.end(look)
        return harvest

    async def _look(self, group: Group, look: Look, harvest: Harvest) -> None:
        group.replan(self.refusals, self.health)
        if look.is_probe:
            await self._probe(look, harvest)
        now_s = self._clock.monotonic()
        parts = [
            part for part in group.parts if not part.refused and part not in harvest.done and part.health.ready(now_s)
        ]
        parts.sort(key=lambda part: part.health.quality.is_bad)  # healthy ones first
        await self._ask_all(group, parts, look, harvest)
        if harvest.refused:
            self._deliver(harvest.taken())  # a search may take a while
        for owner, part in harvest.refused:
            await self._search(owner, part, look, harvest)
        await self._recheck(group, look, harvest)

    async def _probe(self, look: Look, harvest: Harvest) -> None:
        """Ask a lost device for one thing: all its requests by turns, whichever group they belong to."""
        every = [(group, part) for group in self.groups for part in group.parts]
        hopeful = [(group, part) for group, part in every if not part.refused] or every
        index, whole = self.health.turn(len(hopeful))
        group, part = hopeful[index]
        if whole:
            await self._ask(group, part, look, harvest)
        else:
            await self._try(group, group.values(part.block)[0], part.health, look, harvest)

    async def _ask_all(self, group: Group, parts: Sequence[Part], look: Look, harvest: Harvest) -> None:
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

    async def _ask(self, group: Group, part: Part, look: Look, harvest: Harvest) -> None:
        try:
            answer = await self._answer(part.block, part.health, look)
        except _RangeRefused:
            harvest.refused.append((group, part))
            return
        if answer is not None:
            self._tell(self.health.answered(part.health), None)
            harvest.readings.extend(part.reader.read(answer, self._arrived_ns()))
            harvest.done.add(part)
        elif self.health.quality.is_good and part.health.quality is Quality.BAD_TIMEOUT and part.health.failures > 1:
            self._avoid_gaps(group, part)

    def _avoid_gaps(self, group: Group, part: Part) -> None:
        """The device answers others and is silent about this: not every device refuses what it does not have."""
        found = gaps(group.values(part.block))
        for each in found:
            self.refusals.learn(each, self._clock.monotonic())
        if found:
            _log.warning(
                "modbus device is silent about a request with gaps, they are not read over from now on: "
                "device=%s unit=%d ranges=%s",
                self._name,
                self._settings.unit,
                _listed(found),
            )

    async def _search(self, group: Group, part: Part, look: Look, harvest: Harvest) -> None:
        """Find what in a refused request cannot be read, while reading the rest."""
        values = group.values(part.block)
        found: list[tuple[int, int]] = []
        steps = search(len(values), found)
        step = next(steps, None)
        while step is not None and harvest.tries_left:
            harvest.tries_left -= 1
            good = await self._try(group, _around(values, *step), part.health, look, harvest)
            if good is None:
                break
            try:
                step = steps.send(good)
            except StopIteration:
                step = None
        if step is None:
            harvest.searched.add(part)
        elif not harvest.tries_left:
            harvest.unfinished.add(part)
        self._learn([_around(values, *pair) for pair in found])

    def _learn(self, ranges: Sequence[Range]) -> None:
        known = set(self.refusals.learnt)
        for each in ranges:
            self.refusals.learn(each, self._clock.monotonic())
        if news := [each for each in ranges if each not in known]:
            _log.warning(
                "modbus device refuses addresses, they are left out from now on: device=%s unit=%d ranges=%s",
                self._name,
                self._settings.unit,
                _listed(news),
            )

    async def _recheck(self, group: Group, look: Look, harvest: Harvest) -> None:
        """Try a few of the ranges again that were refused: a firmware may have changed, or a device was starting."""
        for tried in self.refusals.due(self._clock.monotonic(), group.concerns):
            good = await self._try(group, tried, self.health.trial(), look, harvest)
            if good is None:  # silence may be this device's way to refuse
                if self.health.quality.is_good:
                    self.refusals.still_refused(tried, self._clock.monotonic())
                return
            if good:
                self.refusals.answered(tried)
                _log.info("modbus device answers again: device=%s range=%s", self._name, tried)
            else:
                self.refusals.still_refused(tried, self._clock.monotonic())

    async def _try(self, group: Group, asked: Range, health: BlockHealth, look: Look, harvest: Harvest) -> bool | None:
        """Whether a range is answered, and the readings in it if so; None if there was other trouble."""
        block = group.within(asked, harvest.served)
        try:
            answer = await self._answer(block, health, look)
        except _RangeRefused:
            return False
        if answer is None:
            return None
        self._tell(self.health.alive(), None)
        if block.spans:
            reader = group.reader(block)
            harvest.served.update(reader.tag_names)
            harvest.readings.extend(reader.read(answer, self._arrived_ns()))
        return True

    async def _answer(self, block: Block, health: BlockHealth, look: Look) -> Sequence[int] | None:
        """The answer, or None once the health has been told why there is none. Raises _RangeRefused."""
        async with self._turnstile:
            attempts = 1 + self._settings.retries if self.health.may_retry(health) else 1
            while attempts and not self._given_up(look):
                attempts -= 1
                try:
                    return await self._source.read(
                        block, unit=self._settings.unit, timeout_s=self._settings.timeout_ms / 1000
                    )
                except Stopping:
                    self.stopping = True
                except NoConnection as error:
                    self._tell(self.health.disconnected(look), error)
                except NoAnswer as error:
                    if not attempts or self.stopping:
                        change = self.health.silent(look, health, Quality.BAD_TIMEOUT, self._clock.monotonic())
                        self._tell(change, error)
                    continue
                except DeviceRefused as error:
                    self._refused(error, health, look)
                except WrongAnswer as error:
                    change = self.health.refused(health, Quality.BAD_RESPONSE, self._clock.monotonic())
                    self._tell(change, error)
                return None
        return None

    def _refused(self, error: DeviceRefused, health: BlockHealth, look: Look) -> None:
        now_s = self._clock.monotonic()
        if error.is_unit_gone:
            self._tell(self.health.silent(look, health, Quality.BAD_EXCEPTION, now_s), error)
        elif error.code in _RANGE_CODES:
            self._tell(self.health.alive(), error)
            raise _RangeRefused from error
        else:
            self._tell(self.health.refused(health, Quality.BAD_EXCEPTION, now_s), error)

    def _given_up(self, look: Look) -> bool:
        return self.stopping or self.health.given_up(look)

    def _arrived_ns(self) -> int:
        self.answered_at_ns = self._clock.time_ns()
        return self.answered_at_ns

    def _tell(self, change: Change, error: Exception | None) -> None:
        if change is Change.LOST:
            _log.warning("modbus device lost: device=%s unit=%d why=%s", self._name, self._settings.unit, error)
        elif change is Change.FOUND:
            _log.info("modbus device answers again: device=%s unit=%d", self._name, self._settings.unit)
            self.refusals.hurry()  # it may have been restarted with another firmware
            self._found()


def _around(values: Sequence[Range], first: int, last: int) -> Range:
    """From the first to the last address of some of the values, which are given by address."""
    return Range(values[0].kind, values[first].start, max(each.end for each in values[first : last + 1]))


def _listed(ranges: Sequence[Range]) -> str:
    more = len(ranges) - _RANGES_IN_LOG_MAX
    text = ", ".join(map(str, ranges[:_RANGES_IN_LOG_MAX]))
    return f"{text} and {more} more" if more > 0 else text
