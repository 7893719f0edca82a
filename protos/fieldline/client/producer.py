"""Sends numbered frames to a hub until it has acknowledged them, through every loss of the link.

The frames come from a `FrameSource`: the runtime's outbox in memory, or a gateway's spool on disk. The producer keeps
no frame of its own; after a reconnect it asks the source again from where the hub says it stopped.
"""

import asyncio
import logging
import time
from collections import deque
from typing import Any, Protocol

import grpc.aio

from fieldline.client.backoff import Backoff
from fieldline.client.channel import PUBLISH_METHOD, hello, open_channel
from fieldline.client.status import from_rpc_error
from fieldline.client.tasks import run_together, stream_error
from fieldline.errors import HubUnavailable, Refused
from fieldline.limits import IN_FLIGHT_BYTES_MAX
from fieldline.topics import check_name
from fieldline.v1 import hub_pb2, passthrough_pb2

__all__ = ["FrameProducer", "FrameSource"]

log = logging.getLogger(__name__)

_REQUEST_BYTES_MAX = 1 << 20
_REQUEST_FRAMES_MAX = 256


class FrameSource(Protocol):
    """Where a producer's frames come from. Sequences are contiguous from 1, but for gaps a frame declares itself."""

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
        channel: grpc.aio.Channel | None = None,
    ) -> None:
        self._address = address
        self._name = check_name(name, "client name")
        self._source = source
        self._backoff = backoff or Backoff()
        self._in_flight_bytes_max = in_flight_bytes_max
        self._channel = channel
        self.connected = False
        self.connects = 0
        self.frames_sent = 0
        self.bytes_sent = 0
        self.last_error = ""

    @property
    def reconnects(self) -> int:
        """How often the stream was opened again after the first time."""
        return max(0, self.connects - 1)

    async def run(self) -> None:
        """Keep the stream up until cancelled. Raises Refused if the hub will never take what we send."""
        channel = self._channel or open_channel(self._address)
        try:
            while True:
                await self._try_once(channel)
                await asyncio.sleep(self._backoff.next_pause_s())
        finally:
            if self._channel is None:
                await channel.close()

    async def _try_once(self, channel: grpc.aio.Channel) -> None:
        session = _Session(self, channel, self._source, self._in_flight_bytes_max)
        began_s = time.monotonic()
        try:
            await session.run(self._address, self._name)
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
        channel: grpc.aio.Channel,
        source: FrameSource,
        in_flight_bytes_max: int,
    ) -> None:
        self._producer = producer
        self._source = source
        self._in_flight_bytes_max = in_flight_bytes_max
        self._in_flight: deque[tuple[int, int]] = deque()  # (sequence, bytes), in order
        self._in_flight_bytes = 0
        self._sent = 0
        self._room = asyncio.Event()
        self.stored_something = False
        self._call: Any = channel.stream_stream(
            PUBLISH_METHOD,
            request_serializer=passthrough_pb2.RawPublishRequest.SerializeToString,
            response_deserializer=hub_pb2.PublishResponse.FromString,
        )(wait_for_ready=False)

    async def run(self, address: str, name: str) -> None:
        """Until the stream ends; raises HubUnavailable or Refused, never a gRPC error."""
        try:
            await self._greet(name)
            await run_together(self._receive(), self._send())
            raise await stream_error(self._call)
        except asyncio.InvalidStateError:  # a write met a stream that had just ended
            raise from_rpc_error(await stream_error(self._call), address) from None
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, address) from error
        finally:
            self._call.cancel()

    async def _greet(self, name: str) -> None:
        source = self._source
        greeting = hub_pb2.PublishHello(hello=hello(name), producer=source.producer, epoch=source.epoch)
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
            sequence = answer.ack.sequence
            self.stored_something = True
            while self._in_flight and self._in_flight[0][0] <= sequence:
                self._in_flight_bytes -= self._in_flight.popleft()[1]
            self._room.set()
            await self._source.acknowledged(sequence)

    async def _send(self) -> None:
        while True:
            while self._in_flight_bytes >= self._in_flight_bytes_max:
                self._room.clear()
                await self._room.wait()
            frames = await self._source.read(self._sent, frames_max=_REQUEST_FRAMES_MAX, bytes_max=_REQUEST_BYTES_MAX)
            if not frames:
                await self._source.wait(self._sent)
                continue
            await self._write(frames)

    async def _write(self, frames: list[tuple[int, bytes]]) -> None:
        size = 0
        for sequence, data in frames:
            self._in_flight.append((sequence, len(data)))
            size += len(data)
        self._in_flight_bytes += size
        self._sent = frames[-1][0]
        raw = passthrough_pb2.RawFrames(frames=[data for _, data in frames])
        await self._call.write(passthrough_pb2.RawPublishRequest(frames=raw))
        self._producer.frames_sent += len(frames)
        self._producer.bytes_sent += size
