"""The broker: what publishers bring goes to the log, what the log takes goes to subscribers. Knows no gRPC."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from fieldline.topics import matches
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import ENCODING_READINGS
from fieldline_cloud.hub.committer import Committer, Lane
from fieldline_cloud.hub.core.entry import NackOrder, NotDelivered
from fieldline_cloud.hub.core.outlet import Outlet
from fieldline_cloud.hub.core.receipts import Outcome, Receipts, Verdict
from fieldline_cloud.hub.core.record import VOLATILE, Record
from fieldline_cloud.hub.core.topic_index import TopicIndex
from fieldline_cloud.hub.core.window import Window
from fieldline_cloud.hub.durables import Durables
from fieldline_cloud.hub.engines.base import (
    Append,
    Appended,
    Engine,
    IncomingFrame,
    ProducerKey,
    StorageError,
)
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.own_frames import OwnFrames
from fieldline_cloud.hub.settings import HubSettings
from fieldline_cloud.hub.subscribers import DurableSeat, LiveSubscriber, OpenRequest, Subscriber, Taker

__all__ = ["Broker", "BrokerStatistics", "TopicCount"]

log = logging.getLogger(__name__)

_R = TypeVar("_R")
_READ_BYTES = 2 << 20


@dataclass(slots=True)
class BrokerStatistics:
    """Counters since the start; plain numbers, read at scrape time."""

    frames_stored: int = 0
    bytes_stored: int = 0
    messages_stored: int = 0
    frames_volatile: int = 0
    frames_duplicate: int = 0
    frames_delivered: int = 0
    bytes_delivered: int = 0
    frames_missed: int = 0
    frames_expired: int = 0
    frames_trimmed: int = 0
    acks: int = 0
    nacks: int = 0
    refusals: int = 0
    publish_streams: int = 0
    subscribe_streams: int = 0


@dataclass(slots=True)
class TopicCount:
    """What was stored of one topic since the hub was started. `last_offset` is that of its newest frame; -1: none."""

    frames: int = 0
    bytes: int = 0
    last_offset: int = -1


class Broker:
    """Shared state of all streams. Everything here happens in the event loop's thread."""

    def __init__(self, engine: Engine, settings: HubSettings) -> None:
        self.settings = settings
        self.statistics = BrokerStatistics()
        self.tail = engine.statistics().next_offset
        """The next offset that will be dispatched."""
        self.subscribers: set[Subscriber] = set()
        self.receipts = Receipts()
        self._engine = engine
        self._rules = settings.retention_rules()
        self.policies = self._rules.policies
        self._index: TopicIndex[Taker] = TopicIndex()
        self.topics = {topic: TopicCount(last_offset=last) for topic, last in engine.topics().items()}
        """Every topic the log has been given, whatever is left of it."""
        self._readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="hub-reader")
        self.committer = Committer(
            engine,
            commit_bytes_max=settings.limits.commit_bytes_max,
            pending_bytes_max=settings.limits.pending_bytes_max,
            on_committed=self._dispatch,
        )
        self.own = OwnFrames()
        self.durables = Durables(self, self._index)

    @property
    def engine(self) -> Engine:
        """The log; block on it only off the event loop."""
        return self._engine

    # Publishing.

    async def last_sequence(self, producer: ProducerKey, acked_sequence: int = 0) -> int:
        """The last stored sequence of a producer, after everything it has submitted so far.

        `acked_sequence` is what it was told is safe: a log that knows less goes on behind that.
        """

        def look() -> int:
            if acked_sequence:
                self._engine.adopt(producer, acked_sequence)
            return self._engine.last_sequence(producer)

        number = await self.committer.call(look)
        assert isinstance(number, int)
        return number

    async def publish(
        self,
        producer: ProducerKey,
        frames: Sequence[IncomingFrame],
        lane: Lane,
        done: Callable[[Appended | StorageError], None],
    ) -> None:
        """Hand frames to the log; waits while the disk is too far behind. `done` hears what became of them.

        `lane` is the publish stream's own: once frames of it could not be stored, none behind them is.
        """
        for frame in frames:
            if frame.topic not in self.topics and frame.durable:
                self._new_topic(frame.topic)
        while not self.committer.room.is_set():  # whoever was woken first may have taken the room
            await self.committer.room.wait()
        self.submit(producer, frames, lane, done)

    def submit(
        self,
        producer: ProducerKey,
        frames: Sequence[IncomingFrame],
        lane: Lane,
        done: Callable[[Appended | StorageError], None],
    ) -> None:
        """As `publish`, without a bound: for what the hub itself writes."""
        size = sum(len(frame.data) for frame in frames)
        self.committer.submit(Append(producer, frames), size, lane, done)

    def publish_volatile(self, topic: str, content: bytes) -> None:
        """Hand a message of the hub's own to who listens now."""
        self.dispatch_volatile(self.own.volatile(topic, content))

    def dispatch_volatile(self, record: Record) -> bool:
        """Hand a frame that is not stored to who listens now; True if anybody does."""
        self.statistics.frames_volatile += 1
        takers = self._index.match(record.topic)
        for taker in takers:
            taker.offer(record)
        return bool(takers)

    def readers(self, topic: str) -> int:
        """How many open subscriptions match a topic; one with several clients counts once."""
        return len(self._index.match(topic))

    def has_receiver(self, topic: str) -> bool:
        """Whether somebody listens to a topic, or a durable subscription waits for it."""
        return bool(self._index.match(topic)) or self.durables.would_take(topic)

    def expect_receipt(self, record: Record, tell: Callable[[Outcome], None]) -> None:
        """Have a publisher told what becomes of a frame it has just brought."""
        if not self.has_receiver(record.topic):
            tell(Outcome(Verdict.NO_RECEIVER))
        elif record.offset != VOLATILE:
            self.receipts.expect(record.offset, tell)

    def _new_topic(self, topic: str) -> None:
        if len(self.topics) >= self.settings.limits.topics_max:
            raise HubRefusal.too_many("topics", self.settings.limits.topics_max, "limits.topics_max")
        self.topics[topic] = TopicCount()

    def _dispatch(self, outcomes: list[Appended]) -> None:
        """Offer what was just committed to whoever wants it; runs once per group, in log order."""
        statistics, match = self.statistics, self._index.match
        for outcome in outcomes:
            statistics.frames_duplicate += outcome.duplicates
            statistics.messages_stored += outcome.messages
            for record in outcome.records:
                if record.offset == VOLATILE:
                    statistics.frames_volatile += 1
                else:
                    statistics.frames_stored += 1
                    statistics.bytes_stored += len(record.delivery)
                    self.tail = record.offset + 1
                    count = self.topics.get(record.topic)
                    if count is None:  # a dead letter's
                        count = self.topics[record.topic] = TopicCount()
                    count.frames += 1
                    count.bytes += len(record.delivery)
                    count.last_offset = record.offset
                for taker in match(record.topic):
                    taker.offer(record)

    # Subscribing.

    async def open(self, request: OpenRequest) -> Subscriber:
        """Begin a subscription. Raises HubRefusal if it cannot be had, StorageError if the log cannot be read."""
        subscriber: Subscriber
        since_ms = request.since_ms
        if since_ms is not None:
            request = replace(request, start=await self.in_reader(lambda: self._engine.offset_since(since_ms)))
        if request.durable:
            subscriber = await self.durables.open(request)
        else:
            subscriber = self._open_live(request)
            if request.last_values:
                try:
                    await self._begin_with_last_values(subscriber)
                except BaseException:
                    self.close(subscriber)
                    raise
        self.subscribers.add(subscriber)
        return subscriber

    async def _begin_with_last_values(self, subscriber: LiveSubscriber) -> None:
        """What is newer than its beginning it gets as it comes."""
        beginning = subscriber.position
        records = await self.in_reader(lambda: self._engine.last_values(subscriber.wants))
        subscriber.begin_with([_with_count(record) for record in records if record.offset < beginning])

    def _open_live(self, request: OpenRequest) -> LiveSubscriber:
        limits = self.settings.limits
        position = self.tail if request.start is None else min(request.start, self.tail)
        outlet = Outlet(
            position=position,
            tail=self.tail,
            lossy=request.lossy,
            queue_frames_max=limits.queue_frames_max,
            queue_bytes_max=limits.queue_bytes_max,
            window=Window(request.window_frames, request.window_bytes),
        )
        subscriber = LiveSubscriber(request, outlet)
        self._index.add(subscriber, request.filters)
        return subscriber

    def close(self, subscriber: Subscriber) -> None:
        """End a subscription; a durable's state stays."""
        self.subscribers.discard(subscriber)
        if isinstance(subscriber, DurableSeat):
            self.durables.close(subscriber)
        elif isinstance(subscriber, LiveSubscriber):
            self._index.remove(subscriber, subscriber.filters)
            self.statistics.frames_missed += subscriber.outlet.missed_total
            self.statistics.frames_expired += subscriber.outlet.expired_total

    def ack(self, subscriber: Subscriber, up_to_offset: int) -> None:
        """Everything delivered in order up to this offset is done. Raises HubRefusal if it was never delivered."""
        self.statistics.acks += 1
        if isinstance(subscriber, DurableSeat):
            with _told(subscriber):
                settled = subscriber.desk.core.ack(subscriber.member, up_to_offset)
            self._settled(subscriber, settled)
        elif isinstance(subscriber, LiveSubscriber) and up_to_offset > subscriber.outlet.delivered_to:
            raise HubRefusal.bad_ack(up_to_offset, subscriber.outlet.delivered_to)

    def settle(
        self, subscriber: Subscriber, *, done: Sequence[int], nacks: Sequence[NackOrder], in_progress: Sequence[int]
    ) -> None:
        """What became of single deliveries. Raises HubRefusal for one that was never delivered here."""
        self.statistics.acks += len(done)
        self.statistics.nacks += len(nacks)
        if isinstance(subscriber, DurableSeat):
            self._settle_durable(subscriber, done=done, nacks=nacks, in_progress=in_progress)
        elif isinstance(subscriber, LiveSubscriber):
            self._settle_live(subscriber, done=done, nacks=nacks)

    def _settle_durable(
        self, seat: DurableSeat, *, done: Sequence[int], nacks: Sequence[NackOrder], in_progress: Sequence[int]
    ) -> None:
        core, member, now_s = seat.desk.core, seat.member, time.monotonic()
        with _told(seat):
            settled = [offset for offset in done if core.done(member, offset)]
            for offset in in_progress:
                core.in_progress(member, offset, now_s)
            for order in nacks:
                if core.nack(member, order, now_s):
                    self._refused(seat, order)
        self._settled(seat, settled)

    def _settle_live(self, subscriber: LiveSubscriber, *, done: Sequence[int], nacks: Sequence[NackOrder]) -> None:
        """Without a durable only the publisher who wants a receipt cares."""
        for offset in (*done, *(order.offset for order in nacks)):
            if offset > subscriber.outlet.delivered_to:
                raise HubRefusal.bad_ack(offset, subscriber.outlet.delivered_to)
        for offset in done:
            self.receipts.came(offset, Outcome(Verdict.HANDLED, subscriber.client))
        for order in nacks:
            self._refused(subscriber, order)

    def _settled(self, seat: DurableSeat, offsets: Sequence[int]) -> None:
        if len(self.receipts):
            for offset in offsets:
                self.receipts.came(offset, Outcome(Verdict.HANDLED, seat.client))
        self.durables.changed(seat.desk)

    def _refused(self, subscriber: Subscriber, order: NackOrder) -> None:
        outcome = Outcome(Verdict.REFUSED, subscriber.client, order.reason, order.messages)
        self.receipts.came(order.offset, outcome)

    async def cursors_safe(self) -> None:
        """Return once every mark made so far is on disk; raises StorageError if that cannot be done now."""
        await self.committer.cursors_safe()

    async def feed(self, subscriber: Subscriber) -> None:
        """Read on in the log for a subscriber that is behind. Raises StorageError if the log cannot be read."""
        assert isinstance(subscriber, LiveSubscriber)
        records, next_offset = await self.read_on(subscriber.position, subscriber.wants)
        subscriber.feed(records, next_offset=next_offset, tail=self.tail)

    async def read_on(self, start: int, wants: Callable[[str], bool]) -> tuple[Sequence[Record], int]:
        """A piece of the log from `start` on, and where to go on. Raises StorageError if it cannot be read."""
        tail = self.tail
        chunk = await self.in_reader(lambda: self._engine.read(start, wants, bytes_max=_READ_BYTES))
        if chunk.next_offset == start and not chunk.records:
            return (), max(start, tail)  # nothing was left below the tail of that moment: it was trimmed
        return chunk.records, chunk.next_offset

    async def in_reader(self, work: Callable[[], _R]) -> _R:
        """Do something that blocks, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    # Housekeeping.

    async def trim(self) -> None:
        """Bring the log back inside its retention, but for what a durable with `hold` has not acknowledged."""
        await self.durables.catch_up()
        rules, now_ms, hold = self._rules, time.time_ns() // 1_000_000, self.durables.hold_offset
        retained = await self.in_reader(lambda: self._engine.retain(rules, now_ms=now_ms, hold_offset=hold))
        self.statistics.frames_trimmed += retained.frames

    async def purge(self, topic_filter: str, below_offset: int, before_ms: int) -> tuple[int, int]:
        """Forget frames of matching topics: below an offset (0: all), stored before a Unix time (0: whenever).

        Returns for how many topics that is new, and below which offset their frames are gone. Raises StorageError.
        """
        engine, below = self._engine, min(below_offset or self.tail, self.tail)
        if before_ms:
            below = min(below, await self.in_reader(lambda: engine.offset_since(before_ms)))
        topics = await self.committer.call(lambda: engine.purge(lambda topic: matches(topic_filter, topic), below))
        assert isinstance(topics, int)
        return topics, below

    async def shut(self) -> None:
        """Commit what has come and close the log."""
        await self.durables.stop()
        await self.committer.close()
        self._readers.shutdown(wait=True)
        self._engine.close()


def _with_count(record: Record) -> Record:
    """How many messages it holds, for the last of them is the topic's last value. Readings are not told apart."""
    frame = hub_pb2.Delivery.FromString(record.delivery).frame
    record.messages = frame.count if frame.encoding != ENCODING_READINGS else 0
    return record


class _told:
    """A member that settles what it never had is refused."""

    def __init__(self, seat: DurableSeat) -> None:
        self._seat = seat

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NotDelivered):
            raise HubRefusal.bad_ack(error.offset, self._seat.member.delivered_to) from error
