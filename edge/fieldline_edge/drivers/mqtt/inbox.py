"""Hands messages and news of the link from the client's thread to the event loop: a bounded queue."""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field

__all__ = ["Inbox", "LinkNews", "Message"]


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message as it arrived."""

    topic: str
    payload: bytes
    arrived_ns: int
    retained: bool


@dataclass(slots=True)
class LinkNews:
    """What happened to the connection since the news was last taken. News adds up; it is never dropped."""

    is_up: bool = False
    lost: bool = False  # lost, or not made, at least once
    why: str = ""
    connects: int = 0
    failures: int = 0
    filters_refused: list[str] = field(default_factory=list)


class Inbox:
    """A queue between two threads. When full, the oldest message is dropped and counted in `dropped`."""

    def __init__(self, messages_max: int) -> None:
        self.dropped = 0
        self._messages_max = messages_max
        self._messages: deque[Message] = deque()
        self._news = LinkNews()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._waking = False

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake this loop from now on."""
        self._loop = loop

    def put(self, message: Message) -> None:
        """Queue a message. From any thread."""
        with self._lock:
            if len(self._messages) >= self._messages_max:
                self._messages.popleft()
                self.dropped += 1
            self._messages.append(message)
        self._wake()

    def connected(self) -> None:
        """Note that the link is up. From any thread."""
        with self._lock:
            self._news.is_up = True
            self._news.connects += 1
        self._wake()

    def lost(self, why: str, *, failed: bool = False) -> None:
        """Note that the link is down, or that it could not be made (`failed`). From any thread."""
        with self._lock:
            self._news.is_up = False
            self._news.lost = True
            self._news.why = why
            self._news.failures += failed
        self._wake()

    def refused(self, topic_filter: str) -> None:
        """Note that the broker did not accept a subscription. From any thread."""
        with self._lock:
            self._news.filters_refused.append(topic_filter)
        self._wake()

    async def wait(self) -> None:
        """Wait until something was put."""
        await self._woken.wait()
        self._woken.clear()
        self._waking = False

    def take(self, messages_max: int) -> list[Message]:
        """Up to so many messages, oldest first."""
        with self._lock:
            return [self._messages.popleft() for _ in range(min(messages_max, len(self._messages)))]

    def take_news(self) -> LinkNews:
        """What happened to the link since the last call."""
        with self._lock:
            news, self._news = self._news, LinkNews(is_up=self._news.is_up)
        return news

    def wake(self) -> None:
        """End the current or next `wait`. From any thread."""
        self._wake()

    def _wake(self) -> None:
        # One wake-up on its way is enough: `wait` lowers the flag before the queue is read.
        if not self._waking and self._loop is not None:
            self._waking = True
            self._loop.call_soon_threadsafe(self._woken.set)
