"""The gateway: wires drivers, intake, spool, uplink and metrics together, and takes them down in the right order."""

import asyncio
import contextlib
import logging
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

from fieldline.access_settings import hub_access
from fieldline.client.backoff import Backoff
from fieldline_edge.batcher import Batcher
from fieldline_edge.drivers import Clock, Driver, SystemClock, build_drivers
from fieldline_edge.intake import Intake
from fieldline_edge.settings import GatewaySettings
from fieldline_edge.spool import Spool
from fieldline_edge.uplink import Uplink

__all__ = ["Gateway"]

log = logging.getLogger(__name__)


class Gateway:
    """Reads devices and delivers their readings until it is told to stop.

    A hub that is away, a device that is silent, a disk that is full: none of them ends `run`. At the end,
    what was read is in the spool, fsynced; what the hub did not take within `shutdown_drain_s` is sent after
    the next start.
    """

    def __init__(self, settings: GatewaySettings, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
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
        access = hub_access(settings.hub_tls, settings.hub_token)
        self.uplink = Uplink(
            settings.hub,
            name=settings.name,
            spool=self.spool,
            access=access,
            drain_bytes_per_s_max=spool.drain_bytes_per_s_max,
        )
        self.drivers: list[Driver] = build_drivers(
            settings.devices,
            site=settings.site,
            sink=self.intake,
            clock=self.clock,
            seed=zlib.crc32(settings.name.encode()),  # jitter that differs between gateways
        )
        self.driver_restarts = 0
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

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
        await self.spool.open()
        try:
            if started:
                started()
            await self._run_parts()
        finally:
            self.intake.flush()
            await self.spool.close()

    async def _run_parts(self) -> None:
        async with asyncio.TaskGroup() as group:
            rest = [group.create_task(part) for part in (self.spool.run(), self.intake.run(), self.uplink.run())]
            drivers = [group.create_task(self._keep_running(driver)) for driver in self.drivers]
            await self._stop.wait()
            await _cancel(drivers)
            self.intake.flush()
            await self.spool.flush()
            await self._drain()
            await _cancel(rest)

    async def _keep_running(self, driver: Driver) -> None:
        backoff = Backoff(first_s=1.0, max_s=60.0)
        while True:
            try:
                await driver.run()
            except Exception:  # a fault in one driver must not take the others with it: logged, counted, restarted
                log.exception("driver failed and is started again")
            self.driver_restarts += 1
            await asyncio.sleep(backoff.next_pause_s())

    async def _drain(self) -> None:
        """Wait, within bounds, until the hub has everything. A hub that is away now is not waited for."""
        if not self.uplink.connected:
            return
        waits = [asyncio.ensure_future(wait) for wait in (self.spool.drained(), _until(self._hurry))]
        try:
            await asyncio.wait(waits, timeout=self.settings.shutdown_drain_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(waits)


def _until(event: asyncio.Event) -> Coroutine[Any, Any, None]:
    async def wait() -> None:
        await event.wait()

    return wait()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    with contextlib.suppress(ValueError):  # asyncio.wait of nothing
        await asyncio.wait(tasks)
