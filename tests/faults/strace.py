"""Faults at one exact system call of a running process, by strace: it is killed there, or the call fails."""

import asyncio
import contextlib
import os
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["WRITES", "Call", "Strace"]

# What a log does to its disk. Nothing else in the hub uses these: gRPC sends with sendmsg, and writes to eventfds.
WRITES = ("writev", "fallocate", "fdatasync", "fsync", "ftruncate", "rename", "unlink")
_CALL = re.compile(rf"^(\d+) +({'|'.join(WRITES)})\(", re.MULTILINE)
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
            lacking = "needs strace (apt-get install strace)"
            if os.environ.get("CI") == "true":
                pytest.fail(lacking)
            pytest.skip(lacking)
        self._log = log
        self._at = at
        self._fault = fault
        self._process: asyncio.subprocess.Process | None = None

    @staticmethod
    def calls(log: Path) -> list[Call]:
        """All calls in a log, in order, each once."""
        counts: Counter[tuple[str, str]] = Counter()
        found: dict[Call, None] = {}
        for thread, name in _CALL.findall(log.read_text()):
            counts[thread, name] += 1
            found[Call(name, counts[thread, name])] = None
        return list(found)

    @property
    def was_injected(self) -> bool:
        """Whether the process came to the call with the fault."""
        at = self._at
        if at is None:
            return False
        said = self._log.read_text()
        counts = Counter(_CALL.findall(said))
        return "(INJECTED)" in said or any(name == at.name and n >= at.nth for (_, name), n in counts.items())

    async def attach(self, pid: int) -> None:
        """Return once nothing the process does is missed; skips the test where that is not allowed."""
        words = ["-f", "-qq", "-o", str(self._log), "-e", f"trace={','.join(WRITES)}"]
        if self._at is not None:
            words += ["-e", f"inject={self._at.name}:{self._fault}:when={self._at.nth}"]
        self._process = await asyncio.create_subprocess_exec(
            *("strace", *words, "-p", str(pid)), stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(_ATTACHED_S):
            while f"TracerPid:\t{self._process.pid}\n" not in Path(f"/proc/{pid}/status").read_text():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), 0.002)
                    assert self._process.stderr is not None
                    pytest.skip(f"strace may not attach: {(await self._process.stderr.read()).decode().strip()}")

    async def ended(self) -> None:
        """Return once the process has gone and the log is whole."""
        assert self._process is not None
        await self._process.communicate()
