"""A subscription that may have a handler."""

import logging
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Literal, Self

from fieldline.client.message import Message
from fieldline.client.subscription import Subscription

__all__ = ["HandledSubscription", "Handler"]

log = logging.getLogger(__name__)

Handler = Callable[[Message], Awaitable[None] | None]


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
        while (delivery := await self.next_delivery()) is not None:
            for message in delivery.messages():
                try:
                    result = handler(message)
                    if result is not None:
                        await result
                except Exception as error:
                    if not self._nack_errors:
                        raise
                    log.warning("handler failed on offset %d of %s: %r", message.offset, message.topic, error)
                    message.nack(reason=repr(error))
            if self._auto:
                delivery.ack()
