"""A subscription: frames in, acks and credit out, through every loss of the link."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import grpc.aio

from fieldline.client.acks import AckTracker
from fieldline.client.backoff import Backoff
from fieldline.client.channel import SUBSCRIBE_METHOD, hello
from fieldline.client.link import Link
from fieldline.client.message import Delivery, Message
from fieldline.client.status import ConnectionAged
from fieldline.client.tasks import run_together, stream_error
from fieldline.errors import Closed, HubError, HubUnavailable
from fieldline.limits import FRAME_ENVELOPE_BYTES_MAX
from fieldline.topics import check_filter, check_name
from fieldline.v1 import hub_pb2

__all__ = ["Start", "Subscription"]

log = logging.getLogger(__name__)

_CLOSE_TIMEOUT_S = 2.0
# The hub's window counts whole deliveries. Here their envelopes are taken for as big as they can be: better to tell too
# early than to wait for a hub that waits for us.
_ENVELOPE_BYTES_MAX = FRAME_ENVELOPE_BYTES_MAX + 256


@dataclass(frozen=True, slots=True)
class Start:
    """Where a new subscription begins. An existing durable goes on at its cursor, whatever is said here."""

    kind: Literal["live", "earliest", "offset"]
    offset: int = 0

    LIVE: ClassVar["Start"]
    EARLIEST: ClassVar["Start"]

    @classmethod
    def at(cls, offset: int) -> "Start":
        """From this offset of the log on."""
        return cls("offset", offset)

    def to_proto(self) -> hub_pb2.Start:
        """As it goes over the wire."""
        if self.kind == "offset":
            return hub_pb2.Start(offset=self.offset)
        return hub_pb2.Start(earliest=True) if self.kind == "earliest" else hub_pb2.Start(live=True)


Start.LIVE = Start("live")
Start.EARLIEST = Start("earliest")


class Subscription:
    """Iterate for messages, or over `deliveries()` for whole frames. Use with `async with`.

    With ack="auto" a frame is done once the loop asks for what follows it; with "manual", say `delivery.ack()`.
    A live subscription without a durable that reads too slowly loses frames (`missed_frames` counts them); every other
    one falls behind and reads on from the hub's log.
    Bounds: at most `frames_max` frames and about `bytes_max` bytes wait here unread (after a reconnect up to twice
    that); the hub sends no more before something is taken out.
    """

    def __init__(
        self,
        link: Link,
        *,
        name: str,
        filters: Sequence[str],
        durable: str = "",
        start: Start = Start.LIVE,
        ack: Literal["auto", "manual"] = "auto",
        frames_max: int = 256,
        bytes_max: int = 8 << 20,
        backoff: Backoff | None = None,
    ) -> None:
        self.filters = tuple(check_filter(one) for one in filters)
        self.durable = check_name(durable, "durable") if durable else ""
        self.connected = False
        self.connects = 0
        self.missed_frames = 0
        self.end_offset: int | None = None
        """Of the log when the stream was last opened: what lies below is history. None before the first connect."""
        self.next_offset = 0
        """No delivery below this offset is still to come."""
        self._link = link
        self._address = link.address
        self._name = name
        self._start = start
        self._lossy = start.kind == "live" and not durable
        self._auto = ack == "auto"
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._backoff = backoff or Backoff()
        self._tracker = AckTracker()
        self._queue: deque[Delivery] = deque()
        self._waiting = asyncio.Event()  # something for the reader: a delivery, progress, or the end
        self._to_send = asyncio.Event()  # something for the hub: an ack, or what was taken
        self._taken_frames = 0
        self._taken_bytes = 0
        self._queued_before = 0  # deliveries of an earlier stream at the head of the queue: outside the window
        self._ack_sent = -1
        self._received_to = -1
        self._lost = False
        self._closing = False
        self._failure: HubError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closing

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def open(self) -> None:
        """Begin to receive. Needs a running event loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"subscription {self.filters}")

    async def close(self) -> None:
        """Stop receiving; the last acks are with the hub when this returns, if it could be reached."""
        self._closing = True
        self._to_send.set()
        self._waiting.set()
        if self._task is None:
            return
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S if self.connected else 0):
                await asyncio.wait([self._task])
        self._task.cancel()
        await asyncio.wait([self._task])

    async def wait_open(self, *, timeout_s: float | None = None) -> None:
        """Return once the hub has opened the subscription. Raises TimeoutError, Closed, or what it was refused with."""
        async with asyncio.timeout(timeout_s):
            while not (self.connected or self._failure or self._closing):
                self._waiting.clear()
                await self._waiting.wait()
        if self._failure:
            raise self._failure
        if not self.connected:
            raise Closed("the subscription was closed before the hub had opened it")

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Frames in log order, until the subscription is closed. Raises Refused if the hub refuses it for good."""
        while (delivery := await self.next_delivery()) is not None:
            yield delivery
            if self._auto:
                delivery.ack()

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Messages in log order, until the subscription is closed."""
        async for delivery in self.deliveries():
            for message in delivery.messages():
                yield message

    async def next_delivery(self, *, until_offset: int | None = None) -> Delivery | None:
        """The next frame; None once closed, or once everything below `until_offset` has been delivered."""
        while not self._queue:
            if self._failure:
                raise self._failure
            if self._closing or (until_offset is not None and self.next_offset >= until_offset):
                return None
            self._waiting.clear()
            await self._waiting.wait()
        delivery = self._queue.popleft()
        if self._queued_before:
            self._queued_before -= 1
        else:
            self._note_taken(len(delivery.body))
        return delivery

    def _ack(self, offset: int) -> None:
        if self._tracker.done(offset) and self.durable:
            self._to_send.set()

    def _ack_through(self, offset: int) -> None:
        if self._tracker.done_through(offset) and self.durable:
            self._to_send.set()

    async def _run(self) -> None:
        try:
            while not self._closing:
                await self._session()
                if not self._closing:
                    await asyncio.sleep(self._backoff.next_pause_s())
        except HubError as error:
            self._failure = error
        finally:
            self._waiting.set()

    async def _session(self) -> None:
        try:
            await self._stream()
        except HubUnavailable as error:
            aged = isinstance(error, ConnectionAged)
            if not aged and not self._closing and (self.connected or not self.connects):
                self._lost = True
                log.warning("subscription %s lost: %s", ",".join(self.filters), error)
        finally:
            self.connected = False

    async def _stream(self) -> None:
        call = await self._link.open(
            SUBSCRIBE_METHOD, hub_pb2.SubscribeRequest.SerializeToString, hub_pb2.SubscribeResponse.FromString
        )
        try:
            await call.write(hub_pb2.SubscribeRequest(open=self._open_request()))
            await run_together(self._receive(call), self._send(call))
            if not self._closing:
                raise await stream_error(call)
        except asyncio.InvalidStateError:
            raise self._link.explain(await stream_error(call)) from None
        except grpc.aio.AioRpcError as error:
            raise self._link.explain(error) from error
        finally:
            call.cancel()

    def _open_request(self) -> hub_pb2.SubscribeOpen:
        """Start where the last stream ended.

        The window is whole again, whatever still waits unread: a smaller one would stay small for as long as the stream
        lives. A durable the hub does not know any more has lost its log; all that is in the new one is news.
        """
        start = self._start
        if self._tracker.last_added >= 0:
            start = Start.EARLIEST if self.durable else Start.at(self._tracker.last_added + 1)
        self._taken_frames = self._taken_bytes = 0
        self._queued_before = len(self._queue)
        self._ack_sent = self._received_to = -1
        return hub_pb2.SubscribeOpen(
            hello=hello(self._name),
            filters=self.filters,
            durable=self.durable,
            start=start.to_proto(),
            lossy=self._lossy,
            window=hub_pb2.Window(frames=self._frames_max, bytes=self._bytes_max),
        )

    async def _receive(self, call: Any) -> None:
        while (response := await call.read()) is not grpc.aio.EOF:
            kind = response.WhichOneof("kind")
            if kind == "deliveries":
                for delivery in response.deliveries.deliveries:
                    self._take(delivery)
            elif kind == "progress":
                self.next_offset = max(self.next_offset, response.progress.next_offset)
            elif kind == "opened":
                self._opened(response.opened)
            self._waiting.set()

    def _opened(self, opened: hub_pb2.SubscribeOpened) -> None:
        if opened.end_offset <= self._tracker.last_added:
            self._begin_anew()
        if self._start.kind == "live" and self._tracker.last_added < 0:
            # From here on a reconnect must not lose what came in between, so the position is fixed now.
            self._start = Start.at(opened.next_offset)
        self.end_offset = opened.end_offset
        self.next_offset = max(self.next_offset, opened.next_offset)
        self.connected = True
        self.connects += 1
        self._backoff.reset()
        if self._lost:
            self._lost = False
            log.info("subscription %s is back", ",".join(self.filters))

    def _begin_anew(self) -> None:
        """The hub's log ends before what it has given us: it is another log, and its offsets mean other frames."""
        log.warning("hub at %s has lost its log; reading the new one from its beginning", self._address)
        self._tracker = AckTracker()
        self._start = Start.EARLIEST
        self.next_offset = 0
        if not self.durable:  # this stream was opened at an offset of the old log
            raise HubUnavailable(f"hub at {self._address} has lost its log; opening it again")

    def _take(self, delivery: hub_pb2.Delivery) -> None:
        offset = delivery.offset
        self._received_to = offset
        self.next_offset = max(self.next_offset, offset + 1)
        self.missed_frames += delivery.missed_frames
        if self._tracker.add(offset):
            self._queue.append(Delivery(delivery, self._ack, self._ack_through))
        else:  # repeated after a reconnect, and already with the application
            self._note_taken(len(delivery.frame.body))
        if self.durable and self._tracker.up_to > self._ack_sent:
            self._to_send.set()

    def _note_taken(self, nbytes: int) -> None:
        """The hub hears of it in lots, half a window at a time."""
        self._taken_frames += 1
        self._taken_bytes += nbytes + _ENVELOPE_BYTES_MAX
        if self._taken_is_worth_telling:
            self._to_send.set()

    @property
    def _taken_is_worth_telling(self) -> bool:
        return self._taken_frames * 2 >= self._frames_max or self._taken_bytes * 2 >= self._bytes_max

    async def _send(self, call: Any) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            if self._taken_is_worth_telling:
                taken = hub_pb2.Taken(frames=self._taken_frames)
                self._taken_frames = self._taken_bytes = 0
                await call.write(hub_pb2.SubscribeRequest(taken=taken))
            # The hub takes acks only for what it delivered on this very stream.
            up_to = min(self._tracker.up_to, self._received_to)
            if self.durable and up_to > self._ack_sent:
                self._ack_sent = up_to
                ack = hub_pb2.SubscribeAck(up_to_offset=up_to)
                await call.write(hub_pb2.SubscribeRequest(ack=ack))
            if self._closing:
                break
        await call.done_writing()
        await asyncio.Event().wait()  # the hub ends the stream once the cursor is safe
