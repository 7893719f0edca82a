"""Asking others: requests out, replies in through an inbox of this runtime's own."""

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING

from fieldline import tracing
from fieldline.client.coalescing import ttl_to_ms
from fieldline.client.content import as_bytes, check_timeout
from fieldline.client.deadline import before_deadline_s
from fieldline.client.outbox_source import OutboxSource
from fieldline.client.questions import Question, Reply, failure_of, read_reply, request_headers
from fieldline.client.receipts import Handled
from fieldline.errors import Closed, DecodeError, HubError, LimitError, NoReceiver, RequestTimeout
from fieldline.limits import FRAME_BYTES_MAX
from fieldline.topics import INBOX

if TYPE_CHECKING:
    from fieldline.client.handled import HandledSubscription
    from fieldline.client.message import Message
    from fieldline.client.runtime import Runtime

__all__ = ["REPLIES_BYTES_MAX", "Requester"]

REPLIES_BYTES_MAX = 4 << 20


class _Waiting:
    """A question, and the future that ends the wait for it."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, heard: "asyncio.Future[Handled]") -> None:
        """The hub has said what became of the request."""
        if not self.over.done() and not heard.cancelled() and (error := heard.exception()) is not None:
            self.over.set_exception(error)


class Requester:
    """The asking side of one runtime. Its inbox is opened with the first request, and open until the runtime closes."""

    def __init__(self, runtime: "Runtime", source: OutboxSource) -> None:
        self.inbox = f"{INBOX}{runtime.name}/{secrets.token_hex(16)}"
        self.replies_late = 0
        """Replies that came when nobody waited for them any more."""
        self._runtime = runtime
        self._source = source
        self._subscription: HandledSubscription | None = None
        self._waiting: dict[str, _Waiting] = {}
        self._numbers = count(1)

    async def request(
        self, topic: str, content: bytes | str, *, timeout_s: float, key: str, headers: Mapping[str, str] | None
    ) -> Reply:
        """The first reply."""
        question = Question(replies_max=1, bytes_max=2 * FRAME_BYTES_MAX)
        try:
            await self._ask(question, topic, content, timeout_s=timeout_s, key=key, headers=headers)
        except TimeoutError:
            raise RequestTimeout(f"no reply to the request on {topic!r} within {timeout_s:g} s") from None
        (reply,) = question.replies
        if reply.failed:
            raise failure_of(topic, reply)
        return reply

    async def scatter(
        self,
        topic: str,
        content: bytes | str,
        *,
        timeout_s: float,
        replies_max: int | None,
        replies_bytes_max: int,
        key: str,
        headers: Mapping[str, str] | None,
    ) -> list[Reply]:
        """All replies until the time is over, or there are enough."""
        if (replies_max is not None and replies_max < 1) or replies_bytes_max < 1:
            raise LimitError(f"replies_max {replies_max} and replies_bytes_max {replies_bytes_max} must be at least 1")
        question = Question(replies_max=replies_max, bytes_max=replies_bytes_max)
        # The time was there to be used up; and nobody is a number of responders, too.
        with suppress(TimeoutError, NoReceiver):
            await self._ask(question, topic, content, timeout_s=timeout_s, key=key, headers=headers)
        return question.replies

    async def _ask(
        self,
        question: Question,
        topic: str,
        content: bytes | str,
        *,
        timeout_s: float,
        key: str,
        headers: Mapping[str, str] | None,
    ) -> None:
        """Return once the question is answered; TimeoutError, NoReceiver, or what the inbox was refused with."""
        check_timeout(timeout_s)
        data = as_bytes(content)
        until_s = time.monotonic() + before_deadline_s(timeout_s)
        with self._expecting(question) as (request_id, waiting):
            async with asyncio.timeout(max(0.0, until_s - time.monotonic())):
                await self._open_inbox()
                await self._runtime._volatile_room()
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                full = request_headers(
                    headers, inbox=self.inbox, request_id=request_id, timeout_s=left_s, now_ms=_now_ms()
                )
                batch = self._source.volatile.add(
                    topic, key, data, tracing.inject(full), ttl_ms=ttl_to_ms(left_s), receipt=True
                )
                with self._source.receipt_of_last(batch) as heard:
                    heard.add_done_callback(waiting.fail)
                    self._runtime._wake_volatile()
                    await waiting.over

    @contextmanager
    def _expecting(self, question: Question) -> Iterator[tuple[str, _Waiting]]:
        request_id = str(next(self._numbers))
        waiting = self._waiting[request_id] = _Waiting(question)
        try:
            yield request_id, waiting
        finally:
            del self._waiting[request_id]
            waiting.over.cancel()

    async def _open_inbox(self) -> None:
        if self._subscription is None:
            self._subscription = self._runtime.subscribe(self.inbox)
            self._subscription.open()
            self._runtime._spawn(self._read(self._subscription))
        if not self._subscription.connected:
            await self._subscription.wait_open()

    async def _read(self, subscription: "HandledSubscription") -> None:
        try:
            async for delivery in subscription.deliveries():
                try:
                    messages = delivery.messages()
                except DecodeError:
                    self.replies_late += 1
                    continue
                for message in messages:
                    self._take(message)
        except HubError as error:
            self._fail_all(error)
            raise
        self._fail_all(Closed("the runtime was closed before a reply had come"))

    def _take(self, message: "Message") -> None:
        request_id, reply = read_reply(message)
        waiting = self._waiting.get(request_id)
        if waiting is None or waiting.over.done():
            self.replies_late += 1
        elif waiting.question.add(reply):
            waiting.over.set_result(None)

    def _fail_all(self, error: HubError) -> None:
        for waiting in self._waiting.values():
            if not waiting.over.done():
                waiting.over.set_exception(error)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
