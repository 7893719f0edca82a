"""Rows of the security bench: publish -> ack of one honest publisher, while others misuse the same hub.

Everything is a process of its own on one machine, so those who misuse it also take its CPU. Quiet and misused windows
take turns; each ratio is that of two windows that followed each other.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import Worker, at_most, rss_mib

_MODULE = "benchmarks.security.worker"
_CONNECTIONS = 5_000

Misuse = Callable[[], Worker]


def run(*, quick: bool, data: Path | None) -> list[dict[str, Any]]:
    """One row of figures for each kind of misuse; `data` is not needed here."""
    seconds, pairs = (2.0, 3) if quick else (5.0, 5)
    with tempfile.TemporaryDirectory(prefix="fieldline-security-") as folder, Worker(_MODULE, "hub", folder) as hub:
        said = hub.hear()
        where, ca = f"127.0.0.1:{said['port']}", said["ca"]
        flooder = said["tokens"]["flooder"]
        misuses: dict[str, tuple[Misuse, float | None]] = {
            "one identity floods against its rate": (lambda: Worker(_MODULE, "flood", where, ca, flooder), 2.0),
            "streams without a hello, as fast as may be": (
                lambda: Worker(_MODULE, "silent", where, ca, flooder),
                None,
            ),
            f"{_CONNECTIONS:,} idle TCP connections": (lambda: _connections(where, "idle"), None),
            f"{_CONNECTIONS:,} TLS handshakes, a byte a second": (lambda: _connections(where, "slow"), None),
        }
        with Worker(_MODULE, "honest", where, ca, said["tokens"]["honest"]) as honest:
            honest.hear()
            _p99(honest, 1.0)
            rows = []
            for name, (misuse, goal) in misuses.items():
                rows += _row(name, honest, hub.pid, misuse, goal, seconds=seconds, pairs=pairs)
    return rows


def _connections(where: str, how: str) -> Worker:
    return Worker(_MODULE, "connections", where, _CONNECTIONS, how)


def _row(
    name: str, honest: Worker, hub: int, misuse: Misuse, goal: float | None, *, seconds: float, pairs: int
) -> list[dict[str, Any]]:
    quiet, misused, grown = [], [], 0.0
    for _ in range(pairs):
        quiet.append(_p99(honest, seconds))
        before = rss_mib(hub)
        with misuse() as worker:
            worker.hear()
            misused.append(_p99(honest, seconds))
            grown = max(grown, rss_mib(hub) - before)
        time.sleep(1.0)
    ratio = median(bad / good for good, bad in zip(quiet, misused, strict=True))
    return [
        at_most(f"{name}: publish -> ack p99 of another", "ms", median(misused), None, {"quiet": median(quiet)}),
        at_most(f"{name}: that to quiet", "x", ratio, goal),
        at_most(f"{name}: hub RSS grows by", "MiB", grown, None),
    ]


def _p99(honest: Worker, seconds: float) -> float:
    honest.say(seconds=seconds)
    took_ms = sorted(honest.hear()["took_ms"])
    return float(took_ms[int(len(took_ms) * 0.99)])
