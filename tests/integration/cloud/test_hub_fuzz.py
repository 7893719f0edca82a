"""Random legal and illegal steps on real streams, against a small model of what is legal.

A legal step never ends its stream; an illegal one ends it with a typed error, and none ever gives INTERNAL or UNKNOWN.
Somebody else is served all along.
"""

import itertools
from collections.abc import Iterator
from typing import Any, TypeVar

import grpc
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from fieldline.v1 import hub_pb2
from tests.integration.cloud.fuzzing import ERRORS, World, a_world, ending
from tests.integration.cloud.harness import (
    Publisher,
    Subscriber,
    frame,
    hello,
)

T = TypeVar("T")
_NUMBER = itertools.count(1)

BAD_GREETINGS = [
    ({"hello": hello(protocol=9)}, "PROTOCOL_VERSION"),
    ({"hello": hello("a b")}, "BAD_NAME"),
    ({"hello": None}, "PROTOCOL_VERSION"),
    ({"producer": "a/b"}, "BAD_NAME"),
    ({"producer": ""}, "BAD_NAME"),
    ({"epoch": 1 << 63}, "PROTOCOL"),
    ({"acked_sequence": 1 << 63}, "PROTOCOL"),
]
BAD_FRAMES: list[tuple[dict[str, Any], str]] = [
    ({"topic": "a/#"}, "BAD_TOPIC"),
    ({"topic": ""}, "BAD_TOPIC"),
    ({"topic": "$sys/hub"}, "BAD_TOPIC"),
    ({"crc32": 1}, "BAD_FRAME"),
    ({"count": 0}, "BAD_FRAME"),
    ({"count": 1 << 20}, "BAD_FRAME"),
    ({"encoding": 7}, "BAD_FRAME"),
    ({"body": b""}, "BAD_FRAME"),
    ({"key": "k" * 256}, "BAD_FRAME"),
    ({"skipped_frames": 1 << 62}, "BAD_FRAME"),
    ({"dead_letter": hub_pb2.DeadLetter(durable="d")}, "BAD_FRAME"),
]
BAD_OPENINGS: list[tuple[dict[str, Any], str]] = [
    ({"filters": []}, "BAD_FILTER"),
    ({"filters": ["a/#/b"]}, "BAD_FILTER"),
    ({"filters": ["x"] * 100}, "BAD_FILTER"),
    ({"durable": "../x"}, "BAD_NAME"),
    ({"hello": hello(protocol=0)}, "PROTOCOL_VERSION"),
    ({"hello": hello("")}, "BAD_NAME"),
    ({"options": hub_pb2.DurableOptions(backoff_ms=[1] * 100)}, "PROTOCOL"),
]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with a_world() as world:
        yield world


class Streams(RuleBasedStateMachine):
    """At most one publish and one subscribe stream at a time, and what may be said on them."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.name = f"fuzz-{next(_NUMBER)}"
        self.topic = f"fuzz/{self.name}"
        self.do = self.world.do
        self.publisher: Publisher | None = None
        self.greeted = False
        self.sequence = 0
        """The last one the hub has stored of this producer."""
        self.subscriber: Subscriber | None = None
        self.opened = False
        self.durable = ""
        self.had: set[int] = set()
        """Offsets this subscriber was sent."""
        self.in_window = 0
        self.steps = 0

    # The publisher.

    @precondition(lambda self: self.publisher is None)
    @rule()
    def call_publish(self) -> None:
        self.publisher, self.greeted = self.do(self.world.publisher()), False

    @precondition(lambda self: self.publisher is not None and not self.greeted)
    @rule()
    def greet(self) -> None:
        welcome = self.do(self.the_publisher.greet(self.name))
        assert welcome.last_sequence == self.sequence
        self.greeted = True

    @precondition(lambda self: self.publisher is not None and not self.greeted)
    @rule(bad=st.sampled_from(BAD_GREETINGS))
    def greet_badly(self, bad: tuple[dict[str, Any], str]) -> None:
        fields, code = bad
        given = {"hello": hello(), "producer": self.name, "epoch": 1, **fields}
        self.publish_illegal(hub_pb2.PublishRequest(hello=hub_pb2.PublishHello(**given)), code)

    @precondition(lambda self: self.publisher is not None and not self.greeted)
    @rule()
    def publish_before_hello(self) -> None:
        self.publish_illegal(hub_pb2.PublishRequest(frames=hub_pb2.Frames(frames=[frame(1, self.topic)])), "PROTOCOL")

    @precondition(lambda self: self.greeted)
    @rule(count=st.integers(1, 20), key=st.sampled_from(["", "k", "ü" * 127]), ttl_ms=st.sampled_from([0, 60_000]))
    def publish(self, count: int, key: str, ttl_ms: int) -> None:
        numbers = range(self.sequence + 1, self.sequence + 1 + count)
        self.publish_legal([frame(n, self.topic, key=key, ttl_ms=ttl_ms) for n in numbers], self.sequence + count)

    @precondition(lambda self: self.greeted and self.sequence > 0)
    @rule(back=st.integers(0, 5))
    def publish_again_what_is_there(self, back: int) -> None:
        first = max(1, self.sequence - back)
        again = [frame(n, self.topic) for n in range(first, self.sequence + 1)]
        self.publish_legal([*again, frame(self.sequence + 1, self.topic)], self.sequence + 1)

    @precondition(lambda self: self.greeted)
    @rule(skipped=st.integers(1, 1_000))
    def publish_behind_a_gap_on_purpose(self, skipped: int) -> None:
        number = self.sequence + skipped + 1
        self.publish_legal([frame(number, self.topic, skipped_frames=skipped)], number)

    @precondition(lambda self: self.greeted)
    @rule(receipt=st.integers(0, 3))
    def publish_volatile(self, receipt: int) -> None:
        volatile = frame(0, f"{self.topic}/volatile", receipt=receipt)
        self.publish_legal([volatile, frame(self.sequence + 1, self.topic)], self.sequence + 1)

    @precondition(lambda self: self.greeted and self.sequence > 0)
    @rule(ahead=st.integers(2, 100))
    def publish_behind_a_hole(self, ahead: int) -> None:
        request = hub_pb2.PublishRequest(frames=hub_pb2.Frames(frames=[frame(self.sequence + ahead, self.topic)]))
        self.publish_illegal(request, "SEQUENCE_GAP")

    @precondition(lambda self: self.greeted)
    @rule(bad=st.sampled_from(BAD_FRAMES), good=st.integers(0, 3))
    def publish_bad(self, bad: tuple[dict[str, Any], str], good: int) -> None:
        fields, code = bad
        number = self.sequence + 1
        frames = [frame(n, self.topic) for n in range(number, number + good)]
        wrong = frame(number + good, **{"topic": self.topic, **fields})
        self.publish_illegal(hub_pb2.PublishRequest(frames=hub_pb2.Frames(frames=[*frames, wrong])), code)

    @precondition(lambda self: self.greeted)
    @rule()
    def greet_twice(self) -> None:
        greeting = hub_pb2.PublishHello(hello=hello(), producer=self.name, epoch=1)
        self.publish_illegal(hub_pb2.PublishRequest(hello=greeting), "PROTOCOL")

    @precondition(lambda self: self.publisher is not None)
    @rule()
    def finish_publishing(self) -> None:
        self.do(self.the_publisher.half_close())
        assert self.do(ending(self.the_publisher)) == ("OK", "UNSPECIFIED")
        self.publisher, self.greeted = None, False

    @precondition(lambda self: self.publisher is not None)
    @rule()
    def vanish_as_publisher(self) -> None:
        self.the_publisher.call.cancel()
        self.publisher, self.greeted = None, False

    @property
    def the_publisher(self) -> Publisher:
        assert self.publisher is not None
        return self.publisher

    def publish_legal(self, frames: list[hub_pb2.Frame], last: int) -> None:
        self.do(self.the_publisher.publish(*frames))
        self.do(self.the_publisher.acked(last))
        self.sequence = last

    def publish_illegal(self, request: Any, code: str) -> None:
        self.do(self.the_publisher.send(request))
        assert self.do(ending(self.the_publisher))[1] == code
        self.publisher, self.greeted = None, False

    # The subscriber.

    @precondition(lambda self: self.subscriber is None)
    @rule()
    def call_subscribe(self) -> None:
        self.subscriber, self.opened = self.do(self.world.subscriber()), False

    @precondition(lambda self: self.subscriber is not None and not self.opened)
    @rule(
        durable=st.booleans(),
        lossy=st.booleans(),
        group=st.booleans(),
        start=st.sampled_from([hub_pb2.Start(), hub_pb2.Start(earliest=True), hub_pb2.Start(offset=1 << 63)]),
    )
    def open(self, durable: bool, lossy: bool, group: bool, start: hub_pb2.Start) -> None:
        self.durable = f"{self.name}-{'g' if group else 's'}" if durable else ""
        options = hub_pb2.DurableOptions(group=group)
        self.do(self.open_when_free(lossy=lossy, start=start, options=options))
        self.opened, self.had, self.in_window = True, set(), 0

    async def open_when_free(self, **fields: Any) -> None:
        """A stream that vanished a moment ago may still hold the durable: then come again."""
        while True:
            request = {"hello": hello(), "filters": [self.topic], "durable": self.durable, **fields}
            window = hub_pb2.Window(frames=1 << 16, bytes=1 << 30)
            opening = hub_pb2.SubscribeOpen(window=window, **request)
            stream = self.the_subscriber
            await stream.send(hub_pb2.SubscribeRequest(open=opening))
            try:
                if (await stream.read()).opened.protocol:
                    return
            except (grpc.aio.AioRpcError, AttributeError):
                pass
            assert (await ending(stream))[1] == "DURABLE_IN_USE"
            self.subscriber = self.world.client.subscriber()

    @precondition(lambda self: self.subscriber is not None and not self.opened)
    @rule(bad=st.sampled_from(BAD_OPENINGS))
    def open_badly(self, bad: tuple[dict[str, Any], str]) -> None:
        fields, code = bad
        given = {"hello": hello(), "filters": [self.topic], "durable": "", **fields}
        self.subscribe_illegal(hub_pb2.SubscribeRequest(open=hub_pb2.SubscribeOpen(**given)), code)

    @precondition(lambda self: self.subscriber is not None and not self.opened)
    @rule(kind=st.sampled_from(["ack", "taken", "settle"]))
    def speak_before_open(self, kind: str) -> None:
        self.subscribe_illegal(request_of(kind), "PROTOCOL")

    @precondition(lambda self: self.opened and self.greeted)
    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        self.publish_legal([frame(self.sequence + n, self.topic) for n in range(1, count + 1)], self.sequence + count)
        self.do(self.read_up_to(self.sequence))

    async def read_up_to(self, sequence: int) -> None:
        """Read until a frame has come, and what came before it."""
        while True:
            answer = await self.the_subscriber.read_or_end()
            for delivery in answer.deliveries.deliveries:
                self.had.add(delivery.offset)
                self.in_window += 1
                if delivery.frame.sequence == sequence:
                    return

    @precondition(lambda self: self.opened and self.had)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        offset = data.draw(st.sampled_from(sorted(self.had)))
        self.subscribe_legal(hub_pb2.SubscribeRequest(ack=hub_pb2.SubscribeAck(up_to_offset=offset)))

    @precondition(lambda self: self.opened)
    @rule(ahead=st.sampled_from([1, 1_000, 1 << 40, (1 << 63) - 1]))
    def ack_what_never_came(self, ahead: int) -> None:
        offset = max([*self.had, self.world.hub.broker.tail]) + ahead
        ack = hub_pb2.SubscribeAck(up_to_offset=min(offset, (1 << 64) - 1))
        self.subscribe_illegal(hub_pb2.SubscribeRequest(ack=ack), "BAD_ACK")

    @precondition(lambda self: self.opened and self.in_window)
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        frames = data.draw(st.integers(0, self.in_window))
        self.subscribe_legal(hub_pb2.SubscribeRequest(taken=hub_pb2.Taken(frames=frames)))
        self.in_window -= frames

    @precondition(lambda self: self.opened)
    @rule(more=st.sampled_from([100_000, (1 << 32) - 1]))
    def take_too_much(self, more: int) -> None:
        self.subscribe_illegal(hub_pb2.SubscribeRequest(taken=hub_pb2.Taken(frames=more)), "PROTOCOL")

    @precondition(lambda self: self.opened and self.had)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        offsets = st.lists(st.sampled_from(sorted(self.had)), max_size=4)
        nacks = [
            hub_pb2.Nack(
                offset=offset,
                delay_ms=600_000,
                messages=data.draw(st.lists(st.integers(0, 3), max_size=3)),
                reason=data.draw(st.text(max_size=20)),
            )
            for offset in data.draw(offsets)
        ]
        settle = hub_pb2.Settle(done=data.draw(offsets), nacks=nacks, in_progress=data.draw(offsets))
        self.subscribe_legal(hub_pb2.SubscribeRequest(settle=settle))

    @precondition(lambda self: self.opened)
    @rule(how=st.sampled_from(["done", "nack"]), ahead=st.sampled_from([1, 1_000, 1 << 62]))
    def settle_what_never_came(self, how: str, ahead: int) -> None:
        offset = max([*self.had, self.world.hub.broker.tail]) + ahead
        nacks = [hub_pb2.Nack(offset=offset)] if how == "nack" else []
        settle = hub_pb2.Settle(done=[offset] if how == "done" else [], nacks=nacks)
        self.subscribe_illegal(hub_pb2.SubscribeRequest(settle=settle), "BAD_ACK")

    @precondition(lambda self: self.opened)
    @rule()
    def nack_with_messages_without_end(self) -> None:
        nack = hub_pb2.Nack(offset=0, messages=range(70_000))
        self.subscribe_illegal(hub_pb2.SubscribeRequest(settle=hub_pb2.Settle(nacks=[nack])), "PROTOCOL")

    @precondition(lambda self: self.opened)
    @rule()
    def open_twice(self) -> None:
        opening = hub_pb2.SubscribeOpen(hello=hello(), filters=[self.topic])
        self.subscribe_illegal(hub_pb2.SubscribeRequest(open=opening), "PROTOCOL")

    @precondition(lambda self: self.subscriber is not None)
    @rule()
    def finish_subscribing(self) -> None:
        self.do(self.the_subscriber.half_close())
        assert self.do(ending(self.the_subscriber)) == ("OK", "UNSPECIFIED")
        self.subscriber, self.opened = None, False

    @precondition(lambda self: self.subscriber is not None)
    @rule()
    def vanish_as_subscriber(self) -> None:
        self.the_subscriber.call.cancel()
        self.subscriber, self.opened = None, False

    @property
    def the_subscriber(self) -> Subscriber:
        assert self.subscriber is not None
        return self.subscriber

    def subscribe_legal(self, request: Any) -> None:
        """Nothing answers these; that the stream is still good shows at the next step that reads, or at the end."""
        self.do(self.the_subscriber.send(request))

    def subscribe_illegal(self, request: Any, code: str) -> None:
        self.do(self.the_subscriber.send(request))
        assert self.do(ending(self.the_subscriber))[1] == code
        self.subscriber, self.opened = None, False

    # Everybody.

    @invariant()
    def somebody_else_is_served(self) -> None:
        self.steps += 1
        if self.steps % 5 == 0:
            self.do(self.world.bystander.is_served())

    def teardown(self) -> None:
        if self.subscriber is not None:
            self.finish_subscribing()
        if self.publisher is not None:
            self.finish_publishing()
        assert self.world.hub.refusals.keys() <= {code.lower() for code in ERRORS}


def request_of(kind: str) -> hub_pb2.SubscribeRequest:
    return hub_pb2.SubscribeRequest(
        **{  # type: ignore[arg-type]  # one of three messages, by name
            "ack": {"ack": hub_pb2.SubscribeAck(up_to_offset=0)},
            "taken": {"taken": hub_pb2.Taken(frames=1)},
            "settle": {"settle": hub_pb2.Settle(done=[1])},
        }[kind]
    )


def test_random_steps_end_a_stream_exactly_when_they_are_illegal(world: World) -> None:
    class OnWorld(Streams):
        pass

    OnWorld.world = world
    run_state_machine_as_test(
        OnWorld,
        settings=settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
    refused = world.hub.refusals
    print(f"{world.bystander.sent} frames of the bystander; refusals: {refused}")
    assert len(refused) >= 6, "the steps must reach most of what can go wrong"
    assert sum(refused.values()) >= 200
