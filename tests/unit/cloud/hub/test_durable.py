"""A durable subscription with its clients: the hub's core and the SDK's ack tracker, in one process without a wire.

The machine lets frames come, links break, programs and the hub die, and acks cross deliveries on the way. What must
hold: nothing is settled that nobody has finished, everything is finished in the end, no key is with two members.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fieldline.client.acks import AckTracker, Nack, News
from fieldline_cloud.hub.core.durable import Durable
from fieldline_cloud.hub.core.entry import Bounds, NackOrder, NotDelivered
from fieldline_cloud.hub.core.marks import DurableMark, DurableSettings
from fieldline_cloud.hub.core.member import Member
from fieldline_cloud.hub.core.outgoing import Outgoing
from fieldline_cloud.hub.core.record import VOLATILE, Record
from fieldline_cloud.hub.core.window import Window

WANTED, OTHER = "wanted", "other"
BOUNDS = Bounds(pending_max=12, queue_frames_max=3, queue_bytes_max=1000)
PICK = st.integers(0, 1 << 16)


@dataclass
class ClientLife:
    """One program: its tracker, what its application has in hand, and its stream while there is one."""

    name: str
    tracker: AckTracker
    member: Member | None = None
    to_client: deque[Outgoing] = field(default_factory=deque)
    to_hub: deque[News] = field(default_factory=deque)
    in_hand: list[Outgoing] = field(default_factory=list)


class DurableMachine(RuleBasedStateMachine):
    group = False
    options: ClassVar[dict[str, Any]] = {}
    violence = True
    """Whether links break and programs and the hub die."""

    @initialize()
    def begin(self) -> None:
        self.now_s = 0.0
        self.log: list[Record] = []
        self.tail = 0
        self.settings = DurableSettings(filters=(WANTED,), group=self.group, **self.options)
        self.saved = DurableMark("d", 0)
        self.core = Durable(self.saved, self.settings, BOUNDS)
        names = ("a", "b", "c") if self.group else ("a",)
        self.clients = [ClientLife(name, AckTracker(group=self.group)) for name in names]
        self.finished: set[int] = set()
        self.buried: set[int] = set()
        self.handed: list[int] = []
        self.join(0)

    # The log.

    @rule(keys=st.lists(st.sampled_from(["", "", "k", "l", "m"]), min_size=1, max_size=6))
    def commit(self, keys: list[str]) -> None:
        for key in keys:
            offset = len(self.log)
            record = Record(offset, OTHER if offset % 4 == 3 else WANTED, bytes(4), key=key)
            self.log.append(record)
            self.tail = offset + 1
            if record.topic == WANTED and self.core.members:
                self.core.offer(record)

    # Clients and their links.

    @rule(which=PICK)
    def join(self, which: int) -> None:
        client = self.clients[which % len(self.clients)]
        if client.member is not None:
            return
        if not self.core.members:
            self.core.resume(self.settings, self.tail)
        window = Window(4, 1000)
        client.member = Member(
            client.name, window, queue_frames_max=BOUNDS.queue_frames_max, queue_bytes_max=BOUNDS.queue_bytes_max
        )
        client.tracker.begin_stream()
        self.core.join(client.member)

    @precondition(lambda self: self.violence)
    @rule(which=PICK, program_dies=st.booleans())
    def leave(self, which: int, program_dies: bool) -> None:
        client = self.clients[which % len(self.clients)]
        if client.member is not None:
            self.core.leave(client.member)
            self.unplug(client)
        if program_dies:
            client.tracker = AckTracker(group=self.group)
            client.in_hand.clear()

    @staticmethod
    def unplug(client: ClientLife) -> None:
        client.member = None
        client.to_client.clear()
        client.to_hub.clear()

    @precondition(lambda self: self.violence)
    @rule()
    def the_hub_dies(self) -> None:
        for client in self.clients:
            self.unplug(client)
        self.core = Durable(self.saved, self.settings, BOUNDS)

    @rule()
    def the_mark_is_written(self) -> None:
        mark = self.core.mark()
        assert mark.next_offset >= self.saved.next_offset, "a cursor moved back"
        self.saved = mark

    # What travels.

    @rule(which=PICK, bytes_max=st.integers(1, 20))
    def hub_sends(self, which: int, bytes_max: int) -> None:
        client = self.clients[which % len(self.clients)]
        if client.member is not None:
            sent = self.core.take(client.member, bytes_max=bytes_max, now_s=self.now_s, now_ms=0)
            client.to_client.extend(sent)

    @rule(which=PICK, count=st.integers(1, 4))
    def client_receives(self, which: int, count: int) -> None:
        client = self.clients[which % len(self.clients)]
        for _ in range(min(count, len(client.to_client))):
            outgoing = client.to_client.popleft()
            assert client.member is not None
            assert client.member.window.taken(1)
            if client.tracker.add(outgoing.record.offset):
                client.in_hand.append(outgoing)
                self.handed.append(outgoing.record.offset)

    @rule(which=PICK, item=PICK)
    def application_finishes(self, which: int, item: int) -> None:
        client = self.clients[which % len(self.clients)]
        if client.in_hand:
            offset = client.in_hand.pop(item % len(client.in_hand)).record.offset
            client.in_hand = [one for one in client.in_hand if one.record.offset != offset]
            self.finished.add(offset)
            client.tracker.done(offset)

    @rule(
        which=PICK, item=PICK, delay_s=st.sampled_from([None, 0.0, 3.0]), give_up=st.sampled_from([False, False, True])
    )
    def application_fails(self, which: int, item: int, delay_s: float | None, give_up: bool) -> None:
        client = self.clients[which % len(self.clients)]
        if client.in_hand and self.violence:
            offset = client.in_hand.pop(item % len(client.in_hand)).record.offset
            client.in_hand = [one for one in client.in_hand if one.record.offset != offset]
            client.tracker.nack(Nack(offset, delay_s, (0,), "no", give_up))

    @rule(which=PICK)
    def client_tells(self, which: int) -> None:
        client = self.clients[which % len(self.clients)]
        if client.member is not None:
            client.to_hub.append(client.tracker.collect())

    @rule(which=PICK)
    def hub_hears(self, which: int) -> None:
        client = self.clients[which % len(self.clients)]
        if client.member is None or not client.to_hub:
            return
        news = client.to_hub.popleft()
        for offset in news.done:
            self.core.done(client.member, offset)
        for nack in news.nacks:
            delay_ms = None if nack.delay_s is None else int(nack.delay_s * 1000)
            order = NackOrder(nack.offset, delay_ms, nack.messages, nack.reason, nack.give_up)
            self.core.nack(client.member, order, self.now_s)
        if news.up_to >= 0:
            self.core.ack(client.member, news.up_to)

    # What the hub does for it.

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0]), letters_fail=st.booleans())
    def pump(self, seconds: float, letters_fail: bool) -> None:
        self.now_s += seconds
        core = self.core
        if not core.members:
            return
        core.tick(self.now_s)
        for grave in core.graves():
            if letters_fail and self.violence:
                core.unbury(grave.offset)
                continue
            assert grave.offset < len(self.log)
            self.buried.add(grave.offset)
            core.is_buried(grave.offset)
        if offsets := core.to_fetch():
            core.fetched(offsets, [self.log[offset] for offset in offsets])
        elif core.wants_feed:
            start = core.position
            chunk = self.log[start : start + 5]
            core.feed([one for one in chunk if one.topic == WANTED], next_offset=start + len(chunk), tail=self.tail)
        core.catch_up(self.tail)

    # What must hold.

    @invariant()
    def nothing_is_settled_that_nobody_has_finished(self) -> None:
        if not hasattr(self, "core"):
            return
        for mark in (self.saved, self.core.mark()):
            settled = set(range(mark.next_offset))
            for begin, end in zip(mark.done[::2], mark.done[1::2], strict=True):
                settled |= set(range(begin, end))
            open_ones = {one.offset for one in self.log if one.topic == WANTED} - self.finished - self.buried
            assert not settled & open_ones

    @invariant()
    def no_key_is_with_two_members(self) -> None:
        if not hasattr(self, "core"):
            return
        holders: dict[str, Member] = {}
        for entry in self.core._entries.values():
            if entry.key and entry.holder is not None:
                assert holders.setdefault(entry.key, entry.holder) is entry.holder

    @invariant()
    def the_bounds_hold(self) -> None:
        if not hasattr(self, "core"):
            return
        assert self.core.pending <= BOUNDS.pending_max
        for member in self.core.members:
            held = [one for one in self.core._entries.values() if one.holder is member]
            assert member.in_hand == len(held)

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        for which in range(len(self.clients)):
            self.join(which)
        for _ in range(400):
            self.pump(5.0, False)
            for which in range(len(self.clients)):
                self.hub_sends(which, 1000)
                self.client_receives(which, 100)
                while self.clients[which].in_hand:
                    self.application_finishes(which, 0)
                self.client_tells(which)
                self.hub_hears(which)
            if self.core.next_offset == self.tail and not self.core.pending:
                break
        wanted = {one.offset for one in self.log if one.topic == WANTED}
        assert wanted <= self.finished | self.buried
        assert self.core.next_offset == self.tail
        assert not self.core._entries
        assert self.core.mark().done == ()
        if not self.violence and not self.options:
            assert sorted(self.handed) == sorted(wanted), "handed out twice, and nothing had gone wrong"
            if not self.group:
                assert self.handed == sorted(wanted), "out of order"


class PeacefulMachine(DurableMachine):
    violence = False


class GroupMachine(DurableMachine):
    group = True


class PeacefulGroupMachine(DurableMachine):
    group = True
    violence = False


class ImpatientMachine(DurableMachine):
    options: ClassVar[dict[str, Any]] = {"ack_wait_ms": 2_000, "deliveries_max": 3, "backoff_ms": (100, 1_000)}


class ImpatientGroupMachine(ImpatientMachine):
    group = True


@pytest.mark.parametrize(
    "machine",
    [DurableMachine, PeacefulMachine, GroupMachine, PeacefulGroupMachine, ImpatientMachine, ImpatientGroupMachine],
)
def test_whatever_happens(machine: type[DurableMachine]) -> None:
    case = machine.TestCase
    case.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
    case().runTest()


# Single claims.


def durable(**options: Any) -> Durable:
    group = options.pop("group", True)
    core = Durable(DurableMark("d", 0), DurableSettings(filters=("t",), group=group, **options), BOUNDS)
    core.resume(core.settings, 0)
    return core


def member(core: Durable, name: str = "m", *, window: int = 100) -> Member:
    one = Member(name, Window(window, 1 << 20), queue_frames_max=3, queue_bytes_max=1 << 20)
    core.join(one)
    return one


def offer(core: Durable, *offsets: int, key: str = "") -> None:
    for offset in offsets:
        core.offer(Record(offset, "t", bytes(4), key=key))


def take(core: Durable, one: Member, now_s: float = 0.0) -> list[Outgoing]:
    return core.take(one, bytes_max=1 << 20, now_s=now_s, now_ms=1_000)


def offsets(sent: list[Outgoing]) -> list[int]:
    return [one.record.offset for one in sent]


def fetch(core: Durable) -> list[int]:
    wanted = core.to_fetch()
    core.fetched(wanted, [Record(offset, "t", bytes(4)) for offset in wanted])
    return wanted


def test_frames_without_a_key_go_to_whoever_has_least_in_hand() -> None:
    core = durable()
    members = [member(core, name) for name in "abc"]
    offer(core, *range(6))
    assert [one.in_hand for one in members] == [2, 2, 2]


def test_a_key_stays_where_it_is_in_hand_and_moves_when_it_is_not() -> None:
    core = durable()
    first = member(core, "a")
    for offset in range(3):
        offer(core, offset, key=f"k{offset}")
    others = [member(core, name) for name in "bcdefgh"]
    take(core, first)
    for offset in range(3, 6):
        offer(core, offset, key=f"k{offset - 3}")
    assert first.in_hand == 6, "all three keys are with it"
    core.ack(first, 2)
    take(core, first)
    core.ack(first, 5)
    offer(core, *range(6, 12), key="k0")
    homes = [one for one in (first, *others) if one.in_hand]
    assert len(homes) == 1
    again = durable()
    names = [member(again, name) for name in "abcdefgh"]
    offer(again, *range(3), key="k0")
    assert [one.client for one in names if one.in_hand] == [one.client for one in homes], "the same in every life"


def test_keys_spread_over_the_members() -> None:
    core = Durable(DurableMark("d", 0), DurableSettings(filters=("t",), group=True), Bounds(10_000, 10_000, 1 << 20))
    core.resume(core.settings, 0)
    members = [Member(name, Window(1, 1), queue_frames_max=10_000, queue_bytes_max=1 << 20) for name in "abcd"]
    for one in members:
        core.join(one)
    for offset in range(2_000):
        offer(core, offset, key=f"key-{offset}")
    assert all(400 < one.in_hand < 600 for one in members), [one.in_hand for one in members]


def test_what_a_member_has_no_room_for_is_fetched_later_and_in_order() -> None:
    core = durable()
    slow, quick = member(core, "slow", window=1), member(core, "quick")
    offer(core, 0, key="k")
    home = slow if slow.in_hand else quick
    home.window = Window(1, 1 << 20)
    offer(core, *range(1, 8), key="k")
    assert (home.in_hand, home.queued, list(home.parked)) == (8, 3, [3, 4, 5, 6, 7])
    assert offsets(take(core, home)) == [0]
    assert fetch(core) == [], "its window is shut"
    seen = []
    for _ in range(7):
        assert home.window.taken(1)
        fetch(core)
        seen += offsets(take(core, home))
    assert seen == list(range(1, 8))


def test_an_ack_covers_what_came_in_order_and_nothing_that_came_again() -> None:
    core = durable(group=False)
    one = member(core)
    offer(core, 0, 1, 2)
    take(core, one)
    assert core.nack(one, NackOrder(0), 0.0)
    assert fetch(core) == [0]
    assert [(each.record.offset, each.deliveries) for each in take(core, one)] == [(0, 2)]
    assert core.ack(one, 2) == [1, 2]
    assert core.next_offset == 0
    assert core.done(one, 0)
    assert core.next_offset == 3
    assert not core.done(one, 0), "saying it twice is no news"


def test_settling_what_was_never_delivered_is_noticed() -> None:
    core = durable()
    one, other = member(core, "a"), member(core, "b")
    offer(core, 0, 1)
    holder = one if offsets(take(core, one)) == [0] else other
    with pytest.raises(NotDelivered):
        core.ack(one, 9)
    with pytest.raises(NotDelivered):
        core.done(one, 1)
    with pytest.raises(NotDelivered):
        core.nack(other, NackOrder(0), 0.0)
    assert holder is one
    assert core.pending == 2


def test_the_ack_wait_gives_a_frame_to_another_and_believes_who_was_too_late() -> None:
    core = durable(ack_wait_ms=1_000)
    first, second = member(core, "a"), member(core, "b")
    offer(core, 0)
    assert offsets(take(core, first)) == [0]
    core.in_progress(first, 0, now_s=0.9)
    core.tick(1.5)
    assert core.to_fetch() == [], "it said that it takes longer"
    assert core.next_due_s == 1.9
    first.window = Window(0, 0)
    core.tick(2.0)
    assert fetch(core) == [0]
    sent = take(core, second, 2.0)
    assert [(each.record.offset, each.deliveries) for each in sent] == [(0, 2)]
    assert core.done(first, 0)
    assert core.pending == 0
    assert core.counts.redelivered == 1


def test_only_the_messages_that_failed_come_again_after_the_backoff_and_are_given_up_at_last() -> None:
    core = durable(deliveries_max=3, backoff_ms=(100, 1_000))
    one = member(core)
    offer(core, 0)
    take(core, one)
    core.nack(one, NackOrder(0, messages=(1, 4), reason="first"), now_s=0.0)
    assert core.to_fetch() == []
    assert core.next_due_s == 0.1
    core.tick(0.1)
    fetch(core)
    assert [(each.deliveries, each.only) for each in take(core, one, 0.1)] == [(2, (1, 4))]
    core.nack(one, NackOrder(0, messages=(4,), reason="second"), now_s=0.2)
    assert core.next_due_s == pytest.approx(1.2)
    core.tick(1.3)
    fetch(core)
    take(core, one, 1.3)
    assert core.mark().redeliveries[0].deliveries == 3
    core.nack(one, NackOrder(0), now_s=1.4)
    assert core.next_offset == 0, "not settled before its dead letter is in the log"
    (grave,) = core.graves()
    assert (grave.deliveries, grave.messages, grave.reason) == (3, (4,), "second")
    core.is_buried(0)
    assert core.next_offset == 1
    assert core.graves() == []


def test_a_replayed_dead_letter_is_delivered_to_this_durable_and_does_not_move_the_cursor() -> None:
    core = durable()
    one = member(core)
    offer(core, 0, 1)
    take(core, one)
    core.ack(one, 1)
    core.replay(77, (2,))
    saved = core.mark()
    assert [(each.offset, each.replay) for each in saved.redeliveries] == [(77, True)]
    for each in (core, Durable(saved, core.settings, BOUNDS)):
        if each is not core:
            each.resume(core.settings, 2)
            one = member(each)
        assert fetch(each) == [77]
        assert [(sent.record.offset, sent.only) for sent in take(each, one)] == [(77, (2,))]
        assert each.done(one, 77)
        assert (each.next_offset, each.pending, each.mark().redeliveries) == (2, 0, ())


def test_expired_frames_are_settled_and_not_sent() -> None:
    core = durable()
    one = member(core)
    core.offer(Record(0, "t", b"", expires_ms=1_000))
    core.offer(Record(1, "t", b"", expires_ms=1_001))
    assert offsets(take(core, one)) == [1]
    assert core.next_offset == 1
    assert core.counts.expired == 1


def test_a_volatile_frame_goes_to_one_member_and_is_nobody_s_to_settle() -> None:
    core = durable()
    members = [member(core, name) for name in "ab"]
    core.offer(Record(VOLATILE, "t", b""))
    assert sorted(len(take(core, one)) for one in members) == [0, 1]
    assert core.pending == 0


def test_frames_that_retention_took_count_as_settled() -> None:
    core = durable(group=False)
    one = member(core)
    offer(core, 0)
    take(core, one)
    core.nack(one, NackOrder(0), 0.0)
    wanted = core.to_fetch()
    core.fetched(wanted, [])
    assert (core.pending, core.next_offset, core.counts.trimmed) == (0, 1, 1)
