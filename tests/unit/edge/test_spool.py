"""The spool over its real file: numbers, bounds, gaps, epochs."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fieldline.errors import ConfigError
from fieldline.v1 import hub_pb2
from fieldline_edge.spool import Bounds, Entry, Loss, Spool, State, read_state
from fieldline_edge.spool.policy import Writing, with_gap
from fieldline_edge.spool.store import Store

MIB = 1 << 20


def entry(size: int = 200, *, readings: int = 10, at_ns: int = 1) -> Entry:
    return Entry(hub_pb2.Frame(topic="readings/a/b/c", body=b"x" * size).SerializeToString(), readings, at_ns)


def write(store: Store, *entries: Entry, acked: int = 0, keep_up_to: int = 0, loss: Loss | None = None) -> State:
    in_flight = [(0, keep_up_to)] if keep_up_to else []
    return store.commit(Writing(entries, loss or Loss(), acked={1: acked}, in_flight=in_flight)).state


@contextlib.asynccontextmanager
async def running(path: Path) -> AsyncIterator[Spool]:
    spool = Spool(path, bounds=Bounds(16 * MIB), commit_ms_max=0)
    await spool.open()
    task = asyncio.create_task(spool.run())
    try:
        yield spool
    finally:
        task.cancel()
        await asyncio.wait([task])
        await spool.close()


async def read_frames(spool: Spool, after: int = 0) -> list[hub_pb2.Frame]:
    found = await spool.read(after, frames_max=1000, bytes_max=16 * MIB)
    return [hub_pb2.Frame.FromString(with_gap(stored)) for stored in found]


async def test_frames_come_back_numbered_from_one_in_order(tmp_path: Path) -> None:
    async with running(tmp_path / "spool.db") as spool:
        for size in (10, 20, 30):
            spool.put(entry(size))

        async with asyncio.timeout(5):
            await spool.wait(2)
        frames = await read_frames(spool)

    assert [(frame.sequence, len(frame.body)) for frame in frames] == [(1, 10), (2, 20), (3, 30)]


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    async with running(tmp_path / "spool.db") as spool:
        spool.polled(25)
        spool.put(entry())
        spool.put(entry())
        await spool.flush()
        before = spool.state

    async with running(tmp_path / "spool.db") as spool:
        assert spool.state == before
        assert spool.readings_polled == 25
        spool.put(entry())
        await spool.flush()
        frames = await read_frames(spool, after=1)

    assert [frame.sequence for frame in frames] == [2, 3]
    assert read_state(tmp_path / "spool.db").readings_spooled == 30


async def test_what_the_hub_has_is_trimmed_and_counted(tmp_path: Path) -> None:
    async with running(tmp_path / "spool.db") as spool:
        for _ in range(5):
            spool.put(entry())
            await spool.flush()

        spool.acknowledge(3)
        await spool.flush()

        assert [frame.sequence for frame in await read_frames(spool)] == [4, 5]
        state = spool.state
        assert (state.acked_sequence, state.frames, state.readings_acked) == (3, 2, 30)


async def test_an_ack_alone_is_written_within_a_second_or_so(tmp_path: Path) -> None:
    async with running(tmp_path / "spool.db") as spool:
        spool.put(entry())
        await spool.flush()
        spool.acknowledge(1)

        async with asyncio.timeout(5):
            await spool.drained()
            while spool.state.frames:  # noqa: ASYNC110  # a number to look at, no event
                await asyncio.sleep(0.02)

        assert spool.state.bytes == 0


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", bounds=Bounds(MIB))
    await spool.open()
    spool.put(entry())
    await spool.close()

    assert read_state(tmp_path / "spool.db").frames == 1


async def test_a_cancelled_commit_is_neither_lost_nor_repeated(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", bounds=Bounds(64 * MIB), commit_ms_max=0)
    await spool.open()
    for count in range(20):
        spool.put(entry())
        commit = asyncio.create_task(spool.flush())
        for _ in range(count % 4):
            await asyncio.sleep(0)
        commit.cancel()
        await asyncio.wait([commit])
    await spool.close()

    state = read_state(tmp_path / "spool.db")
    assert (state.frames, state.next_sequence, state.readings_spooled) == (20, 21, 200)


async def test_a_reader_that_waits_is_woken_by_the_commit(tmp_path: Path) -> None:
    async with running(tmp_path / "spool.db") as spool:
        waiting = asyncio.create_task(spool.wait(0))
        await asyncio.sleep(0)
        assert not waiting.done()

        spool.put(entry())

        async with asyncio.timeout(5):
            await waiting


async def test_one_read_is_bounded_but_never_empty(tmp_path: Path) -> None:
    async with running(tmp_path / "spool.db") as spool:
        for _ in range(10):
            spool.put(entry(1000))
        await spool.flush()

        assert len(await spool.read(0, frames_max=3, bytes_max=MIB)) == 3
        assert len(await spool.read(0, frames_max=100, bytes_max=2500)) == 2
        assert len(await spool.read(0, frames_max=100, bytes_max=1)) == 1


def test_a_full_spool_drops_the_oldest_and_counts_the_gap(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    for _ in range(40):
        write(store, *[entry(2000) for _ in range(20)])
    state = store.state

    (first, *rest), damaged = store.read(0, frames_max=1000, bytes_max=16 * MIB)
    frame = hub_pb2.Frame.FromString(with_gap(first))
    assert state.frames_dropped > 0
    assert (frame.skipped_frames, frame.skipped_count) == (state.frames_dropped, 10 * state.frames_dropped)
    assert frame.sequence == state.frames_dropped + 1
    assert all(stored.sequence == stored.before + 1 for stored in rest)
    assert len(rest) + 1 == state.frames == 800 - state.frames_dropped
    assert state.readings_dropped == 10 * state.frames_dropped
    assert state.next_sequence == 801
    assert damaged == []
    store.close()


def test_a_gap_survives_a_restart(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    for _ in range(40):
        write(store, *[entry(2000) for _ in range(20)])
    dropped = store.state.frames_dropped
    store.close()

    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    (first, *_), _ = store.read(0, frames_max=1, bytes_max=MIB)

    assert first.sequence - first.before - 1 == dropped
    assert first.readings_missing == 10 * dropped
    store.close()


def test_a_full_spool_drops_what_may_be_under_way_last(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    write(store, *[entry(2000) for _ in range(20)])
    for _ in range(40):
        write(store, *[entry(2000) for _ in range(20)], keep_up_to=20)

    found, _ = store.read(0, frames_max=1000, bytes_max=16 * MIB)

    assert [stored.sequence for stored in found[:20]] == list(range(1, 21))
    assert found[20].before == 20
    assert found[20].readings_missing == 10 * store.state.frames_dropped
    store.close()


def test_the_file_stays_within_its_bound_and_shrinks_when_drained(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    store = Store.open(path, bounds=Bounds(8 * MIB))
    for _ in range(60):
        write(store, *[entry(8000) for _ in range(50)])
    full = path.stat().st_size
    wal = path.with_name("spool.db-wal").stat().st_size

    last = store.state.next_sequence - 1
    write(store, acked=last)
    for _ in range(20):
        write(store)
    store.close()

    assert full <= 8 * MIB + 50 * 12_000  # at most one commit beyond the bound, reused ever after
    assert wal <= 6 * MIB
    assert path.stat().st_size < 5 * MIB


def test_what_was_lost_in_memory_becomes_a_gap_before_what_came_after(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    write(store, entry())
    write(store, entry(), loss=Loss(3, 77))

    (_, second), _ = store.read(0, frames_max=10, bytes_max=MIB)

    assert (second.sequence, second.before, second.readings_missing) == (5, 1, 77)
    assert (store.state.readings_dropped, store.state.frames_dropped) == (77, 3)
    store.close()


def test_a_hub_that_forgot_gets_a_gap_it_can_accept(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    for _ in range(5):
        write(store, entry())
    write(store, acked=3)

    (first, _), _ = store.read(0, frames_max=10, bytes_max=MIB)

    assert hub_pb2.Frame.FromString(with_gap(first)).skipped_frames == 3
    store.close()


async def test_a_frame_that_rotted_on_disk_becomes_a_counted_gap(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with running(path) as spool:
        for _ in range(3):
            spool.put(entry())
            await spool.flush()
        spool._recent.clear()
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE chunks SET frame = zeroblob(50) WHERE sequence = 2")
            other.commit()

        first, third = await read_frames(spool)

        assert (first.sequence, third.sequence, third.skipped_frames, third.skipped_count) == (1, 3, 1, 10)
        assert spool.state.readings_dropped == 10


async def test_a_new_epoch_keeps_the_backlog(tmp_path: Path) -> None:
    async with running(tmp_path / "spool.db") as spool:
        spool.put(entry())
        await spool.flush()
        before = spool.state.epoch
        waiting = asyncio.create_task(spool.wait(5))

        await spool.renew_epoch()

        async with asyncio.timeout(5):
            await waiting
        assert spool.state.epoch != before
        assert spool.state.frames == 1


async def test_two_gateways_cannot_share_a_spool(tmp_path: Path) -> None:
    async with running(tmp_path / "spool.db"):
        second = Spool(tmp_path / "spool.db", bounds=Bounds(MIB))
        with pytest.raises(ConfigError, match=r"used by another gateway; give each gateway its own spool\.path"):
            await second.open()


async def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE accounts (id INTEGER)")
        other.commit()
    before = path.read_bytes()

    with pytest.raises(ConfigError, match=r"but no spool; choose another spool\.path"):
        await Spool(path, bounds=Bounds(MIB)).open()

    assert path.read_bytes() == before


async def test_a_spool_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with running(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 3")

    with pytest.raises(ConfigError, match="has version 3"):
        await Spool(path, bounds=Bounds(MIB)).open()


async def test_status_reads_beside_a_running_gateway(tmp_path: Path) -> None:
    async with running(tmp_path / "spool.db") as spool:
        spool.put(entry())
        await spool.flush()

        assert read_state(tmp_path / "spool.db") == spool.state


@pytest.mark.parametrize("content", [None, b"", b"kind: gateway"])
def test_status_of_what_is_no_spool_says_so(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "spool.db"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"does not exist|neither a spool"):
        read_state(path)
