"""What a request and its replies say about each other, in headers. Pure.

Deadlines travel as Unix time, so the clocks of requester and responder should agree (NTP does); `now_ms` is Unix time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldline.errors import BadTopic, RequestFailed
from fieldline.headers import DEADLINE_MS, FAILED, REPLY_TO, REQUEST_ID
from fieldline.limits import TTL_S_MAX
from fieldline.topics import INBOX, check_topic

__all__ = [
    "Address",
    "Question",
    "Reply",
    "address_of",
    "failure_headers",
    "failure_of",
    "read_reply",
    "request_headers",
]

_OURS = frozenset((REPLY_TO, REQUEST_ID, DEADLINE_MS, FAILED))
_REPLY_BYTES = 100
_WITHOUT_DEADLINE_MS = 30_000
_REASON_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True)
class Reply:
    """What the responder `by` (a client name) answered. `failed` is not empty if its handler raised: it says what."""

    content: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    by: str = ""
    failed: str = ""

    @property
    def text(self) -> str:
        """The content as UTF-8 text."""
        return self.content.decode()


@dataclass(frozen=True, slots=True)
class Address:
    """Where a reply goes, and until when anybody waits for it."""

    reply_to: str
    request_id: str
    deadline_ms: int


class Question:
    """The replies to one request: it is answered after `replies_max` of them (None: never) or at `bytes_max` bytes.

    A reply counts as 100 bytes more than its content and headers, so that empty ones are bounded as well.
    """

    def __init__(self, *, replies_max: int | None, bytes_max: int) -> None:
        self.replies: list[Reply] = []
        self._replies_max = replies_max
        self._bytes_max = bytes_max
        self._bytes = 0

    def add(self, reply: Reply) -> bool:
        """One more reply; True if it is answered. What would go over `bytes_max` is left out, and answers it."""
        if self.is_answered:
            return True
        self._bytes += _REPLY_BYTES + len(reply.content) + len(reply.failed)
        self._bytes += sum(len(name) + len(value) for name, value in reply.headers.items())
        if self._bytes <= self._bytes_max:
            self.replies.append(reply)
        return self.is_answered

    @property
    def is_answered(self) -> bool:
        """Whether no more replies are wanted."""
        enough = self._replies_max is not None and len(self.replies) >= self._replies_max
        return enough or self._bytes >= self._bytes_max


def request_headers(
    headers: Mapping[str, str] | None, *, inbox: str, request_id: str, timeout_s: float, now_ms: int
) -> dict[str, str]:
    """`headers` and those that make a request of the message."""
    deadline_ms = now_ms + max(1, round(timeout_s * 1000))
    return {**(headers or {}), REPLY_TO: inbox, REQUEST_ID: request_id, DEADLINE_MS: str(deadline_ms)}


def address_of(headers: Mapping[str, str], *, now_ms: int) -> Address | None:
    """Where the reply to a message with these headers goes; None if it is no request.

    A reply goes nowhere but under `$inbox/`: otherwise a request could have a responder publish what it likes.
    Without a deadline, or with one that cannot be read, a request is good for 30 s.
    """
    reply_to, request_id = headers.get(REPLY_TO, ""), headers.get(REQUEST_ID, "")
    if not request_id or not reply_to.startswith(INBOX):
        return None
    try:
        check_topic(reply_to)
    except BadTopic:
        return None
    said = headers.get(DEADLINE_MS, "")
    readable = said.isascii() and said.isdigit() and len(said) < 19
    deadline_ms = int(said) if readable else now_ms + _WITHOUT_DEADLINE_MS
    return Address(reply_to, request_id, min(deadline_ms, now_ms + TTL_S_MAX * 1000))


def failure_headers(request_id: str, error: BaseException) -> dict[str, str]:
    """The headers of a reply that says what the handler raised."""
    reason = f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()
    return {REQUEST_ID: request_id, FAILED: reason[:_REASON_CHARACTERS_MAX]}


def read_reply(message: Any) -> tuple[str, Reply]:
    """(request id, reply) of a message that came to an inbox."""
    headers = message.headers
    others = {name: value for name, value in headers.items() if name not in _OURS}
    reply = Reply(message.content, others, message.delivery.producer, headers.get(FAILED, ""))
    return headers.get(REQUEST_ID, ""), reply


def failure_of(topic: str, reply: Reply) -> RequestFailed:
    """The error that a failed reply stands for."""
    return RequestFailed(
        f"{reply.by} could not answer the request on {topic!r}: {reply.failed}", by=reply.by, reason=reply.failed
    )
