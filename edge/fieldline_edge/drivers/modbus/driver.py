"""All units on one Modbus line: a poller for each, one connection for all."""

import asyncio
import random
from collections.abc import Sequence

from fieldline.model import DeviceId
from fieldline_edge.drivers.base import Clock, DeviceStats, DriverStats, Gate, Sink, SystemClock
from fieldline_edge.drivers.modbus.client import Connection
from fieldline_edge.drivers.modbus.patience import Patience
from fieldline_edge.drivers.modbus.poller import Poller
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

__all__ = ["ModbusDriver"]


class ModbusDriver:
    """A driver for devices that share a line. `seed` makes the jitter of retries repeatable."""

    def __init__(
        self,
        devices: Sequence[ModbusDeviceSettings],
        *,
        site: str,
        sink: Sink,
        clock: Clock | None = None,
        seed: int = 0,
        gate: Gate | None = None,
    ) -> None:
        line = devices[0].line
        if any(device.line != line for device in devices):
            raise ValueError("a Modbus driver serves the devices of one line, set the same way; build one for each")
        clock = clock or SystemClock()
        self.line_key = line.key
        self.stats = DriverStats()
        self._connection = Connection(
            line,
            backoff_max_s=min(device.backoff_ms_max for device in devices) / 1000,
            clock=clock,
            stats=self.stats,
            source=random.Random(f"{seed}/{line.key}"),
        )
        patience = Patience(len(devices), source=random.Random(f"{seed}/{line.key}/patience"))
        self._pollers = [
            Poller(
                device,
                site=site,
                source=self._connection,
                sink=sink,
                clock=clock,
                stats=self.stats,
                seed=seed,
                patience=patience,
                gate=gate,
            )
            for device in devices
        ]
        self.devices: Sequence[DeviceId] = tuple(poller.device for poller in self._pollers)
        self.device_stats: Sequence[DeviceStats] = tuple(poller.stats for poller in self._pollers)

    @property
    def connection(self) -> Connection:
        """The line's one connection, for whoever else must use the line: requests take turns on it."""
        return self._connection

    async def run(self) -> None:
        """Poll until cancelled; then wait for the request in flight, and hand over what it brought."""
        polling = asyncio.create_task(self._poll_all())
        try:
            await asyncio.shield(polling)
        except asyncio.CancelledError:
            self._connection.stop()
            for poller in self._pollers:
                poller.stop()
            await polling
            raise
        finally:
            self._connection.close()

    async def _poll_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for poller in self._pollers:
                group.create_task(poller.run())
