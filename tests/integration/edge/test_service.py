"""The gateway as a service: the test plays systemd, with a real socket and real signals."""

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.edge.harness import FaultServer

HEARD_WITHIN_S = 20.0


class Systemd:
    """Starts a gateway as Type=notify with a watchdog, and hears what it says."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.setblocking(False)
        self._unread: list[str] = []
        self.process: asyncio.subprocess.Process
        self._folder = folder

    async def start(self, file: Path, *, watchdog_s: float = 2.0) -> None:
        environment = os.environ | {
            "NOTIFY_SOCKET": str(self._folder / "notify"),
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
        }
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fieldline_edge.cli", "run", str(file),
            env=environment, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def hears(self, line: str) -> str:
        """The first line from now on that begins with `line`."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(HEARD_WITHIN_S):
            while True:
                while self._unread:
                    if (said := self._unread.pop(0)).startswith(line):
                        return said
                self._unread = (await loop.sock_recv(self.socket, 4096)).decode().split("\n")


@asynccontextmanager
async def service(folder: Path, file: Path) -> AsyncIterator[Systemd]:
    systemd = Systemd(folder)
    await systemd.start(file)
    try:
        yield systemd
    finally:
        if systemd.process.returncode is None:
            systemd.process.kill()
        await systemd.process.communicate()
        systemd.socket.close()


def written(folder: Path, *ports: int, more: str = "") -> Path:
    file = folder / "gateway.yaml"
    devices = "".join(
        f"  - {{driver: modbus, name: d{port}, area: hall, host: 127.0.0.1, port: {port}, period_ms: 50, "
        "tags: [{name: t, address: 0, type: uint16}]}\n"
        for port in ports
    )
    file.write_text(
        f"kind: gateway\nname: gw\nsite: demo\nhub: 127.0.0.1:9\nspool: {{path: {folder / 'spool.db'}}}\n"
        f"{more}devices:\n{devices}"
    )
    return file


async def reload(file: Path, *options: str) -> tuple[int, str]:
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fieldline_edge.cli", "reload", *options, str(file),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await done.communicate()
    assert done.returncode is not None
    return done.returncode, said.decode()


def health(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


async def test_systemd_hears_ready_life_reload_and_stop_in_their_order(tmp_path: Path) -> None:
    async with FaultServer() as device, FaultServer() as other:
        file = written(tmp_path, device.port)
        async with service(tmp_path, file) as systemd:
            await systemd.hears("READY=1")
            status = await systemd.hears("STATUS=")
            await systemd.hears("WATCHDOG=1")
            await systemd.hears("WATCHDOG=1")
            code, said = await reload(written(tmp_path, device.port, other.port))
            await systemd.hears("RELOADING=1")
            await systemd.hears("READY=1")
            reloaded = await systemd.hears("STATUS=")
            systemd.process.send_signal(signal.SIGTERM)
            await systemd.hears("STOPPING=1")
            extended = await systemd.hears("EXTEND_TIMEOUT_USEC=")
            async with asyncio.timeout(HEARD_WITHIN_S):
                await systemd.process.wait()

    assert status == "STATUS=1 devices, hub away, 0 frames wait"
    assert (code, said) == (0, f"asked process {systemd.process.pid} to reload {file}; its log says what came of it\n")
    assert reloaded.startswith("STATUS=2 devices, hub away")
    assert extended == "EXTEND_TIMEOUT_USEC=27000000"
    assert systemd.process.returncode == 0


async def test_a_process_that_is_stopped_gives_no_sign_of_life(tmp_path: Path) -> None:
    async with FaultServer() as device, service(tmp_path, written(tmp_path, device.port)) as systemd:
        await systemd.hears("WATCHDOG=1")
        systemd.process.send_signal(signal.SIGSTOP)
        while True:  # what it said before
            try:
                systemd.socket.recv(4096)
            except BlockingIOError:
                break

        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await loop.sock_recv(systemd.socket, 4096)
        systemd.process.send_signal(signal.SIGCONT)

        await systemd.hears("WATCHDOG=1")


async def test_reload_says_what_is_wrong_and_what_the_gateway_refused(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    metrics = f"metrics: {{listen: '127.0.0.1:{port}'}}\n"
    async with FaultServer() as device, service(tmp_path, written(tmp_path, device.port, more=metrics)) as systemd:
        await systemd.hears("READY=1")
        file = tmp_path / "gateway.yaml"

        file.write_text(file.read_text().replace("site: demo", "site: elsewhere"))
        refused = await reload(file, "--pid", str(systemd.process.pid))
        page = await asyncio.to_thread(health, port)
        file.write_text("kind: gateway\n")
        wrong = await reload(file, "--pid", str(systemd.process.pid))
        done = await reload(written(tmp_path, device.port, more=metrics))

    assert refused[0] == 1
    assert "the gateway refused it: site: demo -> elsewhere needs a restart" in refused[1]
    assert page["parts"]["config"]["state"] == "degraded"
    assert page["ok"] is True
    assert wrong[0] == 2
    assert f"{file}:1: name: is missing" in wrong[1]
    assert done == (0, "reloaded\n")


async def test_a_reload_without_a_gateway_says_so(tmp_path: Path) -> None:
    code, said = await reload(written(tmp_path, 1))

    assert code == 1
    assert "no gateway holds the spool" in said
