"""The Subscribe stream: open, then deliveries out, acks and word of what was taken in."""

import contextlib
from typing import Any

import grpc.aio

from fieldline.client.tasks import run_together
from fieldline.errors import BadName, BadTopic
from fieldline.limits import FILTERS_PER_SUBSCRIPTION_MAX, FRAME_MESSAGES_MAX, PROTOCOL_VERSION
from fieldline.topics import check_filter, check_name
from fieldline.v1 import hub_pb2, passthrough_pb2
from fieldline_cloud.hub.broker import Broker
from fieldline_cloud.hub.core.access import Account
from fieldline_cloud.hub.core.entry import NackOrder
from fieldline_cloud.hub.core.marks import DurableSettings
from fieldline_cloud.hub.core.outgoing import Outgoing
from fieldline_cloud.hub.core.record import Record
from fieldline_cloud.hub.engines.base import StorageError
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.rpc.publish import check_hello, limits_message
from fieldline_cloud.hub.subscribers import OpenRequest, Subscriber

__all__ = ["SubscribeStream"]

_RESPONSE_BYTES = 512 << 10
# The hub remembers the size of every frame in a window, so a window has a bound.
_WINDOW_FRAMES_MAX = 1 << 16
_BACKOFFS_MAX = 32
_REASON_CHARACTERS_MAX = 512


class SubscribeStream:
    """One subscriber: opens it with the broker and sends what comes out of it.

    `account` is the identity it acts for; None: the hub asks nobody.
    """

    def __init__(self, broker: Broker, context: Any, account: Account | None = None) -> None:
        self._broker = broker
        self._account = account
        self._context = context
        self._sent_to = 0
        self._told_to = 0

    async def run(self, first: Any) -> None:
        """With its first request, until the subscriber is done or is refused (HubRefusal)."""
        if first.WhichOneof("kind") != "open":
            raise HubRefusal.protocol("the first message of a subscribe stream must be its open")
        subscriber = await self._broker.open(self._check(first.open))
        try:
            await self._write_opened(subscriber)
            await run_together(self._send(subscriber), self._receive(subscriber))
        finally:
            self._broker.close(subscriber)
            if subscriber.durable:
                with contextlib.suppress(StorageError):  # the committer has logged it, and tries again
                    await self._broker.cursors_safe()

    def _check(self, request: hub_pb2.SubscribeOpen) -> OpenRequest:
        check_hello(request.hello, self._account)
        if not 0 < len(request.filters) <= FILTERS_PER_SUBSCRIPTION_MAX:
            raise HubRefusal(
                hub_pb2.ERROR_CODE_BAD_FILTER,
                f"{len(request.filters)} filters; a subscription has 1 to {FILTERS_PER_SUBSCRIPTION_MAX}",
            )
        try:
            filters = tuple(check_filter(one) for one in request.filters)
        except BadTopic as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_BAD_FILTER, str(error)) from error
        try:
            durable = check_name(request.durable, "durable") if request.durable else ""
        except BadName as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_BAD_NAME, str(error)) from error
        self._check_granted(filters, durable)
        if durable and request.start.last_values:
            raise HubRefusal.protocol(f"durable {durable!r} cannot start at the last values; start it live")
        return OpenRequest(
            client=request.hello.name,
            peer=self._context.peer(),
            filters=filters,
            window_frames=min(request.window.frames, _WINDOW_FRAMES_MAX),
            window_bytes=request.window.bytes,
            start=_start(request.start),
            since_ms=request.start.since_ms if request.start.WhichOneof("kind") == "since_ms" else None,
            last_values=request.start.last_values,
            lossy=request.lossy,
            durable=durable,
            settings=_settings(request.options),
        )

    def _check_granted(self, filters: tuple[str, ...], durable: str) -> None:
        account = self._account
        if account is None:
            return
        reasons = [account.why_no_subscribe(one) for one in filters]
        if durable:
            reasons.append(account.why_no_durable(durable))
        for why in filter(None, reasons):
            raise HubRefusal.denied(why)

    async def _write_opened(self, subscriber: Subscriber) -> None:
        self._told_to = subscriber.position
        opened = hub_pb2.SubscribeOpened(
            protocol=PROTOCOL_VERSION,
            next_offset=self._told_to,
            end_offset=self._broker.tail,
            limits=limits_message(self._broker.settings.limits),
        )
        await self._context.write(hub_pb2.SubscribeResponse(opened=opened).SerializeToString())

    async def _receive(self, subscriber: Subscriber) -> None:
        while (request := await self._context.read()) is not grpc.aio.EOF:
            kind = request.WhichOneof("kind")
            if kind == "taken":
                frames = request.taken.frames
                if not subscriber.taken(frames):
                    raise HubRefusal.protocol(f"{frames} frames taken, but so many are not in the window")
            elif kind == "ack":
                self._broker.ack(subscriber, request.ack.up_to_offset)
            elif kind == "settle":
                settle = request.settle
                nacks = [_order(one) for one in settle.nacks]
                self._broker.settle(subscriber, done=settle.done, nacks=nacks, in_progress=settle.in_progress)
            else:
                raise HubRefusal.protocol("a subscribe stream is opened once; after it only acks and takes may follow")

    async def _send(self, subscriber: Subscriber) -> None:
        while True:
            await self._drain(subscriber)
            await self._tell_progress(subscriber)
            if subscriber.wants_feed:
                await self._feed(subscriber)
                continue
            await subscriber.wake.wait()

    async def _drain(self, subscriber: Subscriber) -> None:
        statistics = self._broker.statistics
        while subscriber.can_send:
            record = subscriber.take_alone()
            if record is not None:
                statistics.frames_delivered += 1
                statistics.bytes_delivered += len(record.delivery)
                self._sent_to = max(self._sent_to, record.offset + 1)
                await self._context.write(_alone(record))
                continue
            sent = subscriber.take(bytes_max=_RESPONSE_BYTES)
            if not sent:
                continue  # all of it had expired, or was settled meanwhile
            statistics.frames_delivered += len(sent)
            statistics.bytes_delivered += sum(len(one.record.delivery) for one in sent)
            self._sent_to = max(self._sent_to, sent[-1].record.offset + 1)
            await self._context.write(_response(sent))

    async def _feed(self, subscriber: Subscriber) -> None:
        try:
            await self._broker.feed(subscriber)
        except StorageError as error:
            raise HubRefusal.storage(error) from error

    async def _tell_progress(self, subscriber: Subscriber) -> None:
        """Say how far the log has been read, where the last frame sent does not say it."""
        read_to = subscriber.read_to
        if read_to > max(self._told_to, self._sent_to):
            self._told_to = read_to
            progress = hub_pb2.Progress(next_offset=read_to)
            await self._context.write(hub_pb2.SubscribeResponse(progress=progress).SerializeToString())


def _start(start: hub_pb2.Start) -> int | None:
    kind = start.WhichOneof("kind")
    if kind == "offset":
        return start.offset
    return 0 if kind == "earliest" else None


def _settings(options: hub_pb2.DurableOptions) -> DurableSettings:
    if len(options.backoff_ms) > _BACKOFFS_MAX:
        raise HubRefusal.protocol(f"{len(options.backoff_ms)} backoff times; at most {_BACKOFFS_MAX} are allowed")
    return DurableSettings.of(options)


def _order(nack: hub_pb2.Nack) -> NackOrder:
    if len(nack.messages) > FRAME_MESSAGES_MAX:
        raise HubRefusal.protocol(
            f"a nack names {len(nack.messages)} messages; a frame has {FRAME_MESSAGES_MAX} at most"
        )
    return NackOrder(
        nack.offset,
        nack.delay_ms if nack.HasField("delay_ms") else None,
        tuple(sorted(set(nack.messages))),
        nack.reason[:_REASON_CHARACTERS_MAX],
        nack.give_up,
    )


def _alone(record: Record) -> bytes:
    """The response with this one record: made once, and sent to every subscriber that takes it alone."""
    if record.alone is None:
        raw = passthrough_pb2.RawDeliveries(deliveries=[record.delivery])
        record.alone = passthrough_pb2.RawSubscribeResponse(deliveries=raw).SerializeToString()
    return record.alone


def _response(sent: list[Outgoing]) -> bytes:
    if len(sent) == 1 and sent[0].is_plain:
        return _alone(sent[0].record)
    deliveries = [one.record.delivery if one.is_plain else one.record.delivery + _extra(one) for one in sent]
    raw = passthrough_pb2.RawDeliveries(deliveries=deliveries)
    return passthrough_pb2.RawSubscribeResponse(deliveries=raw).SerializeToString()


def _extra(one: Outgoing) -> bytes:
    """What this delivery adds: fields of a Protobuf message may follow each other in pieces."""
    return passthrough_pb2.RawDelivery(
        missed_frames=one.missed_frames,
        delivery_count=one.deliveries if one.deliveries > 1 else 0,
        only=one.only,
        last_value=one.last_value,
    ).SerializeToString()
