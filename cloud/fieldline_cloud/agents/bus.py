"""What an agent needs of the SDK, as protocols: fieldline.Runtime fits them, and so does a test's double."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from fieldline import Start
from fieldline.model import Reading
from fieldline.wire.readings import Series

__all__ = ["Bus", "FrameIn", "FramesIn", "MessageIn", "RequestIn"]


class MessageIn(Protocol):
    """One message of a delivered frame."""

    @property
    def content(self) -> bytes:
        """What the publisher said."""


class FrameIn(Protocol):
    """One delivered frame; (producer, epoch, sequence) is the same again if it comes twice."""

    @property
    def offset(self) -> int:
        """Where it stands in the hub's log."""

    @property
    def producer(self) -> str:
        """Who numbered it."""

    @property
    def epoch(self) -> int:
        """Which of the producer's numberings."""

    @property
    def topic(self) -> str:
        """Where it was published."""

    @property
    def sequence(self) -> int:
        """The producer's number of it."""

    def readings(self) -> list[Reading]:
        """Its readings; DecodeError if it holds none."""

    def series(self) -> list[Series]:
        """The same in columns, one series per tag and type of value."""

    def messages(self) -> Sequence[MessageIn]:
        """Its messages; DecodeError if the body is corrupt."""

    @property
    def missed_frames(self) -> int:
        """Frames lost just before this one, of a subscription that is neither durable nor a group."""

    def ack(self) -> None:
        """This frame is done."""

    def ack_through(self) -> None:
        """This frame and all before it are done."""


class FramesIn(Protocol):
    """An open subscription."""

    @property
    def connected(self) -> bool:
        """Whether the link is up at this moment."""

    @property
    def connects(self) -> int:
        """How often the link came up."""

    @property
    def end_offset(self) -> int | None:
        """Of the log when the subscription was opened: what lies below is history. None before that."""

    @property
    def next_offset(self) -> int:
        """No frame below this offset is still to come from the hub."""

    async def wait_open(self, *, timeout_s: float | None = None) -> None:
        """Return once the hub has opened it."""

    def deliveries(self) -> AsyncIterator[FrameIn]:
        """Frames in log order, through every reconnect."""


class RequestIn(Protocol):
    """A request to be answered."""

    @property
    def content(self) -> bytes:
        """What is asked."""

    @property
    def by(self) -> str:
        """The client name of the one who asks."""


class Bus(Protocol):
    """A connection to the hub."""

    async def publish(self, topic: str, content: bytes | str, *, key: str = "", stored: bool = False) -> None:
        """Publish one message; with stored=True return once the hub has fsynced it."""

    async def publish_readings(
        self, topic: str, readings: Sequence[Reading], *, key: str = "", stored: bool = False
    ) -> None:
        """Publish readings as one frame; with stored=True return once the hub has fsynced it."""

    def subscribe(
        self,
        filters: str | Sequence[str],
        *,
        durable: str = "",
        group: str = "",
        start: Start,
        ack: Literal["auto", "manual"] = "auto",
    ) -> AbstractAsyncContextManager[FramesIn]:
        """A subscription, to be used with `async with`."""

    async def respond(self, filters: str, handler: Callable[[RequestIn], Awaitable[bytes | str]]) -> Any:
        """Answer the requests on a topic filter until the connection is closed."""
