"""One trace from the publisher through the hub to the subscriber, and through a request and its answer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fieldline import Request, Runtime, Start, tracing
from tests.integration.cloud.harness import DEADLINE_S, address, running_hub
from tests.spans import listen


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return listen()


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with running_hub(tmp_path) as hub, Runtime(address(hub), name="agent") as runtime:
        yield runtime


async def test_a_message_and_a_batch_carry_the_span_they_were_published_in(
    runtime: Runtime, exporter: InMemorySpanExporter
) -> None:
    await runtime.publish("t", "no span", headers={"h": "v"})
    with trace.get_tracer("test").start_as_current_span("publish") as publishing:
        await runtime.publish("t", "1", headers={"h": "v"})
        await runtime.publish_batch("t", ["2", "3"])
    found = []
    async with runtime.subscribe("t", start=Start.EARLIEST) as messages:
        async for message in messages:
            with tracing.consume(message):
                found.append(message)
            if len(found) == 4:
                break
    spans = [span for span in exporter.get_finished_spans() if span.name == "process t"]
    assert dict(found[0].headers) == {"h": "v"}
    assert found[1].headers["h"] == "v"
    assert spans[0].parent is None
    context = publishing.get_span_context()
    assert {(span.parent.trace_id, span.parent.span_id) for span in spans[1:] if span.parent} == {
        (context.trace_id, context.span_id)
    }


@pytest.mark.usefixtures("exporter")
async def test_a_request_and_its_handling_are_one_trace(runtime: Runtime) -> None:
    async def answer(request: Request) -> str:
        return f"{trace.get_current_span().get_span_context().trace_id:032x}"

    await runtime.respond("who", answer)
    with trace.get_tracer("test").start_as_current_span("ask") as asking:
        reply = await runtime.request("who", "?", timeout_s=DEADLINE_S)
    assert reply.text == f"{asking.get_span_context().trace_id:032x}"
    assert dict(reply.headers) == {}
