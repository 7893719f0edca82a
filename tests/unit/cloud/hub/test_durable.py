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
from fieldline_cloud.hub.core.entry import Bounds, NackOrder
from fieldline_cloud.hub.core.marks import DurableMark, DurableSettings
from fieldline_cloud.hub.core.member import Member
from fieldline_cloud.hub.core.outgoing import Outgoing
from fieldline_cloud.hub.core.record import Record
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
