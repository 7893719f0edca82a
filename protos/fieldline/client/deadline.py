"""The deadline that a request's handler works under, so that what it asks of others ends no later."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["before_deadline_s", "deadline_at"]

_at_s: ContextVar[float | None] = ContextVar("fieldline deadline, monotonic", default=None)


@contextmanager
def deadline_at(monotonic_s: float) -> Iterator[None]:
    """What runs in here, and the tasks it starts, is to end by then."""
    token = _at_s.set(monotonic_s)
    try:
        yield
    finally:
        _at_s.reset(token)


def before_deadline_s(timeout_s: float) -> float:
    """The smaller of this timeout and what is left until the deadline; 0 if it is over."""
    at_s = _at_s.get()
    return timeout_s if at_s is None else max(0.0, min(timeout_s, at_s - time.monotonic()))
