"""The Publish stream: hello, then frames in, cumulative acks out."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc.aio

from fieldline.client.tasks import run_together
from fieldline.errors import BadName, BadTopic, DecodeError, LimitError
from fieldline.limits import FRAME_MESSAGES_MAX, PROTOCOL_VERSION, REQUEST_FRAMES_MAX
from fieldline.topics import INBOX, check_name
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import ENCODING_READINGS, check_frame, open_messages, parse_frame
from fieldline_cloud.hub.broker import Broker
from fieldline_cloud.hub.committer import Lane
from fieldline_cloud.hub.core.access import Account
from fieldline_cloud.hub.core.group import volatile_record
from fieldline_cloud.hub.core.policies import TopicPolicy
from fieldline_cloud.hub.core.receipts import Outcome, Verdict
from fieldline_cloud.hub.core.record import VOLATILE
from fieldline_cloud.hub.engines.base import Appended, IncomingFrame, ProducerKey, StorageError
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.settings import HubLimits

__all__ = ["PublishStream", "check_hello", "limits_message"]

_EPOCH_MAX = (1 << 63) - 1
# Receipts of one stream that wait to be sent; at the bound it is read no further.
_NEWS_MAX = 1024
# A publisher over its rate is not read, and hears why only after so long: one that does not listen comes no faster.
_OVER_RATE_PAUSE_S_MAX = 0.5
_OUTCOMES = {
    Verdict.HANDLED: hub_pb2.OUTCOME_HANDLED,
    Verdict.REFUSED: hub_pb2.OUTCOME_REFUSED,
    Verdict.NO_RECEIVER: hub_pb2.OUTCOME_NO_RECEIVER,
}


def limits_message(limits: HubLimits) -> hub_pb2.Limits:
    """The bounds a client is told in the welcome."""
    return hub_pb2.Limits(
        frame_bytes_max=limits.frame_bytes_max,
        frame_messages_max=FRAME_MESSAGES_MAX,
        in_flight_bytes_max=limits.in_flight_bytes_max,
    )


def check_hello(hello: hub_pb2.Hello, account: Account | None) -> None:
    """Refuse clients that speak another protocol, have no proper name, or one that is not theirs."""
    if hello.protocol != PROTOCOL_VERSION:
        raise HubRefusal(
            hub_pb2.ERROR_CODE_PROTOCOL_VERSION,
            f"client speaks protocol {hello.protocol}, this hub speaks {PROTOCOL_VERSION}; update the older of the two",
        )
    try:
        check_name(hello.name, "client name")
    except BadName as error:
        raise HubRefusal(hub_pb2.ERROR_CODE_BAD_NAME, str(error)) from error
    if account is not None and (why := account.why_no_client(hello.name)):
        raise HubRefusal.denied(why)


class PublishStream:
    """One publisher. Frames are checked here and handed to the broker; acks go out as groups are committed.

    `account` is the identity it acts for; None: the hub asks nobody.
    """

    def __init__(self, broker: Broker, context: Any, account: Account | None = None) -> None:
        self._broker = broker
        self._account = account
        self._context = context
        self._limits = broker.settings.limits
        self._lane = Lane()
        self._changed = asyncio.Event()
        self._acked = 0
        self._ack_sent = 0
        self._submitted = 0
        self._settled = 0
        self._unsettled_bytes = 0
        self._room = asyncio.Event()
        self._refusal: HubRefusal | None = None
        self._receipts: dict[int, int] = {}  # receipt number by sequence, of frames on their way to the log
        self._expected: set[int] = set()  # offsets of frames whose receipt is still to come
        self._news: deque[hub_pb2.Receipt] = deque()
        self._ended = False

    async def run(self, first: Any) -> None:
        """With its first request, until the publisher is done or is refused (HubRefusal)."""
        if first.WhichOneof("kind") != "hello":
            raise HubRefusal.protocol("the first message of a publish stream must be its hello")
        await self._greet(first.hello)
        try:
            await run_together(self._acknowledge(), self._receive())
        finally:
            for offset in self._expected:
                self._broker.receipts.drop(offset)

    async def _greet(self, hello: hub_pb2.PublishHello) -> None:
        check_hello(hello.hello, self._account)
        try:
            check_name(hello.producer, "producer")
        except BadName as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_BAD_NAME, str(error)) from error
        if self._account is not None and (why := self._account.why_no_producer(hello.producer)):
            raise HubRefusal.denied(why)
        if self._account is not None and (wait_s := self._account.debt_s(time.monotonic())):
            raise await _over_rate(self._account, wait_s)
        if hello.epoch > _EPOCH_MAX:
            raise HubRefusal.protocol(f"epoch {hello.epoch} is over {_EPOCH_MAX}")
        self._producer = ProducerKey(hello.producer, hello.epoch)
        if hello.acked_sequence > _EPOCH_MAX:
            raise HubRefusal.protocol(f"acked_sequence {hello.acked_sequence} is over {_EPOCH_MAX}")
        last_sequence = await self._broker.last_sequence(self._producer, hello.acked_sequence)
        self._acked = self._ack_sent = last_sequence
        welcome = hub_pb2.PublishWelcome(
            protocol=PROTOCOL_VERSION, last_sequence=last_sequence, limits=limits_message(self._limits)
        )
        await self._context.write(hub_pb2.PublishResponse(welcome=welcome).SerializeToString())

    async def _receive(self) -> None:
        broker, context = self._broker, self._context
        while (request := await context.read()) is not grpc.aio.EOF:
            if request.WhichOneof("kind") != "frames":
                raise HubRefusal.protocol("a publish stream says hello once; after it only frames may follow")
            if (count := len(request.frames.frames)) > REQUEST_FRAMES_MAX:
                raise HubRefusal.protocol(
                    f"request has {count} frames; at most {REQUEST_FRAMES_MAX} are allowed; split it"
                )
            passing, wait_s = self._within_rate(request.frames.frames)
            frames = self._without_volatile([self._check(data) for data in passing])
            if frames:
                size = sum(len(frame.data) for frame in frames)
                self._submitted += 1
                self._unsettled_bytes += size
                await broker.publish(self._producer, frames, self._lane, partial(self._done, size))
            await self._below_bound()
            if wait_s and self._account is not None:
                raise await _over_rate(self._account, wait_s)
        self._ended = True
        self._changed.set()
        await asyncio.Event().wait()  # the acknowledging half ends the stream once all is settled

    def _without_volatile(self, frames: list[IncomingFrame]) -> list[IncomingFrame]:
        """Hand on the frames that are not numbered, and return the others."""
        if all(frame.sequence for frame in frames):
            return frames
        now_ms = time.time_ns() // 1_000_000
        for frame in frames:
            if frame.sequence == 0:
                record = volatile_record(self._producer, frame, now_ms)
                if not self._broker.dispatch_volatile(record) and frame.receipt:
                    self._tell(frame.receipt, Outcome(Verdict.NO_RECEIVER))
        return [frame for frame in frames if frame.sequence]

    def _within_rate(self, frames: Sequence[bytes]) -> tuple[Sequence[bytes], float]:
        """The frames that may pass now, and how long the others must wait. What passes is in order, so none is lost.

        Asked before they are looked at: what is too much must cost little.
        """
        account = self._account
        if account is None or not account.has_rate:
            return frames, 0.0
        now_s = time.monotonic()
        for index, frame in enumerate(frames):
            if wait_s := account.wait_s(len(frame), now_s):
                return frames[:index], wait_s
        return frames, 0.0

    async def _below_bound(self) -> None:
        """Read no more while this publisher alone has so much on the way, or does not read what it is told.

        Its own flow control then holds it.
        """
        while self._unsettled_bytes >= self._limits.in_flight_bytes_max or len(self._news) >= _NEWS_MAX:
            self._room.clear()
            await self._room.wait()

    def _check(self, data: bytes) -> IncomingFrame:
        if len(data) > self._limits.frame_bytes_max:
            raise HubRefusal(
                hub_pb2.ERROR_CODE_FRAME_TOO_LARGE,
                f"frame has {len(data)} bytes; this hub takes at most {self._limits.frame_bytes_max}; split it",
            )
        try:
            frame = parse_frame(data)
            check_frame(frame)
        except BadTopic as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_BAD_TOPIC, str(error)) from error
        except (DecodeError, LimitError) as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_BAD_FRAME, str(error)) from error
        policy = self._check_topic(frame, len(data))
        if frame.receipt and frame.sequence:
            self._receipts[frame.sequence] = frame.receipt
        return IncomingFrame(
            frame.sequence,
            frame.skipped_frames,
            frame.topic,
            frame.count,
            data,
            key=frame.key,
            ttl_ms=frame.ttl_ms,
            receipt=frame.receipt,
            durable=policy.durable,
        )

    def _check_topic(self, frame: hub_pb2.Frame, nbytes: int) -> TopicPolicy:
        """Whether it may be published here; how the topic is treated."""
        topic = frame.topic
        if topic.startswith("$"):
            if not topic.startswith(INBOX):
                raise HubRefusal(hub_pb2.ERROR_CODE_BAD_TOPIC, f"topic {topic!r}: topics under '$' are the hub's own")
            if frame.sequence:
                raise HubRefusal(
                    hub_pb2.ERROR_CODE_BAD_TOPIC, f"topic {topic!r}: an inbox takes volatile frames (sequence 0) only"
                )
        elif self._account is not None and (why := self._account.why_no_publish(topic)):
            raise HubRefusal.denied(why)
        if frame.HasField("dead_letter"):
            raise HubRefusal(hub_pb2.ERROR_CODE_BAD_FRAME, "dead_letter is for the hub to set; leave it out")
        policy = self._broker.policies.of(topic)
        if policy.frame_bytes_max is not None and nbytes > policy.frame_bytes_max:
            raise _too_large("frame", nbytes, topic, policy.frame_bytes_max, policy)
        if policy.message_bytes_max is not None and frame.encoding != ENCODING_READINGS:
            largest = _largest_message(frame)
            if largest > policy.message_bytes_max:
                raise _too_large("message", largest, topic, policy.message_bytes_max, policy)
        return policy

    def _done(self, size: int, outcome: Appended | StorageError) -> None:
        self._settled += 1
        self._unsettled_bytes -= size
        self._room.set()
        if isinstance(outcome, StorageError):
            self._refusal = HubRefusal.storage(outcome)
        else:
            self._acked = max(self._acked, outcome.acked_sequence)
            if self._receipts:
                self._expect_receipts(outcome)
            if outcome.gap_expected is not None:
                self._refusal = HubRefusal.gap(self._producer.name, outcome.gap_expected)
        self._changed.set()

    def _expect_receipts(self, outcome: Appended) -> None:
        """New frames can be handled from now on. One that was here before has nobody's receipt any more."""
        for record in outcome.records:
            number = self._receipts.pop(record.sequence, 0)
            if number:
                if record.offset != VOLATILE:
                    self._expected.add(record.offset)
                self._broker.expect_receipt(record, partial(self._came, record.offset, number))
        for sequence in [one for one in self._receipts if one <= outcome.acked_sequence]:
            del self._receipts[sequence]

    def _came(self, offset: int, number: int, outcome: Outcome) -> None:
        self._expected.discard(offset)
        self._tell(number, outcome)

    def _tell(self, number: int, outcome: Outcome) -> None:
        self._news.append(
            hub_pb2.Receipt(
                receipt=number,
                outcome=_OUTCOMES[outcome.verdict],
                by=outcome.by,
                reason=outcome.reason,
                messages=outcome.messages,
            )
        )
        self._changed.set()

    async def _acknowledge(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._acked > self._ack_sent:  # more may be settled while this is written
                self._ack_sent = self._acked
                ack = hub_pb2.PublishResponse(ack=hub_pb2.PublishAck(sequence=self._ack_sent))
                await self._context.write(ack.SerializeToString())
            while self._news:
                receipt = hub_pb2.PublishResponse(receipt=self._news.popleft())
                await self._context.write(receipt.SerializeToString())
                self._room.set()
            if self._refusal is not None:
                raise self._refusal
            if self._ended and self._settled == self._submitted:
                return


def _largest_message(frame: hub_pb2.Frame) -> int:
    try:
        contents, _ = open_messages(frame)
    except DecodeError as error:
        raise HubRefusal(hub_pb2.ERROR_CODE_BAD_FRAME, str(error)) from error
    return max(map(len, contents), default=0)


def _too_large(what: str, nbytes: int, topic: str, limit: int, policy: TopicPolicy) -> HubRefusal:
    return HubRefusal(
        hub_pb2.ERROR_CODE_FRAME_TOO_LARGE,
        f"{what} for {topic!r} has {nbytes} bytes; topics {policy.filter!r} take at most {limit} in hub.yaml; split it",
    )


async def _over_rate(account: Account, wait_s: float) -> HubRefusal:
    """The refusal, after half of the wait, in which acks still go out; the rest of it is the client's."""
    pause_s = min(wait_s / 2, _OVER_RATE_PAUSE_S_MAX)
    await asyncio.sleep(pause_s)
    return HubRefusal.rate_limited(account.over_rate(), wait_s - pause_s)
