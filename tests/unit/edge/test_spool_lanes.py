"""Lanes in the spool's file: alarms, closed lanes, a file of version 1, and what is salvaged of a damaged one."""

import contextlib
import os
import sqlite3
import zlib
from pathlib import Path

import pytest

from fieldline.v1 import hub_pb2
from fieldline_edge.spool import Bounds, DrainOrder, Entry, Loss, Spool, WhenFull
from fieldline_edge.spool.backlog_file import BacklogReader
from fieldline_edge.spool.carry import export_backlog
from fieldline_edge.spool.lanes import URGENT_BASE, open_lane, urgent_lane, wants_roll
from fieldline_edge.spool.policy import Writing, with_gap, with_sequence
from fieldline_edge.spool.store import Store

MIB = 1 << 20

VERSION_1 = """
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL,
    next_sequence INTEGER NOT NULL DEFAULT 1, acked_sequence INTEGER NOT NULL DEFAULT 0,
    frames INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, readings_polled INTEGER NOT NULL DEFAULT 0,
    readings_spooled INTEGER NOT NULL DEFAULT 0, readings_acked INTEGER NOT NULL DEFAULT 0,
    readings_dropped INTEGER NOT NULL DEFAULT 0, frames_spooled INTEGER NOT NULL DEFAULT 0,
    frames_dropped INTEGER NOT NULL DEFAULT 0);
CREATE TABLE frames (sequence INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, readings INTEGER NOT NULL,
    crc32 INTEGER NOT NULL, frame BLOB NOT NULL);
CREATE TABLE gaps (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, readings INTEGER NOT NULL);
"""


def entry(size: int = 200, *, readings: int = 10, at_ns: int = 1, urgent: bool = False) -> Entry:
    frame = hub_pb2.Frame(topic="readings/a/b/c", count=readings, body=os.urandom(size))
    return Entry(frame.SerializeToString(), readings, at_ns, urgent)


def spool_of_version_1(path: Path, frames: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.executescript(VERSION_1 + "PRAGMA journal_mode = WAL; PRAGMA user_version = 1;")
        file.execute(f"PRAGMA application_id = {0x464C5350}")
        file.execute(
            "INSERT INTO state VALUES (1, 77, ?, 2, ?, ?, 50, 50, 4, 3, 5, 1)", (frames + 3, frames, frames * 9)
        )
        for sequence in range(3, frames + 3):
            frame = with_sequence(entry().frame, sequence)
            file.execute("INSERT INTO frames VALUES (?, 1, 10, ?, ?)", (sequence, zlib.crc32(frame), frame))
        file.commit()


def test_a_spool_of_version_1_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool_of_version_1(path, 5)

    store = Store.open(path, bounds=Bounds(MIB))
    store.commit(Writing([entry(), entry(urgent=True)]))
    found, damaged = store.read(2, frames_max=100, bytes_max=MIB, lane=1)

    assert (store.state.epoch, store.state.acked_sequence, store.state.next_sequence) == (77, 2, 9)
    assert [hub_pb2.Frame.FromString(one.frame).sequence for one in found] == [3, 4, 5, 6, 7, 8]
    assert damaged == []
    store.close()


def test_an_empty_spool_of_version_1_gets_the_pages_of_this_one(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    spool_of_version_1(path, 0)

    store = Store.open(path, bounds=Bounds(MIB))

    assert store._connection.execute("PRAGMA page_size").fetchone() == (1024,)
    assert store.state.epoch == 77
    store.close()


def test_alarms_have_a_numbering_of_their_own_from_one(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    store.commit(Writing([entry(), entry(urgent=True), entry(), entry(urgent=True)]))
    lanes = store.state.lanes

    readings, _ = store.read(0, frames_max=9, bytes_max=MIB, lane=open_lane(lanes).number)
    alarms, _ = store.read(URGENT_BASE, frames_max=9, bytes_max=MIB, lane=urgent_lane(lanes).number)

    assert [hub_pb2.Frame.FromString(one.frame).sequence for one in readings] == [1, 2]
    assert [hub_pb2.Frame.FromString(one.frame).sequence for one in alarms] == [1, 2]
    store.close()


def test_alarms_are_dropped_last(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    store.commit(Writing([entry(urgent=True) for _ in range(20)]))
    for _ in range(40):
        store.commit(Writing([entry(2000) for _ in range(20)]))

    alarms, _ = store.read(URGENT_BASE, frames_max=99, bytes_max=MIB, lane=urgent_lane(store.state.lanes).number)

    assert store.state.frames_dropped > 0
    assert len(alarms) == 20
    store.close()


def test_a_lane_that_is_closed_hands_out_its_own_frames_alone(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    store.commit(Writing([entry(), entry()]))
    first = open_lane(store.state.lanes)
    store.commit(Writing([entry(), entry(), entry()], roll=True))
    second = open_lane(store.state.lanes)

    old, _ = store.read(0, frames_max=9, bytes_max=MIB, lane=first.number)
    new, _ = store.read(second.first - 1, frames_max=9, bytes_max=MIB, lane=second.number)

    assert [one.sequence for one in old] == [1, 2]
    assert [hub_pb2.Frame.FromString(one.frame).sequence for one in new] == [1, 2, 3]
    assert first.epoch != second.epoch
    store.close()


def test_a_lane_that_the_hub_has_is_forgotten(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    store.commit(Writing([entry()]))
    lane = open_lane(store.state.lanes)
    store.commit(Writing([entry()], roll=True))

    store.commit(Writing(acked={lane.number: 1}))

    assert lane.number not in [one.number for one in store.state.lanes]
    assert store.state.frames == 1
    store.close()


def test_what_was_dropped_at_the_end_of_a_closed_lane_is_told_by_the_open_one(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB))
    store.commit(Writing([entry(readings=7)]))
    store.commit(Writing([entry(readings=9)]))
    store.commit(Writing(roll=True))
    store.discard([2])
    store.commit(Writing(acked={1: 1}))

    store.commit(Writing([entry()]))
    lane = open_lane(store.state.lanes)
    (found,), _ = store.read(lane.first - 1, frames_max=9, bytes_max=MIB, lane=lane.number)

    frame = hub_pb2.Frame.FromString(with_gap(found))
    assert (frame.sequence, frame.skipped_frames, frame.skipped_count) == (2, 1, 9)
    assert store.state.readings_dropped == 9
    store.close()


def test_what_is_too_old_goes_and_is_counted(tmp_path: Path) -> None:
    now_ns = 1_800_000_000 * 10**9
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB, age_s_max=60))
    store.commit(Writing([entry(at_ns=now_ns - 61 * 10**9)]))
    store.commit(Writing([entry(at_ns=5)]))
    store.commit(Writing([entry(at_ns=now_ns - 59 * 10**9)]))

    store.commit(Writing(now_ns=now_ns))
    found, _ = store.read(0, frames_max=9, bytes_max=MIB)

    assert [(one.sequence, one.readings_missing) for one in found] == [(2, 10), (3, 0)]
    assert store.state.readings_dropped == 10
    store.close()


def test_thinned_out_the_older_half_has_fewer_frames_and_the_newer_half_all(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "spool.db", bounds=Bounds(MIB, when_full=WhenFull.THIN_OUT))
    for _ in range(120):
        store.commit(Writing([entry(1000) for _ in range(10)]))
    state = store.state

    found, _ = store.read(0, frames_max=2000, bytes_max=16 * MIB)
    ids = [one.sequence for one in found]
    middle = ids[0] + (ids[-1] - ids[0]) // 2
    older, newer = [id_ for id_ in ids if id_ < middle], [id_ for id_ in ids if id_ >= middle]

    assert 0 < state.frames_dropped == 1200 - len(found)
    assert len(older) < len(newer)
    assert ids[0] < 100, "the beginning of the outage is still there, thinly"
    assert sum(one.readings_missing for one in found) == state.readings_dropped == 10 * state.frames_dropped
    store.close()


def test_a_lane_is_closed_while_the_hub_is_away_once_it_is_large() -> None:
    newest = DrainOrder.NEWEST_FIRST
    assert not wants_roll(order=newest, away_s=100, unsent=True, lane_bytes=10_000, bytes_max=MIB)
    assert wants_roll(order=newest, away_s=100, unsent=True, lane_bytes=70_000, bytes_max=MIB)
    assert not wants_roll(order=newest, away_s=0, unsent=True, lane_bytes=70_000, bytes_max=MIB)
    assert not wants_roll(order=DrainOrder.IN_ORDER, away_s=100, unsent=True, lane_bytes=70_000, bytes_max=MIB)


@pytest.mark.parametrize("seed", range(4))
def test_of_a_damaged_spool_what_can_be_read_keeps_its_numbers(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "spool.db"
    store = Store.open(path, bounds=Bounds(16 * MIB))
    for number in range(200):
        store.commit(Writing([entry(1500), entry(100, urgent=number % 20 == 0)]))
    lanes = {lane.number: lane for lane in store.state.lanes}
    sound, _ = store.read(0, frames_max=10_000, bytes_max=16 * MIB)
    store.close()
    content = bytearray(path.read_bytes())
    for page in range(20 + seed, len(content) // 1024, 40):
        content[page * 1024 : page * 1024 + 1024] = os.urandom(1024)
    path.write_bytes(content)

    exported = export_backlog(path, tmp_path / "carried", gateway="gateway-1", now_ns=1)
    store = Store.open(path, bounds=Bounds(16 * MIB))
    found, _ = store.read(0, frames_max=10_000, bytes_max=16 * MIB)

    frames = {one.sequence: one.frame for one in sound}
    assert len(sound) // 2 < len(found) < len(sound)
    assert all(frames[one.sequence] == one.frame for one in found)
    assert {lane.epoch for lane in store.state.lanes if lane.last is not None} == {
        lane.epoch for lane in lanes.values()
    }
    assert store.state.next_sequence == 391
    assert exported.frames == store.state.frames
    with (tmp_path / "carried").open("rb") as file:
        reader = BacklogReader(file)
        assert len(list(reader.frames())) == exported.frames
        assert reader.whole
    store.close()


async def test_losses_alone_reach_the_file_within_a_second_or_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", bounds=Bounds(MIB))
    await spool.open()

    spool.lose(Loss(1, 7))
    assert spool._ack_since_s is not None
    await spool.flush()

    assert spool.state.readings_dropped == 7
    await spool.close()


async def test_safe_returns_once_what_was_put_is_committed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", bounds=Bounds(MIB))
    await spool.open()
    spool.put(entry())
    assert spool._safe < spool.taken

    await spool.flush()
    await spool.committed(spool.taken)

    assert spool.state.frames == 1
    await spool.close()
