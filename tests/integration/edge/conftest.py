"""Real parts for the edge tests: a mosquitto broker on a free port."""

import asyncio
import getpass
import os
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Self

import pytest

_READY_S = 10.0


class Mosquitto:
    """A mosquitto broker of our own, that can be stopped and started again on the same port."""

    def __init__(self, program: str, folder: Path, *, users: Path | None = None, options: Sequence[str] = ()) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._program = program
        self._config = folder / f"mosquitto-{self.port}.conf"
        lines = [f"listener {self.port} 127.0.0.1"]
        # Started by root, mosquitto would change to a user who may not read the test's folder.
        lines += [f"user {getpass.getuser()}", f"allow_anonymous {'false' if users else 'true'}"]
        lines += [f"password_file {users}"] if users else []
        lines += options
        self._config.write_text("\n".join(lines) + "\n")
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            self._program,
            "-c",
            str(self._config),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(_READY_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    assert self._process.returncode is None, "mosquitto ended at once; run it by hand to see why"
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return self

    async def terminate(self) -> None:
        """Stop in good order: what it keeps is on disk, if its options say so."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
        self._process = None

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._process = None


@pytest.fixture
def mosquitto_program() -> str:
    """Path of mosquitto; without it the test is skipped, and fails where CI=true."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = "mosquitto is not installed; run: apt-get install mosquitto"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture
async def broker(mosquitto_program: str, tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """A running broker, ended after the test."""
    async with Mosquitto(mosquitto_program, tmp_path) as mosquitto:
        yield mosquitto
