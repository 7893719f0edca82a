"""REST as people write it: FastAPI under uvicorn, httpx on both sides, one message a request, server-sent events out.

The publisher keeps ten requests in flight on ten kept-alive connections; the answer comes when the message stands in
the queue of every subscriber that is connected at that moment. Nothing is stored: who is not connected misses it, and a
crash of the server loses what is queued. Ten requests at once promise no order. It promises less than our hub does. The
rate is mostly that of httpx, which is written in Python; the server alone could do more.
"""

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from typing import Any

from benchmarks.contest import Absent
from benchmarks.harness import Worker, free_port, hear, say, wait_for_port
from benchmarks.hub.messages import POOL, check_counts, publishing

__all__ = ["path"]

_MODULE = "benchmarks.hub.peers.rest"
_IN_FLIGHT = 10


def path(messages: int) -> dict[str, float]:
    """One publisher, one subscriber: requests answered, and messages delivered, per second."""
    if missing := [name for name in ("fastapi", "uvicorn", "httpx") if find_spec(name) is None]:
        raise Absent(f"not installed: {', '.join(missing)}; run: pip install -e '.[bench]'")
    port = free_port()
    with Worker(_MODULE, "serve", port):
        wait_for_port(port)
        address = f"http://127.0.0.1:{port}"
        with (
            Worker(_MODULE, "subscribe", address, messages) as subscriber,
            Worker(_MODULE, "publish", address, messages) as publisher,
        ):
            subscriber.hear()
            publisher.hear()
            publisher.say(go=True)
            times, ended = publisher.hear(), subscriber.hear()["ended"]
    return {
        "answered": messages / (times["answered"] - times["began"]),
        "delivered": messages / (ended - times["began"]),
    }


async def serve(port: str) -> None:
    """POST /messages hands a message to everybody who reads GET /events."""
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.responses import StreamingResponse

    app, queues = FastAPI(), set[asyncio.Queue[bytes]]()

    @app.post("/messages", status_code=202)
    async def accept(request: Request) -> None:
        message = await request.body()
        for queue in queues:
            queue.put_nowait(message)

    @app.get("/events")
    async def events() -> StreamingResponse:
        queue: asyncio.Queue[bytes] = asyncio.Queue()

        async def stream() -> AsyncIterator[bytes]:
            queues.add(queue)
            try:
                yield b": connected\n\n"
                while True:
                    yield b"data: " + await queue.get() + b"\n\n"
            finally:
                queues.discard(queue)

        return StreamingResponse(stream(), media_type="text/event-stream")

    config = uvicorn.Config(app, port=int(port), log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)

    def stop_with_the_bench() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=stop_with_the_bench, daemon=True).start()
    await server.serve()


async def subscribe(address: str, count: str) -> None:
    """Take so many events."""
    import httpx

    found: Counter[bytes] = Counter()
    async with (
        httpx.AsyncClient(base_url=address, timeout=None) as client,
        client.stream("GET", "/events") as response,
    ):
        lines = response.aiter_lines()
        await anext(lines)
        say(ready=True)
        taken = 0
        async for line in lines:
            if line.startswith("data: "):
                found[line[6:].encode()] += 1
                taken += 1
                if taken == int(count):
                    break
        ended = time.perf_counter()
    check_counts(found, POOL, int(count))
    say(ended=ended)


async def publish(address: str, count: str) -> None:
    """Post so many messages, one a request, ten requests at a time."""
    import httpx

    contents = publishing(int(count))

    async def post(client: httpx.AsyncClient) -> None:
        for content in contents:
            response = await client.post("/messages", content=content, headers={"content-type": "application/json"})
            response.raise_for_status()

    limits = httpx.Limits(max_connections=_IN_FLIGHT, max_keepalive_connections=_IN_FLIGHT)
    async with httpx.AsyncClient(base_url=address, limits=limits) as client:
        await asyncio.gather(*(client.get("/openapi.json") for _ in range(_IN_FLIGHT)))  # the connections are open
        say(ready=True)
        await asyncio.to_thread(hear)
        began = time.perf_counter()
        await asyncio.gather(*(post(client) for _ in range(_IN_FLIGHT)))
        say(began=began, answered=time.perf_counter())


ROLES: dict[str, Callable[..., Any]] = {"serve": serve, "subscribe": subscribe, "publish": publish}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
