"""The broker: what publishers bring goes to the log, what the log takes goes to subscribers. Knows no gRPC."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fieldline.topics import matches
from fieldline_cloud.hub.committer import Committer, Lane
from fieldline_cloud.hub.core.marks import DurableMark
from fieldline_cloud.hub.core.outlet import Outlet
from fieldline_cloud.hub.core.topic_index import TopicIndex
from fieldline_cloud.hub.engines.base import (
    Append,
    Appended,
    Engine,
    IncomingFrame,
    ProducerKey,
    StorageError,
)
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.settings import HubSettings

__all__ = ["Broker", "BrokerStatistics", "Subscriber"]

log = logging.getLogger(__name__)

_R = TypeVar("_R")
_READ_BYTES = 2 << 20


@dataclass(slots=True)
class BrokerStatistics:
    """Counters since the start; plain numbers, read at scrape time."""

    frames_stored: int = 0
    bytes_stored: int = 0
    messages_stored: int = 0
    frames_duplicate: int = 0
    frames_delivered: int = 0
    bytes_delivered: int = 0
    frames_missed: int = 0
    frames_trimmed: int = 0
    refusals: int = 0
    publish_streams: int = 0
    subscribe_streams: int = 0


class Subscriber:
    """One open subscription: its outlet, and the event that wakes its sender."""

    def __init__(self, outlet: Outlet, filters: Sequence[str], durable: str, client: str) -> None:
        self.outlet = outlet
        self.filters = filters
        self.durable = durable
        self.client = client
        self.wake = asyncio.Event()

    def wants(self, topic: str) -> bool:
        """Whether one of the filters matches."""
        return any(matches(one, topic) for one in self.filters)


class Broker:
    """Shared state of all streams. Everything here happens in the event loop's thread."""

    def __init__(self, engine: Engine, settings: HubSettings) -> None:
        self.settings = settings
        self.statistics = BrokerStatistics()
        self.tail = engine.statistics().next_offset
        """The next offset that will be dispatched."""
        self.subscribers: set[Subscriber] = set()
        self._engine = engine
        self._index: TopicIndex[Subscriber] = TopicIndex()
        self._durables: dict[str, Subscriber] = {}
        self._topics = set(engine.topics())
        self._readers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="hub-reader")
        self.committer = Committer(
            engine,
            commit_bytes_max=settings.limits.commit_bytes_max,
            pending_bytes_max=settings.limits.pending_bytes_max,
            on_committed=self._dispatch,
        )

    @property
    def engine(self) -> Engine:
        """The log; block on it only off the event loop."""
        return self._engine

    async def last_sequence(self, producer: ProducerKey) -> int:
        """The last stored sequence of a producer, after everything it has submitted so far."""
        number = await self.committer.call(lambda: self._engine.last_sequence(producer))
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
            if frame.topic not in self._topics:
                self._new_topic(frame.topic)
        while not self.committer.room.is_set():  # whoever was woken first may have taken the room
            await self.committer.room.wait()
        size = sum(len(frame.data) for frame in frames)
        self.committer.submit(Append(producer, frames), size, lane, done)

    def _new_topic(self, topic: str) -> None:
        if len(self._topics) >= self.settings.limits.topics_max:
            raise HubRefusal.too_many("topics", self.settings.limits.topics_max, "limits.topics_max")
        self._topics.add(topic)

    def _dispatch(self, outcomes: list[Appended]) -> None:
        """Offer what was just committed to whoever wants it; runs once per group, in log order."""
        statistics, match = self.statistics, self._index.match
        for outcome in outcomes:
            statistics.frames_duplicate += outcome.duplicates
            statistics.messages_stored += outcome.messages
            for record in outcome.records:
                statistics.frames_stored += 1
                statistics.bytes_stored += len(record.delivery)
                self.tail = record.offset + 1
                for subscriber in match(record.topic):
                    subscriber.outlet.offer(record)
                    subscriber.wake.set()

    async def open(
        self,
        *,
        filters: Sequence[str],
        durable: str,
        start: int | None,
        lossy: bool,
        client: str,
        window_frames: int,
        window_bytes: int,
    ) -> Subscriber:
        """Begin a subscription at offset `start` (None: at the tail), or at the durable's own cursor if it has one."""
        if durable:
            start = await self._durable_start(durable, start, client)
        position = self.tail if start is None else min(start, self.tail)
        limits = self.settings.limits
        outlet = Outlet(
            position=position,
            tail=self.tail,
            lossy=lossy,
            queue_frames_max=limits.queue_frames_max,
            queue_bytes_max=limits.queue_bytes_max,
            window_frames=window_frames,
            window_bytes=window_bytes,
        )
        subscriber = Subscriber(outlet, filters, durable, client)
        self.subscribers.add(subscriber)
        self._index.add(subscriber, filters)
        if durable:
            self._durables[durable] = subscriber
        return subscriber

    async def _durable_start(self, durable: str, start: int | None, client: str) -> int:
        self._refuse_second(durable, client)
        # In the writer thread, so that the last acks of the one who held it before are already in.
        cursors = await self.committer.call(self._engine.cursors)
        assert isinstance(cursors, dict)
        self._refuse_second(durable, client)  # another may have come while the log was asked
        if durable in cursors:
            cursor: int = cursors[durable]
            return cursor
        if len(cursors) >= self.settings.limits.durables_max:
            raise HubRefusal.too_many("durables", self.settings.limits.durables_max, "limits.durables_max")
        position = self.tail if start is None else min(start, self.tail)
        self.committer.mark(DurableMark(durable, position))
        await self.cursors_safe()  # a durable that has been opened is known after a crash
        self._refuse_second(durable, client)
        return position

    def _refuse_second(self, durable: str, client: str) -> None:
        holder = self._durables.get(durable)
        if holder is not None:
            raise HubRefusal.durable_in_use(durable, holder.client)

    def close(self, subscriber: Subscriber) -> None:
        """End a subscription; a durable's cursor stays."""
        self.subscribers.discard(subscriber)
        self._index.remove(subscriber, subscriber.filters)
        if subscriber.durable and self._durables.get(subscriber.durable) is subscriber:
            del self._durables[subscriber.durable]
        self.statistics.frames_missed += subscriber.outlet.missed_total

    def ack(self, subscriber: Subscriber, up_to_offset: int) -> None:
        """Everything delivered up to this offset is done. Raises HubRefusal if it was never delivered."""
        if up_to_offset > subscriber.outlet.delivered_to:
            raise HubRefusal.bad_ack(up_to_offset, subscriber.outlet.delivered_to)
        if subscriber.durable:
            self.committer.mark(DurableMark(subscriber.durable, up_to_offset + 1))

    async def cursors_safe(self) -> None:
        """Return once every cursor moved so far is on disk; raises StorageError if that cannot be done now."""
        await self.committer.cursors_safe()

    async def feed(self, subscriber: Subscriber) -> None:
        """Read on in the log for a subscriber that is behind. Raises StorageError if the log cannot be read."""
        outlet = subscriber.outlet
        start, tail = outlet.position, self.tail
        chunk = await self._in_reader(lambda: self._engine.read(start, subscriber.wants, bytes_max=_READ_BYTES))
        next_offset = chunk.next_offset
        if next_offset == start and not chunk.records:
            next_offset = max(start, tail)  # nothing was left below the tail of that moment: it was trimmed
        outlet.feed(chunk.records, next_offset=next_offset, tail=self.tail)

    async def trim(self) -> None:
        """Bring the log back inside its retention."""
        retention = self.settings.retention
        before_ms = time.time_ns() // 1_000_000 - int(retention.age_h_max * 3_600_000)
        frames = await self.committer.call(
            lambda: self._engine.trim(bytes_max=retention.bytes_max, before_ms=before_ms)
        )
        assert isinstance(frames, int)
        self.statistics.frames_trimmed += frames

    async def shut(self) -> None:
        """Commit what has come and close the log."""
        await self.committer.close()
        self._readers.shutdown(wait=True)
        self._engine.close()

    async def _in_reader(self, work: Callable[[], _R]) -> _R:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)
