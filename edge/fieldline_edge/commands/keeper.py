"""Keeps commands as the settings say: none, or a service, begun anew when what it stands on has changed."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fieldline_edge.drivers.base import Clock
from fieldline_edge.settings import GatewaySettings

if TYPE_CHECKING:
    from fieldline_edge.commands.writer import Line

__all__ = ["CommandKeeper", "CommandStats"]

log = logging.getLogger(__name__)

_PAUSE_S = 60.0


@dataclass(slots=True)
class CommandStats:
    """Commands since the start, by what became of them."""

    done: int = 0
    refused: int = 0
    failed: int = 0
    unknown: int = 0
    repeated: int = 0  # came again and got the earlier answer


class CommandKeeper:
    """Runs the command service while `commands` is configured. Loads it, and what it needs, only then.

    `line_of` finds the connection that the drivers of this moment use for a line; None if there is none.
    """

    def __init__(self, settings: GatewaySettings, line_of: "Callable[[str], Line | None]", *, clock: Clock) -> None:
        self.stats = CommandStats()
        self._settings = settings
        self._line_of = line_of
        self._clock = clock
        self._changed = asyncio.Event()
        self.serving = False
        """Whether commands are taken now, or tried to be."""

    def apply(self, settings: GatewaySettings) -> None:
        """Take over new settings. Commands under way are cut off (and audited) only if these concern commands."""
        if _concerns(settings) != _concerns(self._settings):
            self._changed.set()
        self._settings = settings

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            self.serving = self._settings.commands is not None
            tasks = [asyncio.ensure_future(self._serve())] if self.serving else []
            try:
                await self._changed.wait()
            finally:
                for task in tasks:
                    task.cancel()
                    await asyncio.wait([task])

    async def _serve(self) -> None:
        # Costs memory: loaded only where writes are wanted.
        from fieldline_edge.commands.service import CommandService

        while True:
            try:
                await CommandService(self._settings, self._line_of, clock=self._clock, stats=self.stats).run()
                return
            except Exception:  # a fault of ours must not take the gateway with it: logged, and begun anew
                log.exception("commands failed and are taken again in a minute")
            await asyncio.sleep(_PAUSE_S)


def _concerns(settings: GatewaySettings) -> tuple[object, ...]:
    if settings.commands is None:
        return ()
    return settings.commands, settings.devices, settings.site, settings.hub, settings.hub_tls, settings.hub_token
