"""Waiting for the end of a command that runs until it is told to stop."""

import asyncio
import signal

__all__ = ["until_stopped"]


async def until_stopped() -> None:
    """Return at SIGINT (Ctrl-C) or SIGTERM. A second signal ends the process the hard way."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop(number: int) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    await stopped.wait()
