"""A backup is the log as of one moment, whatever happens meanwhile; what is not a whole backup makes no log."""

import io
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldline.errors import ConfigError, DecodeError
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.core.marks import DurableMark
from fieldline_cloud.hub.engines.base import Append, IncomingFrame, ProducerKey, RetentionRules
from fieldline_cloud.hub.engines.segments import SegmentEngine, restore

PRODUCER = ProducerKey("p", 1)


def open_log(folder: Path) -> SegmentEngine:
    return SegmentEngine(folder, segment_bytes=20_000, now_ms=lambda: 1_000)


def append(engine: SegmentEngine, *sequences: int, size: int = 1_000) -> None:
    frames = [
        IncomingFrame(n, 0, "t", 1, hub_pb2.Frame(topic="t", sequence=n, body=os.urandom(size)).SerializeToString())
        for n in sequences
    ]
    engine.commit([Append(PRODUCER, frames)], {"d": DurableMark("d", sequences[0])})


def offsets(engine: SegmentEngine) -> list[int]:
    found: list[int] = []
    start = engine.statistics().first_offset
    while start < engine.statistics().next_offset:
        chunk = engine.read(start, lambda _: True, bytes_max=1 << 20)
        found += [record.offset for record in chunk.records]
        start = chunk.next_offset
    return found


def saved(folder: Path, frames: int = 100) -> bytes:
    engine = open_log(folder)
    for n in range(1, frames + 1):
        append(engine, n)
    content = b"".join(engine.backup())
    engine.close()
    return content


def test_a_restored_log_is_the_one_that_was_saved(tmp_path: Path) -> None:
    engine = open_log(tmp_path / "log")
    for n in range(1, 101):
        append(engine, n)
    engine.purge("t".__eq__, 10)
    pieces = list(engine.backup())
    before = engine.read(0, lambda _: True, bytes_max=1 << 30).records
    assert max(map(len, pieces)) <= 256 << 10
    restore(tmp_path / "new", io.BytesIO(b"".join(pieces)))
    again = open_log(tmp_path / "new")
    assert again.read(0, lambda _: True, bytes_max=1 << 30).records == before
    assert again.durables() == engine.durables()
    assert again.last_sequence(PRODUCER) == 100
    assert [one.offset for one in again.last_values(lambda _: True)] == [99]
    append(again, 101)
    engine.close()
    again.close()


def test_an_empty_log_can_be_saved_and_restored(tmp_path: Path) -> None:
    restore(tmp_path / "new", io.BytesIO(saved(tmp_path / "log", 0)))
    engine = open_log(tmp_path / "new")
    append(engine, 1)
    assert offsets(engine) == [0]
    engine.close()


def test_large_files_come_in_small_pieces(tmp_path: Path) -> None:
    engine = SegmentEngine(tmp_path / "log", now_ms=lambda: 1_000)
    append(engine, *range(1, 1_501))
    pieces = list(engine.backup())
    assert len(pieces) > 6
    assert max(map(len, pieces)) <= 256 << 10
    restore(tmp_path / "new", io.BytesIO(b"".join(pieces)))
    engine.close()


def test_a_backup_is_as_of_its_call_whatever_is_written_and_removed_meanwhile(tmp_path: Path) -> None:
    engine = open_log(tmp_path / "log")
    for n in range(1, 101):
        append(engine, n)
    pieces = engine.backup()
    first = next(pieces)
    for n in range(101, 201):
        append(engine, n)
    engine.retain(RetentionRules(10_000, 1 << 40), now_ms=1_000)
    assert engine.statistics().first_offset > 150
    restore(tmp_path / "new", io.BytesIO(first + b"".join(pieces)))
    again = open_log(tmp_path / "new")
    assert offsets(again) == list(range(100))
    assert again.last_sequence(PRODUCER) == 100
    engine.close()
    again.close()


def test_backups_of_a_log_under_load_each_hold_everything_acknowledged_before(tmp_path: Path) -> None:
    engine = open_log(tmp_path / "log")
    append(engine, 1)
    done = threading.Event()
    acknowledged = 1

    def write() -> None:
        nonlocal acknowledged
        while not done.is_set():
            append(engine, acknowledged + 1)
            acknowledged += 1

    writer = threading.Thread(target=write)
    writer.start()
    for turn in range(5):
        least = acknowledged
        restore(tmp_path / f"new-{turn}", io.BytesIO(b"".join(engine.backup())))
        again = open_log(tmp_path / f"new-{turn}")
        found = offsets(again)
        assert found == list(range(len(found)))
        assert len(found) >= least
        assert again.last_sequence(PRODUCER) == len(found)
        assert again.damaged_bytes == 0
        again.close()
    done.set()
    writer.join()
    engine.close()


def test_a_backup_that_is_given_up_closes_its_files(tmp_path: Path) -> None:
    engine = open_log(tmp_path / "log")
    append(engine, 1)
    before = set(os.listdir("/proc/self/fd"))
    engine.backup().close()
    begun = engine.backup()
    next(begun)
    begun.close()
    list(engine.backup())
    assert set(os.listdir("/proc/self/fd")) == before
    engine.close()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    content = saved(tmp_path / "log", 3)
    before = {path: path.read_bytes() for path in (tmp_path / "log").iterdir()}
    with pytest.raises(ConfigError, match="is not empty; restore into a new folder"):
        restore(tmp_path / "log", io.BytesIO(content))
    assert {path: path.read_bytes() for path in (tmp_path / "log").iterdir()} == before
    (tmp_path / "empty").mkdir()
    restore(tmp_path / "empty", io.BytesIO(content))


def test_a_backup_cut_anywhere_makes_no_log(tmp_path: Path) -> None:
    content = saved(tmp_path / "log", 30)
    end = content.rindex(b"}")
    for cut in [*range(0, end, 997), end]:
        with pytest.raises(DecodeError, match="backup: "):
            restore(tmp_path / "new", io.BytesIO(content[:cut]))
        assert not (tmp_path / "new").exists()
        assert not (tmp_path / "new.restoring").exists()


def test_a_damaged_backup_makes_no_log(tmp_path: Path) -> None:
    content = saved(tmp_path / "log", 30)
    for place in range(512, len(content) - 2_048, 1_009):
        broken = bytearray(content)
        broken[place] ^= 0x01
        try:
            restore(tmp_path / "new", io.BytesIO(broken))
        except DecodeError:
            assert not (tmp_path / "new").exists()
            continue
        engine = open_log(tmp_path / "new")  # the bit was in padding, or in what a header says beside name and size
        assert offsets(engine) == list(range(30))
        engine.close()
        for path in [*(tmp_path / "new").iterdir()]:
            path.unlink()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, 3 if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(b"abc"))

    return add


@pytest.mark.parametrize(
    "add",
    [
        member("../evil"),
        member("/tmp/evil"),
        member("a/../../evil"),
        member("00000000000000000000.log/../evil"),
        member("lock"),
        member("state\n"),
        member("00000000000000000000.log", tarfile.SYMTYPE, "/etc/passwd"),
        member("00000000000000000000.log", tarfile.LNKTYPE, "../evil"),
        member("00000000000000000000.log", tarfile.FIFOTYPE),
        member("sub", tarfile.DIRTYPE),
    ],
)
def test_nothing_gets_out_of_the_folder(tmp_path: Path, add: Callable[[tarfile.TarFile], None]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        add(tar)
    buffer.seek(0)
    with pytest.raises(DecodeError, match="not a backup of a log"):
        restore(tmp_path / "deep" / "new", buffer)
    assert [*tmp_path.rglob("*")] == [tmp_path / "deep"]


def test_what_is_no_tar_file_at_all_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="damaged, cut short, or not a backup"):
        restore(tmp_path / "new", io.BytesIO(b"hello" * 1_000))
