"""Sends numbered frames to a hub until it has acknowledged them, through every loss of the link.

The frames come from a `FrameSource`: the runtime's outbox in memory, or a gateway's spool on disk. The producer keeps
no frame of its own; after a reconnect it asks the source again from where the hub says it stopped.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import grpc.aio

from fieldline.access import Access
from fieldline.client.backoff import Backoff
from fieldline.client.channel import PUBLISH_METHOD, hello
from fieldline.client.link import Link
from fieldline.client.status import ConnectionAged
from fieldline.client.tasks import run_together, stream_error
from fieldline.errors import HubUnavailable, RateLimited, Refused
from fieldline.limits import IN_FLIGHT_BYTES_MAX, IN_FLIGHT_FRAMES_MAX
from fieldline.topics import check_name
from fieldline.v1 import hub_pb2, passthrough_pb2

__all__ = ["FrameProducer", "FrameSource"]

log = logging.getLogger(__name__)

_REQUEST_BYTES_MAX = 1 << 20
_REQUEST_FRAMES_MAX = 256
# With the frame that goes over it, and the numbered ones with theirs, still well below one gRPC message.
_REQUEST_VOLATILE_BYTES_MAX = 512 << 10
# A publisher over its rate is told so about once a second; the log hears of it when it begins.
_LIMITED_SAID_AGAIN_S = 300.0


class FrameSource(Protocol):
    """Where a producer's frames come from. Sequences are contiguous from 1, but for gaps a frame declares itself.

    A source may have more, and is asked for it if it has: `acked_sequence: int`, the last one a hub has acknowledged
    to it, for a hub that has been restored from an old backup; `receipt(receipt: hub_pb2.Receipt) -> None`, told what
    became of frames that want a receipt; `read_volatile(*, frames_max, bytes_max) -> list[bytes]`, frames without a
    sequence that go before the numbered ones, with `async wait_volatile()`, which returns once there are any (`wait`
    then returns as well); `lost() -> None`, told that a connection has ended.
    """

    producer: str
    epoch: int

    async def resume(self, last_sequence: int) -> None:
        """Called at every (re)connect: the hub holds everything up to `last_sequence`."""

    async def read(self, after: int, *, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """(sequence, serialised fieldline.v1.Frame) after `after`, in order; at least one if there is any."""

    async def wait(self, after: int) -> None:
        """Return once read(after) would return something."""

    async def acknowledged(self, sequence: int) -> None:
        """Everything up to `sequence` is stored and fsynced at the hub."""


class FrameProducer:
    """One publish stream that is kept alive. `run` until cancelled; counters are plain attributes to be scraped."""

    def __init__(
        self,
        address: str,
        *,
        name: str,
        source: FrameSource,
        backoff: Backoff | None = None,
        in_flight_bytes_max: int = IN_FLIGHT_BYTES_MAX,
        in_flight_frames_max: int = IN_FLIGHT_FRAMES_MAX,
        access: Access | None = None,
        link: Link | None = None,
    ) -> None:
        self._address = address
        self._access = access
        self._name = check_name(name, "client name")
        self._source = source
        self._backoff = backoff or Backoff()
        self._in_flight_bytes_max = in_flight_bytes_max
        self._in_flight_frames_max = in_flight_frames_max
        self._link = link
        self._limited_at_s = float("-inf")
        self.connected = False
        self.connects = 0
        self.frames_sent = 0
        self.bytes_sent = 0
        self.rate_limited = 0
        """How often the hub said that we bring too much."""
        self.last_error = ""

    @property
    def reconnects(self) -> int:
        """How often the stream was opened again after the first time."""
        return max(0, self.connects - 1)

    async def run(self) -> None:
        """Keep the stream up until cancelled.

        Raises Refused if the hub will never take what we send, and ConfigError if the access files cannot be used.
        """
        link = self._link or Link(self._address, self._access)
        try:
            while True:
                pause_s = await self._try_once(link)
                await asyncio.sleep(max(pause_s, self._backoff.next_pause_s()))
        finally:
            if self._link is None:
                await link.close()

    async def _try_once(self, link: Link) -> float:
        """One life of the stream; returns how long the hub wants us to wait, 0 if it does not say."""
        session = _Session(self, link, self._source, self._in_flight_bytes_max, self._in_flight_frames_max)
        began_s = time.monotonic()
        try:
            await session.run(self._name)
        except RateLimited as error:
            self._note_limit(error)
            self._backoff.reset()  # the hub knows better when to come back
            return error.retry_after_s
        except ConnectionAged:
            self._backoff.reset()
        except HubUnavailable as error:
            if self.connected or not self.last_error:  # once per outage, not once per try
                log.warning("hub lost: %s", error)
            self.last_error = str(error)
            # A hub that greets and then cannot store is no better than one that is away: it is asked ever less often.
            if session.stored_something or (self.connected and time.monotonic() - began_s > self._backoff.max_s):
                self._backoff.reset()
        except Refused as error:
            self.last_error = str(error)
            raise
        finally:
            self.connected = False
            if (lost := getattr(self._source, "lost", None)) is not None:
                lost()
        return 0.0

    def _note_limit(self, error: RateLimited) -> None:
        """Count it, and say it once for as long as it goes on."""
        self.rate_limited += 1
        now_s = time.monotonic()
        if now_s - self._limited_at_s > _LIMITED_SAID_AGAIN_S:
            log.warning("the hub holds us to our rate: %s; nothing is lost, it takes longer", error)
        self._limited_at_s = now_s

    def _is_up(self) -> None:
        self.connected = True
        self.connects += 1
        if self.last_error:
            log.info("hub is back at %s", self._address)
            self.last_error = ""


class _Session:
    """One life of the stream, from hello to its end."""

    def __init__(
        self,
        producer: FrameProducer,
        link: Link,
        source: FrameSource,
        in_flight_bytes_max: int,
        in_flight_frames_max: int,
    ) -> None:
        self._producer = producer
        self._link = link
        self._source = source
        self._read_volatile: Callable[..., list[bytes]] | None = getattr(source, "read_volatile", None)
        self._wait_volatile: Callable[[], Coroutine[Any, Any, None]] | None = getattr(source, "wait_volatile", None)
        self._receipt: Callable[[hub_pb2.Receipt], None] | None = getattr(source, "receipt", None)
        self._in_flight_bytes_max = in_flight_bytes_max
        self._in_flight_frames_max = in_flight_frames_max
        self._in_flight: deque[tuple[int, int]] = deque()  # (sequence, bytes), in order
        self._in_flight_bytes = 0
        self._sent = 0
        self._room = asyncio.Event()
        self.stored_something = False
        self._call: Any = None

    async def run(self, name: str) -> None:
        """Until the stream ends; raises HubUnavailable or Refused, never a gRPC error."""
        self._call = await self._link.open(
            PUBLISH_METHOD,
            passthrough_pb2.RawPublishRequest.SerializeToString,
            hub_pb2.PublishResponse.FromString,
        )
        try:
            await self._greet(name)
            await run_together(self._receive(), self._send())
            raise await stream_error(self._call)
        except asyncio.InvalidStateError:  # a write met a stream that had just ended
            raise self._link.explain(await stream_error(self._call)) from None
        except grpc.aio.AioRpcError as error:
            raise self._link.explain(error) from error
        finally:
            self._call.cancel()

    async def _greet(self, name: str) -> None:
        source = self._source
        greeting = hub_pb2.PublishHello(
            hello=hello(name),
            producer=source.producer,
            epoch=source.epoch,
            acked_sequence=getattr(source, "acked_sequence", 0),
        )
        await self._call.write(passthrough_pb2.RawPublishRequest(hello=greeting))
        answer = await self._call.read()
        if answer is grpc.aio.EOF:
            raise await stream_error(self._call)
        limits = answer.welcome.limits
        if limits.in_flight_bytes_max:
            self._in_flight_bytes_max = min(self._in_flight_bytes_max, limits.in_flight_bytes_max)
        self._sent = answer.welcome.last_sequence
        await source.resume(self._sent)
        self._producer._is_up()

    async def _receive(self) -> None:
        while (answer := await self._call.read()) is not grpc.aio.EOF:
            kind = answer.WhichOneof("kind")
            if kind == "ack":
                await self._acknowledged(answer.ack.sequence)
            elif kind == "receipt" and self._receipt is not None:
                self._receipt(answer.receipt)

    async def _acknowledged(self, sequence: int) -> None:
        self.stored_something = True
        while self._in_flight and self._in_flight[0][0] <= sequence:
            self._in_flight_bytes -= self._in_flight.popleft()[1]
        self._room.set()
        await self._source.acknowledged(sequence)

    @property
    def _is_full(self) -> bool:
        return self._in_flight_bytes >= self._in_flight_bytes_max or len(self._in_flight) >= self._in_flight_frames_max

    async def _send(self) -> None:
        source = self._source
        while True:
            volatile = self._volatile_frames()
            full = self._is_full
            frames: list[tuple[int, bytes]] = []
            if not full:
                frames_max = min(_REQUEST_FRAMES_MAX, self._in_flight_frames_max - len(self._in_flight))
                frames = await source.read(self._sent, frames_max=frames_max, bytes_max=_REQUEST_BYTES_MAX)
            if volatile or frames:
                await self._write(volatile, frames)
            elif full:
                await self._room_or_volatile()
            else:
                await source.wait(self._sent)

    def _volatile_frames(self) -> list[bytes]:
        if self._read_volatile is None:
            return []
        return self._read_volatile(frames_max=_REQUEST_FRAMES_MAX, bytes_max=_REQUEST_VOLATILE_BYTES_MAX)

    async def _room_or_volatile(self) -> None:
        self._room.clear()
        if self._wait_volatile is None:
            await self._room.wait()
        else:
            await run_together(_until(self._room), self._wait_volatile())

    async def _write(self, volatile: list[bytes], frames: list[tuple[int, bytes]]) -> None:
        size = 0
        for sequence, data in frames:
            self._in_flight.append((sequence, len(data)))
            size += len(data)
            self._sent = sequence
        self._in_flight_bytes += size
        raw = passthrough_pb2.RawFrames(frames=[*volatile, *(data for _, data in frames)])
        await self._call.write(passthrough_pb2.RawPublishRequest(frames=raw))
        self._producer.frames_sent += len(volatile) + len(frames)
        self._producer.bytes_sent += size + sum(len(data) for data in volatile)


async def _until(event: asyncio.Event) -> None:
    await event.wait()
