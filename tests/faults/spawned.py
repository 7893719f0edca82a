"""Real processes that can be killed and started again many times in a minute; see spawner."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from tests.faults.support import free_port

__all__ = ["Spawned", "SpawnedHub", "spawned_hub"]

_REPOSITORY = Path(__file__).parents[2]
_READY_S = 30.0


class Spawned:
    """A process that can be killed and started again at once; its module calls `spawner.serve`. One life at a time."""

    def __init__(self, module: str) -> None:
        self.lives = 0
        self._module = module
        self._pid: int | None = None
        self._spawner: asyncio.subprocess.Process

    @property
    def is_running(self) -> bool:
        """Whether its end has not been seen."""
        return self._pid is not None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._pid is not None, "it is not running"
        return self._pid

    async def __aenter__(self) -> Self:
        self._spawner = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self._module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_REPOSITORY,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        self._spawner.kill()  # and with it a child that was only just begun
        await self._spawner.wait()
        self._spawner._transport.close()  # type: ignore[attr-defined]  # or the pipe stays open until it is collected

    async def begin_with(self, line: str, *, before: Callable[[int], Awaitable[None]] | None = None) -> None:
        """Start it. `before` is done while it stands still, given its pid."""
        assert self._pid is None, "it is running already"
        self._tell(f"{'wait ' if before else ''}{line}")
        self._pid = int((await self.line()).removeprefix("pid "))
        self.lives += 1
        if before:
            await before(self._pid)
            self._tell("go")

    async def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does. Nothing happens if it is not running."""
        if self._pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        await self.ended()

    async def stop(self) -> int:
        """SIGTERM; its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it has ended, by itself or not; its exit code."""
        while not (line := await self.line()).startswith("ended "):
            pass  # what it said before
        return self._note_end(line)

    async def line(self) -> str:
        """The next line that it, or its spawner, says."""
        assert self._spawner.stdout is not None
        async with asyncio.timeout(_READY_S):
            line = (await self._spawner.stdout.readline()).decode().strip()
        assert line, "the spawner has ended"
        return line

    def _note_end(self, line: str) -> int:
        pid, code = line.removeprefix("ended ").split()
        assert int(pid) == self._pid
        self._pid = None
        return int(code)

    def _tell(self, line: str) -> None:
        assert self._spawner.stdin is not None
        self._spawner.stdin.write(f"{line}\n".encode())


class SpawnedHub(Spawned):
    """Like fieldline.testing.HubProcess, with starts of milliseconds, always on the same port.

    Its settings lie in `folder`, its log in `data`, which may be on a disk of its own.
    """

    def __init__(self, folder: Path, *, data: Path | None = None, **settings: Any) -> None:
        super().__init__("tests.faults.hub_lives")
        self.folder = folder
        self.data = data or folder / "data"
        self.port = free_port()
        self._config = folder / "hub.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        own = {"kind": "hub", "listen": self.address, "data": str(self.data)}
        self._config.write_text(json.dumps({"drain_s": 1.0, **settings, **own}))  # JSON is YAML

    @property
    def address(self) -> str:
        """What a Runtime is given."""
        return f"127.0.0.1:{self.port}"

    @property
    def errors(self) -> str:
        """What all its lives so far have written to stderr."""
        log = self.folder / "hub.log"
        return log.read_text() if log.exists() else ""

    async def begin(self, *, before: Callable[[int], Awaitable[None]] | None = None) -> None:
        """Start it and do not wait until it serves; see `begin_with`."""
        await self.begin_with(str(self._config), before=before)

    async def listening(self) -> bool:
        """Wait until it serves; False if it ended instead."""
        line = await self.line()
        if line.startswith("listening on "):
            return True
        self._note_end(line)
        return False

    async def start(self) -> Self:
        """Start it and wait until it serves. Raises RuntimeError with what it said if it ends instead."""
        await self.begin()
        if not await self.listening():
            raise RuntimeError(f"the hub did not start: {self.errors[-2000:]}")
        return self


@asynccontextmanager
async def spawned_hub(folder: Path, *, data: Path | None = None, **settings: Any) -> AsyncIterator[SpawnedHub]:
    """One that runs."""
    async with SpawnedHub(folder, data=data, **settings) as hub:
        yield await hub.start()
