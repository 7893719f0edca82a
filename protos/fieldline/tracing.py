"""Trace context in message headers (W3C `traceparent`, `tracestate`), if the program uses OpenTelemetry.

Nothing here needs OpenTelemetry: `pip install fieldline[otel]` brings its API, and a program that never imports
`opentelemetry.trace` has no span, so there is nothing to carry. What a publisher's span was, a subscriber's span goes
on from:

    async for message in subscription:
        with tracing.consume(message):
            ...
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING

from fieldline.headers import TRACE_PARENT
from fieldline.limits import HEADER_BYTES_MAX, HEADERS_PER_MESSAGE_MAX

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    from fieldline.client.message import Message

__all__ = ["OPENTELEMETRY", "consume", "current", "extract", "inject"]

OPENTELEMETRY = "opentelemetry.trace"
"""Among sys.modules as soon as there can be a span."""


def inject(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """These headers with the context of the span that is active now; as they are if there is none.

    A `traceparent` already among them stays. Never makes a message too large: where there is no room for the context,
    it is left out.
    """
    if OPENTELEMETRY not in sys.modules or not current() or (headers and TRACE_PARENT in headers):
        return headers
    carrier: dict[str, str] = {}
    _propagator().inject(carrier)
    if not carrier:  # a context without a span
        return headers
    if headers:
        carrier = {**headers, **carrier}
    return carrier if not headers or _fits(carrier) else headers


def _find_current() -> object:
    global current
    from opentelemetry import context

    variable = getattr(getattr(context, "_RUNTIME_CONTEXT", None), "_current_context", None)
    current = variable.get if isinstance(variable, ContextVar) else context.get_current
    return current()


current: Callable[[], object] = _find_current
"""The context that is active now; false if it is empty, so that there is no span. Ask once OpenTelemetry is loaded.

`publish` asks this for every message. So the first call puts the quickest way to ask in its place: the context variable
itself where OpenTelemetry keeps one, its public function otherwise.
"""


@lru_cache(maxsize=1)
def _propagator() -> "TraceContextTextMapPropagator":
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator()


def extract(message: "Message") -> "Context | None":
    """The context the message was published in, to start a span from; None without OpenTelemetry.

    Empty if the message carries none, or one that cannot be read.
    """
    try:
        from opentelemetry.context import Context
    except ImportError:
        return None
    return _propagator().extract(message.headers, context=Context())


@contextlib.contextmanager
def consume(message: "Message") -> Iterator["Span | None"]:
    """A span around the handling of this message, a child of the one it was published in.

    An exception that leaves the block is recorded on the span. A span that was active before becomes a link of it.
    Yields None, and does nothing, where OpenTelemetry is not installed.
    """
    context = extract(message)
    if context is None:
        yield None
        return
    from opentelemetry import trace

    around = trace.get_current_span().get_span_context()
    with trace.get_tracer("fieldline").start_as_current_span(
        f"process {message.topic}",
        context=context,
        kind=trace.SpanKind.CONSUMER,
        attributes=_attributes(message),
        links=[trace.Link(around)] if around.is_valid else None,
    ) as span:
        yield span


def _attributes(message: "Message") -> dict[str, str | int]:
    """Names of OpenTelemetry's semantic conventions for messaging; the offset's is ours, as Kafka's is Kafka's."""
    delivery = message.delivery
    attributes: dict[str, str | int] = {
        "messaging.system": "fieldline",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": message.topic,
        "messaging.message.body.size": len(message.content),
        "messaging.fieldline.producer": delivery.producer,
    }
    if delivery.sequence:  # a volatile one has no place in the log
        attributes["messaging.fieldline.offset"] = delivery.offset
    if message.key:
        attributes["messaging.fieldline.message.key"] = message.key
    return attributes


def _fits(headers: Mapping[str, str]) -> bool:
    size = sum(
        len(name.encode(errors="replace")) + len(value.encode(errors="replace")) for name, value in headers.items()
    )
    return len(headers) <= HEADERS_PER_MESSAGE_MAX and size <= HEADER_BYTES_MAX
