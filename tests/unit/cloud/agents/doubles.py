"""A hub small enough to hold in the hand: a log, cursors, and switches for what can go wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fieldline.errors import DecodeError, Refused
from fieldline.model import Alert, DeviceId, Reading, Task
from fieldline.topics import matches
from fieldline.wire.plant import decode_alert, decode_task
from fieldline.wire.readings import Series, decode_series, encode_readings

PUMP = DeviceId("demo", "hall-a", "pump-2")
SECOND = 1_000_000_000
T0 = 1_760_000_000 * SECOND


@dataclass
class FakeMessage:
    content: bytes


@dataclass
class FakeFrame:
    """One frame of the log; `body` is readings, messages, or an error to be raised when it is opened."""

    topic: str
    body: Sequence[Any] | DecodeError
    sequence: int
    offset: int = 0
    producer: str = "gateway-1"
    epoch: int = 1
    on_ack: Callable[[int], None] = field(default=lambda offset: None)

    def readings(self) -> list[Reading]:
        return list(self._open())

    def series(self) -> list[Series]:
        return decode_series(encode_readings(self.readings()))

    def messages(self) -> list[FakeMessage]:
        return [FakeMessage(content) for content in self._open()]

    missed_frames = 0

    def ack(self) -> None:
        self.on_ack(self.offset)

    def ack_through(self) -> None:
        self.on_ack(self.offset)

    def _open(self) -> Sequence[Any]:
        if isinstance(self.body, DecodeError):
            raise self.body
        return self.body


@dataclass
class FakeRequest:
    content: bytes
    by: str = "console"


class FakeHub:
    """Holds frames, remembers cursors, keeps what agents publish, hands requests on."""

    def __init__(self) -> None:
        self.log: list[FakeFrame] = []
        self.cursors: dict[str, int] = {}
        self.published: list[tuple[str, bytes]] = []
        self.publish_gate = asyncio.Event()
        self.publish_gate.set()
        self.something = asyncio.Condition()
        self.connected = True
        self.connects = 1
        self.history = 0
        self.no_answers = False
        self.responders: dict[str, Callable[[Any], Awaitable[bytes | str]]] = {}
        self.telling: set[asyncio.Future[None]] = set()

    @property
    def alerts(self) -> list[Alert]:
        return [decode_alert(content) for topic, content in self.published if topic.startswith("alerts/")]

    @property
    def tasks(self) -> list[Task]:
        return [decode_task(content) for topic, content in self.published if topic.startswith("tasks/")]

    async def append(self, topic: str, body: Sequence[Any] | DecodeError, **kwargs: Any) -> FakeFrame:
        frame = FakeFrame(topic, body, sequence=kwargs.pop("sequence", len(self.log) + 1), **kwargs)
        frame.offset = len(self.log)
        self.log.append(frame)
        await self._tell()
        return frame

    async def readings(self, *readings: Reading, device: DeviceId = PUMP) -> FakeFrame:
        return await self.append(device.readings_topic, readings)

    async def publish(self, topic: str, content: bytes | str, *, key: str = "", stored: bool = False) -> None:
        assert stored
        assert isinstance(content, bytes)
        await self.publish_gate.wait()
        self.published.append((topic, content))
        await self._tell()

    async def publish_readings(
        self, topic: str, readings: Sequence[Reading], *, key: str = "", stored: bool = False
    ) -> None:
        await self.publish(topic, encode_readings(readings), key=key, stored=stored)

    @asynccontextmanager
    async def subscribe(
        self,
        filters: str | Sequence[str],
        *,
        durable: str = "",
        group: str = "",
        start: object,
        ack: str = "auto",
    ) -> AsyncIterator["FakeFrames"]:
        yield FakeFrames(self, [filters] if isinstance(filters, str) else filters, durable or group)

    async def respond(self, filters: str, handler: Callable[[Any], Awaitable[bytes | str]]) -> None:
        if self.no_answers:
            raise Refused(f"may not subscribe to {filters!r}", code="permission_denied")
        self.responders[filters] = handler
        await self._tell()

    async def ask(self, topic: str, content: bytes, *, by: str = "console") -> bytes | str:
        await self.until(lambda: topic in self.responders)
        return await self.responders[topic](FakeRequest(content, by))

    async def until(self, claim: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
        async with asyncio.timeout(timeout_s), self.something:
            await self.something.wait_for(claim)

    async def _tell(self) -> None:
        async with self.something:
            self.something.notify_all()


class FakeFrames:
    """A subscription of the fake hub."""

    def __init__(self, hub: FakeHub, filters: Sequence[str], durable: str) -> None:
        self._hub = hub
        self._filters = filters
        self._durable = durable
        self.end_offset: int | None = max(len(hub.log), hub.history)
        self.next_offset = hub.cursors.get(durable, 0)

    @property
    def connected(self) -> bool:
        return self._hub.connected

    @property
    def connects(self) -> int:
        return self._hub.connects

    async def wait_open(self, *, timeout_s: float | None = None) -> None:
        return

    async def deliveries(self) -> AsyncIterator[FakeFrame]:
        hub = self._hub
        while True:
            async with hub.something:
                await hub.something.wait_for(lambda: len(hub.log) > self.next_offset)
            frame = hub.log[self.next_offset]
            self.next_offset += 1
            if any(matches(each, frame.topic) for each in self._filters):
                frame.on_ack = self._ack
                yield frame

    def _ack(self, offset: int) -> None:
        self._hub.cursors[self._durable] = max(self._hub.cursors.get(self._durable, 0), offset + 1)
        telling = asyncio.ensure_future(self._hub._tell())
        self._hub.telling.add(telling)
        telling.add_done_callback(self._hub.telling.discard)


async def poll(claim: Callable[[], bool], *, timeout_s: float = 5.0) -> None:
    """Wait for something that tells nobody when it happens."""
    async with asyncio.timeout(timeout_s):
        while not claim():  # noqa: ASYNC110  # plain counters, as Prometheus would read them
            await asyncio.sleep(0.01)
