"""What systemd hears, over a real Unix socket of our own."""

import os
import socket
from pathlib import Path

import pytest

from fieldline_edge.service.notify import Notifier


class Systemd:
    """The other end: a datagram socket at a path, or at an abstract name."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(5)

    def hears(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@fieldline-test-{os.getpid()}"


def test_each_state_is_one_datagram(address: str) -> None:
    systemd = Systemd(address)
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})

    notifier.ready("8 devices\nhub away")
    notifier.alive()
    notifier.status("x" * 1000)
    notifier.reloading()
    notifier.stopping(within_s=27)
    heard = [systemd.hears() for _ in range(5)]
    notifier.close()
    systemd.socket.close()

    assert heard[0] == ["READY=1", "STATUS=8 devices hub away"]
    assert heard[1] == ["WATCHDOG=1"]
    assert heard[2] == ["STATUS=" + "x" * 500]
    assert heard[3][0] == "RELOADING=1"
    assert heard[3][1].startswith("MONOTONIC_USEC=")
    assert heard[4] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=27000000"]


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nowhere/at/all"])
def test_nobody_to_tell_is_no_trouble(address: str) -> None:
    notifier = Notifier(address)

    notifier.ready("fine")
    notifier.close()

    assert not notifier.listens
