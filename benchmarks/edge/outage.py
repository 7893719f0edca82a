"""Rows of the edge bench about the spool: how large a backlog is, how fast it drains, and what a reading costs.

The backlog is written through the real spool in one go, with frames of 50 readings as 100 devices of 50 registers make
them once a second, and with frames of 1,000 as many tags or a long linger make them; and drained by the real uplink
into a real hub, both on this machine. A day of it is arithmetic: rows are as large on the first day as in the first
minutes, because nothing in the file grows with its length but the depth of a tree.
"""

import asyncio
import math
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Worker, at_least, at_most
from fieldline.model import DeviceId, Reading
from fieldline_edge.batcher import Batch
from fieldline_edge.framing import Framer
from fieldline_edge.spool import Bounds, Entry, Spool
from fieldline_edge.spool.policy import Writing
from fieldline_edge.spool.store import Store
from fieldline_edge.uplink import Uplink

_READINGS_S = 5_000
_DAY_S = 86_400
_BATCHES = (50, 1_000)
_COMMIT_FRAMES = {50: 10, 1_000: 5}  # what gathers in a tenth of a second, and in a second
_COMMIT_MS = (50, 250, 1000)


def run(*, quick: bool) -> list[dict[str, Any]]:
    """Rows; a quick run has 3 minutes of an outage, a whole one 30."""
    seconds = 180 if quick else 1800
    with tempfile.TemporaryDirectory(prefix="fieldline-outage-") as folder:
        outages = {batch: asyncio.run(_outage(Path(folder) / f"of-{batch}", seconds, batch)) for batch in _BATCHES}
        cpu_us = asyncio.run(_pass_through(Path(folder) / "through", 300 if quick else 2000))
        wear = {commit_ms: _wear(Path(folder) / f"wear-{commit_ms}", commit_ms) for commit_ms in _COMMIT_MS}
    return [
        *(row for batch, (size, rate) in outages.items() for row in _rows(seconds, batch, size, rate)),
        at_most("spool: put, commit, hand on, ack, trim", "us of CPU/frame", cpu_us, 100),
        *(
            at_most(f"100 devices x 50 at 1 Hz, commit every {commit_ms} ms: written", "B/reading", bytes_, None)
            for commit_ms, bytes_ in wear.items()
        ),
    ]


def _rows(seconds: int, batch: int, size: dict[str, float], rate: float) -> list[dict[str, Any]]:
    gib = _READINGS_S * _DAY_S * size["file_bytes"] / size["readings"] / 2**30
    name = f"outage of {seconds // 60} min at {_READINGS_S:,} readings/s, frames of {batch:,}"
    return [
        at_most(f"{name}: spool against the frames in it", "x", size["file_bytes"] / size["frame_bytes"], 1.15),
        at_most(f"{name}: frames", "B/reading", size["frame_bytes"] / size["readings"], None),
        at_most("the same for 24 h: spool, by arithmetic", "GiB", gib, None),
        at_least(f"{name}: drained into a hub", "readings/s", rate, 50 * _READINGS_S),
    ]


def _frames(count: int, readings: int) -> list[Entry]:
    """Frames of one device with 50 tags that wander, as the gateway makes them."""
    dice = random.Random(1)
    device, framer = DeviceId("bench", "hall", "device-000"), Framer()
    entries: list[Entry] = []
    for number in range(count):
        batch = [
            Reading(
                f"r{index % 50:02}",
                1_767_225_600_000_000_000 + (number * readings + index) // 50 * 1_000_000_000,
                round(1000 + 400 * math.sin((number * readings + index) / 700 + index % 50) + dice.gauss(0, 20), 2),
            )
            for index in range(readings)
        ]
        entries += framer.frame(Batch(device, tuple(batch)), now_ns=1).entries
    return entries


async def _outage(folder: Path, seconds: int, batch: int) -> tuple[dict[str, float], float]:
    """(bytes of file and frames, readings), and readings a second while it drains."""
    frames = await asyncio.to_thread(_frames, 64, batch)
    spool = Spool(folder / "spool.db", bounds=Bounds(1 << 34))
    await spool.open()
    count = seconds * _READINGS_S // batch
    for number in range(count):
        spool.put(frames[number % len(frames)])
        if (number + 1) % _COMMIT_FRAMES[batch] == 0:
            await spool.flush()
    await spool.flush()
    frame_bytes = sum(len(frames[number % len(frames)].frame) for number in range(count))
    await spool.close()
    size = {
        "file_bytes": float((folder / "spool.db").stat().st_size),
        "frame_bytes": float(frame_bytes),
        "readings": float(count * batch),
    }
    return size, await _drain(folder, count * batch)


async def _drain(folder: Path, readings: int) -> float:
    spool = Spool(folder / "spool.db", bounds=Bounds(1 << 34))
    await spool.open()
    with Worker("benchmarks.hub.worker", "hub", folder / "hub") as hub:
        port = hub.hear()["port"]
        began_s = time.monotonic()
        uplink = Uplink(f"127.0.0.1:{port}", name="bench", spool=spool)
        parts = [asyncio.create_task(part) for part in (spool.run(), uplink.run())]
        await spool.drained()
        took_s = time.monotonic() - began_s
        for part in parts:
            part.cancel()
        await asyncio.wait(parts)
    await spool.close()
    return readings / took_s


async def _pass_through(folder: Path, commits: int) -> float:
    """Microseconds of CPU for each frame that passes through, 5 to a commit, as with 100 devices at 1 Hz."""
    frames = await asyncio.to_thread(_frames, 50, 50)
    spool = Spool(folder / "spool.db", bounds=Bounds(1 << 28))
    await spool.open()
    sent = 0
    began_s = time.process_time()
    for number in range(commits):
        for frame in frames[number % 10 * 5 :][:5]:
            spool.put(frame)
        await spool.flush(trim=number % 10 == 0)  # twice a second
        found = await spool.read(sent, frames_max=256, bytes_max=1 << 20)
        sent = found[-1].sequence
        spool.acknowledge(sent)
    used_s = time.process_time() - began_s
    await spool.close()
    return used_s / (5 * commits) * 1e6


def _wear(folder: Path, commit_ms: int) -> float:
    """Bytes the system was told to write for each reading, with frames of 50 readings, 100 a second."""
    frames = _frames(100, 50)
    store = Store.open(folder / "spool.db", bounds=Bounds(1 << 28))
    each = max(1, 100 * commit_ms // 1000)
    commits = 60_000 // commit_ms
    before = _written()
    for number in range(commits):
        entries: Sequence[Entry] = [frames[(number * each + index) % 100] for index in range(each)]
        acked = store.state.next_sequence - 1 - each
        trims = number % max(1, 500 // commit_ms) == 0 and acked > 0
        store.commit(Writing(entries, acked={1: acked} if trims else {}))
    written = _written() - before
    store.close()
    return written / (commits * each * 50)


def _written() -> int:
    with open(f"/proc/{os.getpid()}/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("write_bytes"))
