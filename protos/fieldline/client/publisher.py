"""The publishing half of a runtime: messages in, each stored once, or volatile."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from fieldline import tracing
from fieldline.client.batch import Batch
from fieldline.client.coalescing import Coalescing, ttl_to_ms
from fieldline.client.content import as_bytes, check_timeout
from fieldline.client.outbox_source import OutboxSource
from fieldline.client.producer import FrameProducer
from fieldline.client.receipts import Handled
from fieldline.errors import AckTimeout, BufferFull, Closed
from fieldline.model import Reading
from fieldline.wire.readings import encode_readings

__all__ = ["Publisher"]

_OPENTELEMETRY = tracing.OPENTELEMETRY
_loaded = sys.modules


class Publisher:
    """What a runtime does for those who publish. It says when it is open, and starts the producer when first needed."""

    def __init__(self, name: str, coalescing: Coalescing) -> None:
        self._source = OutboxSource(name, coalescing)
        self._outbox = self._source.outbox
        self._producer: FrameProducer | None = None
        self._open = False

    @property
    def bytes_waiting(self) -> int:
        """Content bytes accepted by `publish` and not yet acknowledged by the hub."""
        return self._outbox.bytes_waiting

    @property
    def messages_waiting(self) -> int:
        """Messages accepted by `publish` and not yet acknowledged by the hub."""
        return self._outbox.messages_waiting

    @property
    def volatile_dropped(self) -> int:
        """Volatile messages dropped, because the link was down for over 2 s or more than 4 MiB of them waited."""
        self._source.volatile.drop_late(time.monotonic())
        return self._source.volatile.dropped

    async def publish(
        self,
        topic: str,
        content: bytes | str,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        ttl_s: float | None = None,
        stored: bool = False,
        volatile: bool = False,
        wait: bool = True,
    ) -> None:
        """Publish one message; messages of one topic and key stay in order.

        Returns as soon as the message is accepted, or with stored=True once the hub has fsynced it. When the buffer is
        full it waits for room, or raises BufferFull with wait=False. `ttl_s` (at most 49 days) after the hub has got
        it, the message is not delivered any more. With volatile=True it is handed to who listens now, at most once: it
        is not stored, does not wait for room, and is dropped (`volatile_dropped`) if the link is down for over 2 s.
        Raises BadTopic or LimitError for what no hub would take.
        """
        if not self._open:
            raise _not_open()
        if _OPENTELEMETRY in _loaded and tracing.current():  # asked here: the call would cost more than the answer
            headers = tracing.inject(headers)
        ttl_ms = 0 if ttl_s is None else ttl_to_ms(ttl_s)
        data = content if type(content) is bytes else as_bytes(content)
        if volatile:
            self._check_volatile(stored)
            self._source.volatile.add(topic, key, data, headers, ttl_ms=ttl_ms)
            self._wake_volatile()
            return
        outbox = self._outbox
        if not outbox.has_room:
            await self._room(wait)
        batch = outbox.add(topic, key, data, headers, ttl_ms=ttl_ms)
        if batch.sealed or len(batch.contents) == 1:  # otherwise the sender knows of it already
            self._wake()
        if stored:
            await self._source.stored(batch)
        elif batch.sealed:
            await asyncio.sleep(0)  # a publisher in a tight loop lets the sender have its turn once per frame

    async def publish_batch(
        self,
        topic: str,
        contents: Iterable[bytes | str],
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        ttl_s: float | None = None,
        stored: bool = False,
    ) -> None:
        """Publish many messages to one topic, as `publish` would one after the other; all get the same headers."""
        batch = await self._accept_many(topic, contents, key=key, headers=headers, ttl_s=ttl_s)
        if batch is not None and stored:
            await self._source.stored(batch)

    async def publish_readings(
        self,
        topic: str,
        readings: Sequence[Reading],
        *,
        key: str = "",
        ttl_s: float | None = None,
        stored: bool = False,
        wait: bool = True,
    ) -> None:
        """Publish readings as gateways do: one frame, which subscribers open with `Delivery.readings()`.

        Otherwise as `publish`, behind what was published to that topic and key before. Nothing to publish is no error.
        Raises LimitError for more readings than one frame holds, and ValueError or TypeError for a reading that has no
        form on the wire.
        """
        batch = await self._accept_readings(topic, readings, key=key, ttl_s=ttl_s, wait=wait)
        if batch is not None and stored:
            await self._source.stored(batch)

    async def publish_with_ack(
        self,
        topic: str,
        content: bytes | str,
        *,
        timeout_s: float,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        ttl_s: float | None = None,
    ) -> Handled:
        """Publish one message and wait until a subscriber has handled it; returns who that was.

        The first subscriber that acknowledges or refuses it decides. Raises Nacked if it was refused, NoReceiver if
        nobody listens to that topic and no durable subscription waits for it, AckTimeout if neither is known in
        `timeout_s`. Whatever is raised, the message itself is stored, once, as with `publish`. If the connection is
        lost before the receipt has come, nobody sends it again: that ends as an AckTimeout.
        """
        return await self._with_ack(
            topic, content, timeout_s=timeout_s, key=key, headers=headers, ttl_s=ttl_s, note=_note_nothing
        )

    async def flush(self) -> None:
        """Return once the hub has stored everything published before this call, and got what is volatile of it."""
        self._outbox.seal_all()
        self._source.wake()
        last = self._outbox.last_batch  # frames are stored in order, so nothing before it is still to come
        if last is not None:
            await self._source.stored(last)
        await self._source.volatile_sent()

    async def _accept(
        self,
        topic: str,
        content: bytes | str,
        *,
        key: str,
        headers: Mapping[str, str] | None,
        ttl_s: float | None,
        wait: bool = True,
        receipt: bool = False,
    ) -> Batch:
        """`publish` without its short cuts: the batch the message is in."""
        self._check_open()
        data = as_bytes(content)
        ttl_ms = 0 if ttl_s is None else ttl_to_ms(ttl_s)
        if not self._outbox.has_room:
            await self._room(wait)
        batch = self._outbox.add(topic, key, data, tracing.inject(headers), ttl_ms=ttl_ms, receipt=receipt)
        self._wake()
        return batch

    async def _accept_many(
        self,
        topic: str,
        contents: Iterable[bytes | str],
        *,
        key: str,
        headers: Mapping[str, str] | None,
        ttl_s: float | None,
    ) -> Batch | None:
        """The batch the last message is in; None if there were none."""
        batch: Batch | None = None
        outbox = self._outbox
        self._check_open()
        headers = tracing.inject(headers)
        ttl_ms = 0 if ttl_s is None else ttl_to_ms(ttl_s)
        try:
            for content in contents:
                if not outbox.has_room:
                    await self._room(wait=True)
                batch = outbox.add(topic, key, as_bytes(content), headers, ttl_ms=ttl_ms)
                if batch.sealed:
                    self._wake()
                    await asyncio.sleep(0)
        finally:
            if batch is not None:  # also what was accepted before one that is refused
                self._wake()
        return batch

    async def _accept_readings(
        self, topic: str, readings: Sequence[Reading], *, key: str, ttl_s: float | None, wait: bool
    ) -> Batch | None:
        """The batch the readings are in; None if there were none."""
        self._check_open()
        if not readings:
            return None
        body = encode_readings(readings)
        ttl_ms = 0 if ttl_s is None else ttl_to_ms(ttl_s)
        if not self._outbox.has_room:
            await self._room(wait)
        batch = self._outbox.add_readings(topic, key, body, len(readings), ttl_ms=ttl_ms)
        self._wake()
        return batch

    async def _with_ack(
        self,
        topic: str,
        content: bytes | str,
        *,
        timeout_s: float,
        key: str,
        headers: Mapping[str, str] | None,
        ttl_s: float | None,
        note: Callable[[Batch], None],
    ) -> Handled:
        """`publish_with_ack`; `note` is told the batch as soon as there is one."""
        check_timeout(timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                batch = await self._accept(topic, content, key=key, headers=headers, ttl_s=ttl_s, receipt=True)
                with self._source.receipt_of_last(batch) as heard:
                    note(batch)
                    return await heard
        except TimeoutError:
            raise AckTimeout(f"nobody has handled the message on {topic!r} within {timeout_s:g} s") from None

    def _start_producer(self) -> None:
        raise NotImplementedError

    def _check_open(self) -> None:
        if not self._open:
            raise _not_open()

    def _wake(self) -> None:
        if self._producer is None:
            self._start_producer()
        self._source.wake()

    async def _volatile_room(self) -> None:
        """For those who wait rather than have something volatile dropped. Raises Closed."""
        if self._producer is None:
            self._start_producer()
        await self._source.volatile_room(lambda: not self._open or self._is_up)
        self._check_open()

    @property
    def _is_up(self) -> bool:
        return self._producer is not None and self._producer.connected

    def _wake_volatile(self) -> None:
        if self._producer is None:
            self._start_producer()
        self._source.wake_volatile()

    @staticmethod
    def _check_volatile(stored: bool) -> None:
        if stored:
            raise ValueError("volatile=True and stored=True: what is volatile is never stored; choose one")

    async def _room(self, wait: bool) -> None:
        if not wait:
            raise BufferFull(
                f"publish buffer holds {self._outbox.messages_waiting} messages, {self._outbox.bytes_waiting} bytes, "
                "which the hub has not acknowledged; wait, or raise buffer_messages_max or buffer_bytes_max"
            )
        while not self._outbox.has_room:
            await self._source.room()
        self._check_open()  # it may have been closed meanwhile


def _note_nothing(batch: Batch) -> None:
    pass


def _not_open() -> Closed:
    return Closed("the runtime is not open; use it inside its 'async with'")
