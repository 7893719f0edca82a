"""Reads one Modbus device again and again, and hands over what it says, or why it says nothing."""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Protocol

from fieldline.model import Quality, Reading
from fieldline_edge.drivers.base import Clock, DriverStats, Sink
from fieldline_edge.drivers.modbus.client import DeviceRefused, NoAnswer, NoConnection, Stopping, WrongAnswer
from fieldline_edge.drivers.modbus.health import Change, DeviceHealth
from fieldline_edge.drivers.modbus.plan import Block
from fieldline_edge.drivers.modbus.registers import block_readers
from fieldline_edge.drivers.modbus.schedule import Schedule
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

__all__ = ["BlockSource", "Poller"]

_log = logging.getLogger(__name__)


class BlockSource(Protocol):
    """Where answers come from: a Connection."""

    async def read(self, block: Block, *, unit: int, timeout_s: float) -> Sequence[int]:
        """The answer to one block, or a ModbusTrouble."""
        ...


class Poller:
    """One device. Never overlaps itself: a poll that takes too long costs the moments it ran over, counted as
    missed.

    Every poll hands over one reading per tag. A tag without a value carries the reason as its quality, at the
    moment it fails and then once per period as long as it lasts; a device that is left alone keeps its last
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
    ) -> None:
        self.device = device.device_id(site)
        self._settings = device
        self._source = source
        self._sink = sink
        self._clock = clock
        self._stats = stats
        self._readers = block_readers(device)
        self._schedule = Schedule(str(self.device), period_ms=device.period_ms)
        self._health = DeviceHealth(
            len(self._readers),
            backoff_base_s=device.period_ms / 1000,
            backoff_max_s=device.backoff_ms_max / 1000,
            source=random.Random(f"{seed}/{self.device}"),
        )
        self._stopping = False
        self._alarm: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Poll at every due moment until `stop`."""
        while True:
            due = self._schedule.next_after(self._clock.time_ns())
            self._stats.polls_missed += due.missed
            await self._sleep((due.at_ns - self._clock.time_ns()) / 1e9)
            if self._stopping:
                return
            if self._schedule.is_late(due.at_ns, self._clock.time_ns()):
                self._stats.polls_late += 1
            try:
                await self.poll()
            except Exception:  # noqa: BLE001 - a fault of ours with one device leaves the others alone
                self._stats.errors += 1
                _log.exception("poll failed: device=%s", self.device)

    def stop(self) -> None:
        """Let `run` end as soon as the request in flight is answered; what it brought is handed over."""
        self._stopping = True
        _ring(self._alarm)

    async def poll(self) -> None:
        """Read the device once and hand the readings over. Trouble with the device becomes their quality."""
        if getattr(self._sink, "paused", False):  # a full spool whose policy is to stop
            self._stats.polls_skipped += 1
            self._sink.skipped(len(self._marks(set())))  # type: ignore[attr-defined]  # who can pause can count
            return
        asked = self._health.begin_poll(self._clock.monotonic())
        if not asked:
            self._stats.polls_skipped += 1
        else:
            self._stats.polls += 1
        readings: list[Reading] = []
        done: set[int] = set()
        for index in asked:
            if self._health.abandoned or self._stopping:
                break
            answer = await self._ask(index)
            if answer is not None:
                readings.extend(self._readers[index].read(answer, self._clock.time_ns()))
                done.add(index)
        if asked and len(done) < len(self._readers):
            self._stats.polls_failed += 1
        if not self._stopping:
            readings.extend(self._marks(done))
        if readings:
            self._stats.count_readings(readings)
            self._sink.put(self.device, readings)

    async def _ask(self, index: int) -> Sequence[int] | None:
        """The answer, or None once the health of the device has been told why there is none."""
        attempts = 1 + self._settings.retries if self._health.may_retry(index) else 1
        while True:
            attempts -= 1
            try:
                answer = await self._source.read(
                    self._readers[index].block,
                    unit=self._settings.unit,
                    timeout_s=self._settings.timeout_ms / 1000,
                )
            except Stopping:
                self._stopping = True
                return None
            except NoConnection as error:
                self._tell(self._health.disconnected(), error)
            except NoAnswer as error:
                if attempts and not self._stopping:
                    continue
                self._tell(self._health.silent(index, Quality.BAD_TIMEOUT, self._clock.monotonic()), error)
            except DeviceRefused as error:
                self._refused(index, error)
            except WrongAnswer as error:
                change = self._health.refused(index, Quality.BAD_RESPONSE, self._clock.monotonic())
                self._tell(change, error)
            else:
                self._tell(self._health.answered(index), None)
                return answer
            return None

    def _refused(self, index: int, error: DeviceRefused) -> None:
        note = self._health.silent if error.is_unit_gone else self._health.refused
        self._tell(note(index, Quality.BAD_EXCEPTION, self._clock.monotonic()), error)

    def _marks(self, done: set[int]) -> list[Reading]:
        at_ns = self._clock.time_ns()
        marks: list[Reading] = []
        for index, reader in enumerate(self._readers):
            if index not in done:
                marks.extend(reader.marks(self._health.quality_of(index), at_ns))
        return marks

    def _tell(self, change: Change, error: Exception | None) -> None:
        if change is Change.LOST:
            _log.warning("modbus device lost: device=%s unit=%d why=%s", self.device, self._settings.unit, error)
        elif change is Change.FOUND:
            _log.info("modbus device answers again: device=%s unit=%d", self.device, self._settings.unit)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, or return at once when `stop` is called: one timer, no task."""
        if self._stopping:
            return
        loop = asyncio.get_running_loop()
        self._alarm = loop.create_future()
        handle = loop.call_later(max(0.0, seconds), _ring, self._alarm)
        try:
            await self._alarm
        finally:
            handle.cancel()


def _ring(alarm: "asyncio.Future[None] | None") -> None:
    if alarm is not None and not alarm.done():
        alarm.set_result(None)
