"""All durable subscriptions of a hub: opening, working off, burying, and the tasks that do it."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from fieldline.partitions import partition
from fieldline.topics import matches
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.committer import Committer, Lane
from fieldline_cloud.hub.core.durable import Durable
from fieldline_cloud.hub.core.entry import Bounds, Grave
from fieldline_cloud.hub.core.marks import DurableMark, DurableSettings
from fieldline_cloud.hub.core.member import Member
from fieldline_cloud.hub.core.policies import TopicPolicies
from fieldline_cloud.hub.core.record import Record
from fieldline_cloud.hub.core.topic_index import TopicIndex
from fieldline_cloud.hub.core.window import Window
from fieldline_cloud.hub.engines.base import Appended, Engine, IncomingFrame, ProducerKey, StorageError
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.own_frames import DEAD, dead_letter, dead_producer
from fieldline_cloud.hub.settings import HubSettings
from fieldline_cloud.hub.subscribers import DurableDesk, DurableSeat, OpenRequest, Taker

__all__ = ["Durables"]

log = logging.getLogger(__name__)

_R = TypeVar("_R")
_TRY_AGAIN_S = 1.0
_SKIP_READS_MAX = 64


class LogAccess(Protocol):
    """What durables need of whoever owns the log: the broker."""

    settings: HubSettings
    policies: TopicPolicies
    committer: Committer
    tail: int

    @property
    def engine(self) -> Engine:
        """The log."""

    def submit(
        self,
        producer: ProducerKey,
        frames: Sequence[IncomingFrame],
        lane: Lane,
        done: Callable[[Appended | StorageError], None],
    ) -> None:
        """Have frames of the hub's own stored."""

    async def read_on(self, start: int, wants: Callable[[str], bool]) -> tuple[Sequence[Record], int]:
        """A piece of the log, and where to go on."""

    async def in_reader(self, work: Callable[[], _R]) -> _R:
        """Do something that blocks, off the event loop."""

    async def cursors_safe(self) -> None:
        """Return once every mark made so far is on disk."""


class Durables:
    """Every durable the hub knows, by name. Belongs to the event loop's thread."""

    def __init__(self, broker: LogAccess, index: TopicIndex[Taker]) -> None:
        self._broker = broker
        self._index = index
        self._desks: dict[str, DurableDesk] = {}
        self._opening: set[str] = set()
        limits = broker.settings.limits
        self._bounds = Bounds(limits.pending_frames_max, limits.queue_frames_max, limits.queue_bytes_max)
        for mark in broker.engine.durables().values():
            self._add(mark, mark.settings or DurableSettings())

    def __len__(self) -> int:
        return len(self._desks)

    @property
    def desks(self) -> Sequence[DurableDesk]:
        """All of them, by name."""
        return [self._desks[name] for name in sorted(self._desks)]

    def would_take(self, topic: str) -> bool:
        """Whether one of them waits for this topic, also if nobody works on it now."""
        return any(desk.wants(topic) for desk in self._desks.values())

    def desk(self, name: str) -> DurableDesk:
        """The one of that name; HubRefusal if there is none."""
        desk = self._desks.get(name)
        if desk is None:
            raise HubRefusal.not_found(f"no durable subscription is named {name!r}; see 'fieldline subscriptions'")
        return desk

    # Opening and closing.

    async def open(self, request: OpenRequest) -> DurableSeat:
        """A place at a durable, which is made if it is not known. It is on disk when this returns."""
        desk = self._desks.get(request.durable)
        if desk is None:
            desk = await self._create(request)
        self._refuse_if_taken(desk, request)
        if not desk.seats:
            self._begin(desk, request)
        return self._sit_down(desk, request)

    async def _create(self, request: OpenRequest) -> DurableDesk:
        name, broker = request.durable, self._broker
        limit = broker.settings.limits.durables_max
        if len(self._desks) >= limit:
            raise HubRefusal.too_many("durables", limit, "limits.durables_max")
        position = broker.tail if request.start is None else min(request.start, broker.tail)
        settings = replace(request.settings, filters=request.filters, created_ms=time.time_ns() // 1_000_000)
        desk = self._add(DurableMark(name, position), settings)
        broker.committer.mark(desk.core.mark(with_settings=True))
        try:
            await broker.cursors_safe()  # a durable that has been opened is known after a crash
        except StorageError:
            if not desk.seats:
                self._desks.pop(name, None)
            raise
        return self._desks.get(name, desk)

    def _add(self, mark: DurableMark, settings: DurableSettings) -> DurableDesk:
        bounds = self._bounds
        if settings.pending_max:
            bounds = replace(bounds, pending_max=min(settings.pending_max, bounds.pending_max))
        desk = self._desks[mark.name] = DurableDesk(Durable(mark, settings, bounds, self._lot_of))
        return desk

    def _lot_of(self, record: Record) -> str:
        """Who gets a frame is decided by its key, or by the partition its topic's policy puts that key into."""
        partitions = self._broker.policies.of(record.topic).partitions
        if partitions == 1 or not record.key:
            return record.key
        return f"{record.topic}\0{partition(record.topic, record.key, partitions)}"

    def _refuse_if_taken(self, desk: DurableDesk, request: OpenRequest) -> None:
        if not desk.seats:
            return
        if not (desk.core.is_group and request.settings.group):
            raise HubRefusal.durable_in_use(request.durable, next(iter(desk.seats.values())).client)
        if set(desk.filters) != set(request.filters):
            raise HubRefusal(
                hub_pb2.ERROR_CODE_BAD_FILTER,
                f"group {request.durable!r} is about {', '.join(desk.filters)}; all its members must ask for the same",
            )

    def _begin(self, desk: DurableDesk, request: OpenRequest) -> None:
        """Nobody is there yet: this opening's filters and options hold from now on."""
        core = desk.core
        settings = replace(request.settings, filters=request.filters, created_ms=core.settings.created_ms)
        changed = settings != core.settings
        core.resume(settings, self._broker.tail)
        if changed:
            self._broker.committer.mark(core.mark(with_settings=True))
        self._index.add(desk, desk.filters)
        desk.pump = asyncio.create_task(self._pump(desk), name=f"durable {core.name}")

    def _sit_down(self, desk: DurableDesk, request: OpenRequest) -> DurableSeat:
        window = Window(request.window_frames, request.window_bytes)
        member = Member(
            request.client,
            window,
            queue_frames_max=self._bounds.queue_frames_max,
            queue_bytes_max=self._bounds.queue_bytes_max,
        )
        seat = desk.seats[member] = DurableSeat(request, desk, member)
        desk.core.join(member)
        desk.wake.set()
        return seat

    def close(self, seat: DurableSeat) -> None:
        """A client has gone; its frames go to the others or wait in the log."""
        desk = seat.desk
        del desk.seats[seat.member]
        desk.core.leave(seat.member)
        if not desk.seats:
            self._index.remove(desk, desk.filters)
            if desk.pump is not None:
                desk.pump.cancel()
                desk.pump = None
        self.changed(desk)

    def changed(self, desk: DurableDesk) -> None:
        """Have the state written with the next commit, and let the pump look."""
        self._broker.committer.mark(desk.core.mark())
        desk.poke()

    async def catch_up(self) -> None:
        """Let cursors pass what nobody asked for; said now and then. Raises StorageError if the log cannot be read."""
        for desk in self.desks:
            before = desk.core.next_offset
            if desk.seats:
                desk.core.catch_up(self._broker.tail)
            elif desk.core.settings.hold:
                await self._skip_unwanted(desk)
            if desk.core.next_offset != before:
                self._broker.committer.mark(desk.core.mark())

    async def _skip_unwanted(self, desk: DurableDesk) -> None:
        """A durable that holds retention back, and is away, holds only what it will want."""
        core = desk.core
        for _ in range(_SKIP_READS_MAX):
            start = core.position
            records, next_offset = await self._broker.read_on(start, desk.wants)
            if desk.seats or core.position != start:
                return  # somebody came meanwhile
            wanted = next((one.offset for one in records if not core.is_settled(one.offset)), None)
            core.skip_to(next_offset if wanted is None else wanted)
            if wanted is not None or next_offset >= self._broker.tail:
                return

    @property
    def hold_offset(self) -> int | None:
        """The lowest offset that a durable with `hold` has not settled; None if none holds anything."""
        return min((desk.core.next_offset for desk in self.desks if desk.core.settings.hold), default=None)

    async def delete(self, name: str) -> None:
        """Forget a durable. Refused while somebody works on it."""
        desk = self.desk(name)
        if desk.seats:
            raise HubRefusal.durable_in_use(name, next(iter(desk.seats.values())).client)
        del self._desks[name]
        self._broker.committer.mark(DurableMark(name, desk.core.next_offset, deleted=True))
        await self._broker.cursors_safe()

    async def stop(self) -> None:
        """End the pumps."""
        pumps = [desk.pump for desk in self._desks.values() if desk.pump is not None]
        for pump in pumps:
            pump.cancel()
        if pumps:
            await asyncio.wait(pumps)

    # Working off: one task for each durable somebody works on.

    async def _pump(self, desk: DurableDesk) -> None:
        """Timers, frames to read from the log, dead letters. Lives as long as somebody works on it."""
        while True:
            try:
                await self._work(desk)
            except StorageError as error:
                log.warning("durable %r: %s; trying again", desk.core.name, error)
                await asyncio.sleep(_TRY_AGAIN_S)

    async def _work(self, desk: DurableDesk) -> None:
        core = desk.core
        desk.wake.clear()
        core.tick(time.monotonic())
        for grave in core.graves():
            await self._bury(desk, grave)
        if offsets := core.to_fetch():
            records = await self._broker.in_reader(lambda: self._broker.engine.fetch(offsets))
            core.fetched(offsets, records)
            desk.wake_senders()
            self.changed(desk)
        elif core.wants_feed:
            await self._feed(desk)
        else:
            await self._rest(desk)

    async def _feed(self, desk: DurableDesk) -> None:
        core = desk.core
        start = core.position
        records, next_offset = await self._broker.read_on(start, desk.wants)
        first = self._broker.engine.statistics().first_offset
        if first > start:
            core.counts.trimmed += first - start
            log.warning(
                "durable %r: retention took offsets %d to %d before they were read", core.name, start, first - 1
            )
        core.feed(records, next_offset=next_offset, tail=self._broker.tail)
        desk.wake_senders()

    @staticmethod
    async def _rest(desk: DurableDesk) -> None:
        due_s = desk.core.next_due_s
        desk.pump_sleeps_until_s = due_s if due_s is not None else float("inf")
        try:
            async with asyncio.timeout(None if due_s is None else max(0.0, due_s - time.monotonic())):
                await desk.wake.wait()
        except TimeoutError:
            pass  # a timer is due
        finally:
            desk.pump_sleeps_until_s = 0.0

    # Dead letters.

    async def _bury(self, desk: DurableDesk, grave: Grave) -> None:
        core, broker = desk.core, self._broker
        records = await broker.in_reader(lambda: broker.engine.fetch([grave.offset]))
        if not records:
            core.counts.trimmed += 1
            core.is_buried(grave.offset)
            self.changed(desk)
            return
        frame = dead_letter(core.name, grave, records[0])
        log.warning(
            "durable %r gave up offset %d of %s after %d deliveries: %r",
            core.name,
            grave.offset,
            records[0].topic,
            grave.deliveries,
            grave.reason or "no reason given",
        )
        broker.submit(
            dead_producer(core.name, grave.offset), [frame], Lane(), partial(self._is_buried, desk, grave.offset)
        )

    def _is_buried(self, desk: DurableDesk, offset: int, outcome: Appended | StorageError) -> None:
        if isinstance(outcome, StorageError):
            asyncio.get_running_loop().call_later(_TRY_AGAIN_S, self._unbury, desk, offset)
            return
        desk.core.is_buried(offset)
        self.changed(desk)

    @staticmethod
    def _unbury(desk: DurableDesk, offset: int) -> None:
        desk.core.unbury(offset)
        desk.poke()

    async def dead_letters(self, durable: str, limit: int) -> list[Record]:
        """The dead letters that were neither replayed nor dropped, the oldest first; of all durables if it is empty."""
        if durable:
            self.desk(durable)
        pattern = f"{DEAD}/{durable}/#" if durable else f"{DEAD}/#"
        found: list[Record] = []
        position = 0
        while position < self._broker.tail and len(found) < limit:
            records, position = await self._broker.read_on(position, lambda topic: matches(pattern, topic))
            found += [record for record in records if self._is_open(record)]
        return found[:limit]

    def _is_open(self, record: Record) -> bool:
        desk = self._desks.get(record.topic.split("/")[1])
        return desk is None or record.offset not in desk.core.buried

    async def replay_dead(self, durable: str, offsets: Sequence[int]) -> int:
        """Have dead letters delivered again to the durable that gave them up; all of them without `offsets`."""
        desk = self.desk(durable)
        letters, floor = await self._chosen(durable, offsets)
        for record in letters:
            letter = hub_pb2.Delivery.FromString(record.delivery).frame.dead_letter
            desk.core.replay(record.offset, tuple(letter.messages))
        await self._close_letters(desk, letters, floor)
        return len(letters)

    async def drop_dead(self, durable: str, offsets: Sequence[int]) -> int:
        """Take dead letters off the list; all of them without `offsets`."""
        desk = self.desk(durable)
        letters, floor = await self._chosen(durable, offsets)
        await self._close_letters(desk, letters, floor)
        return len(letters)

    async def _close_letters(self, desk: DurableDesk, letters: Sequence[Record], floor: int) -> None:
        for record in letters:
            desk.core.buried.add(record.offset)
        desk.core.buried.rise(floor)
        self.changed(desk)
        await self._broker.cursors_safe()

    async def _chosen(self, durable: str, offsets: Sequence[int]) -> tuple[list[Record], int]:
        """The letters that are meant, and the offset below which none is open once they are closed."""
        tail = self._broker.tail
        limit = self._broker.settings.limits.dead_letters_max
        letters = await self.dead_letters(durable, limit + 1)
        beyond = [record.offset for record in letters[limit:]]
        letters = letters[:limit]
        if not offsets:
            return letters, min(beyond, default=tail)
        by_offset = {record.offset: record for record in letters}
        missing = [offset for offset in offsets if offset not in by_offset]
        if missing:
            raise HubRefusal.not_found(
                f"durable {durable!r} has no open dead letter at offset {missing[0]}; see 'fieldline dead list'"
            )
        chosen = set(offsets)
        left = [offset for offset in by_offset if offset not in chosen] + beyond
        return [by_offset[offset] for offset in sorted(chosen)], min(left, default=tail)
