"""Several connections to one hub, for publishers that one does not carry."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fieldline.access import Tls
from fieldline.client.coalescing import Coalescing
from fieldline.client.receipts import Handled
from fieldline.client.runtime import Runtime
from fieldline.client.spread import Spread
from fieldline.errors import Closed, FieldlineError, LimitError
from fieldline.model import Reading
from fieldline.topics import check_name

__all__ = ["PoolStatistics", "RuntimePool"]

log = logging.getLogger(__name__)

SIZE_MAX = 64


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A pool at one moment. Connections `closed_idle` and `failures` are counted since it was made."""

    open: int
    opened: int
    closed_idle: int
    failures: int
    messages_waiting: int
    bytes_waiting: int
    messages_lost: int


class _Slot:
    """One connection of the pool: not open, open, or closing."""

    def __init__(self) -> None:
        self.users = 0  # publishes that are under way on it
        self.used_at_s = 0.0
        self.runtime: Runtime | None = None
        self.task: asyncio.Task[None] | None = None
        self.stop = asyncio.Event()
        self.ready: asyncio.Future[None] | None = None
        self.error: FieldlineError | None = None  # nobody has been told yet

    @property
    def load(self) -> int | None:
        if self.task is None or self.stop.is_set():
            return None
        return self.users + (self.runtime.messages_waiting if self.runtime else 0)

    def tell(self) -> None:
        """Raise what ended the connection, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error


class RuntimePool:
    """Up to `size` connections (1 to 64) to the hub at `address`, for publishing alone; an async context manager.

    The connections are runtimes named `<name>.0`, `<name>.1`, ..., opened when they are needed and closed after
    `max_idle_s` without a publish. Messages of one topic and key stay in order: with a key, they always take the same
    connection; without one, a topic stays on its connection until everything of it is stored, and then takes the one
    with the least to do. Bounds of `coalescing` hold for each connection.

    A connection that the hub refuses for good (a topic it does not allow, say) does not stop the others. What waited on
    it is lost and counted (`messages_lost`); the error is raised once, from the next publish that would take this
    connection, from `flush`, or from the `async with`, and after that it is opened anew.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        name: str,
        size: int = 4,
        max_idle_s: float = 60.0,
        tls: Tls | None = None,
        token: str = "",
        coalescing: Coalescing | None = None,
        close_timeout_s: float = 5.0,
    ) -> None:
        if not 1 <= size <= SIZE_MAX:
            raise LimitError(f"size {size} must be 1 to {SIZE_MAX}")
        if not max_idle_s > 0:
            raise LimitError(f"max_idle_s {max_idle_s} must be over 0")
        check_name(f"{name}.{size - 1}", "pool name with its number")
        self.address = address
        self.name = name
        self._max_idle_s = max_idle_s
        self._given: dict[str, Any] = {
            "tls": tls,
            "token": token,
            "coalescing": coalescing,
            "close_timeout_s": close_timeout_s,
        }
        self._spread = Spread(size)
        self._slots = [_Slot() for _ in range(size)]
        self._janitor: asyncio.Task[None] | None = None
        self._opened = self._closed_idle = self._failures = self._messages_lost = 0

    async def __aenter__(self) -> Self:
        """Connects to nothing yet."""
        self._janitor = asyncio.get_running_loop().create_task(self._close_idle(), name=f"pool {self.name}")
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Flush every connection (unless the body failed), close it, and raise what nobody has been told."""
        janitor, self._janitor = self._janitor, None
        assert janitor is not None
        janitor.cancel()
        tasks = [slot.task for slot in self._slots if slot.task]
        for slot in self._slots:
            slot.stop.set()
            if kind is not None and slot.task:
                slot.task.cancel()
        await asyncio.wait([janitor, *tasks])
        if kind is None:
            for slot in self._slots:
                slot.tell()

    async def publish(
        self,
        topic: str,
        content: bytes | str,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        ttl_s: float | None = None,
        stored: bool = False,
        wait: bool = True,
    ) -> None:
        """As `Runtime.publish`, over one of the connections."""
        async with self._connection(topic, key) as runtime:
            batch = await runtime._accept(topic, content, key=key, headers=headers, ttl_s=ttl_s, wait=wait)
            self._spread.note(topic, key, batch)
            if stored:
                await runtime._source.stored(batch)
            elif batch.sealed:
                await asyncio.sleep(0)

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
        """As `Runtime.publish_batch`, over one of the connections."""
        async with self._connection(topic, key) as runtime:
            batch = await runtime._accept_many(topic, contents, key=key, headers=headers, ttl_s=ttl_s)
            if batch is None:
                return
            self._spread.note(topic, key, batch)
            if stored:
                await runtime._source.stored(batch)

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
        """As `Runtime.publish_readings`, over one of the connections."""
        async with self._connection(topic, key) as runtime:
            batch = await runtime._accept_readings(topic, readings, key=key, ttl_s=ttl_s, wait=wait)
            if batch is None:
                return
            self._spread.note(topic, key, batch)
            if stored:
                await runtime._source.stored(batch)

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
        """As `Runtime.publish_with_ack`, over one of the connections."""
        async with self._connection(topic, key) as runtime:
            return await runtime._with_ack(
                topic,
                content,
                timeout_s=timeout_s,
                key=key,
                headers=headers,
                ttl_s=ttl_s,
                note=lambda batch: self._spread.note(topic, key, batch),
            )

    async def flush(self) -> None:
        """Return once the hub has stored everything published before this call, on every connection."""
        await asyncio.gather(*(self._flush(slot) for slot in self._slots))

    def statistics(self) -> PoolStatistics:
        """How it is now."""
        runtimes = [slot.runtime for slot in self._slots if slot.runtime]
        return PoolStatistics(
            open=len(runtimes),
            opened=self._opened,
            closed_idle=self._closed_idle,
            failures=self._failures,
            messages_waiting=sum(runtime.messages_waiting for runtime in runtimes),
            bytes_waiting=sum(runtime.bytes_waiting for runtime in runtimes),
            messages_lost=self._messages_lost,
        )

    @contextlib.asynccontextmanager
    async def _connection(self, topic: str, key: str) -> AsyncIterator[Runtime]:
        """The runtime for this topic and key, for one publish."""
        if self._janitor is None:
            raise Closed("the pool is not open; use it inside its 'async with'")
        number = self._spread.choose(topic, key, [slot.load for slot in self._slots])
        slot = self._slots[number]
        slot.users += 1
        task = None
        try:
            runtime = await self._open(slot, number)
            task = slot.task
            yield runtime
        except Closed:
            if task is not None:
                await asyncio.wait([task])
            slot.tell()  # why it is closed says more
            raise
        finally:
            slot.users -= 1
            slot.used_at_s = time.monotonic()
            self._spread.release(topic, key)

    async def _open(self, slot: _Slot, number: int) -> Runtime:
        slot.tell()
        while slot.task is not None and slot.stop.is_set():  # closing: what it holds must be stored first
            await asyncio.wait([slot.task])
        if slot.task is None:
            if self._janitor is None:
                raise Closed("the pool was closed")
            slot.stop.clear()
            loop = asyncio.get_running_loop()
            slot.ready = loop.create_future()
            slot.task = loop.create_task(self._hold(slot, number), name=f"pool {self.name}.{number}")
        assert slot.ready is not None
        await asyncio.wait([slot.ready])
        slot.tell()
        if slot.runtime is None:
            raise Closed("the connection was closed before it could be used")
        return slot.runtime

    async def _hold(self, slot: _Slot, number: int) -> None:
        """One life of a connection. A task of its own: a runtime cancels the task that has opened it when it fails."""
        runtime = Runtime(self.address, name=f"{self.name}.{number}", **self._given)
        try:
            async with runtime:
                slot.runtime = runtime
                self._opened += 1
                _set(slot.ready)
                try:
                    await slot.stop.wait()
                except asyncio.CancelledError:
                    self._messages_lost += runtime.messages_waiting
                    raise
        except FieldlineError as error:
            self._failures += 1
            slot.error = error
            log.error("connection %s.%d of the pool has failed: %s", self.name, number, error)
        finally:
            self._spread.lost(number)
            slot.runtime = slot.task = None
            _set(slot.ready)

    async def _flush(self, slot: _Slot) -> None:
        slot.tell()
        if slot.runtime is None or slot.task is None:
            return
        task = slot.task
        try:
            await slot.runtime.flush()
        except Closed:
            await asyncio.wait([task])
            slot.tell()
            raise

    async def _close_idle(self) -> None:
        while True:
            await asyncio.sleep(self._max_idle_s / 4)
            now_s = time.monotonic()
            for slot in self._slots:
                if slot.runtime and not slot.load and now_s - slot.used_at_s >= self._max_idle_s:
                    if not slot.stop.is_set():
                        self._closed_idle += 1
                    slot.stop.set()


def _set(ready: "asyncio.Future[None] | None") -> None:
    if ready is not None and not ready.done():
        ready.set_result(None)
