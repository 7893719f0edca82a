"""Running the two halves of a stream together."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import grpc.aio

__all__ = ["run_together", "stream_error"]


async def run_together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until the first ends or fails; stop the others; raise what the first failure was.

    Parts are given in order of how much their failure explains: of several failures the earliest part's is raised.
    """
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    failures = [task.exception() for task in tasks if not task.cancelled()]
    for failure in failures:
        if failure is not None:
            raise failure


async def stream_error(call: Any) -> grpc.aio.AioRpcError:
    """The status a finished stream ended with, as the exception gRPC would have raised."""
    return grpc.aio.AioRpcError(
        await call.code(),
        await call.initial_metadata(),
        await call.trailing_metadata(),
        details=await call.details(),
    )
