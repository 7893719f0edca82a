"""The queue of volatile messages: in order, at most once, never more than its bounds, every drop counted."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fieldline.client.coalescing import Coalescing
from fieldline.client.volatile import VolatileQueue
from fieldline.errors import BadTopic, LimitError
from fieldline.limits import VOLATILE_QUEUE_BYTES_MAX
from fieldline.wire.frames import open_messages, parse_frame

BYTES_MAX = 200


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.queue = VolatileQueue(
            Coalescing(messages_max=3, bytes_max=60), now=lambda: (self.now_s, 7), bytes_max=BYTES_MAX
        )
        self.added = 0
        self.opened_s: dict[int, float] = {}
        self.sent: list[int] = []
        self.is_up = False
        self.up_s = 0.0

    @rule(topic=st.sampled_from("ab"), size=st.integers(0, 40), ttl_ms=st.sampled_from([0, 9]), receipt=st.booleans())
    def publish(self, topic: str, size: int, ttl_ms: int, receipt: bool) -> None:
        content = b"%d,%s" % (self.added, b"." * size)
        self.queue.add(topic, "", content, {"h": "1"}, ttl_ms=ttl_ms, receipt=receipt)
        self.opened_s[self.added] = self.now_s
        self.added += 1

    @rule(frames_max=st.integers(0, 5), bytes_max=st.integers(1, 200))
    def send(self, frames_max: int, bytes_max: int) -> None:
        if not self.is_up:
            return
        last: dict[str, int] = {}
        for data in self.queue.take(frames_max=frames_max, bytes_max=bytes_max):
            frame = parse_frame(data)
            assert frame.sequence == 0
            contents, headers = open_messages(frame)
            assert len(contents) <= 3
            assert all(headers[index] == {"h": "1"} for index in range(len(contents)))
            for content in contents:
                number = int(content.partition(b",")[0])
                assert number > last.get(frame.topic, -1)
                last[frame.topic] = number
                assert self.up_s - self.opened_s[number] <= 2.0
                self.sent.append(number)

    @rule(up=st.booleans())
    def link(self, up: bool) -> None:
        if up and not self.is_up:
            self.up_s = self.now_s
        self.is_up = up
        self.queue.link_is(up=up, now_s=self.now_s)

    @rule(seconds=st.floats(0, 1.5))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @invariant()
    def nothing_is_sent_twice_and_every_drop_is_counted(self) -> None:
        assert len(self.sent) == len(set(self.sent))
        waiting = sum(len(batch.contents) for batch in self.queue._queue)
        assert self.added == len(self.sent) + self.queue.dropped + waiting

    @invariant()
    def the_bound_holds(self) -> None:
        assert self.queue.bytes_waiting <= BYTES_MAX
        assert (self.queue.bytes_waiting == 0) == (len(self.queue) == 0)


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_while_the_link_is_down_the_newest_four_mib_of_two_seconds_are_kept() -> None:
    now_s = 0.0
    queue = VolatileQueue(Coalescing(), now=lambda: (now_s, 7))
    for _ in range(600):
        queue.add("t", "", bytes(10_000))
    assert VOLATILE_QUEUE_BYTES_MAX - 300_000 < queue.bytes_waiting <= VOLATILE_QUEUE_BYTES_MAX
    dropped = queue.dropped
    assert dropped > 150
    queue.drop_late(2.5)
    assert (queue.dropped, len(queue), queue.bytes_waiting) == (600, 0, 0)


def test_while_the_link_is_up_nothing_is_too_late() -> None:
    now_s = 0.0
    queue = VolatileQueue(Coalescing(), now=lambda: (now_s, 7))
    queue.link_is(up=True, now_s=0.0)
    queue.add("t", "", b"x")
    queue.drop_late(60.0)
    queue.link_is(up=False, now_s=60.0)
    assert (len(queue), queue.dropped) == (1, 0)
    queue.drop_late(60.0)
    assert (len(queue), queue.dropped) == (0, 1)


def test_what_no_hub_would_take_leaves_nothing() -> None:
    queue = VolatileQueue(Coalescing(), now=lambda: (0.0, 7))
    with pytest.raises(BadTopic):
        queue.add("a/#", "", b"x")
    with pytest.raises(LimitError):
        queue.add("a", "k" * 256, b"x")
    assert len(queue) == queue.dropped == 0


def test_an_inbox_takes_volatile_messages() -> None:
    queue = VolatileQueue(Coalescing(), now=lambda: (0.0, 7))
    queue.add("$inbox/agent/1", "", b"x")
    (data,) = queue.take(frames_max=9, bytes_max=9)
    assert parse_frame(data).topic == "$inbox/agent/1"
