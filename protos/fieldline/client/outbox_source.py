"""The outbox as a source of frames: adds the waiting to what is otherwise pure."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterator

from fieldline.client.batch import Batch
from fieldline.client.coalescing import Coalescing
from fieldline.client.outbox import Outbox
from fieldline.client.receipts import Handled, Receipts
from fieldline.client.volatile import VolatileQueue
from fieldline.errors import Closed
from fieldline.limits import VOLATILE_WAIT_S_MAX
from fieldline.v1 import hub_pb2

__all__ = ["OutboxSource"]


class OutboxSource:
    """A FrameSource over what a runtime has published, with everything a source may have beyond that."""

    def __init__(self, name: str, coalescing: Coalescing) -> None:
        self.producer = name
        # Numbering starts at 1 with every runtime, so every runtime is an epoch of its own.
        self.epoch = uuid.uuid4().int >> 65
        self.receipts = Receipts()
        self.outbox = Outbox(coalescing, now=_now, receipts=self.receipts)
        self.volatile = VolatileQueue(coalescing, now=_now, receipts=self.receipts)
        self._something = asyncio.Event()
        self._something_volatile = asyncio.Event()
        self._volatile_sent = asyncio.Event()
        self._volatile_changed = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def acked_sequence(self) -> int:
        """The last sequence the hub has acknowledged."""
        return self.outbox.acked_sequence

    def wake(self) -> None:
        """There may be something to send."""
        if not self._something.is_set():
            self._something.set()

    def wake_volatile(self) -> None:
        """There is something volatile to send."""
        self._something.set()
        self._something_volatile.set()

    def abandon(self) -> None:
        """Nothing will be acknowledged any more: let nobody wait for it."""
        for waiter in self.outbox.abandon() + self.receipts.abandon():
            if not waiter.done():
                waiter.set_exception(Closed("the runtime was closed before the hub had acknowledged this message"))
                waiter.exception()  # seen, whether or not anybody still asks
        self.volatile.abandon()
        self._something.set()
        self._volatile_sent.set()
        self._volatile_changed.set()
        self._room.set()

    async def volatile_sent(self) -> None:
        """Until everything volatile has been given to the stream, or was dropped."""
        if not self.volatile:
            return
        self._volatile_sent.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VOLATILE_WAIT_S_MAX):
                await self._volatile_sent.wait()

    async def volatile_room(self, is_up: Callable[[], bool]) -> None:
        """Until the link is up and there is room among what is volatile: for those who wait rather than lose it."""
        while not (is_up() and self.volatile.has_room):
            self._volatile_changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(VOLATILE_WAIT_S_MAX):
                    await self._volatile_changed.wait()
            self.volatile.drop_late(time.monotonic())

    async def room(self) -> None:
        """Until something was acknowledged."""
        self._room.clear()
        await self._room.wait()

    async def stored(self, batch: Batch) -> None:
        """Until the hub has stored this batch."""
        if batch.stored:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        batch.waiters.append(waiter)
        await waiter

    @contextlib.contextmanager
    def receipt_of_last(self, batch: Batch) -> Iterator["asyncio.Future[Handled]"]:
        """What will become of the message just added to this batch: Handled, or an exception."""
        position = len(batch.contents) - 1
        heard: asyncio.Future[Handled] = asyncio.get_running_loop().create_future()
        self.receipts.expect(batch, position, heard)
        try:
            yield heard
        finally:
            self.receipts.forget(batch, position)
            if heard.done() and not heard.cancelled():
                heard.exception()  # seen, whether or not anybody still asks

    async def resume(self, last_sequence: int) -> None:
        """The hub has everything up to here."""
        await self.acknowledged(last_sequence)
        self.volatile.link_is(up=True, now_s=time.monotonic())
        self._volatile_changed.set()

    def lost(self) -> None:
        """The link is down."""
        self.volatile.link_is(up=False, now_s=time.monotonic())

    async def read(self, after: int, *, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        """What to send behind `after`, resent frames first."""
        return self.outbox.take(after, now_s=time.monotonic(), frames_max=frames_max, bytes_max=bytes_max)

    def read_volatile(self, *, frames_max: int, bytes_max: int) -> list[bytes]:
        """What to send before that."""
        if not self.volatile:
            self._volatile_sent.set()  # asked again: what was given last time has been written
            return []
        self._volatile_changed.set()
        return self.volatile.take(frames_max=frames_max, bytes_max=bytes_max)

    async def wait(self, after: int) -> None:
        """Until there is something to send, numbered or volatile."""
        due_s = self.outbox.due_in_s(time.monotonic())
        if due_s == 0.0 or self.volatile:
            return
        self._something.clear()
        try:
            async with asyncio.timeout(due_s):
                await self._something.wait()
        except TimeoutError:
            pass  # the linger of the oldest batch is over

    async def wait_volatile(self) -> None:
        """Until there is something volatile to send."""
        while not self.volatile:
            self._something_volatile.clear()
            await self._something_volatile.wait()

    async def acknowledged(self, sequence: int) -> None:
        """The hub has stored everything up to here."""
        for waiter in self.outbox.acknowledged(sequence):
            if not waiter.done():
                waiter.set_result(None)
        self._room.set()

    def receipt(self, receipt: hub_pb2.Receipt) -> None:
        """The hub says what became of a frame."""
        for waiter, heard in self.receipts.settle(receipt):
            if waiter.done():
                continue
            if isinstance(heard, Handled):
                waiter.set_result(heard)
            else:
                waiter.set_exception(heard)


def _now() -> tuple[float, int]:
    return time.monotonic(), time.time_ns()
