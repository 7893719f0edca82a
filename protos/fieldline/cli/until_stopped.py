"""Waiting for the end of a command that runs until it is told to stop."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from typing import Any

__all__ = ["a_closed_pipe_is_the_end", "run_until_stopped", "stop_event", "until_stopped"]


def stop_event() -> asyncio.Event:
    """An event that SIGINT (Ctrl-C) and SIGTERM set, from now on. A second signal ends the process the hard way."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop() -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopped


async def until_stopped() -> None:
    """Return at SIGINT or SIGTERM."""
    await stop_event().wait()


async def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end or until SIGINT or SIGTERM, whatever comes first; raise what it raises."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(until_stopped())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait({working, stopping})
    if not working.cancelled():
        working.result()


@contextlib.contextmanager
def a_closed_pipe_is_the_end() -> Iterator[None]:
    """`fieldline ... | head` is a normal way to use a command; Python must not try to flush the rest at its end."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
