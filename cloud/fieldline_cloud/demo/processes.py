"""Child processes that cannot outlive their parent."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fieldline.errors import FieldlineError
from fieldline_cloud.demo.plan import Child

__all__ = ["Processes"]

_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 8.0
_PR_SET_PDEATHSIG = 1

# Looked up before any fork: the code between fork and exec must not import or allocate much.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Processes:
    """Starts children one after the other, and stops them in a given order. Their output goes to `logs`/<name>.log."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment = {**os.environ, **environment}
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    async def start(self, child: Child) -> None:
        """Start a child and return when it is ready. Raises FieldlineError with the end of its log if it is not."""
        try:
            self._running[child.name] = self._spawn(child)
        except OSError as error:
            raise FieldlineError(f"{child.name} cannot be started: {child.command[0]}: {error.strerror}") from error
        if child.port is not None:
            await self._ready(child.name, child.port)

    def _spawn(self, child: Child) -> subprocess.Popen[bytes]:
        with (self._logs / f"{child.name}.log").open("wb") as output:
            return subprocess.Popen(
                child.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which then ends the others in order
                preexec_fn=_die_with_parent,
            )

    async def _ready(self, name: str, port: int) -> None:
        give_up_at = time.monotonic() + _READY_TIMEOUT_S
        while time.monotonic() < give_up_at:
            self.check()
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.05)
        raise FieldlineError(f"{name} did not answer on port {port} within {_READY_TIMEOUT_S:g} s:\n{self._tail(name)}")

    def check(self) -> None:
        """Raise FieldlineError if a child has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise FieldlineError(f"{name} ended with exit code {process.returncode}:\n{self._tail(name)}")

    async def stop(self, names: Sequence[str] | None = None) -> dict[str, int]:
        """Ask the named children (all: the last started first) to end, one by one; kill those that do not.

        Returns their exit codes.
        """
        codes = {}
        for name in list(names) if names is not None else list(reversed(self._running)):
            process = self._running.pop(name, None)
            if process is not None:
                codes[name] = await _end(process)
        return codes

    def _tail(self, name: str) -> str:
        text = (self._logs / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-15:]) or "(it said nothing)"


async def _end(process: subprocess.Popen[bytes]) -> int:
    process.terminate()
    give_up_at = time.monotonic() + _STOP_TIMEOUT_S
    while process.poll() is None and time.monotonic() < give_up_at:  # noqa: ASYNC110  # a pid cannot be awaited
        await asyncio.sleep(0.02)
    if process.poll() is None:
        process.kill()
    return process.wait()
