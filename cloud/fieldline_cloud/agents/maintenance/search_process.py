"""A search for a better plan in a process of its own, so that nothing else waits for it.

Parent and child are the same program: what they exchange is pickled, and comes from nowhere else.
"""

import asyncio
import os
import pickle
import sys
import time
from typing import Final

from fieldline_cloud.agents.maintenance.planboard import Search
from fieldline_cloud.planning.improve import improve
from fieldline_cloud.planning.model import Plan

__all__ = ["SearchFailed", "search"]

_MORE_S: Final = 15.0
"""For starting the child and for the step under way when its time is over; then it is killed."""
_NICE: Final = 10


class SearchFailed(Exception):
    """The child was killed, or ended without a plan; the message says which."""


async def search(wanted: Search, seconds: float, *, seed: int) -> Plan:
    """The best plan found in `seconds`. Raises SearchFailed. If cancelled, the child is killed and gone."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fieldline_cloud.agents.maintenance.search_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds + _MORE_S):
            out, err = await process.communicate(pickle.dumps((wanted, seconds, seed)))
    except TimeoutError as error:
        raise SearchFailed(f"killed {_MORE_S:g} s after its time was over") from error
    finally:
        if process.returncode is None:
            process.kill()
            await asyncio.shield(process.wait())
    if process.returncode != 0:
        raise SearchFailed(f"ended with {process.returncode}: {err.decode(errors='replace')[-500:]}")
    plan = pickle.loads(out)
    assert isinstance(plan, Plan)
    return plan


def main() -> None:
    """The child: one problem from standard input, one plan to standard output."""
    os.nice(_NICE)
    wanted, seconds, seed = pickle.load(sys.stdin.buffer)
    ends_s = time.monotonic() + seconds
    plan = improve(
        wanted.problem, wanted.plan, settings=wanted.settings, expired=lambda: time.monotonic() >= ends_s, seed=seed
    )
    sys.stdout.buffer.write(pickle.dumps(plan))


if __name__ == "__main__":
    main()
