"""The gateway: wires drivers, intake, spool, uplink and metrics together, and takes them down in the right order."""

import asyncio
import logging
import zlib
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldline.access_settings import hub_access
from fieldline.model import DeviceId
from fieldline_edge.batcher import Batcher
from fieldline_edge.board import DeviceBoard
from fieldline_edge.clock.keeper import ClockKeeper
from fieldline_edge.clock.marks import ClockMarks
from fieldline_edge.clock.port import GatewayClock
from fieldline_edge.clock.synchronised import SyncSource, sync_source
from fieldline_edge.commands.keeper import CommandKeeper
from fieldline_edge.drivers import Clock, Driver, SystemClock, build_drivers
from fieldline_edge.fleet import Fleet, end_tasks
from fieldline_edge.intake import Intake
from fieldline_edge.preflight import check_spool_folder, serial_ports, serial_troubles
from fieldline_edge.processing.processor import Processor
from fieldline_edge.reload.reloader import Reloader
from fieldline_edge.service.heartbeat import Heartbeat
from fieldline_edge.settings import GatewaySettings
from fieldline_edge.spool import Spool
from fieldline_edge.uplink import Uplink

if TYPE_CHECKING:
    from fieldline_edge.drivers.modbus.client import Connection

__all__ = ["Gateway", "Part"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """Something that runs as long as the gateway does. Only `run` has to be there; nothing but `open` may fail.

    `open` is called once the spool is open, and may raise ConfigError. `early`: it makes readings or changes the
    gateway, so it ends before what moves readings on. `flush` hands on what it holds back, in the order of the list.
    `close` is called before the spool is closed. `takes` are keys of the settings that `apply` takes over while the
    gateway runs; `apply` is called with the new settings at every reload, after drivers that go have ended and before
    new ones begin.
    """

    name: str
    run: Callable[[], Coroutine[Any, Any, None]]
    early: bool = False
    open: Callable[[], None] | None = None
    flush: Callable[[], None] | None = None
    close: Callable[[], None] | None = None
    takes: tuple[str, ...] = ()
    apply: Callable[[GatewaySettings], None] | None = None


class Gateway:
    """Reads devices and delivers their readings until it is told to stop.

    A hub that is away, a device that is silent, a disk that is full: none of them ends `run`. At the end,
    what was read is in the spool, fsynced; what the hub did not take within `shutdown_drain_s` is sent after
    the next start.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        file: Path | None = None,
        clock: Clock | None = None,
        synchronised: SyncSource | None = None,
    ) -> None:
        self.settings = settings
        self.clock = GatewayClock(clock or SystemClock())
        batch, spool = settings.batch, settings.spool
        self.spool = Spool(
            spool.path,
            bounds=spool.bounds(),
            memory_bytes_max=spool.memory_bytes_max,
            commit_ms_max=spool.commit_ms_max,
            drain=spool.drain,
            time_ns=self.clock.time_ns,
        )
        batcher = Batcher(linger_s=batch.linger_ms / 1000, readings_max=batch.readings_max, bytes_max=batch.bytes_max)
        self.intake = Intake(batcher, self.spool, clock=self.clock)
        self.keeper = ClockKeeper(
            settings,
            clock=self.clock,
            synchronised=synchronised or sync_source(settings.clock.unsynchronised),
            spool=self.spool,
            intake=self.intake,
            flush=self.flush,
        )
        access = hub_access(settings.hub_tls, settings.hub_token)
        self.uplink = Uplink(
            settings.hub,
            name=settings.name,
            spool=self.spool,
            access=access,
            outgoing=self.keeper.put_right,
            drain_bytes_per_s_max=spool.drain_bytes_per_s_max,
        )
        self.processor = Processor(
            settings.devices,
            site=settings.site,
            sink=self.intake,
            clock=self.clock,
            alerts_path=spool.path.with_suffix(".alerts"),
        )
        # What the drivers hand over goes through these, in this order: the board, the marks of the clock, the
        # processing, the intake.
        self.board = DeviceBoard(ClockMarks(self.processor, self.clock), clock=self.clock)
        self.fleet = Fleet(self.build_drivers(settings))
        self.heartbeat = Heartbeat(self.clock.monotonic)
        self.reloader = Reloader(self, file)
        self.commands = CommandKeeper(settings, self._line_of, clock=self.clock)
        self.parts = [
            Part("spool", self.spool.run, apply=self._bound_spool),
            Part(
                "processor",
                self.processor.run,
                flush=self.processor.flush,
                apply=self._process,
                open=self.processor.open,
                close=self.processor.save,
            ),
            Part("intake", self.intake.run, flush=self.intake.flush, apply=self._bound_batches),
            Part("uplink", self.uplink.run),
            Part("heartbeat", self.heartbeat.run),
            Part("clock", self.keeper.run, early=True, open=self.keeper.open),
            Part("reloader", self.reloader.run, early=True),
            Part("commands", self.commands.run, early=True, takes=("commands",), apply=self.commands.apply),
        ]
        self._running: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    @property
    def drivers(self) -> list[Driver]:
        """The drivers, one for each line to devices."""
        return self.fleet.drivers

    @drivers.setter
    def drivers(self, drivers: list[Driver]) -> None:
        self.fleet.drivers = drivers

    @property
    def driver_restarts(self) -> int:
        """Drivers started again after a fault of ours."""
        return self.fleet.restarts

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    def build_drivers(self, settings: GatewaySettings) -> list[Driver]:
        """Drivers for the devices of `settings`, wired to this gateway; touches no network."""
        return build_drivers(
            settings.devices,
            site=settings.site,
            sink=self.board,
            clock=self.clock,
            seed=zlib.crc32(settings.name.encode()),  # jitter that differs between gateways
            safety=self.intake,
            gate=self.intake,
        )

    def _line_of(self, key: str) -> "Connection | None":
        """The connection that a driver has for a line now."""
        for driver in self.drivers:
            if getattr(driver, "line_key", None) == key:  # a Modbus driver; another kind has no lines
                return getattr(driver, "connection", None)
        return None

    def stop(self) -> None:
        """Ask `run` to end in good order; asked twice, it does not wait for the hub any more."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self, *, started: Callable[[], None] | None = None) -> None:
        """Run until stopped or cancelled.

        ConfigError if the spool cannot be opened, or the files of `hub_tls` cannot be read; `started` is called after
        it.
        """
        await self.uplink.check()
        check_spool_folder(self.settings.spool.path)
        for trouble in serial_troubles(serial_ports(self.settings.devices)):
            log.warning(trouble)
        await self.spool.open()
        try:
            for part in self.parts:
                if part.open is not None:
                    part.open()
            if started:
                started()
            await self._run_parts()
        finally:
            self.flush()
            for part in self.parts:
                if part.close is not None:
                    part.close()
            await self.spool.close()

    def flush(self) -> None:
        """Move on what is in hand, down to the spool's memory: what the next commit writes."""
        for part in self.parts:
            if part.flush is not None:
                part.flush()

    def apply(self, settings: GatewaySettings, gone: Collection[DeviceId]) -> None:
        """Let all parts know of new settings, and forget devices that are gone."""
        self.settings = settings
        for part in self.parts:
            if part.apply is not None:
                part.apply(settings)
        self.intake.forget(gone)
        self.board.forget(gone)

    async def restart(self, name: str) -> None:
        """End one part and begin it again; nothing else notices."""
        (part,) = (part for part in self.parts if part.name == name)
        assert self._group is not None, "only parts of a running gateway can be restarted"
        await end_tasks([self._running[name]])
        self._running[name] = self._group.create_task(part.run())

    async def _run_parts(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._running = {part.name: group.create_task(part.run()) for part in self.parts}
            fleet = group.create_task(self.fleet.run())
            await self._stop.wait()
            await end_tasks([self._running.pop(part.name) for part in self.parts if part.early])
            await end_tasks([fleet])
            self.flush()
            await self.spool.flush()
            await self._drain()
            await end_tasks(list(self._running.values()))

    def _bound_spool(self, settings: GatewaySettings) -> None:
        spool = settings.spool
        self.spool.rebound(
            bounds=spool.bounds(), memory_bytes_max=spool.memory_bytes_max, commit_ms_max=spool.commit_ms_max
        )

    def _process(self, settings: GatewaySettings) -> None:
        self.processor.configure(settings.devices, site=settings.site)

    def _bound_batches(self, settings: GatewaySettings) -> None:
        batch = settings.batch
        self.intake.rebound(linger_s=batch.linger_ms / 1000, readings_max=batch.readings_max, bytes_max=batch.bytes_max)

    async def _drain(self) -> None:
        """Wait, within bounds, until the hub has everything. A hub that is away now is not waited for."""
        if not self.uplink.connected:
            return
        waits = [asyncio.ensure_future(wait) for wait in (self.spool.drained(), _until(self._hurry))]
        try:
            await asyncio.wait(waits, timeout=self.settings.shutdown_drain_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks(waits)


async def _until(event: asyncio.Event) -> None:
    await event.wait()
