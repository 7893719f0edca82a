"""A subscription that may have a handler."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, Literal, NamedTuple, Self

from fieldline.client.message import Delivery, Message
from fieldline.client.subscription import Subscription
from fieldline.errors import DecodeError

__all__ = ["HandledSubscription", "Handler"]

log = logging.getLogger(__name__)

Handler = Callable[[Message], Awaitable[None] | None]


class _Begun(NamedTuple):
    """A delivery that was begun where it came in, and that the handler's task has to finish."""

    rest: Iterator[Message]
    message: Message | None = None
    result: Awaitable[None] | None = None
    error: Exception | None = None


class HandledSubscription(Subscription):
    """A subscription that may have a handler; `await` it to start that.

    A plain function is called where a delivery comes in, as long as nothing waits before it: that saves a change of
    task for every frame. Everything else has its turn in the handler's own task, and the stream is read on meanwhile.
    """

    _handler: Handler | None = None
    _spawn: Callable[[Any], None]
    _nack_errors = False
    _is_idle = False  # a plain function's task waits for a delivery
    _begun: _Begun | None = None  # of the delivery at the head of the queue

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
        is_plain = not inspect.iscoroutinefunction(handler)
        while True:
            self._is_idle = is_plain
            delivery = await self.next_delivery()
            self._is_idle = False
            if delivery is None:
                return
            begun, self._begun = self._begun, None
            if begun is None:
                begun = _Begun(iter(delivery.messages()))
            await self._finish(handler, begun)
            if self._auto:
                delivery.ack()

    async def _finish(self, handler: Handler, begun: _Begun) -> None:
        if begun.error is not None:
            raise begun.error
        if begun.message is not None and begun.result is not None:
            await self._wait_for(begun.message, begun.result)
        for message in begun.rest:
            try:
                result = handler(message)
            except Exception as error:  # noqa: BLE001  # judged there: raised again unless it is to be nacked
                self._failed(message, error)
            else:
                if result is not None:
                    await self._wait_for(message, result)

    async def _wait_for(self, message: Message, result: Awaitable[None]) -> None:
        try:
            await result
        except Exception as error:  # noqa: BLE001  # judged there: raised again unless it is to be nacked
            self._failed(message, error)

    def _failed(self, message: Message, error: Exception) -> None:
        if not self._nack_errors:
            raise error
        log.warning("handler failed on offset %d of %s: %r", message.offset, message.topic, error)
        message.nack(reason=repr(error))

    def _hand(self, delivery: Delivery) -> None:
        if self._is_idle and not self._queue and self._handler is not None:
            self._begun = self._begin(self._handler, delivery)
            if self._begun is None:
                self._note_handed_out(delivery)
                if self._auto:
                    delivery.ack()
                return
        super()._hand(delivery)

    def _begin(self, handler: Handler, delivery: Delivery) -> _Begun | None:
        """Call the handler for every message; what is left to do for the task, or None."""
        try:
            messages = iter(delivery.messages())
        except DecodeError as error:
            return _Begun(iter(()), error=error)
        for message in messages:
            try:
                result = handler(message)
                if result is not None:
                    return _Begun(messages, message, result)
            except Exception as error:  # noqa: BLE001  # raised in the handler's task, unless it is to be nacked
                if not self._nack_errors:
                    return _Begun(messages, error=error)
                self._failed(message, error)
        return None
