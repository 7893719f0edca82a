"""The Subscribe stream: open, then deliveries out, acks and word of what was taken in."""

import contextlib
from typing import Any

import grpc.aio

from fieldline.client.tasks import run_together
from fieldline.errors import BadName, BadTopic
from fieldline.limits import FILTERS_PER_SUBSCRIPTION_MAX, PROTOCOL_VERSION
from fieldline.topics import check_filter, check_name
from fieldline.v1 import hub_pb2, passthrough_pb2
from fieldline_cloud.hub.broker import Broker, Subscriber
from fieldline_cloud.hub.core.access import Account
from fieldline_cloud.hub.core.outlet import Outlet
from fieldline_cloud.hub.core.record import Record
from fieldline_cloud.hub.engines.base import StorageError
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.rpc.publish import check_hello, limits_message

__all__ = ["SubscribeStream"]

_RESPONSE_BYTES = 512 << 10
# The hub remembers the size of every frame in a window, so a window has a bound.
_WINDOW_FRAMES_MAX = 1 << 16


class SubscribeStream:
    """One subscriber: opens its outlet with the broker and sends what comes out of it.

    `account` is the identity it acts for; None: the hub asks nobody.
    """

    def __init__(self, broker: Broker, context: Any, account: Account | None = None) -> None:
        self._broker = broker
        self._account = account
        self._context = context
        self._read_to = 0
        self._told_to = 0

    async def run(self) -> None:
        """Until the subscriber is done or is refused (HubRefusal)."""
        first = await self._context.read()
        if first is grpc.aio.EOF:
            return
        if first.WhichOneof("kind") != "open":
            raise HubRefusal.protocol("the first message of a subscribe stream must be its open")
        subscriber = await self._open(first.open)
        try:
            await self._write_opened(subscriber)
            await run_together(self._send(subscriber), self._receive(subscriber))
        finally:
            self._broker.close(subscriber)
            if subscriber.durable:
                with contextlib.suppress(StorageError):  # the committer has logged it, and tries again
                    await self._broker.cursors_safe()

    async def _open(self, request: hub_pb2.SubscribeOpen) -> Subscriber:
        check_hello(request.hello, self._account)
        if not 0 < len(request.filters) <= FILTERS_PER_SUBSCRIPTION_MAX:
            raise HubRefusal(
                hub_pb2.ERROR_CODE_BAD_FILTER,
                f"{len(request.filters)} filters; a subscription has 1 to {FILTERS_PER_SUBSCRIPTION_MAX}",
            )
        try:
            filters = [check_filter(one) for one in request.filters]
        except BadTopic as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_BAD_FILTER, str(error)) from error
        try:
            durable = check_name(request.durable, "durable") if request.durable else ""
        except BadName as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_BAD_NAME, str(error)) from error
        self._check_granted(filters, durable)
        return await self._broker.open(
            filters=filters,
            durable=durable,
            start=_start(request.start),
            lossy=request.lossy,
            client=request.hello.name,
            window_frames=min(request.window.frames, _WINDOW_FRAMES_MAX),
            window_bytes=request.window.bytes,
        )

    def _check_granted(self, filters: list[str], durable: str) -> None:
        account = self._account
        if account is None:
            return
        reasons = [account.why_no_subscribe(one) for one in filters]
        if durable:
            reasons.append(account.why_no_durable(durable))
        for why in filter(None, reasons):
            raise HubRefusal.denied(why)

    async def _write_opened(self, subscriber: Subscriber) -> None:
        opened = hub_pb2.SubscribeOpened(
            protocol=PROTOCOL_VERSION,
            next_offset=subscriber.outlet.position,
            end_offset=self._broker.tail,
            limits=limits_message(self._broker.settings.limits),
        )
        await self._context.write(hub_pb2.SubscribeResponse(opened=opened).SerializeToString())

    async def _receive(self, subscriber: Subscriber) -> None:
        while (request := await self._context.read()) is not grpc.aio.EOF:
            kind = request.WhichOneof("kind")
            if kind == "taken":
                frames = request.taken.frames
                if not subscriber.outlet.taken(frames):
                    raise HubRefusal.protocol(f"{frames} frames taken, but so many are not in the window")
                subscriber.wake.set()
            elif kind == "ack":
                self._broker.ack(subscriber, request.ack.up_to_offset)
            else:
                raise HubRefusal.protocol("a subscribe stream is opened once; after it only acks and takes may follow")

    async def _send(self, subscriber: Subscriber) -> None:
        outlet = subscriber.outlet
        while True:
            await self._drain(outlet)
            await self._tell_progress(outlet)
            if outlet.wants_feed:
                await self._feed(subscriber)
                continue
            await subscriber.wake.wait()
            subscriber.wake.clear()

    async def _drain(self, outlet: Outlet) -> None:
        statistics = self._broker.statistics
        while outlet.can_send:
            records = outlet.take(bytes_max=_RESPONSE_BYTES)
            statistics.frames_delivered += len(records)
            statistics.bytes_delivered += sum(len(record.delivery) for record in records)
            await self._context.write(_response(records, outlet))

    async def _feed(self, subscriber: Subscriber) -> None:
        try:
            await self._broker.feed(subscriber)
        except StorageError as error:
            raise HubRefusal.storage(error) from error
        self._read_to = subscriber.outlet.position

    async def _tell_progress(self, outlet: Outlet) -> None:
        """Say how far the log has been read, where the last frame sent does not say it."""
        if not outlet and self._read_to > max(self._told_to, outlet.delivered_to + 1):
            self._told_to = self._read_to
            progress = hub_pb2.Progress(next_offset=self._read_to)
            await self._context.write(hub_pb2.SubscribeResponse(progress=progress).SerializeToString())


def _start(start: hub_pb2.Start) -> int | None:
    kind = start.WhichOneof("kind")
    if kind == "offset":
        return start.offset
    return 0 if kind == "earliest" else None


def _alone(record: Record) -> bytes:
    """The response with this one record: made once, and sent to every subscriber that takes it alone."""
    if record.alone is None:
        raw = passthrough_pb2.RawDeliveries(deliveries=[record.delivery])
        record.alone = passthrough_pb2.RawSubscribeResponse(deliveries=raw).SerializeToString()
    return record.alone


def _response(records: list[Record], outlet: Outlet) -> bytes:
    gaps = [outlet.take_gap(record.offset) for record in records] if outlet.lossy else []
    if len(records) == 1 and not any(gaps):
        return _alone(records[0])
    deliveries = [record.delivery for record in records]
    for index, missed in enumerate(gaps):
        if missed:  # fields of a Protobuf message may follow each other in pieces
            deliveries[index] += passthrough_pb2.RawDelivery(missed_frames=missed).SerializeToString()
    raw = passthrough_pb2.RawDeliveries(deliveries=deliveries)
    return passthrough_pb2.RawSubscribeResponse(deliveries=raw).SerializeToString()
