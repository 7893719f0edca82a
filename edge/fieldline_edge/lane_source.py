"""One lane of the spool as a producer's source of frames."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from fieldline.errors import HubUnavailable
from fieldline_edge.spool import Spool
from fieldline_edge.spool.lanes import Lane
from fieldline_edge.spool.policy import Stored, with_gap
from fieldline_edge.spool.rate import Allowance

__all__ = ["LaneDone", "LaneSource", "Outgoing"]

log = logging.getLogger(__name__)

Outgoing = Callable[[Sequence[Stored]], Awaitable[Sequence[Stored]]]
"""Looks at frames on their way to the hub and may put them right; a frame keeps its id and its count."""


class LaneDone(Exception):
    """The lane has nothing more to send, or another one comes first: time to look for the next."""


class LaneSource:
    """A lane as a FrameSource. Bound to one epoch per connection: another epoch ends the connection.

    It has no `acked_sequence`: a hub that was told it would go on behind it and say nothing, and what it has forgotten
    would not be known. Told nothing, it says what it has, and the frames say themselves what is missing before them.
    `leads`: its connection is the one by which the spool knows whether the hub is there.
    """

    def __init__(
        self,
        producer: str,
        spool: Spool,
        lane: Lane,
        *,
        allowance: Allowance | None = None,
        leads: bool = False,
        outgoing: Outgoing | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.producer = producer
        self.epoch = lane.epoch
        self._number = lane.number
        self._base = lane.base
        self._spool = spool
        self._allowance = allowance or Allowance(None)
        self._leads = leads
        self._outgoing = outgoing
        self._clock_s = clock_s
        self._put_bytes = spool.put_bytes
        self._renewed = False

    async def resume(self, last_sequence: int) -> None:
        """The hub holds everything up to `last_sequence`: trim to there, and go on behind it."""
        self._put_bytes = self._spool.put_bytes
        lane = self._lane()
        last = last_sequence + self._base
        if lane.last is not None:
            last = min(last, lane.last)  # the hub has more: this is what is left of a damaged spool
        elif last >= self._spool.next_id(lane):
            await self._renew(last_sequence, lane)
        if lane.first <= lane.acked and last < lane.acked and not self._renewed:
            log.warning(
                "the hub has forgotten frames that it had acknowledged",
                extra={"acknowledged": lane.acked - self._base, "hub_has": last_sequence},
            )
        self._renewed = False
        self._spool.resumed(max(last, lane.first - 1), lane=self._number)
        self._spool.acknowledge(last, lane=self._number)
        if self._leads and await self._spool.link_is_back():
            raise LaneDone
        self._check_end(lane)

    async def _renew(self, last_sequence: int, lane: Lane) -> None:
        self._renewed = await self._spool.renew_epoch(self._number)
        self.epoch = self._lane().epoch
        raise HubUnavailable(
            f"the hub has frame {last_sequence} of {self.producer}, the spool is only at "
            f"{self._spool.next_id(lane) - 1 - self._base} (an old copy, or two gateways of one name?); "
            "numbering starts anew, nothing is left out"
        )

    async def read(self, after: int, *, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """(sequence, serialised frame) after `after`; the first behind a gap says how much is missing."""
        lane = self._check_epoch()
        if self._waits_s() > 0:
            return []
        behind = max(after + self._base, lane.first - 1)
        bytes_max = self._allowance.at_once(bytes_max)
        found = await self._spool.read(behind, frames_max=frames_max, bytes_max=bytes_max, lane=self._number)
        if self._outgoing is not None:
            found = list(await self._outgoing(found))
        self._check_epoch()
        frames = [(stored.sequence - self._base, with_gap(stored)) for stored in found]
        self._allowance.take(sum(len(frame) for _, frame in frames))
        return frames

    async def wait(self, after: int) -> None:
        """Return once there is something to read after `after`."""
        if (wait_s := self._waits_s()) > 0:
            await asyncio.sleep(wait_s)
        else:
            await self._spool.wait(max(after + self._base, self._lane().first - 1), lane=self._number)
        self._check_end(self._check_epoch())

    async def acknowledged(self, sequence: int) -> None:
        """Everything up to `sequence` is safe at the hub."""
        lane = self._check_epoch()
        self._spool.acknowledge(sequence + self._base, lane=self._number)
        self._check_end(lane)

    def lost(self) -> None:
        """The connection has ended."""
        if self._leads:
            self._spool.link_lost()

    def _waits_s(self) -> float:
        """How long the bound on draining holds us back. What comes in meanwhile is no backlog, and passes on top."""
        put_bytes = self._spool.put_bytes
        if self._leads:
            self._allowance.give(put_bytes - self._put_bytes)
        self._put_bytes = put_bytes
        return self._allowance.wait_s(self._clock_s())

    def _check_end(self, lane: Lane) -> None:
        if self._spool.is_done(lane):
            raise LaneDone

    def _check_epoch(self) -> Lane:
        lane = self._lane()
        if self.epoch != lane.epoch:
            self.epoch = lane.epoch
            raise HubUnavailable("the spool was started anew; connecting again with its new numbering")
        return lane

    def _lane(self) -> Lane:
        lane = self._spool.lane(self._number)
        if lane is None or lane.base != self._base:
            raise LaneDone
        return lane
