"""Waiting for the end of a command that runs until it is told to stop."""

import asyncio
import signal

__all__ = ["stop_event", "until_stopped"]


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
