"""The way to the hub: feeds the spool's frames to producers, lane by lane, and tells the spool what has arrived.

A frame leaves the spool only when the hub has stored it. After any doubt frames are sent again from where the
hub says it stopped; the hub drops what it already has by its number. Alarms have a stream of their own, and so has the
backlog where it is drained newest-first: neither waits for the other.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fieldline.access import Access
from fieldline.client.backoff import Backoff
from fieldline.client.link import Link
from fieldline.client.producer import FrameProducer
from fieldline.client.tasks import run_together
from fieldline.errors import Refused, SequenceGap
from fieldline_edge.lane_source import LaneDone, LaneSource, Outgoing
from fieldline_edge.spool import DrainOrder, Spool
from fieldline_edge.spool.lanes import Lane
from fieldline_edge.spool.rate import Allowance

__all__ = ["Outgoing", "Uplink"]

log = logging.getLogger(__name__)


class _Stream:
    """One publish stream after the other: each for one lane, until the hub has all of it."""

    def __init__(self, uplink: "Uplink", allowance: Allowance | None = None, *, leads: bool = False) -> None:
        self._uplink = uplink
        self._allowance = allowance
        self._leads = leads
        self._producer: FrameProducer | None = None
        self._past = (0, 0, 0, 0)  # connects, frames and bytes sent, rate limits met by earlier producers
        self.refusals = 0

    @property
    def connected(self) -> bool:
        return self._producer is not None and self._producer.connected

    @property
    def last_error(self) -> str:
        return self._producer.last_error if self._producer is not None else ""

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Connects, frames sent, bytes sent, times the hub asked to wait."""
        now = self._producer
        if now is None:
            return self._past
        counts = (now.connects, now.frames_sent, now.bytes_sent, now.rate_limited)
        connects, frames, nbytes, limited = (before + more for before, more in zip(self._past, counts, strict=True))
        return connects, frames, nbytes, limited

    async def run(self, link: Link, next_lane: Callable[[], Awaitable[Lane]]) -> None:
        while True:
            source = LaneSource(
                self._uplink.name,
                self._uplink.spool,
                await next_lane(),
                allowance=self._allowance,
                leads=self._leads,
                outgoing=self._uplink.outgoing,
            )
            self._past, self._producer = self.counts, None
            self._producer = self._uplink.new_producer(source, link)
            try:
                await self._keep_sending(self._producer)
            except LaneDone:
                continue

    async def _keep_sending(self, producer: FrameProducer) -> None:
        while True:
            connects = producer.connects
            try:
                await producer.run()
            except SequenceGap as error:  # resolved by asking again where the hub is
                self.refusals += 1
                log.warning("the hub misses frames: %s; sending again from there", error)
                await asyncio.sleep(1.0)
            except Refused as error:
                self.refusals += 1
                await self._uplink.refused(error, is_news=producer.connects > connects)


class Uplink:
    """Sends the spool's frames to the hub until cancelled.

    A hub that is away or refuses is no reason to stop. `drain_bytes_per_s_max` holds back the backlog alone.
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
        drain_bytes_per_s_max: int | None = None,
        outgoing: Outgoing | None = None,
    ) -> None:
        self.name = name
        self.spool = spool
        self._address = address
        self._access = access
        self._backoff = backoff
        self._refused_pause_s = refused_pause_s
        self.outgoing = outgoing
        self._said = ""
        allowance = Allowance(drain_bytes_per_s_max)
        in_order = spool.drain is DrainOrder.IN_ORDER
        self._main = _Stream(self, allowance if in_order else None, leads=True)
        self._backlog = _Stream(self, allowance)
        self._urgent = _Stream(self)
        self._streams = (self._main, self._backlog, self._urgent)

    @property
    def connected(self) -> bool:
        """Whether the hub takes frames now."""
        return self._main.connected

    @property
    def refusals(self) -> int:
        """Times the hub refused for good."""
        return sum(stream.refusals for stream in self._streams)

    @property
    def connects(self) -> int:
        """Streams opened to the hub since the start."""
        return sum(stream.counts[0] for stream in self._streams)

    @property
    def frames_sent(self) -> int:
        """Frames sent since the start, those sent again included."""
        return sum(stream.counts[1] for stream in self._streams)

    @property
    def bytes_sent(self) -> int:
        """Bytes of frames sent since the start, those sent again included."""
        return sum(stream.counts[2] for stream in self._streams)

    @property
    def rate_limited(self) -> int:
        """Times the hub asked us to wait, because we brought more than it lets us."""
        return sum(stream.counts[3] for stream in self._streams)

    @property
    def last_error(self) -> str:
        """Why the hub does not take frames now; empty while it does."""
        return "" if self.connected else self._said or self._main.last_error

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
        link = Link(self._address, self._access)
        parts = [self._main.run(link, self._next_lane), self._urgent.run(link, self.spool.urgent_lane)]
        if self.spool.drain is DrainOrder.NEWEST_FIRST:
            parts.append(self._backlog.run(link, self.spool.backlog_lane))
        try:
            await run_together(*parts)
        finally:
            await link.close()

    async def _next_lane(self) -> Lane:
        return self.spool.next_lane()

    def new_producer(self, source: LaneSource, link: Link) -> FrameProducer:
        """A producer that feeds on `source`."""
        return FrameProducer(
            self._address, name=self.name, source=source, backoff=self._backoff, access=self._access, link=link
        )

    async def refused(self, error: Refused, *, is_news: bool) -> None:
        """Log a refusal when it begins, and wait: trying again every half minute must not fill the log."""
        if is_news or str(error) != self._said:
            self._said = str(error)
            log.error("the hub refuses our frames: %s; they stay in the spool", error, extra={"code": error.code})
        await asyncio.sleep(self._refused_pause_s)
