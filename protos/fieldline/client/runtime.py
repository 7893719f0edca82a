"""The runtime: one connection to a hub, for publishing and subscribing."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from fieldline.access import Access, Tls
from fieldline.agent import Agent, AgentInfo
from fieldline.client.backoff import Backoff
from fieldline.client.coalescing import Coalescing
from fieldline.client.handled import HandledSubscription, Handler
from fieldline.client.link import Link
from fieldline.client.presence import Presence, list_agents
from fieldline.client.producer import FrameProducer
from fieldline.client.publisher import Publisher
from fieldline.client.questions import Reply
from fieldline.client.requests import REPLIES_BYTES_MAX, Requester
from fieldline.client.responder import RequestHandler, Responder
from fieldline.client.subscription import NO_REDELIVERY, Redelivery, Start, Subscription
from fieldline.errors import HubUnavailable
from fieldline.topics import check_name

__all__ = ["Runtime"]

log = logging.getLogger(__name__)


class Runtime(Publisher):
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
        self._coalescing = coalescing or Coalescing()
        super().__init__(self.name, self._coalescing)
        self._access = Access(tls, token)
        self._close_timeout_s = close_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._requests: Requester | None = None
        self._agent = agent
        self._link: Link | None = None
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscriptions: list[Subscription] = []

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
        self._open = True
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
            self._open = False
            self._source.abandon()
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
    ) -> HandledSubscription:
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

    async def request(
        self,
        topic: str,
        content: bytes | str,
        *,
        timeout_s: float,
        key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask whoever responds on `topic`, and return the first reply.

        Request and reply are volatile: neither is stored. Raises NoReceiver at once if nobody listens to the topic,
        RequestFailed if the responder's handler raised, RequestTimeout if no reply came in `timeout_s`. Inside the
        handler of a request, no longer is waited than that request has left.
        """
        self._check_open()
        return await self._requester().request(topic, content, timeout_s=timeout_s, key=key, headers=headers)

    async def scatter(
        self,
        topic: str,
        content: bytes | str,
        *,
        timeout_s: float,
        replies_max: int | None = None,
        replies_bytes_max: int = REPLIES_BYTES_MAX,
        key: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> list[Reply]:
        """Ask everybody who responds on `topic`; returns what came in `timeout_s`, in the order in which it came.

        Returns earlier with `replies_max` replies, at `replies_bytes_max` bytes of them (each counts as 100 bytes more
        than its content and headers), or, with none, if nobody listens. A reply whose `failed` is not empty says that a
        handler raised.
        """
        self._check_open()
        return await self._requester().scatter(
            topic,
            content,
            timeout_s=timeout_s,
            replies_max=replies_max,
            replies_bytes_max=replies_bytes_max,
            key=key,
            headers=headers,
        )

    async def respond(
        self, filters: str | Sequence[str], handler: RequestHandler, *, group: str = "", concurrency_max: int = 64
    ) -> Responder:
        """Answer the requests on one or more topic filters until the runtime is closed.

        `handler(request)` returns the reply (bytes or text), or an awaitable of it; what it raises is told to the one
        who asks. It is cancelled when the request's deadline is over. At most `concurrency_max` run at a time.
        Everybody who responds on a topic gets every request; of those who name the same `group`, one, and those of one
        key the same one while it is there. A group is a durable of the hub's, but requests are not kept for it: if none
        of it is there, nobody listens. Returns once the hub has opened the subscription.
        """
        self._check_open()
        subscription = self.subscribe(filters, group=group)
        responder = Responder(self, subscription, handler, concurrency_max=concurrency_max)
        subscription.open()
        await subscription.wait_open()
        self._spawn(responder.run())
        return responder

    def _requester(self) -> Requester:
        if self._requests is None:
            self._requests = Requester(self, self._source)
        return self._requests

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

    def _start_producer(self) -> None:
        if not self._open:
            return
        self._producer = FrameProducer(
            self.address,
            name=self.name,
            source=self._source,
            link=self._link,
            backoff=Backoff(),
            in_flight_bytes_max=self._coalescing.in_flight_bytes_max,
            in_flight_frames_max=self._coalescing.in_flight_frames_max,
        )
        self._spawn(self._producer.run())

    async def _flush_at_close(self) -> None:
        try:
            async with asyncio.timeout(self._close_timeout_s):
                await self.flush()
        except TimeoutError:
            log.warning("closed with %d bytes the hub had not acknowledged", self._outbox.bytes_waiting)
