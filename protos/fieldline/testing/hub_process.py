"""A real hub in a process of its own, for tests that kill it.

async with HubProcess(tmp_path) as hub:
    async with Runtime(hub.address, name="my-agent") as runtime:
        ...
        await hub.kill()
        await hub.start()   # the same port, the same log
"""

import asyncio
import contextlib
import json
import random
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

__all__ = ["HubProcess"]

_READY_S = 30.0
_STOP_S = 15.0


class HubProcess:
    """A hub on a free port of this machine. Its settings and what it says on stderr lie in `folder`, its
    log in `data` below.

    `settings` are those of hub.yaml (needs `fieldline[cloud]`). The port is chosen at the first start and kept for
    those that follow, so clients find a restarted hub where it was.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.port = 0
        self.metrics_port = 0
        self._settings = dict(settings or {})
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def data(self) -> Path:
        """Where its log lies."""
        return self.folder / "data"

    @property
    def address(self) -> str:
        """What a Runtime is given."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None, "the hub is not running; start it first"
        return self._process.pid

    @property
    def errors(self) -> str:
        """What all its lives so far have written to stderr."""
        log = self.folder / "hub.log"
        return log.read_text() if log.exists() else ""

    async def start(self) -> Self:
        """Start it and wait until it listens. Raises RuntimeError with what it said if it ends instead."""
        assert self._process is None, "the hub is running already"
        self.port = self.port or _free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "hub.yaml"
        own = {"kind": "hub", "listen": self.address, "data": str(self.data)}
        config.write_text(json.dumps({**self._settings, **own}))  # JSON is YAML
        with (self.folder / "hub.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "fieldline.cli", "hub", str(config), stdout=asyncio.subprocess.PIPE, stderr=log
            )
        try:
            async with asyncio.timeout(_READY_S):
                self.port = await self._port_after("listening on ")
                if self._settings.get("metrics"):
                    self.metrics_port = await self._port_after("metrics on ")
        except BaseException:
            await self.kill()
            raise
        return self

    async def stop(self) -> int:
        """Ask it to end (SIGTERM), wait until it has, and return its exit code."""
        assert self._process is not None, "the hub is not running; start it first"
        self._process.terminate()
        async with asyncio.timeout(_STOP_S):
            return await self._ended()

    async def kill(self) -> None:
        """End it at once (SIGKILL), in the middle of whatever it does. Nothing happens if it is not running."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._ended()

    async def _ended(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        code = await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # or the pipe stays open until it is collected
        return code

    async def _port_after(self, words: str) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode()
        if words not in line:
            raise RuntimeError(f"the hub did not start: {self.errors.strip() or line!r}")
        return int(line.removesuffix("/metrics\n").rpartition(":")[2])


def _free_port() -> int:
    """A port below the range the kernel gives to clients: while the hub is down, nobody knocking gets it as his own."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
