"""What one subscriber is sent: nothing twice, nothing out of order, nothing lost or, if it is lossy, counted."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fieldline_cloud.hub.core.outlet import Outlet
from fieldline_cloud.hub.core.record import VOLATILE, Record
from fieldline_cloud.hub.core.window import Window

QUEUE_FRAMES, QUEUE_BYTES, WINDOW_FRAMES, WINDOW_BYTES = 5, 40, 4, 30
WANTED, OTHER = "wanted", "other"
NOW_MS = 1_000


def outlet(**given: Any) -> Outlet:
    usual = {
        "position": 0,
        "tail": 0,
        "lossy": False,
        "queue_frames_max": QUEUE_FRAMES,
        "queue_bytes_max": QUEUE_BYTES,
    }
    window = Window(given.pop("window_frames", WINDOW_FRAMES), given.pop("window_bytes", WINDOW_BYTES))
    return Outlet(**{**usual, **given}, window=window)


def record(offset: int, size: int = 4, topic: str = WANTED) -> Record:
    return Record(offset, topic, bytes(size))


class OutletMachine(RuleBasedStateMachine):
    """A log that grows and is dispatched, a shell that feeds and sends, a subscriber that takes now and then."""

    lossy = False

    @initialize(history=st.integers(0, 12), start=st.integers(0, 12))
    def open(self, history: int, start: int) -> None:
        self.log: list[Record] = []
        self.dispatched = 0  # what of the log has been offered; the rest is committed only
        self._append(history, [4])
        self.dispatched = history
        self.start = min(start, history)
        self.outlet = outlet(position=self.start, tail=history, lossy=self.lossy)
        self.sent: list[Record] = []
        self.gaps: dict[int, int] = {}
        self.with_subscriber: list[int] = []

    def _append(self, count: int, sizes: list[int]) -> None:
        for n in range(count):
            topic = OTHER if len(self.log) % 5 == 3 else WANTED
            self.log.append(record(len(self.log), sizes[n % len(sizes)], topic))

    @rule(count=st.integers(1, 8), sizes=st.lists(st.integers(1, 25), min_size=1, max_size=4))
    def commit(self, count: int, sizes: list[int]) -> None:
        self._append(count, sizes)

    @rule(count=st.integers(1, 8))
    def dispatch(self, count: int) -> None:
        for one in self.log[self.dispatched : self.dispatched + count]:
            self.dispatched += 1
            if one.topic == WANTED:
                self.outlet.offer(one)

    @precondition(lambda self: self.outlet.wants_feed)
    @rule(count=st.integers(1, 10), meanwhile=st.integers(0, 3))
    def feed(self, count: int, meanwhile: int) -> None:
        """The log is read, and something more is dispatched before what was read arrives."""
        start = self.outlet.position
        chunk = self.log[start : start + count]
        self.dispatch(meanwhile)
        found = [one for one in chunk if one.topic == WANTED]
        self.outlet.feed(found, next_offset=start + len(chunk), tail=self.dispatched)

    @rule(bytes_max=st.integers(1, 60))
    def send(self, bytes_max: int) -> None:
        could = self.outlet.can_send
        outgoing = self.outlet.take(bytes_max=bytes_max, now_ms=NOW_MS)
        taken = [one.record for one in outgoing]
        assert bool(taken) == could
        assert sum(len(one.delivery) for one in taken[:-1]) < bytes_max
        for one in outgoing:
            if one.missed_frames:
                self.gaps[one.record.offset] = one.missed_frames
        self.sent += taken
        self.with_subscriber += [len(one.delivery) for one in taken]

    @precondition(lambda self: self.with_subscriber)
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        frames = data.draw(st.integers(1, len(self.with_subscriber)))
        assert self.outlet.window.taken(frames)
        del self.with_subscriber[:frames]

    @rule(more=st.integers(1, 1 << 32))
    def a_subscriber_cannot_take_what_it_does_not_have(self, more: int) -> None:
        assert not self.outlet.window.taken(len(self.with_subscriber) + more)

    @invariant()
    def the_bounds_hold(self) -> None:
        if hasattr(self, "outlet"):
            assert len(self.with_subscriber) <= WINDOW_FRAMES
            assert sum(self.with_subscriber[:-1]) < WINDOW_BYTES
            assert self.outlet.queued_bytes >= 0

    @invariant()
    def everything_wanted_was_sent_in_order_or_counted_as_missed(self) -> None:
        if not hasattr(self, "outlet") or not self.sent:
            return
        offsets = [one.offset for one in self.sent]
        assert offsets == sorted(set(offsets))
        assert self.outlet.delivered_to == offsets[-1]
        wanted = [one.offset for one in self.log[self.start : offsets[-1] + 1] if one.topic == WANTED]
        missing = 0
        for offset in wanted:
            if offset in offsets:
                assert self.gaps.get(offset, 0) == missing, "a gap must be told by the very frame behind it"
                missing = 0
            else:
                missing += 1
        assert self.lossy or offsets == wanted

    def teardown(self) -> None:
        if not hasattr(self, "outlet"):
            return
        self.dispatch(len(self.log))
        while self.outlet.can_send or self.outlet.wants_feed or self.with_subscriber:
            if self.with_subscriber:
                assert self.outlet.window.taken(len(self.with_subscriber))
                self.with_subscriber.clear()
            self.send(1000)
            if self.outlet.wants_feed:
                self.feed(5, 0)
        assert (len(self.outlet), self.outlet.queued_bytes, self.outlet.behind) == (0, 0, False)
        wanted = [one for one in self.log[self.start :] if one.topic == WANTED]
        assert len(self.sent) + self.outlet.missed_total == len(wanted)
        if not self.lossy:
            assert self.sent == wanted
            assert self.outlet.missed_total == 0
        self.everything_wanted_was_sent_in_order_or_counted_as_missed()


class LossyOutletMachine(OutletMachine):
    lossy = True


TestOutlet = OutletMachine.TestCase
TestOutlet.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLossyOutlet = LossyOutletMachine.TestCase
TestLossyOutlet.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_without_a_window_nothing_is_sent_and_nothing_read() -> None:
    for window in ({"window_frames": 0}, {"window_bytes": 0}):
        shut = outlet(position=0, tail=5, **window)
        assert not shut.wants_feed
        shut = outlet(**window)
        assert shut.offer(record(0))
        assert not shut.can_send
        assert shut.take(bytes_max=1000, now_ms=NOW_MS) == []


def test_a_frame_greater_than_the_window_goes_alone() -> None:
    one = outlet()
    assert one.offer(record(0, WINDOW_BYTES * 2))
    assert [each.record.offset for each in one.take(bytes_max=1000, now_ms=NOW_MS)] == [0]
    assert one.offer(record(1, WINDOW_BYTES * 2))
    assert not one.can_send
    assert one.window.taken(1)
    assert [each.record.offset for each in one.take(bytes_max=1000, now_ms=NOW_MS)] == [1]


def test_what_has_expired_is_not_sent_and_costs_no_window() -> None:
    one = outlet()
    for offset, expires_ms in enumerate((NOW_MS, NOW_MS + 1, 0, NOW_MS - 500)):
        assert one.offer(Record(offset, WANTED, bytes(4), expires_ms=expires_ms))
    assert [each.record.offset for each in one.take(bytes_max=1000, now_ms=NOW_MS)] == [1, 2]
    assert one.expired_total == 2
    assert one.window.taken(2)
    assert not one.window.taken(1)


def test_volatile_frames_are_sent_in_between_and_lost_at_the_bound() -> None:
    one = outlet(window_frames=100, window_bytes=1000)
    assert one.offer(record(0))
    assert one.offer(record(VOLATILE))
    for _ in range(QUEUE_FRAMES):
        one.offer(record(VOLATILE))
    assert one.missed_total == 2
    assert [each.record.offset for each in one.take(bytes_max=1000, now_ms=NOW_MS)] == [0, *[VOLATILE] * 4]
    assert (one.position, one.delivered_to, one.behind) == (1, 0, False)
    assert one.offer(record(1))
    assert [(each.record.offset, each.missed_frames) for each in one.take(bytes_max=1000, now_ms=NOW_MS)] == [(1, 2)]


def test_last_values_come_first_and_name_the_last_message() -> None:
    one = outlet(position=9, tail=9)
    one.begin_with([Record(3, "a", bytes(4), messages=7), Record(5, "b", bytes(4), messages=1)])
    assert one.offer(record(9))
    sent = one.take(bytes_max=1000, now_ms=NOW_MS)
    assert [(each.record.offset, each.only, each.last_value) for each in sent] == [
        (3, (6,), True),
        (5, (), True),
        (9, (), False),
    ]
    assert not sent[0].is_plain
