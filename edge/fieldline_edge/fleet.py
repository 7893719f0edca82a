"""The running drivers: starts them, starts them again after a fault of ours, ends them, exchanges some of them."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from fieldline.client.backoff import Backoff
from fieldline_edge.drivers.base import Driver

__all__ = ["Fleet", "end_tasks"]

log = logging.getLogger(__name__)


class Fleet:
    """Drivers under one roof. `drivers` may be replaced before `run`, and with `exchange` while it runs."""

    def __init__(self, drivers: Sequence[Driver]) -> None:
        self.drivers = list(drivers)
        self.restarts = 0
        self._tasks: dict[int, asyncio.Task[None]] = {}  # by id() of the driver, which need not be hashable
        self._down: dict[int, str] = {}  # why a driver waits for its restart
        self._running = False

    @property
    def troubles(self) -> list[str]:
        """Why drivers are not running now, one sentence for each that waits for its restart."""
        return list(self._down.values())

    async def run(self) -> None:
        """Run all drivers until cancelled; ends when what they had in flight is with the sink."""
        self._running = True
        try:
            for driver in self.drivers:
                self._start(driver)
            await asyncio.Event().wait()
        finally:
            self._running = False
            await self._end(self.drivers)

    async def exchange(self, *, stop: Collection[Driver], start: Sequence[Driver], between: Callable[[], None]) -> None:
        """End the drivers in `stop`, call `between`, begin those in `start`; the others are not touched.

        In this order, because an old and a new driver may want the same serial port; `between` already finds the new
        ones among the drivers.
        """
        await self._end(stop)
        going = {id(driver) for driver in stop}
        self.drivers = [driver for driver in self.drivers if id(driver) not in going] + list(start)
        between()
        if self._running:
            for driver in start:
                self._start(driver)

    def _start(self, driver: Driver) -> None:
        self._tasks[id(driver)] = asyncio.create_task(self._keep_running(driver))

    async def _end(self, drivers: Collection[Driver]) -> None:
        tasks = [self._tasks.pop(id(driver)) for driver in drivers if id(driver) in self._tasks]
        for driver in drivers:
            self._down.pop(id(driver), None)
        await end_tasks(tasks)

    async def _keep_running(self, driver: Driver) -> None:
        backoff = Backoff(first_s=1.0, max_s=60.0)
        while True:
            try:
                await driver.run()
                why = "it ended by itself"
            except Exception as error:  # a fault in one driver must not take the others with it: logged, counted
                log.exception("driver failed and is started again")
                why = repr(error)[:200]
            self.restarts += 1
            self._down[id(driver)] = f"driver of {driver.devices[0] if driver.devices else 'no device'}: {why}"
            await asyncio.sleep(backoff.next_pause_s())
            self._down.pop(id(driver), None)


async def end_tasks(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end, even if cancelled meanwhile: what they have in hand must be handed over."""
    cancelled = False
    for task in tasks:
        task.cancel()
    while left := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
