"""The spool against kills, full disks, disks that cannot be written, and damaged files."""

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from fieldline.client.backoff import Backoff
from fieldline.v1 import hub_pb2
from fieldline_edge.spool import Bounds, Entry, Spool, read_state
from fieldline_edge.spool.policy import with_gap
from fieldline_edge.spool.store import Store

MIB = 1 << 20

# Appends for ever, and prints what is safe (sequence, readings) after every commit.
WRITER = """
import sys
from pathlib import Path
from fieldline_edge.spool.bounds import Bounds
from fieldline_edge.spool.policy import Entry, Writing
from fieldline_edge.spool.store import Store
store = Store.open(Path(sys.argv[1]), bounds=Bounds(64 << 20))
polled = store.state.readings_polled
while True:
    entries = [Entry(b"x" * 300, 7, 1) for _ in range(polled % 5 + 1)]
    polled += 7 * len(entries)
    acked = max(0, store.state.next_sequence - 40)
    state = store.commit(Writing(entries, readings_polled=polled, acked={1: acked})).state
    print(state.next_sequence - 1, state.readings_spooled, flush=True)
"""


def entry(size: int = 200, *, readings: int = 10) -> Entry:
    return Entry(hub_pb2.Frame(topic="readings/a/b/c", body=b"x" * size).SerializeToString(), readings, 1)


def quick_spool(path: Path, *, bytes_max: int = 16 * MIB, memory_bytes_max: int = 8 * MIB) -> Spool:
    backoff = Backoff(first_s=0.01, max_s=0.05, random=random.Random(1))
    return Spool(path, bounds=Bounds(bytes_max), memory_bytes_max=memory_bytes_max, commit_ms_max=0, backoff=backoff)


def test_sequence_and_counters_survive_being_killed(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    dice = random.Random(4)
    safe_sequence = safe_readings = 0
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(dice.randrange(1, 40)):
                safe_sequence, safe_readings = map(int, child.stdout.readline().split())
            child.send_signal(signal.SIGKILL)
            for line in child.stdout.read().splitlines(keepends=True):  # what it said before it died
                if line.endswith("\n"):
                    safe_sequence, safe_readings = map(int, line.split())

        store = Store.open(path, bounds=Bounds(64 * MIB))
        state = store.state
        found, damaged = store.read(0, frames_max=100_000, bytes_max=64 * MIB)
        store.close()

        # One commit may have been finished and not yet said.
        assert safe_sequence <= state.next_sequence - 1 <= safe_sequence + 5
        assert state.readings_spooled >= safe_readings
        assert state.readings_spooled == state.readings_polled == 7 * (state.next_sequence - 1)
        # What was committed together is trimmed together.
        oldest = found[0].sequence
        assert state.acked_sequence - 4 <= oldest <= state.acked_sequence + 1
        assert [stored.sequence for stored in found] == list(range(oldest, state.next_sequence))
        assert state.frames == len(found)
        assert 0 < state.bytes - sum(len(stored.frame) for stored in found) <= 4 * len(found)
        assert state.readings_acked + 7 * state.frames == state.readings_spooled
        assert damaged == []


async def until(condition: Callable[[], object], *, deadline_s: float = 10.0) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110  # any condition, so there is no event
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def task(coroutine: Coroutine[object, object, None]) -> AsyncIterator[None]:
    running = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


@contextlib.contextmanager
def tiny_disk(folder: Path, kib: int) -> Iterator[None]:
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a disk of a few KiB can only be mounted by root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_is_survived_said_once_and_loses_nothing_in_bounds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    disk = tmp_path / "disk"
    with tiny_disk(disk, 512):
        spool = quick_spool(disk / "spool.db")
        await spool.open()
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 360_000)
        async with task(spool.run()):
            for _ in range(100):
                spool.put(entry(2000))
            await until(lambda: spool.errors >= 3)
            assert spool.failing
            assert spool.held.readings > 0

            ballast.unlink()
            await until(lambda: not spool.failing)

            frames = await spool.read(0, frames_max=1000, bytes_max=16 * MIB)
        assert [stored.sequence for stored in frames] == list(range(1, 101))
        assert spool.readings_dropped == 0
        await spool.close()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("fieldline_edge")]
    assert said == [
        "spool cannot be written: database or disk is full; holding 1000 readings in memory",
        "spool can be written again",
    ]


async def test_a_backlog_as_big_as_the_disk_drops_the_oldest_and_can_still_be_drained(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with tiny_disk(disk, 24 * 1024):
        spool = quick_spool(disk / "spool.db", bytes_max=256 * MIB)
        await spool.open()
        for _ in range(400):
            for _ in range(20):
                spool.put(entry(5000))
            assert await spool.flush(), "the disk was filled to the brim"
        state = spool.state
        assert 0 < state.readings_dropped < state.readings_spooled == 80_000
        assert state.bytes > 8 * MIB

        spool.acknowledge(state.next_sequence - 1)
        assert await spool.flush()
        assert spool.state.frames == 0
        await spool.close()


async def test_a_disk_filled_by_others_does_not_stop_frames_from_passing_through(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with tiny_disk(disk, 16 * 1024):
        spool = quick_spool(disk / "spool.db")
        await spool.open()
        for _ in range(300):  # until the file has found its size
            await pass_through(spool)
        await spool.close()
        spool = quick_spool(disk / "spool.db")  # with a write-ahead log that has hardly begun
        await spool.open()
        for _ in range(10):
            await pass_through(spool)
        with (disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(b"x" * 4096):
                pass

        for _ in range(300):
            await pass_through(spool)

        assert spool.state.readings_dropped == 0
        await spool.close()


async def pass_through(spool: Spool) -> None:
    """A frame comes, and the hub acknowledges all but the newest three."""
    spool.put(entry(20_000))
    assert await spool.flush()
    spool.acknowledge(spool.state.next_sequence - 4)


async def test_while_the_disk_fails_memory_is_bounded_and_the_loss_is_told(tmp_path: Path) -> None:
    spool = quick_spool(tmp_path / "spool.db", memory_bytes_max=65_536)
    await spool.open()
    spool.put(entry())
    assert await spool.flush()
    assert spool._store is not None
    spool._store._connection.execute("PRAGMA query_only = ON")  # as a disk that went read-only

    for _ in range(100):
        spool.put(entry(2000))
    assert not await spool.flush()

    assert spool.failing == "attempt to write a readonly database"
    assert spool.held.bytes <= 65_536
    lost = spool.readings_dropped
    assert 0 < lost < 1000

    spool._store._connection.execute("PRAGMA query_only = OFF")
    assert await spool.flush()
    found = await spool.read(1, frames_max=1000, bytes_max=16 * MIB)
    first = hub_pb2.Frame.FromString(with_gap(found[0]))
    assert (first.skipped_frames, first.skipped_count) == (lost // 10, lost)
    assert spool.state.readings_dropped == spool.readings_dropped == lost
    assert len(found) == 100 - lost // 10
    await spool.close()


async def test_what_cannot_be_written_before_the_end_is_said_to_be_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = quick_spool(tmp_path / "spool.db")
    await spool.open()
    assert spool._store is not None
    spool._store._connection.execute("PRAGMA query_only = ON")
    spool.put(entry(readings=12))

    await spool.close()

    assert "12 readings in memory could not be written and are lost" in caplog.text


async def test_a_file_taken_away_is_replaced_by_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = quick_spool(path)
    await spool.open()
    epoch = spool.state.epoch
    async with task(spool.run()):
        spool.put(entry())
        await until(lambda: spool.state.frames == 1)
        for part in tmp_path.glob("spool.db*"):
            if not part.name.endswith(".lock"):
                part.unlink()

        spool.put(entry())
        await until(lambda: spool.state.epoch != epoch and spool.state.frames == 1)

    assert not spool.failing
    await spool.close()
    assert read_state(path).frames == 1


@pytest.mark.parametrize("damage", ["garbage", "torn"])
async def test_a_corrupt_file_is_put_aside_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = tmp_path / "spool.db"
    spool = quick_spool(path)
    await spool.open()
    epoch = spool.state.epoch
    for _ in range(200):
        spool.put(entry(1000))
        await spool.flush()
    await spool.close()
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content[:] = b"\xa5" * len(content)
    else:
        for page in range(5, len(content) // 4096, 9):
            content[page * 4096 : page * 4096 + 100] = os.urandom(100)
    path.write_bytes(content)

    spool = quick_spool(path)
    await spool.open()

    assert spool.state.epoch != epoch
    if damage == "torn":
        assert 100 < spool.state.frames < 200, "what can be read is kept"
        assert spool.state.next_sequence == 201
        assert epoch in [lane.epoch for lane in spool.state.lanes], "under the numbering it had"
    else:
        assert (spool.state.frames, spool.state.next_sequence) == (0, 1)
    spool.put(entry())
    assert await spool.flush()
    await spool.close()
    (aside,) = tmp_path.glob("spool.db.corrupt-*Z")
    assert aside.read_bytes()[4096:] == bytes(content)[4096:]  # looking at it counts up a number on the first page
    (said,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert said.getMessage() == "spool is corrupt; put aside and started anew"
    assert str(aside) in json.dumps(said.__dict__, default=str)


async def test_a_file_that_breaks_while_in_use_is_replaced_and_what_waits_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool = quick_spool(path)
    await spool.open()
    for _ in range(500):
        spool.put(entry(1000))
    await spool.flush()
    spool._recent.clear()
    assert spool._store is not None
    spool._store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    epoch = spool.state.epoch
    with path.open("r+b") as file:  # everything but the header
        size = path.stat().st_size
        file.seek(4096)
        file.write(os.urandom(size - 4096))

    async with task(spool.run()):
        while spool.state.epoch == epoch:  # reading finds the damage
            await spool.read(0, frames_max=1000, bytes_max=16 * MIB)
            spool.put(entry())
        await until(lambda: spool.state.frames >= 1)
        found = await spool.read(0, frames_max=10, bytes_max=MIB)

    assert found
    assert list(tmp_path.glob("spool.db.corrupt-*Z"))
    await spool.close()


async def test_only_the_newest_corrupt_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    for _ in range(5):
        path.write_bytes(b"rubbish" * 1000)
        spool = quick_spool(path)
        await spool.open()
        await spool.close()

    assert len(list(tmp_path.glob("spool.db.corrupt-*Z"))) == 3


async def test_a_folder_that_cannot_be_used_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = quick_spool(tmp_path / "file" / "spool.db")

    with pytest.raises(Exception, match=r"cannot be opened: .*; check spool\.path, its permissions"):
        await spool.open()


def test_what_is_acknowledged_was_fsynced_with_full_synchronous(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))

    (mode,) = store._connection.execute("PRAGMA synchronous").fetchone()
    (journal,) = store._connection.execute("PRAGMA journal_mode").fetchone()

    assert (mode, journal) == (2, "wal")
    store.close()
    assert sqlite3.sqlite_version_info >= (3, 35)
