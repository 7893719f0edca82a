"""What the segment log does with its files when frames go: rewriting, putting together, being stopped in the middle."""

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.core.policies import TopicPolicies, TopicPolicy
from fieldline_cloud.hub.engines.base import Append, IncomingFrame, ProducerKey, RetentionRules, StorageError
from fieldline_cloud.hub.engines.segments import SegmentEngine
from fieldline_cloud.hub.engines.segments import files as segment_files
from fieldline_cloud.hub.engines.segments import keeper as keeper_room
from fieldline_cloud.hub.engines.segments.reader import LogReader

PRODUCER = ProducerKey("p", 1)
ALL = 1 << 40
KEEP_ALERTS = RetentionRules(ALL, 1_000, TopicPolicies([TopicPolicy("alerts", age_ms_max=ALL)]))


class Clock:
    now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


def open_log(folder: Path, clock: Clock | None = None, *, segment_bytes: int = 10_000) -> SegmentEngine:
    return SegmentEngine(folder, segment_bytes=segment_bytes, now_ms=clock or Clock())


def append(engine: SegmentEngine, first: int, *topics: str, size: int = 100) -> None:
    frames = []
    for sequence, topic in enumerate(topics, first):
        data = hub_pb2.Frame(topic=topic, sequence=sequence, body=bytes(size)).SerializeToString()
        frames.append(IncomingFrame(sequence, 0, topic, 1, data, key=f"k{sequence}"))
    engine.commit([Append(PRODUCER, frames)], {})


def read_all(engine: SegmentEngine) -> dict[int, str]:
    found: dict[int, str] = {}
    start = 0
    while start < engine.statistics().next_offset:
        chunk = engine.read(start, lambda _: True, bytes_max=3_000)
        for one in chunk.records:
            assert one.offset not in found
            assert one.key == f"k{one.offset + 1}"
            found[one.offset] = one.topic
        if chunk.next_offset == start:
            break
        start = chunk.next_offset
    return found


def mixed(folder: Path, clock: Clock, *, commits: int = 60, frames: int = 10) -> SegmentEngine:
    """A log with one alert in every commit of ten frames; all of it is old when this returns."""
    engine = open_log(folder, clock)
    for n in range(commits):
        append(engine, n * frames + 1, *["alerts"], *["readings"] * (frames - 1))
    clock.now_ms += 10_000
    return engine


def sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.glob("*.log"))}


def test_files_of_which_little_is_alive_are_rewritten_with_that_alone(tmp_path: Path) -> None:
    clock = Clock()
    engine = mixed(tmp_path, clock)
    newest = engine._shelf.newest.path.name
    before = sizes(tmp_path)
    engine.retain(KEEP_ALERTS, now_ms=clock.now_ms)
    alerts = dict.fromkeys(range(0, 600, 10), "alerts")
    assert read_all(engine) == alerts
    after = sizes(tmp_path)
    assert after[newest] == before[newest]
    assert len(before) == len(after) > 5
    assert sum(after.values()) - after[newest] < 0.3 * (sum(before.values()) - before[newest])
    engine.close()
    engine = open_log(tmp_path, clock)
    kept = read_all(engine)
    assert alerts.items() <= kept.items()
    assert all(offset >= int(newest[:20]) for offset in kept.keys() - alerts.keys())
    append(engine, 601, "alerts")
    assert engine.last_sequence(PRODUCER) == 601
    assert engine.damaged_bytes == 0
    engine.close()


def test_what_was_rewritten_is_left_alone_as_long_as_most_of_it_lives(tmp_path: Path) -> None:
    clock = Clock()
    engine = mixed(tmp_path, clock)
    engine.retain(KEEP_ALERTS, now_ms=clock.now_ms)
    before = {path: path.stat().st_ino for path in tmp_path.glob("*.log")}
    for _ in range(3):
        assert engine.retain(KEEP_ALERTS, now_ms=clock.now_ms).frames == 0
    assert {path: path.stat().st_ino for path in tmp_path.glob("*.log")} == before
    engine.close()


def test_many_small_neighbours_become_one_file(tmp_path: Path) -> None:
    clock = Clock()
    engine = mixed(tmp_path, clock, commits=100, frames=30)
    expected = dict.fromkeys(range(0, 3000, 30), "alerts")
    for _ in range(4):
        engine.retain(KEEP_ALERTS, now_ms=clock.now_ms)
    assert len(sizes(tmp_path)) < 8
    assert read_all(engine) == expected
    engine.close()
    engine = open_log(tmp_path, clock)
    assert expected.items() <= read_all(engine).items()
    engine.close()


def test_a_file_is_removed_when_the_last_of_it_is_dead_wherever_it_stands(tmp_path: Path) -> None:
    clock = Clock()
    engine = open_log(tmp_path, clock)
    for n in range(30):
        append(engine, n * 10 + 1, *["alerts" if n % 15 == 0 else "readings"] * 10)
    clock.now_ms += 10_000
    append(engine, 301, "readings")
    engine.retain(KEEP_ALERTS, now_ms=clock.now_ms)
    assert len(sizes(tmp_path)) == 3
    assert list(read_all(engine)) == [*range(10), *range(150, 160), 300]
    engine.close()


def test_only_so_much_is_rewritten_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_room, "_REWRITE_BYTES_MAX", 15_000)
    clock = Clock()
    engine = mixed(tmp_path, clock, commits=100)
    went = [engine.retain(KEEP_ALERTS, now_ms=clock.now_ms).frames for _ in range(10)]
    assert went[0] < 250
    assert sum(frames > 0 for frames in went) >= 3
    assert went[-1] == 0
    engine.close()


@contextmanager
def copied_before_every_step(folder: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """A copy of the folder before every change of its files: what a kill at that moment would leave."""
    copies: list[Path] = []

    def noting(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*given: Any, **named: Any) -> Any:
            copy = into / f"{len(copies):03}-{name}"
            shutil.copytree(folder, copy)
            copies.append(copy)
            return real(*given, **named)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(segment_files, "write_all", noting("write", segment_files.write_all))
        for name in ("fsync", "fdatasync"):
            patched.setattr(os, name, noting(name, getattr(os, name)))
        for name in ("rename", "replace", "unlink", "write_bytes"):
            patched.setattr(Path, name, noting(name, getattr(Path, name)))
        yield copies


@pytest.mark.parametrize("torn", [False, True], ids=["killed", "power cut"])
def test_stopped_at_any_step_a_rewrite_loses_nothing_that_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    clock = Clock()
    folder = tmp_path / "log"
    engine = mixed(folder, clock, commits=80)
    rules = RetentionRules(
        ALL, 1_000, TopicPolicies([TopicPolicy("alerts", age_ms_max=ALL), TopicPolicy("status", last_value=True)])
    )
    append(engine, 801, "status")
    with copied_before_every_step(folder, tmp_path, monkeypatch) as copies:
        for _ in range(3):
            engine.retain(rules, now_ms=clock.now_ms)
    engine.close()
    must = dict.fromkeys(range(0, 800, 10), "alerts") | {800: "status"}
    assert {copy.name[4:] for copy in copies} >= {"write", "fsync", "rename", "unlink", "write_bytes"}
    rng = random.Random(5)
    for copy in copies:
        if torn:  # what was not fsynced need not be there
            for path in [*copy.glob("*.idx"), *copy.glob("*.new")]:
                path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size + 1)])
        engine = open_log(copy, clock)
        assert must.items() <= read_all(engine).items()
        assert engine.last_sequence(PRODUCER) == 801
        for _ in range(2):
            engine.retain(rules, now_ms=clock.now_ms)
        assert read_all(engine) == must
        assert list(copy.glob("*.new")) == []
        append(engine, 802, "status")
        assert [one.offset for one in engine.last_values("status".__eq__)] == [801]
        assert engine.damaged_bytes == 0
        engine.close()


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_rewrite_that_fails_leaves_the_old_file_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    clock = Clock()
    engine = mixed(tmp_path, clock)
    before = sizes(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if step == "write":
            patched.setattr(segment_files, "write_all", full)
        elif step == "fsync":
            patched.setattr(os, "fsync", full)
        else:
            patched.setattr(Path, "rename", full)
        for _ in range(2):
            with pytest.raises(StorageError, match="No space left"):
                engine.retain(KEEP_ALERTS, now_ms=clock.now_ms)
    assert sizes(tmp_path) == before
    assert list(tmp_path.glob("*.new")) == []
    engine.retain(KEEP_ALERTS, now_ms=clock.now_ms)
    assert len(read_all(engine)) == 60
    engine.close()


def test_on_a_full_disk_what_is_dead_is_removed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    engine = mixed(tmp_path, clock)
    rules = RetentionRules(ALL, 1_000, TopicPolicies([TopicPolicy("alerts", frames_max=1)]))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(segment_files, "write_all", full)
        with pytest.raises(StorageError):
            engine.retain(rules, now_ms=clock.now_ms)
        assert len(sizes(tmp_path)) <= 2
        assert read_all(engine) == {}
    engine.retain(rules, now_ms=clock.now_ms)
    engine.close()
    engine = open_log(tmp_path, clock)
    assert "alerts" not in read_all(engine).values()  # the floor was written with the second try
    engine.close()


def test_a_damaged_file_is_not_rewritten_and_goes_when_all_of_it_is_dead(tmp_path: Path) -> None:
    clock = Clock()
    engine = mixed(tmp_path, clock)
    engine.close()
    first = min(tmp_path.glob("*.log"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 0xFF
    first.write_bytes(content)
    min(tmp_path.glob("*.idx")).unlink()
    engine = open_log(tmp_path, clock)
    engine.retain(KEEP_ALERTS, now_ms=clock.now_ms)
    assert first.read_bytes() == content
    assert engine.statistics().damaged_bytes > 0
    engine.retain(RetentionRules(0, 1_000), now_ms=clock.now_ms)
    assert not first.exists()
    engine.close()


def test_a_lost_file_is_reported_and_the_others_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    engine = mixed(tmp_path, clock)
    victim = sorted(tmp_path.glob("*.log"))[1]
    size = victim.stat().st_size
    victim.unlink()
    found = read_all(engine)
    assert 400 < len(found) < 600
    assert engine.damaged_bytes == size
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert list(read_all(engine)) == list(found)
    engine.close()


def test_a_start_without_indexes_finds_the_same(tmp_path: Path) -> None:
    clock = Clock()
    engine = mixed(tmp_path, clock)
    engine.retain(RetentionRules(ALL, ALL, TopicPolicies([TopicPolicy("x", frames_max=1)])), now_ms=clock.now_ms)
    expected = read_all(engine)
    engine.close()
    rng = random.Random(3)
    for path in tmp_path.glob("*.idx"):
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 0xFF
        path.write_bytes(content)
    engine = open_log(tmp_path, clock)
    assert read_all(engine) == expected
    engine.retain(KEEP_ALERTS, now_ms=clock.now_ms)
    assert list(read_all(engine)) == list(range(0, 600, 10))
    engine.close()


def test_last_values_and_single_frames_do_not_read_whole_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_log(tmp_path, segment_bytes=32 << 20)
    for n in range(100):
        append(engine, n * 10 + 1, *[f"t/{n}"] * 10, size=10_000)
    read = 0
    pread = os.pread

    def counted(fd: int, size: int, position: int) -> bytes:
        nonlocal read
        read += size
        return pread(fd, size, position)

    monkeypatch.setattr(os, "pread", counted)
    assert len(engine.last_values(lambda topic: topic in ("t/5", "t/95"))) == 2
    assert engine.offset_since(1_000) == 0
    assert read < 1 << 20
    engine.close()


def test_commits_go_on_while_retention_looks_at_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    engine = mixed(tmp_path, clock)
    offset_since = LogReader.offset_since

    def in_the_middle(self: LogReader, time_ms: int) -> int:
        append(engine, engine.last_sequence(PRODUCER) + 1, "alerts")  # by another thread, as it were
        return offset_since(self, time_ms)

    monkeypatch.setattr(LogReader, "offset_since", in_the_middle)
    engine.retain(KEEP_ALERTS, now_ms=clock.now_ms)
    found = read_all(engine)
    assert list(found) == [*range(0, 600, 10), *range(600, engine.statistics().next_offset)]
    engine.close()
