"""Worker processes that talk JSON lines, what they cost, and rows with a fixed goal.

A worker is `python -m MODULE ROLE ARGUMENTS`, run by another Python if told so; what it prints, one JSON object a line,
is heard here, and what is said is a line on its standard input. When the bench goes away the worker sees the end of its
input and ends.
"""

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Self

__all__ = [
    "Worker",
    "at_least",
    "at_most",
    "cpu_seconds",
    "free_port",
    "hear",
    "peak_rss_mib",
    "raise_file_limit",
    "row",
    "rss_mib",
    "say",
    "wait_for_port",
]


class Worker:
    """One child process of a bench. Ends with the `with` block."""

    def __init__(self, module: str, role: str, *arguments: object, python: Path | str = sys.executable) -> None:
        self._process = subprocess.Popen(
            [str(python), "-m", module, role, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._heard: Queue[dict[str, Any] | None] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self.pid = self._process.pid
        self._name = f"{module} {role}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def hear(self, timeout_s: float = 120.0) -> dict[str, Any]:
        """The next object the worker prints."""
        try:
            heard = self._heard.get(timeout=timeout_s)
        except Empty:
            raise TimeoutError(f"{self._name} said nothing for {timeout_s:g} s") from None
        if heard is None:
            raise RuntimeError(f"{self._name} ended with exit code {self._process.wait()}")
        return heard

    def say(self, **words: Any) -> None:
        """A line for the worker."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._heard.put(json.loads(line))
        self._heard.put(None)


def say(**words: Any) -> None:
    """In a worker: a line for the bench."""
    print(json.dumps(words), flush=True)


def hear() -> dict[str, Any]:
    """In a worker: wait for a line from the bench; at its end, end."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    heard: dict[str, Any] = json.loads(line)
    return heard


def raise_file_limit() -> None:
    """In a worker that needs thousands of sockets: as many open files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for_port(port: int, *, timeout_s: float = 10.0) -> None:
    """Until something on this machine listens there; OSError if nothing does in that time."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.02)
        else:
            return


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory of a process now."""
    return _status_mib(pid, "VmRSS")


def peak_rss_mib(pid: int) -> float:
    """The most resident memory a process has had."""
    return _status_mib(pid, "VmHWM")


def _status_mib(pid: int, key: str) -> float:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(key))


def at_least(
    measure: str, unit: str, ours: float, goal: float | None, peers: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """A row where more is better."""
    return row(measure, unit, ours, peers, None if goal is None else f">= {goal:,.10g}", goal is None or ours >= goal)


def at_most(
    measure: str, unit: str, ours: float, goal: float | None, peers: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """A row where less is better."""
    return row(measure, unit, ours, peers, None if goal is None else f"<= {goal:,.10g}", goal is None or ours <= goal)


def row(
    measure: str, unit: str, ours: float, peers: Mapping[str, float] | None, goal: str | None, met: bool | None
) -> dict[str, Any]:
    """A row whose goal has been judged already; `met` None: it could not be."""
    return {
        "measure": measure,
        "unit": unit,
        "ours": round(ours, 3),
        "peers": {name: round(value, 3) for name, value in (peers or {}).items()},
        "goal": goal,
        "met": None if goal is None else met,
    }
