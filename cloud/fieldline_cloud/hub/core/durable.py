"""A durable subscription: who works on it, what is with whom, what is to be tried again, and how far it is. Pure.

It takes frames as they are committed while its members have room, and falls behind into the log when they have not:
`behind` is then True, and the shell feeds it from the engine. Every frame it has taken in is an entry until it is
settled. An entry waits for its member's window, is sent, and then is done, or comes again: after a nack, when the ack
wait is over, when its member has left. One that was tried too often is given up: the shell buries it as a dead letter.

A frame with a key goes to the member that has frames of that key in hand; if none has, rendezvous hashing (Thaler and
Ravishankar, 1998) picks one, so that of n members' keys only 1/n move when one comes or goes. A frame without a key
goes to whoever has least in hand.

Times are seconds of a monotonic clock (`now_s`) and Unix milliseconds (`now_ms`), both handed in.

Bounds: `pending_max` entries; `queue_frames_max` frames and `queue_bytes_max` bytes waiting for one member. A frame
whose member has no room while others have is kept as its offset alone, and read from the log again later.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from fieldline_cloud.hub.core.entry import Bounds, DurableCounts, Entry, Grave, NackOrder, NotDelivered
from fieldline_cloud.hub.core.marks import DurableMark, DurableSettings, Redelivery, SettledOffsets
from fieldline_cloud.hub.core.member import Member
from fieldline_cloud.hub.core.outgoing import Outgoing
from fieldline_cloud.hub.core.record import VOLATILE, Record
from fieldline_cloud.hub.core.spread import KEY, LotOf, Spread
from fieldline_cloud.hub.core.timers import Timers

__all__ = ["Durable"]

_FETCH_FRAMES = 256


class Durable:
    """One durable subscription. `lot_of` says what of a frame decides who gets it: usually its key."""

    def __init__(self, mark: DurableMark, settings: DurableSettings, bounds: Bounds, lot_of: LotOf = KEY) -> None:
        self.name = mark.name
        self.settings = settings
        self.members: list[Member] = []
        self.counts = DurableCounts()
        self.position = mark.next_offset
        self.behind = True
        self.buried = SettledOffsets.of(mark.buried_below, mark.buried)
        self._bounds = bounds
        self._lot_of = lot_of
        self._settled = SettledOffsets.of(mark.next_offset, mark.done)
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._replays: dict[int, Entry] = {}
        self._history: dict[int, Redelivery] = {}  # of frames that are still to be read from the log again
        # What a mark remembers of entries. A first delivery is not among it: after a crash it is the first again.
        self._tried: dict[int, Entry] = {}
        self._dying: set[int] = set()
        self._retry: deque[int] = deque()  # entries without a member, to be given to one
        self._timers = Timers(self._find)
        self._graves: list[Grave] = []
        self._spread = Spread()
        for one in mark.redeliveries:
            if one.replay:
                self._add_replay(one.offset, one)
            else:
                self._history[one.offset] = one

    def resume(self, settings: DurableSettings, tail: int) -> None:
        """Somebody comes after nobody was there: worked off as `settings` say from now on."""
        assert not self.members
        self.settings = settings
        self.behind = self.position < tail

    # Who works on it.

    def join(self, member: Member) -> None:
        """One more works on it, and is given its share of what the others have not been sent yet."""
        self.members.append(member)
        self._spread.join(member)
        if len(self.members) > 1:
            for other in self.members:
                other.forget_queue()
            for entry in self._all_entries():
                if entry.holder is not None and not entry.sent:
                    self._take_away(entry)
                    self._retry.append(entry.offset)

    def leave(self, member: Member) -> None:
        """A member has gone: what it had goes to the others, or back into the log if it was the last."""
        self.members.remove(member)
        self._spread.leave(member)
        if not self.members:
            self._rewind()
            return
        for entry in self._all_entries():
            if entry.holder is member:
                self._again(entry, reason=f"client {member.client!r} left" if entry.sent else entry.reason)
            if member in entry.had:
                entry.had = tuple(one for one in entry.had if one is not member)

    @property
    def is_group(self) -> bool:
        """Whether several may work on it at once."""
        return self.settings.group

    # What comes in.

    def offer(self, record: Record) -> Member | None:
        """A matching frame has been committed; returns the member that has more to send now, if one has."""
        if record.offset == VOLATILE:
            return self._offer_volatile(record)
        if self.behind or record.offset < self.position:
            return None
        if not self._has_room:
            self.behind = True
            self.position = record.offset
            return None
        self.position = record.offset + 1
        return self._place(record)

    @property
    def wants_feed(self) -> bool:
        """Whether the shell should read on in the log for it."""
        return (
            self.behind
            and len(self._entries) < self._bounds.pending_max
            and any(member.is_hungry for member in self.members)
        )

    def feed(self, records: Iterable[Record], *, next_offset: int, tail: int) -> None:
        """Frames from the log, from `position` up to `next_offset`; at `tail` it is live."""
        for record in records:
            if record.offset < self.position or record.offset in self._settled:
                continue
            if len(self._entries) >= self._bounds.pending_max:
                self.position = record.offset
                return
            self.position = record.offset + 1
            if record.offset in self._dying:
                self._entries[record.offset] = Entry(record.offset, self._lot_of(record), dying=True)
            else:
                self._place(record)
        self.position = max(self.position, next_offset)
        self.behind = self.position < tail
        self._rise()

    def catch_up(self, tail: int) -> None:
        """Nothing it wants lies between what it took in last and `tail`: said now and then while it is live."""
        if not self.behind and tail > self.position:
            self.position = tail
            self._rise()

    def skip_to(self, offset: int) -> None:
        """Nobody works on it, and nothing that it wants and has not settled lies below `offset`."""
        if not self.members and offset > self.position:
            self.position = offset
            self._rise()

    def is_settled(self, offset: int) -> bool:
        """Whether this one is done."""
        return offset in self._settled

    def to_fetch(self) -> list[int]:
        """Offsets of entries that members wait for and that must be read from the log again, ascending."""
        if not self.members:
            return []
        while self._retry:
            entry = self._find(self._retry.popleft())
            if entry is not None and entry.holder is None and not entry.dying:
                member = self._spread.choose(entry.key, self.members)
                self._give(entry, member)
                member.park(entry.offset, first=True)
        wanted: list[int] = []
        for member in self.members:
            if member.has_room and member.window.is_open:
                wanted += list(member.parked)[:_FETCH_FRAMES]
        return sorted(set(wanted))

    def fetched(self, offsets: Sequence[int], records: Iterable[Record]) -> None:
        """What the log has of `offsets`; what is missing has been trimmed and counts as settled."""
        found = {record.offset: record for record in records}
        for offset in offsets:
            entry = self._find(offset)
            if entry is None or entry.holder is None:
                continue
            if not entry.holder.unpark(offset):
                continue
            record = found.get(offset)
            if record is None:
                self.counts.trimmed += 1
                self._settle(entry)
            else:
                entry.holder.ready(record)

    # What goes out.

    def take(self, member: Member, *, bytes_max: int, now_s: float, now_ms: int) -> list[Outgoing]:
        """What this member may be sent now; the last frame may go over its window and `bytes_max`."""
        sent: list[Outgoing] = []
        size = 0
        while member.can_send and size < bytes_max:
            record = member.next_record()
            if record.offset == VOLATILE:
                outgoing = None if record.is_over(now_ms) else Outgoing(record)
            else:
                outgoing = self._send(member, record, now_s=now_s, now_ms=now_ms)
            if outgoing is not None:
                sent.append(outgoing)
                nbytes = len(record.delivery)
                size += nbytes
                member.window.put(nbytes)
        return sent

    def _send(self, member: Member, record: Record, *, now_s: float, now_ms: int) -> Outgoing | None:
        entry = self._find(record.offset)
        if entry is None or entry.holder is not member or entry.sent:
            return None  # settled or given to another meanwhile
        if record.is_over(now_ms):
            self.counts.expired += 1
            self._settle(entry)
            return None
        entry.sent = True
        entry.deliveries += 1
        entry.in_order = member.note_sent(record.offset)
        if entry.deliveries > 1:
            self.counts.redelivered += 1
            self._note_tried(entry)
        if self.settings.ack_wait_ms:
            self._timers.set(entry, now_s + self.settings.ack_wait_ms / 1000)
        return Outgoing(record, deliveries=entry.deliveries, only=entry.only)

    # What becomes of it.

    def ack(self, member: Member, up_to: int) -> list[int]:
        """All that this member was sent in order up to this offset is done; returns what was settled by it."""
        if up_to > member.delivered_to:
            raise NotDelivered(up_to)
        settled = []
        for offset in member.in_order_up_to(up_to):
            entry = self._find(offset)
            if entry is not None and entry.holder is member and entry.sent and entry.in_order:
                self._settle(entry)
                settled.append(offset)
        return settled

    def done(self, member: Member, offset: int) -> bool:
        """This one is done; True if that is news. Somebody who was too late, and it went to another, is believed."""
        entry = self._entry_of(member, offset)
        if entry is None or entry.dying:
            return False
        self._settle(entry)
        return True

    def in_progress(self, member: Member, offset: int, now_s: float) -> None:
        """This one takes longer: its ack wait begins anew."""
        entry = self._entry_of(member, offset)
        if entry is not None and entry.holder is member and entry.sent and self.settings.ack_wait_ms:
            self._timers.set(entry, now_s + self.settings.ack_wait_ms / 1000)

    def nack(self, member: Member, order: NackOrder, now_s: float) -> bool:
        """This one could not be handled; True if that is news."""
        entry = self._entry_of(member, order.offset)
        if entry is None or entry.dying or entry.holder is not member or not entry.sent:
            return False
        if order.messages:
            entry.only = order.messages
            self._note_tried(entry)
        entry.reason = order.reason or entry.reason
        if order.give_up:
            self._give_up(entry)
        else:
            self._later(entry, order.delay_ms, now_s)
        return True

    def tick(self, now_s: float) -> None:
        """Let every timer that is due take effect."""
        for entry in self._timers.due(now_s):
            if entry.sent:
                entry.reason = entry.reason or f"not settled within {self.settings.ack_wait_ms} ms"
                self._later(entry, None, now_s)
            elif entry.holder is None:
                self._retry.append(entry.offset)

    @property
    def next_due_s(self) -> float | None:
        """When `tick` has something to do; None if no timer runs."""
        return self._timers.next_due_s

    def graves(self) -> list[Grave]:
        """What was given up since this was asked last."""
        found, self._graves = self._graves, []
        return found

    def is_buried(self, offset: int) -> None:
        """Its dead letter is in the log."""
        self._dying.discard(offset)
        entry = self._find(offset)
        if entry is not None:
            self._settle(entry)
        else:
            self._settled.add(offset)
            self._rise()

    def unbury(self, offset: int) -> None:
        """Its dead letter could not be written; it is tried again when it is read again."""
        self._dying.discard(offset)
        entry = self._find(offset)
        if entry is not None:
            entry.dying = False
            self._again(entry, reason=entry.reason)

    def replay(self, offset: int, messages: tuple[int, ...]) -> None:
        """A dead letter of this durable is to be tried again; `offset` is the letter's own."""
        if offset not in self._replays:
            self._add_replay(offset, Redelivery(offset, 0, messages, replay=True))

    # How far it is.

    @property
    def next_offset(self) -> int:
        """Everything below it is settled."""
        return self._settled.floor

    @property
    def pending(self) -> int:
        """Frames that were taken in and are not settled."""
        return len(self._entries) + len(self._replays)

    @property
    def has_work(self) -> bool:
        """Whether the shell has something to do for it besides sending."""
        return bool(self._retry or self._graves or self.wants_feed or any(one.parked for one in self.members))

    @property
    def all_sent(self) -> bool:
        """Whether nothing that was taken in still waits to be sent, or to be sent again."""
        waiting = self._retry or self._tried or self._replays
        return not waiting and not any(member.queued or member.parked for member in self.members)

    def mark(self, *, with_settings: bool = False) -> DurableMark:
        """All that is to be remembered of it."""
        floor = self._settled.floor
        for offset in [one for one in self._history if one < floor]:
            del self._history[offset]  # retention has taken it
        again = [*self._history.values(), *map(Entry.redelivery, self._tried.values())]
        again += map(Entry.redelivery, self._replays.values())
        return DurableMark(
            self.name,
            floor,
            done=self._settled.ranges(),
            redeliveries=tuple(sorted(again, key=lambda one: one.offset)),
            settings=self.settings if with_settings else None,
            buried_below=self.buried.floor,
            buried=self.buried.ranges(),
        )

    @property
    def _has_room(self) -> bool:
        return len(self._entries) < self._bounds.pending_max and any(member.has_room for member in self.members)

    def _all_entries(self) -> list[Entry]:
        return [*self._entries.values(), *self._replays.values()]

    def _find(self, offset: int) -> Entry | None:
        return self._entries.get(offset) or self._replays.get(offset)

    def _entry_of(self, member: Member, offset: int) -> Entry | None:
        """The entry a member speaks of; None if it is settled. Raises NotDelivered if the member never had it."""
        entry = self._find(offset)
        if entry is None:
            if not member.may_have_had(offset):
                raise NotDelivered(offset)
            return None
        if (entry.holder is member and entry.sent) or member in entry.had:
            return entry
        raise NotDelivered(offset)

    def _place(self, record: Record) -> Member | None:
        """Make an entry of a frame and give it to a member."""
        before = self._history.pop(record.offset, None)
        lot = self._lot_of(record)
        entry = self._entries[record.offset] = Entry(record.offset, lot)
        if before is not None:
            entry.deliveries, entry.only, entry.reason = before.deliveries, before.only, before.reason
            self._note_tried(entry)
            if self._was_tried_enough(entry):
                self._give_up(entry)
                return None
        member = self._spread.choose(lot, self.members)
        self._give(entry, member)
        if member.parked or not member.has_room:
            member.park(record.offset)
            return None
        member.ready(record)
        return member

    def _offer_volatile(self, record: Record) -> Member | None:
        member = self._spread.choose(record.key, self.members)
        if not member.has_room:
            self.counts.missed_volatile += 1
            return None
        member.ready(record)
        return member

    def _give(self, entry: Entry, member: Member) -> None:
        entry.holder = member
        entry.generation += 1
        member.in_hand += 1
        self._spread.hold(entry.key, member)

    def _take_away(self, entry: Entry) -> None:
        member = entry.holder
        if member is None:
            return
        member.in_hand -= 1
        member.unpark(entry.offset)
        self._spread.release(entry.key, member)
        if entry.sent:
            entry.had = (*entry.had, member)
        entry.holder = None
        entry.sent = entry.in_order = False
        entry.generation += 1

    def _again(self, entry: Entry, *, reason: str) -> None:
        """At once, to whoever can."""
        self._take_away(entry)
        entry.reason = reason
        if self._was_tried_enough(entry):
            self._give_up(entry)
        else:
            self._retry.append(entry.offset)

    def _later(self, entry: Entry, delay_ms: int | None, now_s: float) -> None:
        """After a pause: the one that was asked for, or the backoff's."""
        if self._was_tried_enough(entry):
            self._give_up(entry)
            return
        self._take_away(entry)
        backoff = self.settings.backoff_ms
        if delay_ms is None:
            delay_ms = backoff[min(max(entry.deliveries, 1), len(backoff)) - 1] if backoff else 0
        if delay_ms:
            self._timers.set(entry, now_s + delay_ms / 1000)
        else:
            self._retry.append(entry.offset)

    def _was_tried_enough(self, entry: Entry) -> bool:
        return 0 < self.settings.deliveries_max <= entry.deliveries

    def _give_up(self, entry: Entry) -> None:
        self._take_away(entry)
        entry.dying = True
        self._dying.add(entry.offset)
        self.counts.given_up += 1
        self._graves.append(Grave(entry.offset, entry.deliveries, entry.only, entry.reason))

    def _settle(self, entry: Entry) -> None:
        self._take_away(entry)
        self._dying.discard(entry.offset)
        self._tried.pop(entry.offset, None)
        if entry.replay:
            del self._replays[entry.offset]
            return
        first = next(iter(self._entries))
        del self._entries[entry.offset]
        if entry.offset == first:
            self._rise()
        else:
            self._settled.add(entry.offset)

    def _rise(self) -> None:
        """Everything before the first entry, or before what is still to be read, is settled."""
        self._settled.rise(next(iter(self._entries), self.position))

    def _rewind(self) -> None:
        """Nobody is left: what is not settled is read from the log again when somebody comes."""
        for entry in self._entries.values():
            if not entry.dying and (entry.deliveries or entry.only):
                self._history[entry.offset] = entry.redelivery()
        self._entries.clear()
        self._tried.clear()
        self._retry.clear()
        self._timers.clear()
        for entry in self._replays.values():
            entry.holder, entry.sent, entry.in_order, entry.had = None, False, False, ()
            entry.generation += 1
            if not entry.dying:
                self._retry.append(entry.offset)
        self._spread.release_all()
        self.position = self._settled.floor
        self.behind = True

    def _add_replay(self, offset: int, state: Redelivery) -> None:
        self._replays[offset] = Entry(
            offset, "", deliveries=state.deliveries, only=state.only, reason=state.reason, replay=True
        )
        self._retry.append(offset)

    def _note_tried(self, entry: Entry) -> None:
        if not entry.replay:
            self._tried[entry.offset] = entry
