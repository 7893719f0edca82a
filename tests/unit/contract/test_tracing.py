"""A subscriber's span goes on from the publisher's; without OpenTelemetry nothing happens."""

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind, StatusCode, TraceState

from fieldline import tracing
from tests.spans import listen

EXPORTER = listen()


@pytest.fixture(autouse=True)
def nothing_exported_yet() -> None:
    EXPORTER.clear()


class Arrived:
    topic = "a/b"
    content = b"content"

    class delivery:  # stands for an attribute
        offset = 7
        sequence = 1
        producer = "maker"

    def __init__(self, headers: dict[str, str], key: str) -> None:
        self.headers = headers
        self.key = key


def message(headers: Any, key: str = "") -> Any:
    return Arrived(headers, key)


def spans() -> dict[str, Any]:
    return {span.name: span for span in EXPORTER.get_finished_spans()}


def test_without_a_span_headers_stay_as_they_are() -> None:
    headers = {"h": "v"}
    assert tracing.inject(headers) is headers
    assert tracing.inject(None) is None
    token = context.attach(baggage.set_baggage("a", "b"))
    assert tracing.inject(headers) is headers
    context.detach(token)


def test_the_active_span_travels_and_is_the_parent_of_what_is_done_with_the_message() -> None:
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("publish"):
        carried = tracing.inject({"h": "v"})
    assert carried is not None
    assert carried["h"] == "v"
    with tracing.consume(message(carried, key="k")) as span:
        assert span is trace.get_current_span()
    done, parent = spans()["process a/b"], spans()["publish"]
    assert done.parent.span_id == parent.context.span_id
    assert done.context.trace_id == parent.context.trace_id
    assert done.kind is SpanKind.CONSUMER
    assert dict(done.attributes) == {
        "messaging.system": "fieldline",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "a/b",
        "messaging.message.body.size": 7,
        "messaging.fieldline.offset": 7,
        "messaging.fieldline.producer": "maker",
        "messaging.fieldline.message.key": "k",
    }


def test_the_trace_state_travels() -> None:
    inner = trace.SpanContext(5, 6, is_remote=False, trace_state=TraceState([("vendor", "x")]))
    with trace.use_span(trace.NonRecordingSpan(inner)):
        carried = tracing.inject(None)
    assert carried == {"traceparent": f"00-{5:032x}-{6:016x}-00", "tracestate": "vendor=x"}
    found = trace.get_current_span(tracing.extract(message(carried))).get_span_context()
    assert (found.trace_id, found.span_id, found.trace_state.to_header()) == (5, 6, "vendor=x")


def test_a_traceparent_of_the_caller_stays() -> None:
    headers = {"traceparent": "mine"}
    with trace.get_tracer("test").start_as_current_span("publish"):
        assert tracing.inject(headers) is headers


@pytest.mark.parametrize("headers", [{str(n): "" for n in range(64)}, {"h": "v" * 4095}])
def test_a_context_for_which_there_is_no_room_is_left_out(headers: dict[str, str]) -> None:
    with trace.get_tracer("test").start_as_current_span("publish"):
        assert tracing.inject(headers) is headers


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_context_that_cannot_be_read_begins_a_trace(traceparent: str) -> None:
    with tracing.consume(message({"traceparent": traceparent})):
        pass
    assert spans()["process a/b"].parent is None


def test_what_leaves_the_block_is_on_the_span_and_is_raised() -> None:
    with pytest.raises(ValueError, match="broken"), tracing.consume(message({})):
        raise ValueError("broken")
    span = spans()["process a/b"]
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]


def test_a_span_around_the_loop_becomes_a_link() -> None:
    with trace.get_tracer("test").start_as_current_span("loop") as loop, tracing.consume(message({})):
        pass
    (link,) = spans()["process a/b"].links
    assert link.context.span_id == loop.get_span_context().span_id


def test_without_opentelemetry_everything_passes_through() -> None:
    code = """
import sys
sys.modules["opentelemetry"] = None
from fieldline import tracing
assert tracing.inject({"h": "v"}) == {"h": "v"}
class message:
    headers = {"traceparent": "00-" + "1" * 32 + "-" + "1" * 16 + "-01"}
assert tracing.extract(message) is None
with tracing.consume(message) as span:
    assert span is None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
