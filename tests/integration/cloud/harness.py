"""What the hub's tests share: a hub in this process, streams spoken by hand, and waiting with a deadline."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio

from fieldline.client.channel import PUBLISH_METHOD, SUBSCRIBE_METHOD, open_channel
from fieldline.client.status import ERROR_KEY
from fieldline.client.subscription import Subscription
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub, HubSettings

DEADLINE_S = 15.0


@asynccontextmanager
async def running_hub(folder: Path, *, port: int = 0, **settings: Any) -> AsyncIterator[Hub]:
    """A hub in this event loop on a free port (or `port`), its log in `folder`."""
    settings = {"drain_s": 1.0, **settings}
    async with Hub(HubSettings.model_validate({"listen": f"127.0.0.1:{port}", "data": folder, **settings})) as hub:
        yield hub


def address(hub: Hub) -> str:
    return f"127.0.0.1:{hub.port}"


async def until(condition: Callable[[], object], *, timeout_s: float = DEADLINE_S) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  # that is what it is for
            await asyncio.sleep(0.005)


def frame(sequence: int, topic: str = "t/a", body: bytes = b"\n\x01x", **fields: Any) -> hub_pb2.Frame:
    """A sound frame of one message, unless `fields` make it worse."""
    given = {"count": 1, "encoding": hub_pb2.ENCODING_MESSAGES, "crc32": zlib.crc32(body), **fields}
    return hub_pb2.Frame(topic=topic, sequence=sequence, body=body, **given)


def hello(name: str = "tester", protocol: int = 1) -> hub_pb2.Hello:
    return hub_pb2.Hello(protocol=protocol, name=name, software="test/0")


class Stream:
    """One stream to a hub, message by message; bytes go as they are."""

    def __init__(self, channel: grpc.aio.Channel, method: str, answer: Callable[[bytes], Any]) -> None:
        self.call: Any = channel.stream_stream(method, request_serializer=_as_is, response_deserializer=answer)()

    async def send(self, request: Any) -> None:
        await self.call.write(request)

    async def read(self) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            return await self.call.read()

    async def half_close(self) -> None:
        await self.call.done_writing()

    async def status(self) -> grpc.StatusCode:
        async with asyncio.timeout(DEADLINE_S):
            code: grpc.StatusCode = await self.call.code()
            return code

    async def error(self) -> hub_pb2.Error:
        """The typed error the stream ended with; an empty one if there was none."""
        async with asyncio.timeout(DEADLINE_S):
            for key, value in await self.call.trailing_metadata():
                if key == ERROR_KEY:
                    return hub_pb2.Error.FromString(value)
        return hub_pb2.Error()

    async def refusal(self) -> tuple[str, hub_pb2.Error]:
        """(gRPC status, typed error), once the stream has ended."""
        return (await self.status()).name, await self.error()


class Publisher(Stream):
    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel, PUBLISH_METHOD, hub_pb2.PublishResponse.FromString)

    async def greet(self, producer: str = "p", epoch: int = 1, acked_sequence: int = 0) -> hub_pb2.PublishWelcome:
        greeting = hub_pb2.PublishHello(hello=hello(), producer=producer, epoch=epoch, acked_sequence=acked_sequence)
        await self.send(hub_pb2.PublishRequest(hello=greeting))
        answer = await self.read()
        assert isinstance(answer, hub_pb2.PublishResponse), await self.refusal()
        return answer.welcome

    async def publish(self, *frames: hub_pb2.Frame) -> None:
        await self.send(hub_pb2.PublishRequest(frames=hub_pb2.Frames(frames=frames)))

    async def acked(self, sequence: int) -> None:
        """Wait until everything up to `sequence` has been acknowledged."""
        while (answer := await self.read()) is not grpc.aio.EOF:
            if answer.ack.sequence >= sequence:
                return
        raise AssertionError(f"stream ended before {sequence} was acknowledged: {await self.refusal()}")


class Subscriber(Stream):
    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel, SUBSCRIBE_METHOD, hub_pb2.SubscribeResponse.FromString)

    async def open(self, *filters: str, frames: int = 1000, nbytes: int = 1 << 24, **fields: Any) -> Any:
        """Open, and return what the hub answers (EOF if it refuses)."""
        window = hub_pb2.Window(frames=frames, bytes=nbytes)
        request = hub_pb2.SubscribeOpen(**{"hello": hello(), "filters": filters, "window": window, **fields})
        await self.send(hub_pb2.SubscribeRequest(open=request))
        return (await self.read_or_end()).opened

    async def read_or_end(self) -> Any:
        answer = await self.read()
        assert answer is not grpc.aio.EOF, await self.refusal()
        return answer

    async def ack(self, up_to_offset: int) -> None:
        await self.send(hub_pb2.SubscribeRequest(ack=hub_pb2.SubscribeAck(up_to_offset=up_to_offset)))

    async def taken(self, frames: int) -> None:
        await self.send(hub_pb2.SubscribeRequest(taken=hub_pb2.Taken(frames=frames)))

    async def read_on(self, count: int) -> list[hub_pb2.Delivery]:
        """At least `count` deliveries; says that they are taken, so that the window moves on."""
        got: list[hub_pb2.Delivery] = []
        while len(got) < count:
            got += (await self.read_or_end()).deliveries.deliveries
        await self.taken(len(got))
        return got

    async def take(self, count: int) -> list[hub_pb2.Delivery]:
        """The next `count` deliveries."""
        taken: list[hub_pb2.Delivery] = []
        while len(taken) < count:
            taken += (await self.read_or_end()).deliveries.deliveries
        assert len(taken) == count, [one.offset for one in taken]
        return taken


class Client:
    """A channel of its own to a hub; its streams end with it."""

    def __init__(self, where: str) -> None:
        self._channel = open_channel(where)
        self._streams: list[Stream] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for stream in self._streams:
            stream.call.cancel()
        await self._channel.close()

    @property
    def channel(self) -> grpc.aio.Channel:
        return self._channel

    def stream(self, method: str, answer: Callable[[bytes], Any]) -> Stream:
        stream = Stream(self._channel, method, answer)
        self._streams.append(stream)
        return stream

    def publisher(self) -> Publisher:
        stream = Publisher(self._channel)
        self._streams.append(stream)
        return stream

    def subscriber(self) -> Subscriber:
        stream = Subscriber(self._channel)
        self._streams.append(stream)
        return stream


async def collect(subscription: Subscription, count: int) -> list[str]:
    """The text of the next `count` messages."""
    found: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        async for message in subscription:
            found.append(message.text)
            if len(found) == count:
                break
    return found


def numbers(begin: int, end: int) -> list[str]:
    return [str(number) for number in range(begin, end)]


def offsets(deliveries: Iterable[Any]) -> list[int]:
    return [one.offset for one in deliveries]


def _as_is(request: Any) -> bytes:
    return request if isinstance(request, bytes) else bytes(request.SerializeToString())
