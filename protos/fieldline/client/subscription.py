"""A subscription: frames in, acks and credit out, through every loss of the link."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, Self

import grpc.aio

from fieldline.client.acks import AckTracker, Nack
from fieldline.client.backoff import Backoff
from fieldline.client.channel import SUBSCRIBE_METHOD, hello
from fieldline.client.link import Link
from fieldline.client.message import Delivery, Message
from fieldline.client.status import ConnectionAged
from fieldline.client.tasks import run_together, stream_error
from fieldline.errors import Closed, HubError, HubUnavailable, LimitError
from fieldline.limits import FRAME_ENVELOPE_BYTES_MAX
from fieldline.topics import check_filter, check_name
from fieldline.v1 import hub_pb2

__all__ = ["NO_REDELIVERY", "Redelivery", "Start", "Subscription"]

log = logging.getLogger(__name__)

_CLOSE_TIMEOUT_S = 2.0
_BACKOFFS_MAX = 32
# The hub's window counts whole deliveries. Here their envelopes are taken for as big as they can be: better to tell too
# early than to wait for a hub that waits for us.
_ENVELOPE_BYTES_MAX = FRAME_ENVELOPE_BYTES_MAX + 256


@dataclass(frozen=True, slots=True)
class Start:
    """Where a new subscription begins. An existing durable goes on at its cursor, whatever is said here.

    LIVE: what comes from now on. EARLIEST: everything the hub has kept. LAST_VALUES: the newest frame of every topic
    (of a frame of messages the last one), then what comes; not for durables.
    """

    kind: Literal["live", "earliest", "offset", "since", "last_values"]
    offset: int = 0
    """The offset; or of "since", Unix time in ms."""

    LIVE: ClassVar["Start"]
    EARLIEST: ClassVar["Start"]
    LAST_VALUES: ClassVar["Start"]

    @classmethod
    def at(cls, offset: int) -> "Start":
        """From this offset of the log on."""
        return cls("offset", offset)

    @classmethod
    def since(cls, when: datetime | float) -> "Start":
        """What the hub has stored since then: a datetime with a time zone, or Unix time in seconds."""
        if isinstance(when, datetime):
            if when.tzinfo is None:
                raise LimitError(f"start since {when}: give a time zone, as in datetime.now(UTC)")
            when = when.timestamp()
        return cls("since", max(0, int(when * 1000)))

    def to_proto(self) -> hub_pb2.Start:
        """As it goes over the wire."""
        if self.kind == "offset":
            return hub_pb2.Start(offset=self.offset)
        if self.kind == "since":
            return hub_pb2.Start(since_ms=self.offset)
        if self.kind == "last_values":
            return hub_pb2.Start(last_values=True)
        return hub_pb2.Start(earliest=True) if self.kind == "earliest" else hub_pb2.Start(live=True)


Start.LIVE = Start("live")
Start.EARLIEST = Start("earliest")
Start.LAST_VALUES = Start("last_values")


@dataclass(frozen=True, slots=True)
class Redelivery:
    """When a durable subscription is given again what it has not finished, and when that ends.

    `ack_wait_s`: handed out and not settled for so long (0: not by a timer). `deliveries_max`: tried so often and not
    done, it becomes a dead letter under `$dead/<durable>/<topic>` (0: it is tried for ever). `backoff_s`: pauses before
    the second, third, ... delivery; the last one repeats (none: at once).
    """

    ack_wait_s: float = 0.0
    deliveries_max: int = 0
    backoff_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the hub would."""
        if self.ack_wait_s < 0 or self.deliveries_max < 0 or any(one < 0 for one in self.backoff_s):
            raise LimitError(f"{self}: nothing of it may be negative")
        if len(self.backoff_s) > _BACKOFFS_MAX:
            raise LimitError(f"{len(self.backoff_s)} backoff times; at most {_BACKOFFS_MAX} are allowed")


NO_REDELIVERY = Redelivery()
"""Only after a loss of the link: no timer, no end."""


class Subscription:
    """Iterate for messages, or over `deliveries()` for whole frames. Use with `async with`.

    With ack="auto" a frame is done once the loop asks for what follows it; with "manual", say `delivery.ack()`.
    A `group` is a durable that several clients share: each frame goes to one of them, those of one key to the same one.
    What is nacked, or not settled in time, is delivered again as `redelivery` says; the ack wait counts from when the
    application is handed a frame. `hold`: retention keeps what this durable has not acknowledged.
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
        group: str = "",
        start: Start = Start.LIVE,
        ack: Literal["auto", "manual"] = "auto",
        redelivery: Redelivery = NO_REDELIVERY,
        hold: bool = False,
        frames_max: int = 256,
        bytes_max: int = 8 << 20,
        backoff: Backoff | None = None,
    ) -> None:
        self.filters = tuple(check_filter(one) for one in filters)
        if durable and group:
            raise LimitError(f"durable {durable!r} and group {group!r}: a group is a durable; give one of the two")
        self.durable = check_name(durable or group, "durable") if durable or group else ""
        if start.kind == "last_values" and self.durable:
            raise LimitError(f"durable {self.durable!r}: a durable cannot start at the last values; start it live")
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
        self._lossy = start.kind in ("live", "last_values") and not self.durable
        self._auto = ack == "auto"
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._backoff = backoff or Backoff()
        self._group = bool(group)
        self._redelivery = redelivery
        self._hold = hold
        self._tracker = AckTracker(group=self._group)
        self._last_offset = -1  # of what was handed out without a durable
        self._receipts_due: list[int] = []
        self._nacks_due: list[Nack] = []
        self._in_progress: list[int] = []
        self._queue: deque[Delivery] = deque()
        self._waiting = asyncio.Event()  # something for the reader: a delivery, progress, or the end
        self._to_send = asyncio.Event()  # something for the hub: an ack, or what was taken
        self._taken_frames = 0
        self._taken_bytes = 0
        self._queued_before = 0  # deliveries of an earlier stream at the head of the queue: outside the window
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
        self._note_handed_out(delivery)
        return delivery

    def _hand(self, delivery: Delivery) -> None:
        """A delivery for the application has come."""
        self._queue.append(delivery)

    def _note_handed_out(self, delivery: Delivery) -> None:
        """The application has it: it no longer counts as waiting here."""
        if self._queued_before:
            self._queued_before -= 1
        else:
            self._note_taken(len(delivery.body))

    def ack(self, delivery: Delivery) -> None:
        """See Delivery.ack."""
        if self.durable:
            if self._tracker.done(delivery.offset):
                self._to_send.set()
        elif delivery.wants_receipt:
            self._receipts_due.append(delivery.offset)
            self._to_send.set()

    def ack_through(self, delivery: Delivery) -> None:
        """See Delivery.ack_through."""
        if not self.durable:
            self.ack(delivery)
        elif self._tracker.done_through(delivery.offset):
            self._to_send.set()

    def nack(self, delivery: Delivery, nack: Nack) -> None:
        """See Delivery.nack."""
        if self.durable:
            if self._tracker.nack(nack):
                self._to_send.set()
        elif delivery.wants_receipt:
            self._nacks_due.append(nack)
            self._to_send.set()

    def in_progress(self, delivery: Delivery) -> None:
        """See Delivery.in_progress."""
        if self.durable and self._redelivery.ack_wait_s and self._tracker.is_out(delivery.offset):
            self._in_progress.append(delivery.offset)
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
            parts = [self._receive(call), self._send(call)]
            if self._redelivery.ack_wait_s and self.durable:
                parts.append(self._keep_waiting_ones())
            await run_together(*parts)
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
        if self.durable and self._tracker.last_added >= 0:
            start = Start.EARLIEST
        elif self._last_offset >= 0:
            start = Start.at(self._last_offset + 1)
        self._taken_frames = self._taken_bytes = 0
        self._queued_before = len(self._queue)
        self._tracker.begin_stream()
        self._receipts_due.clear()
        self._nacks_due.clear()
        self._in_progress.clear()
        return hub_pb2.SubscribeOpen(
            hello=hello(self._name),
            filters=self.filters,
            durable=self.durable,
            start=start.to_proto(),
            lossy=self._lossy,
            window=hub_pb2.Window(frames=self._frames_max, bytes=self._bytes_max),
            options=self._options() if self.durable else None,
        )

    def _options(self) -> hub_pb2.DurableOptions:
        given = self._redelivery
        return hub_pb2.DurableOptions(
            group=self._group,
            ack_wait_ms=_ms(given.ack_wait_s),
            deliveries_max=given.deliveries_max,
            backoff_ms=[_ms(one) for one in given.backoff_s],
            hold=self._hold,
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
            if self._queue or kind != "deliveries":
                self._waiting.set()

    def _opened(self, opened: hub_pb2.SubscribeOpened) -> None:
        if opened.end_offset <= max(self._tracker.last_added, self._last_offset):
            self._begin_anew()
        if self._start.kind in ("live", "since", "last_values") and self._last_offset < 0:
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
        self._tracker = AckTracker(group=self._group)
        self._last_offset = -1
        self._start = Start.EARLIEST
        self.next_offset = 0
        if not self.durable:  # this stream was opened at an offset of the old log
            raise HubUnavailable(f"hub at {self._address} has lost its log; opening it again")

    def _take(self, delivery: hub_pb2.Delivery) -> None:
        self.missed_frames += delivery.missed_frames
        if self._is_for_the_application(delivery):
            self._hand(Delivery(delivery, self))
        else:  # repeated after a reconnect, and already with the application
            self._note_taken(len(delivery.frame.body))
            self._to_send.set()

    def _is_for_the_application(self, delivery: hub_pb2.Delivery) -> bool:
        offset = delivery.offset
        if delivery.volatile or delivery.last_value:
            return True
        if self.durable:
            replay = self._is_replay(delivery)
            if not replay:
                self.next_offset = max(self.next_offset, offset + 1)
            return self._tracker.add(offset, replay=replay)
        self.next_offset = max(self.next_offset, offset + 1)
        is_new = offset > self._last_offset
        self._last_offset = max(self._last_offset, offset)
        return is_new

    def _is_replay(self, delivery: hub_pb2.Delivery) -> bool:
        """Whether it is a dead letter of this durable that is tried again; it then stands for the frame it was."""
        frame = delivery.frame
        if not frame.HasField("dead_letter") or frame.dead_letter.durable != self.durable:
            return False
        frame.topic = frame.dead_letter.topic
        return True

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
            await self._send_news(call)
            if self._closing:
                break
        await call.done_writing()
        await asyncio.Event().wait()  # the hub ends the stream once the cursor is safe

    async def _send_news(self, call: Any) -> None:
        """What became of deliveries: nacks first, for the hub takes `up_to` for all that is not nacked by then."""
        news = self._tracker.collect()
        done, nacks, in_progress = news.done + self._receipts_due, news.nacks + self._nacks_due, self._in_progress
        self._receipts_due, self._nacks_due, self._in_progress = [], [], []
        if done or nacks or in_progress:
            settle = hub_pb2.Settle(done=done, nacks=map(_nack_to_proto, nacks), in_progress=in_progress)
            await call.write(hub_pb2.SubscribeRequest(settle=settle))
        if news.up_to >= 0:
            ack = hub_pb2.SubscribeAck(up_to_offset=news.up_to)
            await call.write(hub_pb2.SubscribeRequest(ack=ack))

    async def _keep_waiting_ones(self) -> None:
        """The hub's ack wait runs from when it sends; what still waits here unread has not had its turn."""
        while True:
            await asyncio.sleep(self._redelivery.ack_wait_s / 3)
            waiting = [one.offset for one in self._queue if self._tracker.is_out(one.offset)]
            if waiting:
                self._in_progress += waiting
                self._to_send.set()


def _nack_to_proto(nack: Nack) -> hub_pb2.Nack:
    delay_ms = None if nack.delay_s is None else _ms(nack.delay_s)
    return hub_pb2.Nack(
        offset=nack.offset, delay_ms=delay_ms, messages=nack.messages, reason=nack.reason, give_up=nack.give_up
    )


def _ms(seconds: float) -> int:
    """At least a millisecond where anything is meant at all."""
    return min(max(1, round(seconds * 1000)), (1 << 32) - 1) if seconds > 0 else 0
