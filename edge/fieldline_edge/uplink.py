"""The way to the hub: feeds the spool's frames to a producer and tells the spool what has arrived.

A frame leaves the spool only when the hub has stored it. After any doubt frames are sent again from where the
hub says it stopped; the hub drops what it already has by its number.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from fieldline.access import Access
from fieldline.client.backoff import Backoff
from fieldline.client.link import Link
from fieldline.client.producer import FrameProducer
from fieldline.errors import HubUnavailable, Refused, SequenceGap
from fieldline_edge.spool import Spool
from fieldline_edge.spool.policy import Stored, with_gap

__all__ = ["Outgoing", "SpoolSource", "Uplink"]

log = logging.getLogger(__name__)

Outgoing = Callable[[Sequence[Stored]], Awaitable[Sequence[Stored]]]
"""Looks at frames on their way to the hub and may put them right; a frame keeps its sequence and its count."""


class SpoolSource:
    """A spool as a FrameSource. Bound to one epoch per connection: another epoch ends the connection.

    It has no `acked_sequence`: a hub that was told it would go on behind it and say nothing, and what it has forgotten
    would not be known. Told nothing, it says what it has, and the frames say themselves what is missing before them.
    """

    def __init__(self, producer: str, spool: Spool, outgoing: Outgoing | None = None) -> None:
        self.producer = producer
        self._outgoing = outgoing
        self.epoch = spool.state.epoch
        self._spool = spool
        self._renewed = False

    async def resume(self, last_sequence: int) -> None:
        """The hub holds everything up to `last_sequence`: trim to there, and go on behind it."""
        self._check_epoch()
        state = self._spool.state
        if last_sequence >= state.next_sequence:
            self._renewed = await self._spool.renew_epoch()
            self.epoch = self._spool.state.epoch
            raise HubUnavailable(
                f"the hub has frame {last_sequence} of {self.producer}, the spool is only at "
                f"{state.next_sequence - 1} (an old copy, or two gateways of one name?); "
                "numbering starts anew, nothing is left out"
            )
        if last_sequence < state.acked_sequence and not self._renewed:
            log.warning(
                "the hub has forgotten frames that it had acknowledged",
                extra={"acknowledged": state.acked_sequence, "hub_has": last_sequence},
            )
        self._renewed = False
        self._spool.resumed(last_sequence)
        self._spool.acknowledge(last_sequence)

    async def read(self, after: int, *, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """(sequence, serialised frame) after `after`; the first behind a gap says how much is missing."""
        self._check_epoch()
        found = await self._spool.read(after, frames_max=frames_max, bytes_max=bytes_max)
        if self._outgoing is not None:
            found = list(await self._outgoing(found))
        return [(stored.sequence, with_gap(stored)) for stored in found]

    async def wait(self, after: int) -> None:
        """Return once there is something to read after `after`."""
        await self._spool.wait(after)
        self._check_epoch()

    async def acknowledged(self, sequence: int) -> None:
        """Everything up to `sequence` is safe at the hub."""
        self._check_epoch()
        self._spool.acknowledge(sequence)

    def _check_epoch(self) -> None:
        if self.epoch != self._spool.state.epoch:
            self.epoch = self._spool.state.epoch
            raise HubUnavailable("the spool was started anew; connecting again with its new numbering")


class Uplink:
    """Sends the spool's frames to the hub until cancelled.

    A hub that is away or refuses is no reason to stop.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str,
        spool: Spool,
        access: Access | None = None,
        backoff: Backoff | None = None,
        refused_pause_s: float = 30.0,
        outgoing: Outgoing | None = None,
    ) -> None:
        self._address = address
        self._name = name
        self._spool = spool
        self._access = access
        self._backoff = backoff
        self._refused_pause_s = refused_pause_s
        self._outgoing = outgoing
        self._producer: FrameProducer | None = None
        self._past = (0, 0, 0, 0)  # connects, frames and bytes sent, rate limits met by earlier producers
        self._said = ""
        self.refusals = 0

    @property
    def connected(self) -> bool:
        """Whether the hub takes frames now."""
        return self._producer is not None and self._producer.connected

    @property
    def connects(self) -> int:
        """Connections made since the start."""
        return self._past[0] + (self._producer.connects if self._producer else 0)

    @property
    def frames_sent(self) -> int:
        """Frames sent since the start, those sent again included."""
        return self._past[1] + (self._producer.frames_sent if self._producer else 0)

    @property
    def bytes_sent(self) -> int:
        """Bytes of frames sent since the start, those sent again included."""
        return self._past[2] + (self._producer.bytes_sent if self._producer else 0)

    @property
    def rate_limited(self) -> int:
        """Times the hub asked us to wait, because we brought more than it lets us."""
        return self._past[3] + (self._producer.rate_limited if self._producer else 0)

    @property
    def last_error(self) -> str:
        """Why the hub does not take frames now; empty while it does."""
        if self.connected or self._producer is None:
            return ""
        return self._said or self._producer.last_error

    def redirect(self, address: str, access: Access) -> None:
        """Another hub, or another way to it, from the next `run` on; the counters go on."""
        self._address = address
        self._access = access
        self._said = ""

    async def check(self) -> None:
        """ConfigError if the certificates cannot be read. Connects to nothing."""
        await Link(self._address, self._access).close()

    async def run(self) -> None:
        """Keep sending until cancelled."""
        source = SpoolSource(self._name, self._spool, self._outgoing)
        while True:
            self._past = (self.connects, self.frames_sent, self.bytes_sent, self.rate_limited)
            connects = self.connects
            self._producer = FrameProducer(
                self._address, name=self._name, source=source, backoff=self._backoff, access=self._access
            )
            try:
                await self._producer.run()
            except SequenceGap as error:  # resolved by asking again where the hub is
                self.refusals += 1
                log.warning("the hub misses frames: %s; sending again from there", error)
                await asyncio.sleep(1.0)
            except Refused as error:
                self.refusals += 1
                if self.connects > connects:
                    self._said = ""  # it took us in between: this is news
                self._say(error)
                await asyncio.sleep(self._refused_pause_s)

    def _say(self, error: Refused) -> None:
        """Log a refusal when it begins; trying again every half minute must not fill the log."""
        if str(error) != self._said:
            self._said = str(error)
            log.error("the hub refuses our frames: %s; they stay in the spool", error, extra={"code": error.code})
