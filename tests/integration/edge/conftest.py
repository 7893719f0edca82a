"""Real parts for the edge tests: a mosquitto broker on a free port."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest

_READY_S = 10.0


class Mosquitto:
    """A mosquitto broker of our own, that can be stopped and started again on the same port."""

    def __init__(self, program: str, folder: Path, extra: str = "") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._program = program
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n{extra}")
        self._process: asyncio.subprocess.Process | None = None

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
    mosquitto = await Mosquitto(mosquitto_program, tmp_path).start()
    yield mosquitto
    await mosquitto.stop()
