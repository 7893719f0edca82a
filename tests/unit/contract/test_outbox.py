"""The outbox against a hub that loses streams, acks and itself: every message once, in order, within bounds."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fieldline.client.batch import message_bytes
from fieldline.client.coalescing import Coalescing, ttl_to_ms
from fieldline.client.outbox import Outbox
from fieldline.errors import BadTopic, LimitError
from fieldline.limits import FRAME_BYTES_MAX
from fieldline.model import Reading
from fieldline.wire.frames import ENCODING_READINGS, check_frame, close_messages, open_messages, parse_frame
from fieldline.wire.readings import encode_readings

PLACES = [("a", ""), ("a", "k"), ("b/c", "")]


class Clock:
    """Set by hand; counts how often it is asked."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.asked = 0

    def __call__(self) -> tuple[float, int]:
        self.asked += 1
        return self.now_s, 7


def outbox_of(coalescing: Coalescing, clock: Clock | None = None) -> Outbox:
    return Outbox(coalescing, now=clock or Clock())


def add(outbox: Outbox, content: bytes, place: tuple[str, str] = ("a", ""), **given: Any) -> Any:
    return outbox.add(*place, content, **given)


def take(outbox: Outbox, after: int = 0, now_s: float = 0.0) -> list[tuple[int, bytes]]:
    return outbox.take(after, now_s=now_s, frames_max=100, bytes_max=1 << 20)


def contents(data: bytes) -> list[bytes]:
    frame = parse_frame(data)
    check_frame(frame)
    return [frame.body] if frame.encoding == ENCODING_READINGS else list(open_messages(frame)[0])


class OutboxMachine(RuleBasedStateMachine):
    """A publisher, its outbox, a stream that may break at any time, and a hub that stores each sequence once."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.outbox = outbox_of(
            Coalescing(
                linger_ms=10,
                messages_max=4,
                bytes_max=60,
                buffer_bytes_max=300,
                buffer_messages_max=20,
                compress_from_bytes=40,
            ),
            self.clock,
        )
        self.numbers = itertools.count()
        self.added: dict[tuple[str, str], list[bytes]] = {place: [] for place in PLACES}
        self.frames: dict[int, bytes] = {}  # every frame that was ever given out
        self.stored = 0  # up to here the hub has everything
        self.sent = 0  # up to here this stream has been given
        self.waiters: list[object] = []
        self.told: list[object] = []

    @rule(
        place=st.sampled_from(PLACES),
        size=st.integers(0, 50),
        waits=st.booleans(),
        headed=st.booleans(),
        ttl_ms=st.sampled_from([0, 0, 5000]),
        receipt=st.booleans(),
    )
    def publish(self, place: tuple[str, str], size: int, waits: bool, headed: bool, ttl_ms: int, receipt: bool) -> None:
        if not self.outbox.has_room:
            return
        content = b"%d," % next(self.numbers) + b"." * size
        headers = {"h": "1"} if headed else None
        batch = add(self.outbox, content, place, headers=headers, ttl_ms=ttl_ms, receipt=receipt)
        assert (batch.ttl_ms, batch.receipt > 0) == (ttl_ms, receipt)
        self.added[place].append(content)
        if waits:
            self.waiters.append(waiter := object())
            batch.waiters.append(waiter)

    @rule(place=st.sampled_from(PLACES), size=st.integers(0, 50))
    def publish_readings(self, place: tuple[str, str], size: int) -> None:
        if not self.outbox.has_room:
            return
        body = b"%d;" % next(self.numbers) + b"." * size
        assert self.outbox.add_readings(*place, body, 1).sealed
        self.added[place].append(body)

    @rule(frames_max=st.integers(1, 5), bytes_max=st.integers(1, 400))
    def send(self, frames_max: int, bytes_max: int) -> None:
        taken = self.outbox.take(self.sent, now_s=self.clock.now_s, frames_max=frames_max, bytes_max=bytes_max)
        assert len(taken) <= frames_max
        assert sum(len(data) for _, data in taken[:-1]) < bytes_max
        for sequence, data in taken:
            assert sequence == self.sent + 1
            assert self.frames.setdefault(sequence, data) == data  # sent again, it is the very same frame
            self.sent = sequence

    @precondition(lambda self: self.sent > self.stored)
    @rule(data=st.data())
    def store(self, data: st.DataObject) -> None:
        """The hub stores some of what was sent, and the ack arrives."""
        self.stored = data.draw(st.integers(self.stored + 1, self.sent))
        self.told += self.outbox.acknowledged(self.stored)

    @rule(data=st.data())
    def reconnect(self, data: st.DataObject) -> None:
        """The stream breaks; some of what was sent may have been stored without its ack arriving."""
        self.stored = data.draw(st.integers(self.stored, max(self.stored, self.sent)))
        self.told += self.outbox.acknowledged(self.stored)
        self.sent = self.stored

    @rule()
    def reconnect_to_a_hub_that_lost_its_log(self) -> None:
        """It says 0, and is given what was not acknowledged: it lets an unknown producer begin anywhere."""
        self.outbox.acknowledged(0)
        taken = take(self.outbox, 0, self.clock.now_s - 1.0)
        assert [sequence for sequence, _ in taken] == list(range(self.stored + 1, self.stored + 1 + len(taken)))
        assert all(self.frames.setdefault(sequence, data) == data for sequence, data in taken)
        self.sent = self.stored + len(taken)

    @rule(seconds=st.floats(0, 0.02))
    def time_passes(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule()
    def flush(self) -> None:
        self.outbox.seal_all()
        assert self.outbox.is_empty or self.outbox.due_in_s(self.clock.now_s) in (0.0, None)

    @invariant()
    def the_bound_holds(self) -> None:
        assert 0 <= self.outbox.bytes_waiting < 300 + 120
        assert 0 <= self.outbox.messages_waiting <= 20
        assert self.outbox.acked_sequence == self.stored
        assert self.outbox.is_empty == (self.outbox.bytes_waiting == 0)

    @invariant()
    def what_is_due_can_be_taken(self) -> None:
        due_s = self.outbox.due_in_s(self.clock.now_s)
        assert due_s is None or 0 <= due_s <= 0.010001

    def teardown(self) -> None:
        self.flush()
        self.sent = self.stored
        while taken := take(self.outbox, self.sent, self.clock.now_s):
            self.frames.update(taken)
            self.sent = taken[-1][0]
        self.told += self.outbox.acknowledged(self.sent)
        assert self.outbox.is_empty
        assert self.outbox.last_batch is None
        assert sorted(self.frames) == list(range(1, len(self.frames) + 1))
        found: dict[tuple[str, str], list[bytes]] = {place: [] for place in PLACES}
        for sequence in sorted(self.frames):
            frame = parse_frame(self.frames[sequence])
            found[frame.topic, frame.key] += contents(self.frames[sequence])
        assert found == self.added
        assert len(self.told) == len(set(map(id, self.told)))
        assert set(map(id, self.told)) == set(map(id, self.waiters))


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_without_linger_what_waits_is_one_frame() -> None:
    outbox = outbox_of(Coalescing())
    for n in range(5):
        add(outbox, b"%d" % n)
    assert outbox.due_in_s(0.0) == 0.0
    ((sequence, data),) = take(outbox)
    assert (sequence, contents(data)) == (1, [b"0", b"1", b"2", b"3", b"4"])
    assert outbox.due_in_s(0.0) is None


def test_a_linger_holds_messages_back_until_it_is_over() -> None:
    clock = Clock()
    clock.now_s = 1.0
    outbox = outbox_of(Coalescing(linger_ms=10), clock)
    add(outbox, b"x")
    assert take(outbox, now_s=1.005) == []
    assert outbox.due_in_s(1.005) == pytest.approx(0.005)
    assert len(take(outbox, now_s=1.0101)) == 1


def test_readings_are_a_frame_of_their_own_behind_what_waited_before() -> None:
    outbox = outbox_of(Coalescing(linger_ms=1e6))
    body = encode_readings([Reading("t", 1, 20.5), Reading("t", 2, 20.6)])
    add(outbox, b"before")
    outbox.add_readings("a", "", body, 2)
    assert outbox.messages_waiting == 3
    assert [contents(data) for _, data in take(outbox)] == [[b"before"], [body]]
    assert (parse_frame(take(outbox)[1][1]).count, outbox.messages_waiting) == (2, 3)
    outbox.acknowledged(2)
    assert (outbox.messages_waiting, outbox.bytes_waiting) == (0, 0)


def test_a_full_batch_does_not_wait_for_its_linger() -> None:
    outbox = outbox_of(Coalescing(linger_ms=1e6, messages_max=2))
    add(outbox, b"1")
    assert add(outbox, b"2").sealed
    add(outbox, b"3")
    assert [contents(data) for _, data in take(outbox)] == [[b"1", b"2"]]


def test_the_greatest_message_fits_a_frame_and_one_byte_more_is_refused() -> None:
    outbox = outbox_of(Coalescing(bytes_max=1))
    topic, key = "t" * 255, "k" * 255
    greatest = FRAME_BYTES_MAX - 1024 - 6
    headers = {"h" * 9: "v" * 9}
    add(outbox, bytes(greatest), (topic, key))
    add(outbox, bytes(greatest - message_bytes(b"", headers) + 6), (topic, key), headers=headers)
    assert [len(contents(data)) for _, data in take(outbox)] == [1, 1]
    outbox.acknowledged(2)
    with pytest.raises(LimitError, match="split it"):
        add(outbox, bytes(greatest + 1), (topic, key))
    assert outbox.is_empty


@given(
    st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=8),
    st.lists(st.binary(max_size=30), min_size=1, max_size=40),
)
def test_no_batch_grows_over_a_frame_by_its_headers(headers: dict[str, str], messages: list[bytes]) -> None:
    outbox = outbox_of(Coalescing(bytes_max=500))
    for message in messages:
        add(outbox, message, headers=headers)
    outbox.seal_all()
    for _, data in outbox.take(0, now_s=0, frames_max=1000, bytes_max=1 << 30):
        frame = parse_frame(data)
        found, with_headers = open_messages(frame)
        assert len(data) <= 1024 + max(500, message_bytes(bytes(30), headers))
        if headers:
            assert all(with_headers[index] == headers for index in range(len(found)))


@given(
    st.lists(
        st.tuples(st.binary(max_size=300), st.dictionaries(st.text(max_size=200), st.text(max_size=200), max_size=20)),
        max_size=20,
    )
)
def test_a_body_is_never_larger_than_its_messages_were_taken_for(messages: list[tuple[bytes, dict[str, str]]]) -> None:
    sizes = [message_bytes(content, headers) for content, headers in messages]
    headers = {index: headers for index, (_, headers) in enumerate(messages) if headers}
    _, body = close_messages([content for content, _ in messages], headers, compress_from_bytes=None)
    assert len(body) <= sum(sizes)


@pytest.mark.parametrize(
    ("topic", "key", "headers", "error"),
    [
        ("a/#", "", None, BadTopic),
        ("", "", None, BadTopic),
        ("\ud800", "", None, BadTopic),
        ("a", "k" * 256, None, LimitError),
        ("a", "\ud800", None, LimitError),
        ("a", "", {"\ud800": "x"}, LimitError),
        ("a", "", {"h": "v" * 5000}, LimitError),
        ("a", "", {str(n): "" for n in range(65)}, LimitError),
    ],
)
def test_what_no_hub_would_take_is_refused_and_leaves_nothing(
    topic: str, key: str, headers: dict[str, str] | None, error: type[Exception]
) -> None:
    outbox = outbox_of(Coalescing())
    with pytest.raises(error):
        add(outbox, b"x", (topic, key), headers=headers)
    assert outbox.is_empty
    assert outbox.bytes_waiting == 0


def test_abandoning_gives_back_every_waiter() -> None:
    outbox = outbox_of(Coalescing(messages_max=2, linger_ms=5))
    waiters = [object() for _ in range(5)]
    for n, waiter in enumerate(waiters):
        add(outbox, b"%d" % n).waiters.append(waiter)
    outbox.take(0, now_s=0, frames_max=1, bytes_max=1)
    assert outbox.abandon() == waiters
    assert outbox.is_empty
    assert outbox.bytes_waiting == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages_max": 0},
        {"messages_max": 65_537},
        {"bytes_max": 0},
        {"bytes_max": FRAME_BYTES_MAX},
        {"buffer_bytes_max": 1},
        {"linger_ms": -1.0},
        {"linger_ms": float("nan")},
        {"buffer_messages_max": 0},
        {"in_flight_bytes_max": 0},
        {"in_flight_frames_max": 0},
    ],
)
def test_settings_under_which_nothing_could_be_sent_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(LimitError):
        Coalescing(**wrong)


def test_the_clock_is_asked_once_for_a_batch() -> None:
    clock = Clock()
    outbox = outbox_of(Coalescing(messages_max=10), clock)
    for n in range(25):
        add(outbox, b"%d" % n)
    assert clock.asked == 3


def test_another_time_to_live_or_a_receipt_begins_a_frame_and_order_holds() -> None:
    outbox = outbox_of(Coalescing())
    for n, (ttl_ms, receipt) in enumerate([(0, 0), (0, 0), (5, 0), (5, 0), (0, 0), (0, 1), (0, 1), (0, 0)]):
        add(outbox, b"%d" % n, ttl_ms=ttl_ms, receipt=bool(receipt))
    frames = [parse_frame(data) for _, data in take(outbox)]
    assert [contents(frame.SerializeToString()) for frame in frames] == [
        [b"0", b"1"],
        [b"2", b"3"],
        [b"4"],
        [b"5", b"6"],
        [b"7"],
    ]
    assert [frame.ttl_ms for frame in frames] == [0, 5, 0, 0, 0]
    assert [frame.receipt for frame in frames] == [0, 0, 0, 1, 0]


def test_there_is_room_until_either_bound_is_reached() -> None:
    outbox = outbox_of(Coalescing(bytes_max=100, buffer_bytes_max=100, buffer_messages_max=3))
    room = [outbox.has_room]
    for _ in range(3):
        add(outbox, b"")
        room.append(outbox.has_room)
    assert room == [True, True, True, False]
    take(outbox)
    outbox.acknowledged(1)
    room = [outbox.has_room]
    add(outbox, bytes(94))
    assert [*room, outbox.has_room] == [True, False]
    assert outbox.messages_waiting == 1


def test_a_batch_knows_that_it_is_stored() -> None:
    outbox = outbox_of(Coalescing(messages_max=1))
    first, second = add(outbox, b"1"), add(outbox, b"2")
    take(outbox)
    outbox.acknowledged(1)
    assert (first.stored, second.stored, outbox.acked_sequence) == (True, False, 1)


def test_nothing_under_inbox_is_ever_numbered() -> None:
    outbox = outbox_of(Coalescing())
    with pytest.raises(BadTopic, match="volatile=True"):
        add(outbox, b"x", ("$inbox/agent/1", ""))
    assert outbox.is_empty


@pytest.mark.parametrize("ttl_s", [0, -1, float("nan"), float("inf"), 49 * 86400 + 1])
def test_a_time_to_live_no_frame_can_carry_is_refused(ttl_s: float) -> None:
    with pytest.raises(LimitError, match="49 days"):
        ttl_to_ms(ttl_s)


@pytest.mark.parametrize(("ttl_s", "ttl_ms"), [(1e-9, 1), (0.0015, 2), (1, 1000), (49 * 86400, 4_233_600_000)])
def test_a_time_to_live_travels_in_whole_milliseconds(ttl_s: float, ttl_ms: int) -> None:
    assert ttl_to_ms(ttl_s) == ttl_ms
