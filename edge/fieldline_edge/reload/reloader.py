"""Takes a new configuration into a running gateway: on a signal, or when the file has changed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from fieldline.access_settings import hub_access
from fieldline.client.link import Link
from fieldline.errors import ConfigError
from fieldline_edge import memory
from fieldline_edge.drivers.base import Driver
from fieldline_edge.launch import load_apart
from fieldline_edge.reload.plan import ReloadPlan, plan_reload
from fieldline_edge.reload.watch import FileWatch, Stamp
from fieldline_edge.settings import GatewaySettings, ReloadOn

if TYPE_CHECKING:
    from fieldline_edge.app import Gateway

__all__ = ["Outcome", "ReloadState", "Reloader"]

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 2.0


class Outcome(Enum):
    """How a try to reload ended."""

    DONE = "done"
    UNCHANGED = "unchanged"
    REFUSED = "refused"  # the file is wrong, or asks for what needs a restart: the old one stays in force


@dataclass(frozen=True, slots=True)
class ReloadState:
    """How the last try ended, and how many there were of each kind."""

    tries: int = 0
    refused: int = 0
    problems: tuple[str, ...] = ()  # of the last try; empty: the file on disk is in force
    loaded_at_s: float = 0.0  # Unix time of the configuration in force


class Reloader:
    """Part of a gateway; `ask` it, and it reads the file again and does what differs.

    A file that is wrong changes nothing: each problem is logged with its line and cure and stays in `state` until a
    right file was read.
    """

    def __init__(self, gateway: "Gateway", file: Path | None, *, look_every_s: float = _LOOK_EVERY_S) -> None:
        self.state = ReloadState(loaded_at_s=time.time())
        self.told: Callable[[bool], None] = lambda reloading: None
        """Told that a reload begins (True) and ends (False); for systemd."""
        self._gateway = gateway
        self._file = file
        self._look_every_s = look_every_s
        self._watch = FileWatch(_stamp(file))
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Have the file read again, soon. Called by the signal handler."""
        self._asked.set()

    async def run(self) -> None:
        """Reload when asked, and when the file changes if the settings say so, until cancelled."""
        if self._file is None:
            return
        while True:
            watching = self._gateway.settings.reload is ReloadOn.WATCH
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_every_s if watching else None):
                    await self._asked.wait()
            changed = watching and self._watch.look(_stamp(self._file))
            if self._asked.is_set() or changed:
                self._asked.clear()
                await self.reload(self._file)

    async def reload(self, file: Path) -> Outcome:
        """Read the file and take over what it says. Never raises for what the file says."""
        self.told(True)
        try:
            return await self._reload(file)
        finally:
            self.told(False)

    async def _reload(self, file: Path) -> Outcome:
        try:
            new = await load_apart(file)
            plan = await self.take_over(new)
        except ConfigError as error:
            self._refused(error)
            return Outcome.REFUSED
        except Exception as error:  # a fault of ours with the new file must not end what runs on the old one
            log.exception("new configuration cannot be taken over")
            self._refused(ConfigError(f"{file}: cannot be taken over: {error!r}; restart the gateway with it"))
            return Outcome.REFUSED
        self.state = ReloadState(self.state.tries + 1, self.state.refused, (), time.time())
        if plan.devices:
            memory.unsettle()
        log.info("configuration reloaded: %s", plan, extra={"file": str(file)})
        return Outcome.UNCHANGED if plan.is_empty else Outcome.DONE

    async def take_over(self, new: GatewaySettings) -> ReloadPlan:
        """Bring the gateway from its settings to `new`; ConfigError, and nothing is changed, if that cannot be."""
        gateway = self._gateway
        plan = plan_reload(gateway.settings, new, taken=[key for part in gateway.parts for key in part.takes])
        if plan.refused:
            raise ConfigError(*plan.refused)
        access = hub_access(new.hub_tls, new.hub_token)
        if plan.uplink:
            await Link(new.hub, access).close()  # reads the certificates, connects to nothing
        stop, start = self._exchange(new) if plan.devices else ([], [])
        gone = {device for driver in stop for device in driver.devices}
        gone -= {device.device_id(new.site) for device in new.devices}
        await gateway.fleet.exchange(stop=stop, start=start, between=lambda: gateway.apply(new, gone))
        if plan.uplink:
            gateway.uplink.redirect(new.hub, access)
            await gateway.restart("uplink")
        return plan

    def _exchange(self, new: GatewaySettings) -> tuple[list[Driver], list[Driver]]:
        """(drivers that end, drivers that begin): a driver stays if the settings of all its devices are the same.

        Which devices share a driver is known to who builds them alone; so all are built, which touches no network,
        and those that run already are thrown away.
        """
        gateway = self._gateway
        site = gateway.settings.site
        before = {device.device_id(site): device for device in gateway.settings.devices}
        after = {device.device_id(site): device for device in new.devices}
        running = {frozenset(driver.devices): driver for driver in gateway.drivers}
        start: list[Driver] = []
        kept: set[int] = set()
        for driver in gateway.build_drivers(new):
            same = running.get(frozenset(driver.devices))
            if same is not None and all(before[device] == after[device] for device in driver.devices):
                kept.add(id(same))
            else:
                start.append(driver)
        return [driver for driver in gateway.drivers if id(driver) not in kept], start

    def _refused(self, error: ConfigError) -> None:
        self.state = ReloadState(
            self.state.tries + 1, self.state.refused + 1, tuple(error.problems), self.state.loaded_at_s
        )
        for problem in error.problems:
            log.error("new configuration refused, the old one stays in force: %s", problem)


def _stamp(file: Path | None) -> Stamp | None:
    """What changes when the file does; None while it is missing."""
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found else None
