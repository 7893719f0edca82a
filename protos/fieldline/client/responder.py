"""Answering others: requests in, a handler for each, replies out."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fieldline import tracing
from fieldline.client.content import as_bytes
from fieldline.client.deadline import deadline_at
from fieldline.client.questions import Address, address_of, failure_headers
from fieldline.errors import Closed, DecodeError, LimitError
from fieldline.headers import REQUEST_ID

if TYPE_CHECKING:
    from fieldline.client.handled import HandledSubscription
    from fieldline.client.message import Delivery, Message
    from fieldline.client.runtime import Runtime

__all__ = ["Request", "RequestHandler", "Responder"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """A request, as its handler sees it."""

    message: "Message"
    _deadline_at_s: float

    @property
    def deadline_s(self) -> float:
        """Seconds left until nobody waits for the reply any more; 0 if that is over."""
        return max(0.0, self._deadline_at_s - time.monotonic())

    @property
    def topic(self) -> str:
        """The topic it was sent to."""
        return self.message.topic

    @property
    def key(self) -> str:
        """The key it was sent with; empty if none was given."""
        return self.message.key

    @property
    def content(self) -> bytes:
        """What is asked."""
        return self.message.content

    @property
    def text(self) -> str:
        """The content as UTF-8 text."""
        return self.message.text

    @property
    def headers(self) -> Mapping[str, str]:
        """All headers of the message."""
        return self.message.headers

    @property
    def by(self) -> str:
        """The client name of the one who asks."""
        return self.message.delivery.producer


RequestHandler = Callable[[Request], Awaitable[bytes | str] | bytes | str]


class Responder:
    """Answers requests until it or its runtime is closed. Counters are plain attributes to be scraped.

    At most `concurrency_max` handlers run at a time; what comes beyond that waits, first here and then at the hub,
    and is dropped once its deadline is over.
    """

    def __init__(
        self,
        runtime: "Runtime",
        subscription: "HandledSubscription",
        handler: RequestHandler,
        *,
        concurrency_max: int,
    ) -> None:
        if concurrency_max < 1:
            raise LimitError(f"concurrency_max {concurrency_max} must be at least 1")
        self.replies_sent = 0
        """Replies given to the link; whether anybody still waited for them is not known."""
        self.failed = 0
        """Requests whose handler raised; the requester was told."""
        self.late = 0
        """Requests dropped because their deadline was over, before or while the handler ran."""
        self.ignored = 0
        """Messages that are no requests: no inbox to reply to, or a frame that cannot be read."""
        self._runtime = runtime
        self._subscription = subscription
        self._handler = handler
        self._slots = asyncio.Semaphore(concurrency_max)

    async def close(self) -> None:
        """Take no more requests; those in hand are still answered while the runtime is open."""
        await self._subscription.close()

    async def run(self) -> None:
        """Until the subscription is closed."""
        async for delivery in self._subscription.deliveries():
            for message in self._messages_of(delivery):
                address = address_of(message.headers, now_ms=time.time_ns() // 1_000_000)
                if address is None:
                    self.ignored += 1
                else:
                    await self._begin(message, address)

    def _messages_of(self, delivery: "Delivery") -> Sequence["Message"]:
        try:
            return delivery.messages()
        except DecodeError:
            self.ignored += 1
            return ()

    async def _begin(self, message: "Message", address: Address) -> None:
        await self._slots.acquire()
        left_s = address.deadline_ms / 1000 - time.time()
        if left_s <= 0:
            self.late += 1
            self._slots.release()
            return
        request = Request(message, time.monotonic() + left_s)
        self._runtime._spawn(self._answer(request, address))

    async def _answer(self, request: Request, address: Address) -> None:
        try:
            async with asyncio.timeout(request.deadline_s) as deadline:
                with deadline_at(request._deadline_at_s), tracing.consume(request.message):
                    result = self._handler(request)
                    content = as_bytes(result if isinstance(result, bytes | str) else await result)
                await self._reply(address, content, {REQUEST_ID: address.request_id})
        except Exception as error:  # noqa: BLE001  # whatever a handler raises is told to the one who asks
            if deadline.expired():
                self.late += 1
            else:
                await self._excuse(request, address, error)
        finally:
            self._slots.release()

    async def _excuse(self, request: Request, address: Address, error: Exception) -> None:
        self.failed += 1
        log.info("handler of a request on %s failed; the requester is told", request.topic, exc_info=error)
        with contextlib.suppress(Closed, TimeoutError):
            async with asyncio.timeout(request.deadline_s):
                await self._reply(address, b"", failure_headers(address.request_id, error))

    async def _reply(self, address: Address, content: bytes, headers: Mapping[str, str]) -> None:
        await self._runtime._volatile_room()
        await self._runtime.publish(address.reply_to, content, headers=headers, volatile=True)
        self.replies_sent += 1
