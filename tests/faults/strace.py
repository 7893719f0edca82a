"""Faults at one exact system call of a running process, by strace: it is killed there, or the call fails."""

import asyncio
import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["WRITES", "Call", "Strace"]

# What a log does to its disk. Nothing else in the hub uses these: gRPC sends with sendmsg, and writes to eventfds.
WRITES = ("writev", "fdatasync", "fsync", "ftruncate", "rename", "unlink")
_ATTACHED_S = 10.0


@dataclass(frozen=True, slots=True)
class Call:
    """The n-th call of this name (from 1) that one thread makes: strace counts for each thread."""

    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.name} {self.nth}"


class Strace:
    """Watches one process until that ends. `fault` as in strace(1): "signal=KILL", "error=ENOSPC"."""

    def __init__(self, log: Path, *, at: Call | None = None, fault: str = "") -> None:
        if shutil.which("strace") is None:
            pytest.skip("needs strace (apt-get install strace)")
        self.log = log
        self._words = ["-f", "-qq", "-o", str(log), "-e", f"trace={','.join(WRITES)}"]
        if at is not None:
            self._words += ["-e", f"inject={at.name}:{fault}:when={at.nth}"]
        self._process: asyncio.subprocess.Process | None = None

    async def attach(self, pid: int) -> None:
        """Return once nothing the process does is missed; skips the test where that is not allowed."""
        self._process = await asyncio.create_subprocess_exec(
            *("strace", *self._words, "-p", str(pid)), stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(_ATTACHED_S):
            while f"TracerPid:\t{self._process.pid}" not in Path(f"/proc/{pid}/status").read_text():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), 0.002)
                    assert self._process.stderr is not None
                    said = (await self._process.stderr.read()).decode().strip()
                    pytest.skip(f"strace may not attach here: {said}")

    async def ended(self) -> None:
        """Return once the process has gone and the log is whole."""
        assert self._process is not None
        await self._process.communicate()
