"""Hands messages and news of the link from the client's thread to the event loop: a bounded queue."""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass, field

__all__ = ["Inbox", "LinkNews", "Message"]


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message as it arrived. `number` is the packet's, and `session` counts sessions the broker forgot."""

    topic: str
    payload: bytes
    arrived_ns: int
    retained: bool
    qos: int = 0
    number: int = 0
    session: int = 0


@dataclass(slots=True)
class LinkNews:
    """What happened to the connection since the news was last taken. News adds up; it is never dropped."""

    is_up: bool = False
    lost: bool = False  # lost, or not made, at least once
    why: str = ""
    connects: int = 0
    failures: int = 0
    takeovers: int = 0
    sessions_lost: int = 0
    filters_refused: list[tuple[str, str]] = field(default_factory=list)  # and why
    filters_lowered: list[tuple[str, int]] = field(default_factory=list)  # and the quality of service granted


class Inbox:
    """A queue between two threads, with two policies at its bound.

    QoS 0: the oldest such message is dropped and counted in `dropped`. QoS 1 and 2: `put` waits, so nothing more is
    read from the broker, which keeps them. With `held_max`, it also waits while so many were put and not released.
    """

    def __init__(self, messages_max: int, *, held_max: int | None = None) -> None:
        self.dropped = 0
        self._messages_max = messages_max
        self._held_max = held_max
        self._held = 0
        self._messages: deque[Message] = deque()
        self._droppable = 0
        self._news = LinkNews()
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._waking = False

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take messages of a new client, and wake this loop from now on."""
        self._loop = loop
        self._closed = False
        self._held = 0

    def close(self) -> None:
        """Take no more messages that are held for an acknowledgement; `put` waits for nothing any more."""
        with self._lock:
            self._closed = True
            self._room.notify_all()

    def put(self, message: Message) -> bool:
        """Queue a message; False if it was not taken and the broker should keep it. From the client's thread."""
        with self._lock:
            if message.qos:
                while self._is_full and not self._closed:
                    self._room.wait()
                if self._closed and (self._held_max is not None or self._is_full):
                    return False
                self._held += 1
            elif len(self._messages) >= self._messages_max and not self._drop_oldest():
                self.dropped += 1  # all others are the broker's to repeat: this one nobody repeats, and it goes
                return True
            self._messages.append(message)
            self._droppable += not message.qos
        self._wake()
        return True

    def release(self, count: int) -> None:
        """So many messages that were held are acknowledged: there is room for others."""
        with self._lock:
            self._held -= count
            self._room.notify_all()

    def connected(self, *, session_lost: bool = False) -> None:
        """Note that the link is up. From any thread."""
        with self._lock:
            self._news.is_up = True
            self._news.connects += 1
            self._news.sessions_lost += session_lost
        self._wake()

    def lost(self, why: str, *, failed: bool = False, taken_over: bool = False) -> None:
        """Note that the link is down, or that it could not be made (`failed`). From any thread."""
        with self._lock:
            self._news.is_up = False
            self._news.lost = True
            self._news.why = why
            self._news.failures += failed
            self._news.takeovers += taken_over
        self._wake()

    def refused(self, topic_filter: str, why: str) -> None:
        """Note that the broker did not accept a subscription. From any thread."""
        with self._lock:
            self._news.filters_refused.append((topic_filter, why))
        self._wake()

    def lowered(self, topic_filter: str, qos: int) -> None:
        """Note that the broker promises less than was asked for. From any thread."""
        with self._lock:
            self._news.filters_lowered.append((topic_filter, qos))
        self._wake()

    async def wait(self) -> None:
        """Wait until something was put."""
        await self._woken.wait()
        self._woken.clear()
        self._waking = False

    def take(self, messages_max: int) -> list[Message]:
        """Up to so many messages, oldest first."""
        with self._lock:
            taken = [self._messages.popleft() for _ in range(min(messages_max, len(self._messages)))]
            self._droppable -= sum(not message.qos for message in taken)
            if self._held_max is None:
                self._held -= sum(message.qos > 0 for message in taken)
            self._room.notify_all()
        return taken

    def take_news(self) -> LinkNews:
        """What happened to the link since the last call."""
        with self._lock:
            news, self._news = self._news, LinkNews(is_up=self._news.is_up)
        return news

    def wake(self) -> None:
        """End the current or next `wait`. From any thread."""
        self._wake()

    @property
    def _is_full(self) -> bool:
        return len(self._messages) >= self._messages_max or (
            self._held_max is not None and self._held >= self._held_max
        )

    def _drop_oldest(self) -> bool:
        if not self._droppable:
            return False
        at = next(at for at, message in enumerate(self._messages) if not message.qos)
        del self._messages[at]
        self._droppable -= 1
        self.dropped += 1
        return True

    def _wake(self) -> None:
        # One wake-up on its way is enough: `wait` lowers the flag before the queue is read.
        if not self._waking and self._loop is not None:
            self._waking = True
            self._loop.call_soon_threadsafe(self._woken.set)
