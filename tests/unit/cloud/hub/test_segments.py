"""What the segment log does when files are cut, damaged, full or shared. tests/contract/ has what any engine does."""

import errno
import os
import random
import shutil
from pathlib import Path

import pytest

from fieldline.errors import ConfigError
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.core.marks import DurableMark
from fieldline_cloud.hub.engines.base import (
    Append,
    Appended,
    IncomingFrame,
    ProducerKey,
    RetentionRules,
    StorageError,
)
from fieldline_cloud.hub.engines.segments import SegmentEngine
from fieldline_cloud.hub.engines.segments import files as segment_files
from fieldline_cloud.hub.engines.segments.chunk import HEADER_BYTES, parse_header
from fieldline_cloud.hub.engines.segments.shelf import Segment

PRODUCER = ProducerKey("p", 1)


def open_log(folder: Path, *, segment_bytes: int = 1 << 20, reserve_bytes: int = 0) -> SegmentEngine:
    return SegmentEngine(folder, segment_bytes=segment_bytes, reserve_bytes=reserve_bytes, now_ms=lambda: 1_000)


def append(engine: SegmentEngine, *sequences: int, size: int = 10) -> Appended:
    frames = [
        IncomingFrame(n, 0, "t", 1, hub_pb2.Frame(topic="t", sequence=n, body=bytes(size)).SerializeToString())
        for n in sequences
    ]
    return engine.commit([Append(PRODUCER, frames)], {})[0]


def offsets(engine: SegmentEngine, start: int = 0) -> list[int]:
    found: list[int] = []
    while start < engine.statistics().next_offset:
        chunk = engine.read(start, lambda _: True, bytes_max=1 << 20)
        found += [record.offset for record in chunk.records]
        if chunk.next_offset == start:
            break
        start = chunk.next_offset
    return found


def newest(folder: Path) -> Path:
    return max(folder.glob("*.log"))


def test_an_end_cut_at_any_byte_loses_the_unfinished_commit_alone(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    engine = open_log(whole)
    append(engine, 1, 2)
    kept = newest(whole).stat().st_size
    append(engine, 3)
    engine.close()
    content = newest(whole).read_bytes()

    for cut in range(kept, len(content)):
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / newest(whole).name).write_bytes(content[:cut])
        engine = open_log(folder)
        assert offsets(engine) == [0, 1]
        assert engine.last_sequence(PRODUCER) == 2
        assert [record.offset for record in append(engine, 3).records] == [2]
        engine.close()
        assert newest(folder).read_bytes() == content


def test_a_damaged_commit_in_the_middle_is_skipped_reported_once_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_log(tmp_path)
    places = []
    for n in range(1, 6):
        places.append(newest(tmp_path).stat().st_size)
        append(engine, n, size=500)
    engine.close()
    content = bytearray(newest(tmp_path).read_bytes())
    content[places[2] + HEADER_BYTES + 100] ^= 0xFF
    newest(tmp_path).write_bytes(content)

    engine = open_log(tmp_path)
    for _ in range(3):
        assert offsets(engine) == [0, 1, 3, 4]
    assert engine.damaged_bytes == places[3] - places[2]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert engine.last_sequence(PRODUCER) == 5
    assert [record.offset for record in append(engine, 6).records] == [5]
    engine.close()


def test_a_header_that_lies_about_its_length_is_damage_and_not_a_crash(tmp_path: Path) -> None:
    engine = open_log(tmp_path)
    for n in (1, 2, 3):
        append(engine, n)
    engine.close()
    content = newest(tmp_path).read_bytes()
    size = parse_header(content)
    assert size is not None
    rng = random.Random(7)
    for _ in range(300):
        broken = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(size.size)] = rng.randrange(256)
        newest(tmp_path).write_bytes(broken)
        engine = open_log(tmp_path)
        assert offsets(engine) in ([0, 1, 2], [1, 2])
        engine.close()


def test_a_disk_that_fills_up_refuses_the_commit_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_log(tmp_path)
    append(engine, 1)
    before = newest(tmp_path).read_bytes()

    def full(fd: int, parts: object) -> None:
        os.write(fd, b"half a chunk")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(segment_files, "write_all", full)
        for _ in range(2):
            with pytest.raises(StorageError, match="No space left on device; check disk space"):
                append(engine, 2)
    assert newest(tmp_path).read_bytes() == before
    assert offsets(engine) == [0]
    assert [record.offset for record in append(engine, 2).records] == [1]
    engine.close()


def test_after_a_failed_fsync_nothing_of_the_commit_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_log(tmp_path)
    append(engine, 1)

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        patched.setattr(os, "ftruncate", lambda fd, size: broken(fd))
        with pytest.raises(StorageError):
            append(engine, 2)
        with pytest.raises(StorageError):  # as long as the remains cannot be taken away, nothing is written
            append(engine, 2)
    assert append(engine, 2).acked_sequence == 2
    engine.close()
    engine = open_log(tmp_path)
    assert offsets(engine) == [0, 1]
    engine.close()


def test_short_writes_are_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_log(tmp_path)
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, parts: writev(fd, [memoryview(parts[0])[:7]]))
    append(engine, 1, 2, size=100)
    monkeypatch.undo()
    assert offsets(engine) == [0, 1]
    engine.close()


def test_a_second_hub_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    engine = open_log(tmp_path)
    with pytest.raises(ConfigError, match="another hub uses"):
        open_log(tmp_path)
    engine.close()
    open_log(tmp_path).close()


def test_a_damaged_state_is_refused_and_named(tmp_path: Path) -> None:
    engine = open_log(tmp_path, segment_bytes=1)
    append(engine, 1)
    append(engine, 2)
    engine.close()
    state = tmp_path / "state"
    state.write_bytes(state.read_bytes()[:-1] + b"\xff")
    with pytest.raises(StorageError, match="state is damaged; restore"):
        open_log(tmp_path)
    state.write_bytes(b"")
    with pytest.raises(StorageError, match="cut short"):
        open_log(tmp_path)


def test_a_lost_state_is_rebuilt_from_the_segments(tmp_path: Path) -> None:
    engine = open_log(tmp_path, segment_bytes=1)
    for n in range(1, 6):
        append(engine, n)
    engine.commit([], {"d": DurableMark("d", 3)})
    engine.close()
    (tmp_path / "state").unlink()
    engine = open_log(tmp_path, segment_bytes=1)
    assert offsets(engine) == [0, 1, 2, 3, 4]
    assert engine.last_sequence(PRODUCER) == 5
    assert engine.cursors() == {"d": 3}
    engine.close()


def test_a_start_reads_the_newest_segment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_log(tmp_path, segment_bytes=1)
    for n in range(1, 20):
        append(engine, n)
    engine.close()
    read: list[str] = []
    recover = SegmentEngine._recover_segment

    def noted(self: SegmentEngine, segment: Segment) -> None:
        read.append(segment.path.name)
        recover(self, segment)

    monkeypatch.setattr(SegmentEngine, "_recover_segment", noted)
    open_log(tmp_path, segment_bytes=1).close()
    assert read == [newest(tmp_path).name]


def test_a_start_syncs_what_it_finds_before_it_says_anything_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that was killed may have left it in the page cache alone, and its publisher sends it again."""
    engine = open_log(tmp_path)
    append(engine, 1)
    engine.close()
    synced: list[int] = []
    sync = os.fdatasync

    def record(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", record)
    engine = open_log(tmp_path)
    assert synced == [newest(tmp_path).stat().st_ino]
    engine.close()


def test_a_segment_that_cannot_be_removed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_log(tmp_path, segment_bytes=1)
    for n in (1, 2, 3):
        append(engine, n)
    everything = RetentionRules(bytes_max=0, age_ms_max=1 << 40)
    with monkeypatch.context() as patch:

        def fail(self: Path, missing_ok: bool = False) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patch.setattr(Path, "unlink", fail)
        with pytest.raises(StorageError, match="trimmed: Input/output error"):
            engine.retain(everything, now_ms=1_000)
    assert len(list(tmp_path.glob("*.log"))) >= 3
    assert engine.retain(everything, now_ms=1_000).frames == 3
    assert len(list(tmp_path.glob("*.log"))) == 1
    engine.close()


def crashed(engine: SegmentEngine, folder: Path, to: Path) -> Path:
    """The folder as a hub that was killed leaves it."""
    shutil.copytree(folder, to)
    engine.close()
    return to


def test_a_reserve_that_a_crash_left_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = open_log(tmp_path / "a", reserve_bytes=50_000)
    append(engine, 1)
    append(engine, 2, size=3_000)
    assert newest(tmp_path / "a").stat().st_size > 50_000
    written = engine.statistics().file_bytes
    left = crashed(engine, tmp_path / "a", tmp_path / "b")
    assert newest(tmp_path / "a").stat().st_size == written  # a proper end leaves none

    engine = open_log(left, reserve_bytes=50_000)
    assert offsets(engine) == [0, 1]
    assert engine.statistics().file_bytes == newest(left).stat().st_size == written
    assert [record.offset for record in append(engine, 3).records] == [2]
    assert offsets(engine) == [0, 1, 2]
    engine.close()
    assert (engine.statistics().damaged_bytes, caplog.records) == (0, [])


def test_a_commit_that_was_cut_inside_the_reserve_is_lost_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_log(tmp_path / "a", reserve_bytes=50_000)
    append(engine, 1, 2)
    kept = engine.statistics().file_bytes
    append(engine, 3, size=200)
    end = engine.statistics().file_bytes
    content = newest(crashed(engine, tmp_path / "a", tmp_path / "b")).read_bytes()

    for cut in range(
        kept + 1, end - 200
    ):  # written up to here, zeros from here on; the last 200 bytes are zeros anyway
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / newest(tmp_path / "b").name).write_bytes(content[:cut] + bytes(len(content) - cut))
        engine = open_log(folder, reserve_bytes=50_000)
        assert offsets(engine) == [0, 1]
        assert [record.offset for record in append(engine, 3, size=200).records] == [2]
        engine.close()
        assert newest(folder).read_bytes() == content[:end]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_every_segment_but_the_newest_is_without_reserve(tmp_path: Path) -> None:
    engine = open_log(tmp_path / "a", segment_bytes=2_000, reserve_bytes=50_000)
    for n in range(1, 11):
        append(engine, n, size=900)
    left = crashed(engine, tmp_path / "a", tmp_path / "b")
    sizes = [path.stat().st_size for path in sorted(left.glob("*.log"))]
    assert len(sizes) > 3
    assert max(sizes[:-1]) < 5_000 < sizes[-1]
    engine = open_log(left)
    assert offsets(engine) == list(range(10))
    engine.close()


def test_a_disk_with_no_room_for_a_reserve_still_takes_what_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, begin: int, size: int) -> None:
        os.ftruncate(fd, begin + 100)  # it got some
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    engine = open_log(tmp_path, reserve_bytes=50_000)
    assert [record.offset for record in append(engine, 1, 2).records] == [0, 1]
    append(engine, 3)
    assert offsets(engine) == [0, 1, 2]
    assert newest(tmp_path).stat().st_size == engine.statistics().file_bytes
    engine.close()
