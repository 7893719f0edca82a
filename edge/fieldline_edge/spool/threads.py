"""Waiting for work in a thread so that a cancelled task still learns how it ended."""

import asyncio
from typing import TypeVar

__all__ = ["settled", "wait_for"]

_T = TypeVar("_T")


async def wait_for(job: asyncio.Future[_T]) -> bool:
    """Wait for the end of a job in a thread, come what may: a commit that happened must not be forgotten.

    True if cancelled meanwhile: the caller settles the job first and raises CancelledError then.
    """
    cancelled = False
    while not job.done():
        try:
            await asyncio.wait((job,))
        except asyncio.CancelledError:
            cancelled = True
    return cancelled


async def settled(job: asyncio.Future[_T]) -> _T:
    """What the job returns or raises. Cancellation waits for its end."""
    if await wait_for(job):
        raise asyncio.CancelledError
    return job.result()
