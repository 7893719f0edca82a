"""Tells systemd how the service does: sd_notify(3), which is one datagram to a Unix socket."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping

__all__ = ["Notifier"]

_STATUS_CHARACTERS_MAX = 500


class Notifier:
    """Sends states to the socket in NOTIFY_SOCKET, a path or an abstract name (`@...`); without one it does nothing.

    Nothing here fails: a service manager that does not listen is no reason to read no devices.
    """

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Notifier":
        """The one systemd has told this process of."""
        return cls(environment.get("NOTIFY_SOCKET", ""))

    @property
    def listens(self) -> bool:
        """Whether there is somebody to tell."""
        return self._socket is not None

    def ready(self, status: str) -> None:
        """The service works: after its start, and after a reload."""
        self._send("READY=1", _status(status))

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(_status(status))

    def reloading(self) -> None:
        """It takes over a new configuration, until `ready`."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, *, within_s: float) -> None:
        """It ends in good order, which may take so long."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={round(within_s * 1e6)}")

    def alive(self) -> None:
        """A sign of life for the watchdog."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Let the socket go."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str) -> None:
        if self._socket is None:
            return
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), self._address)


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:_STATUS_CHARACTERS_MAX]
