"""The runtime: one connection to a hub, for publishing and subscribing."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from fieldline.access import Access, Tls
from fieldline.agent import Agent, AgentInfo
from fieldline.client.backoff import Backoff
from fieldline.client.link import Link
from fieldline.client.message import Message
from fieldline.client.outbox import Batch, Coalescing, Outbox
from fieldline.client.presence import Presence, list_agents
from fieldline.client.producer import FrameProducer
from fieldline.client.subscription import NO_REDELIVERY, Redelivery, Start, Subscription
from fieldline.errors import BufferFull, Closed, HubUnavailable, LimitError
from fieldline.topics import check_name

__all__ = ["HandledSubscription", "Runtime"]

log = logging.getLogger(__name__)

Handler = Callable[[Message], Awaitable[None] | None]


class Runtime:
    """A connection to the hub at `address` ("host:port"), used as an async context manager.

    `name` is how the hub knows this client: `[A-Za-z0-9_.-]{1,64}`. `tls` and `token` are what it shows a hub that asks
    who it is; such a hub takes only names that belong to that identity. Publishing needs no connection at the moment it
    is called: messages wait, within bounds, and are sent again until the hub has acknowledged them, each stored once.
    Leaving the context waits up to `close_timeout_s` for what is still unacknowledged. With `agent` it joins the hub's
    list of agents while it is open, again after every loss.

    If the hub refuses this client for good (a protocol it does not speak, a topic it does not allow), or a handler
    raises, the body of the `async with` is cancelled and the error is raised from it.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        name: str,
        tls: Tls | None = None,
        token: str = "",
        coalescing: Coalescing | None = None,
        close_timeout_s: float = 5.0,
        connect_timeout_s: float | None = None,
        agent: Agent | None = None,
    ) -> None:
        self.address = address
        self.name = check_name(name, "runtime name")
        self._access = Access(tls, token)
        self._close_timeout_s = close_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._agent = agent
        self._source = _OutboxSource(self.name, Outbox(coalescing or Coalescing()))
        self._outbox = self._source.outbox
        self._link: Link | None = None
        self._producer: FrameProducer | None = None
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriptions: list[Subscription] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        """Connect in the background; with `connect_timeout_s`, raise HubUnavailable if no hub answers in that time.

        Raises ConfigError if a file of `tls` cannot be used.
        """
        self._link = Link(self.address, self._access)
        if self._connect_timeout_s is not None:
            try:
                await self._link.reach(self._connect_timeout_s)
            except HubUnavailable:
                await self._link.close()
                raise
        await self._group.__aenter__()
        if self._agent is not None:
            self._spawn(Presence(self._link, self.name, self._agent).run())
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> bool | None:
        """Flush (unless the body failed), stop, and raise what the background work met."""
        try:
            if kind is None:
                await self._flush_at_close()
        finally:
            for subscription in self._subscriptions:
                await subscription.close()
            for task in self._tasks:
                task.cancel()
            self._closed = True
            for waiter in self._outbox.abandon():
                if not waiter.done():
                    waiter.set_exception(Closed("the runtime was closed before the hub had acknowledged this message"))
                    waiter.exception()
            self._source.wake_all()
            assert self._link is not None
            try:
                await self._group.__aexit__(kind, error, trace)
            except BaseExceptionGroup as group:
                if len(group.exceptions) == 1:
                    raise group.exceptions[0] from None
                raise
            finally:
                await self._link.close()
                self._link = None
        return None

    @property
    def connected(self) -> bool:
        """Whether a stream to the hub is up at this moment."""
        return bool(self._producer and self._producer.connected) or any(s.connected for s in self._subscriptions)

    @property
    def bytes_waiting(self) -> int:
        """Content bytes accepted by `publish` and not yet acknowledged by the hub."""
        return self._outbox.bytes_waiting

    async def publish(
        self,
        topic: str,
        content: bytes | str,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        stored: bool = False,
        wait: bool = True,
    ) -> None:
        """Publish one message; messages of one topic and key stay in order.

        Returns as soon as the message is accepted, or with stored=True once the hub has fsynced it. When the buffer is
        full it waits for room, or raises BufferFull with wait=False. Raises BadTopic or LimitError for what no hub
        would take.
        """
        outbox = self._outbox
        self._check_open()
        if not outbox.has_room:
            await self._room(wait)
        data = _as_bytes(content)
        batch = outbox.add(topic, key, data, headers, now_s=time.monotonic(), now_ns=time.time_ns())
        self._wake(batch)
        if stored:
            await self._stored(batch)
        elif batch.sealed:
            await asyncio.sleep(0)  # a publisher in a tight loop lets the sender have its turn once per frame

    async def publish_batch(
        self, topic: str, contents: Iterable[bytes | str], *, key: str = "", stored: bool = False
    ) -> None:
        """Publish many messages to one topic, as `publish` would one after the other."""
        batch: Batch | None = None
        outbox = self._outbox
        self._check_open()
        now_s, now_ns = time.monotonic(), time.time_ns()
        try:
            for content in contents:
                if not outbox.has_room:
                    await self._room(wait=True)
                batch = outbox.add(topic, key, _as_bytes(content), None, now_s=now_s, now_ns=now_ns)
                if batch.sealed:
                    self._wake(batch)
                    await asyncio.sleep(0)
                    now_s, now_ns = time.monotonic(), time.time_ns()
        finally:
            if batch is not None:  # also what was accepted before one that is refused
                self._wake(batch)
        if batch is not None and stored:
            await self._stored(batch)

    async def flush(self) -> None:
        """Return once the hub has stored everything published before this call."""
        self._outbox.seal_all()
        self._source.wake()
        last = self._outbox.last_batch  # frames are stored in order, so nothing before it is still to come
        if last is not None:
            await self._stored(last)

    def subscribe(
        self,
        filters: str | Sequence[str],
        handler: Handler | None = None,
        *,
        durable: str = "",
        group: str = "",
        start: Start = Start.LIVE,
        ack: Literal["auto", "manual"] = "auto",
        on_error: Literal["raise", "nack"] = "raise",
        redelivery: Redelivery = NO_REDELIVERY,
        hold: bool = False,
        frames_max: int = 256,
        bytes_max: int = 8 << 20,
    ) -> "HandledSubscription":
        """A subscription to one or more topic filters.

        `durable` names a cursor the hub keeps: the next subscription of that name goes on where the acks of this one
        ended. Only one client at a time holds a durable; a second waits as a standby. `group` names a durable that
        several clients share: each frame goes to one of them, those of one key to the same one while it lives.
        `redelivery` says when a durable or group gets again what it has not finished, and when that becomes a dead
        letter; `hold` keeps retention from what it has not acknowledged.

        A handler that raises ends the runtime; with on_error="nack" its message is nacked and delivered again instead.

        Use it as `async with runtime.subscribe(...) as messages: async for message in messages`, or give a handler and
        `await runtime.subscribe(filter, handler)`: it is then called for every message until the runtime is closed.
        """
        assert self._link is not None, "use the runtime inside its 'async with'"
        self._subscriptions = [one for one in self._subscriptions if not one.closed]
        subscription = HandledSubscription(
            self._link,
            name=self.name,
            filters=[filters] if isinstance(filters, str) else filters,
            durable=durable,
            group=group,
            start=start,
            ack=ack,
            redelivery=redelivery,
            hold=hold,
            frames_max=frames_max,
            bytes_max=bytes_max,
        )
        subscription.attach(handler, self._spawn, on_error)
        self._subscriptions.append(subscription)
        return subscription

    async def agents(self, serving: str = "", *, timeout_s: float = 10.0) -> list[AgentInfo]:
        """The agents that are present at the hub; with `serving` only those that serve this topic.

        An agent serves a topic if an open subscription of its name matches it, or its capability `serves` does.
        Raises HubUnavailable if the hub does not answer within `timeout_s`.
        """
        self._check_open()
        assert self._link is not None
        return await list_agents(self._link, serving, timeout_s=timeout_s)

    def _spawn(self, work: Any) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _check_open(self) -> None:
        if self._link is None or self._closed:
            raise Closed("the runtime is not open; use it inside its 'async with'")

    def _wake(self, batch: Batch) -> None:
        if self._producer is None and not self._closed:
            self._producer = FrameProducer(
                self.address, name=self.name, source=self._source, link=self._link, backoff=Backoff()
            )
            self._spawn(self._producer.run())
        self._source.wake()

    async def _room(self, wait: bool) -> None:
        if not wait:
            raise BufferFull(
                f"publish buffer holds {self._outbox.bytes_waiting} bytes the hub has not acknowledged; "
                "wait, or raise buffer_bytes_max"
            )
        while not self._outbox.has_room:
            await self._source.room()
        self._check_open()  # it may have been closed meanwhile

    async def _stored(self, batch: Batch) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch.waiters.append(waiter)
        await waiter

    async def _flush_at_close(self) -> None:
        try:
            async with asyncio.timeout(self._close_timeout_s):
                await self.flush()
        except TimeoutError:
            log.warning("closed with %d bytes the hub had not acknowledged", self._outbox.bytes_waiting)


class HandledSubscription(Subscription):
    """A subscription that may have a handler; `await` it to start that."""

    _handler: Handler | None = None
    _spawn: Callable[[Any], None]
    _nack_errors = False

    def attach(
        self, handler: Handler | None, spawn: Callable[[Any], None], on_error: Literal["raise", "nack"] = "raise"
    ) -> None:
        """Set what `await` will start."""
        self._handler = handler
        self._spawn = spawn
        self._nack_errors = on_error == "nack"

    def __await__(self) -> Generator[Any, None, Self]:
        return self._start_handler().__await__()

    async def _start_handler(self) -> Self:
        assert self._handler is not None, "give a handler to await a subscription; without one use 'async with'"
        self.open()
        await self.wait_open()
        self._spawn(self._handle(self._handler))
        return self

    async def _handle(self, handler: Handler) -> None:
        async for message in self:
            try:
                result = handler(message)
                if result is not None:
                    await result
            except Exception as error:
                if not self._nack_errors:
                    raise
                log.warning("handler failed on offset %d of %s: %r", message.offset, message.topic, error)
                message.nack(reason=repr(error))


def _as_bytes(content: bytes | bytearray | memoryview | str) -> bytes:
    """What travels; a copy where the caller could change it afterwards. LimitError for text no UTF-8 can hold."""
    if isinstance(content, bytes):
        return content
    if not isinstance(content, str):
        return bytes(content)
    try:
        return content.encode()
    except UnicodeEncodeError as error:
        raise LimitError(
            f"text {content[:40]!r} is not valid Unicode: {error.reason}; publish bytes instead"
        ) from error


class _OutboxSource:
    """The outbox as a FrameSource: adds the waiting to what is otherwise pure."""

    def __init__(self, name: str, outbox: Outbox) -> None:
        self.producer = name
        # Numbering starts at 1 with every runtime, so every runtime is an epoch of its own.
        self.epoch = uuid.uuid4().int >> 65
        self.outbox = outbox
        self._something = asyncio.Event()
        self._room = asyncio.Event()

    def wake(self) -> None:
        """There may be something to send."""
        if not self._something.is_set():
            self._something.set()

    def wake_all(self) -> None:
        """Nothing will be acknowledged any more: let nobody wait for it."""
        self._something.set()
        self._room.set()

    async def room(self) -> None:
        """Until something was acknowledged."""
        self._room.clear()
        await self._room.wait()

    async def resume(self, last_sequence: int) -> None:
        await self.acknowledged(last_sequence)

    async def read(self, after: int, *, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        return self.outbox.take(after, now_s=time.monotonic(), frames_max=frames_max, bytes_max=bytes_max)

    async def wait(self, after: int) -> None:
        due_s = self.outbox.due_in_s(time.monotonic())
        if due_s == 0.0:
            return
        self._something.clear()
        try:
            async with asyncio.timeout(due_s):
                await self._something.wait()
        except TimeoutError:
            pass  # the linger of the oldest batch is over

    async def acknowledged(self, sequence: int) -> None:
        for waiter in self.outbox.acknowledged(sequence):
            if not waiter.done():
                waiter.set_result(None)
        self._room.set()
