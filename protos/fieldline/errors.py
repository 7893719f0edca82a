"""What can go wrong, as one tree.

FieldlineError
├── ConfigError             a configuration file is wrong: file, line, key and cure
├── LimitError              a value is over a bound of fieldline.limits (also a ValueError)
├── BadTopic, BadName       a topic, filter or name breaks the rules (also ValueErrors)
├── DecodeError             bytes from outside are not what they claim to be
└── HubError                the hub refused, or is not there
    ├── HubUnavailable      not reachable, or shutting down: trying again may help
    │   └── RateLimited     over the rate this client may have: `retry_after_s` says when there is room again
    ├── Refused             the hub will say no again: `code` says why
    │   └── SequenceGap     frames are missing: `expected` says which one the hub waits for
    ├── BufferFull          publish(..., wait=False) found no room
    ├── NoReceiver          nobody listens to that topic, and no durable subscription waits for it
    ├── Nacked              a subscriber refused the message: `by` and `reason` say who and why
    ├── AckTimeout          nobody has said in time that it is done (also a TimeoutError)
    ├── RequestTimeout      no reply came in time (also a TimeoutError)
    ├── RequestFailed       the responder's handler raised: `by` and `reason` say who and why
    └── Closed              the runtime or subscription has been closed
"""

__all__ = [
    "AckTimeout",
    "BadName",
    "BadTopic",
    "BufferFull",
    "Closed",
    "ConfigError",
    "DecodeError",
    "FieldlineError",
    "HubError",
    "HubUnavailable",
    "LimitError",
    "Nacked",
    "NoReceiver",
    "RateLimited",
    "Refused",
    "RequestFailed",
    "RequestTimeout",
    "SequenceGap",
]


class FieldlineError(Exception):
    """Root of everything Fieldline raises on purpose."""


class ConfigError(FieldlineError):
    """A configuration file cannot be used; each of `problems` names its place and its cure."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, ...]]:
        """Travels between processes with its problems apart."""
        return type(self), self.problems


class LimitError(FieldlineError, ValueError):
    """A value is over a bound; the message names both."""


class BadTopic(FieldlineError, ValueError):
    """A topic or topic filter breaks the rules of fieldline.topics."""


class BadName(FieldlineError, ValueError):
    """A client, producer, durable or device name is not `[A-Za-z0-9_.-]{1,64}`."""


class DecodeError(FieldlineError, ValueError):
    """Bytes from outside are cut, corrupt, hostile or of an unknown version. Nothing of them was used."""


class HubError(FieldlineError):
    """The hub refused a request or could not be reached."""


class HubUnavailable(HubError):
    """The hub is not reachable or is shutting down; the same call may succeed later."""


class RateLimited(HubUnavailable):
    """This client brings more than its identity may; the hub has room for it again in `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Refused(HubError):
    """The hub refused and will refuse again. `code` is a name of fieldline.v1.ErrorCode."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class SequenceGap(Refused):
    """The hub misses frames before the one sent; it waits for sequence `expected`."""

    def __init__(self, message: str, *, expected: int) -> None:
        super().__init__(message, code="SEQUENCE_GAP")
        self.expected = expected


class BufferFull(HubError):
    """The publish buffer is at its bound and the caller asked not to wait."""


class NoReceiver(HubError):
    """Nobody listens to that topic now, and no durable subscription waits for it."""


class Nacked(HubError):
    """The subscriber `by` refused the message; `reason` is what it said."""

    def __init__(self, message: str, *, by: str, reason: str) -> None:
        super().__init__(message)
        self.by = by
        self.reason = reason


class AckTimeout(HubError, TimeoutError):
    """Nobody has said in time that the message is handled. It may still be."""


class RequestTimeout(HubError, TimeoutError):
    """No reply came in time. The request may still be worked on."""


class RequestFailed(HubError):
    """The handler of the responder `by` raised; `reason` is what."""

    def __init__(self, message: str, *, by: str, reason: str) -> None:
        super().__init__(message)
        self.by = by
        self.reason = reason


class Closed(HubError):
    """The runtime or subscription was closed; open a new one."""
