"""The embedded log: SQLite in WAL mode, synchronous=FULL, one row for each group of frames that was committed together.

A row ("chunk") holds its frames as they go over the wire, so a commit is one insert whatever its number of frames, and
a replay sends what it reads. Why not a row per frame: docs/decisions/0003-log-chunks.md.

    chunks(first_offset, next_offset, stored_ms, topics, deliveries)
        topics      one uint32 topic id for each frame, little endian
        deliveries  a serialised fieldline.v1.RawDeliveries
"""

import fcntl
import sqlite3
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from google.protobuf.message import DecodeError as ProtobufDecodeError

from fieldline.errors import ConfigError
from fieldline.v1 import passthrough_pb2
from fieldline_cloud.hub.core.outlet import Record
from fieldline_cloud.hub.core.sequences import Verdict, judge
from fieldline_cloud.hub.engines.base import (
    Append,
    Appended,
    Chunk,
    IncomingFrame,
    LogStatistics,
    ProducerKey,
    StorageError,
)

__all__ = ["SqliteEngine"]

_FORMAT = 1
_CHUNK_BYTES_MAX = 1 << 20
_CHECKPOINT_PAGES = 2_000
_ROWS_PER_LOOK = 512
_TRIM_CHUNKS_AT_ONCE = 256
_BUSY_TIMEOUT_S = 10.0
_PRODUCERS_CACHED_MAX = 10_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS producers(
    name TEXT NOT NULL, epoch INTEGER NOT NULL, last_sequence INTEGER NOT NULL, seen_ms INTEGER NOT NULL,
    PRIMARY KEY(name, epoch)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors(durable TEXT PRIMARY KEY, next_offset INTEGER NOT NULL, moved_ms INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chunks(
    first_offset INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL, stored_ms INTEGER NOT NULL,
    topics BLOB NOT NULL, deliveries BLOB NOT NULL);
"""


class SqliteEngine:
    """A log in one SQLite file. See engines.base.Engine for the contract of each method."""

    def __init__(self, path: Path, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._path = path
        self._now_ms = now_ms
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._lock = _lock(path)
        try:
            with _translated(path, "opened"):
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_S)
                try:
                    self._prepare(self._db)
                    self._load()
                except BaseException:
                    self._db.close()
                    raise
        except BaseException:
            self._lock.close()
            raise

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA page_size=4096")
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        db.execute("PRAGMA cache_size=-16384")
        db.executescript(_SCHEMA)
        found = db.execute("SELECT value FROM meta WHERE key='format'").fetchone()
        if found is None:
            db.execute("INSERT INTO meta VALUES('format', ?)", (_FORMAT,))
        elif found[0] != _FORMAT:
            raise StorageError(f"{self._path}: is a log of format {found[0]}; this hub reads format {_FORMAT}")

    def _load(self) -> None:
        db = self._db
        self._topic_ids = {name: number for number, name in db.execute("SELECT id, name FROM topics")}
        self._topic_names = {number: name for name, number in self._topic_ids.items()}
        row = db.execute("SELECT first_offset FROM chunks ORDER BY first_offset LIMIT 1").fetchone()
        last = db.execute("SELECT next_offset FROM chunks ORDER BY first_offset DESC LIMIT 1").fetchone()
        kept = db.execute("SELECT value FROM meta WHERE key='next_offset'").fetchone()
        self._next_offset = max(last[0] if last else 0, kept[0] if kept else 0)
        self._first_offset = row[0] if row else self._next_offset
        self._frames_bytes = db.execute("SELECT COALESCE(SUM(LENGTH(deliveries)), 0) FROM chunks").fetchone()[0]
        self._producers: dict[ProducerKey, int] = {}

    def commit(self, appends: Sequence[Append], cursors: Mapping[str, int]) -> list[Appended]:
        """Store and fsync one group."""
        group = _Group(self, self._next_offset)
        with _translated(self._path, "written"):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                results = [group.add(append) for append in appends]
                self._write(group, cursors)
                # Before the commit, because readers see the new chunks at once; without it, nobody asks for these.
                self._topic_names.update((number, name) for name, number in group.topics.items())
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        self._next_offset = group.next_offset
        self._frames_bytes += group.stored_bytes
        self._topic_ids.update(group.topics)
        self._remember(group.producers)
        return results

    def _remember(self, producers: Mapping[ProducerKey, int]) -> None:
        for producer, last_sequence in producers.items():
            self._producers.pop(producer, None)
            self._producers[producer] = last_sequence
        while len(self._producers) > _PRODUCERS_CACHED_MAX:  # the longest silent first; its row stays
            del self._producers[next(iter(self._producers))]

    def _roll_back(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _write(self, group: "_Group", cursors: Mapping[str, int]) -> None:
        db, now_ms = self._db, self._now_ms()
        if group.topics:
            db.executemany("INSERT INTO topics(name, id) VALUES(?, ?)", group.topics.items())
        for first, following, topics, deliveries in group.chunks():
            db.execute("INSERT INTO chunks VALUES(?, ?, ?, ?, ?)", (first, following, now_ms, topics, deliveries))
            group.stored_bytes += len(deliveries)
        if group.producers:
            db.executemany(
                "INSERT INTO producers VALUES(?, ?, ?, ?) ON CONFLICT(name, epoch) DO UPDATE"
                " SET last_sequence=excluded.last_sequence, seen_ms=excluded.seen_ms",
                [(key.name, key.epoch, sequence, now_ms) for key, sequence in group.producers.items()],
            )
        if cursors:
            db.executemany(
                "INSERT INTO cursors VALUES(?, ?, ?) ON CONFLICT(durable) DO UPDATE"
                " SET next_offset=MAX(next_offset, excluded.next_offset), moved_ms=excluded.moved_ms",
                [(durable, offset, now_ms) for durable, offset in cursors.items()],
            )

    def read(self, start: int, wanted: Callable[[str], bool], *, bytes_max: int) -> Chunk:
        """Records from `start` on; a big stretch without a match ends early with its `next_offset`."""
        with _translated(self._path, "read"):
            return self._read(start, wanted, bytes_max)

    def _read(self, start: int, wanted: Callable[[str], bool], bytes_max: int) -> Chunk:
        db = self._reader()
        names = self._topic_names
        verdicts: dict[int, bool] = {}
        records: list[Record] = []
        size, position = 0, start
        rows = db.execute(
            "SELECT first_offset, next_offset, topics FROM chunks WHERE first_offset >="
            " COALESCE((SELECT MAX(first_offset) FROM chunks WHERE first_offset <= ?), 0)"
            " ORDER BY first_offset LIMIT ?",
            (start, _ROWS_PER_LOOK),
        ).fetchall()
        for first, following, packed in rows:
            if following <= start:
                continue
            topics = _unpack(packed)
            for number in set(topics):
                if number not in verdicts:
                    verdicts[number] = wanted(names[number])
            if any(verdicts[number] for number in topics):
                for record in self._records(db, first, topics, verdicts):
                    if record.offset >= start:
                        records.append(record)
                        size += len(record.delivery)
            position = following
            if size >= bytes_max:
                break
        return Chunk(records, position)

    def _records(
        self, db: sqlite3.Connection, first: int, topics: Sequence[int], verdicts: Mapping[int, bool]
    ) -> Iterator[Record]:
        row = db.execute("SELECT deliveries FROM chunks WHERE first_offset=?", (first,)).fetchone()
        if row is None:
            return  # trimmed between the two looks
        deliveries = passthrough_pb2.RawDeliveries.FromString(row[0]).deliveries
        for index, (number, delivery) in enumerate(zip(topics, deliveries, strict=True)):
            if verdicts[number]:
                yield Record(first + index, self._topic_names[number], delivery)

    def last_sequence(self, producer: ProducerKey) -> int:
        """From the committed state, so it may lag behind a commit under way."""
        return self._last_sequence(producer) or 0

    def _last_sequence(self, producer: ProducerKey) -> int | None:
        known = self._producers.get(producer)
        if known is None:
            with _translated(self._path, "read"):
                row = (
                    self._reader()
                    .execute("SELECT last_sequence FROM producers WHERE name=? AND epoch=?", producer)
                    .fetchone()
                )
            known = row[0] if row else None
        return known

    def cursor(self, durable: str) -> int | None:
        """The committed cursor."""
        with _translated(self._path, "read"):
            row = self._reader().execute("SELECT next_offset FROM cursors WHERE durable=?", (durable,)).fetchone()
        return row[0] if row else None

    def cursors(self) -> Mapping[str, int]:
        """The committed cursors."""
        with _translated(self._path, "read"):
            return dict(self._reader().execute("SELECT durable, next_offset FROM cursors").fetchall())

    def topics(self) -> Sequence[str]:
        """From memory."""
        return list(self._topic_ids)

    def trim(self, *, bytes_max: int, before_ms: int) -> int:
        """Delete whole chunks from the old end, and give pages back to the file system."""
        frames = 0
        with _translated(self._path, "trimmed"):
            while doomed := self._doomed(bytes_max, before_ms):
                following = doomed[-1][1]
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("DELETE FROM chunks WHERE first_offset < ?", (following,))
                self._db.execute("INSERT OR REPLACE INTO meta VALUES('next_offset', ?)", (self._next_offset,))
                self._db.execute("COMMIT")
                self._db.execute("PRAGMA incremental_vacuum(2000)").fetchall()
                frames += following - doomed[0][0]
                self._frames_bytes -= sum(size for _, _, size in doomed)
                self._first_offset = following
        return frames

    def _doomed(self, bytes_max: int, before_ms: int) -> list[tuple[int, int, int]]:
        rows = self._db.execute(
            "SELECT first_offset, next_offset, LENGTH(deliveries), stored_ms FROM chunks ORDER BY first_offset LIMIT ?",
            (_TRIM_CHUNKS_AT_ONCE,),
        )
        surplus = self._frames_bytes - bytes_max
        doomed = []
        for first, following, size, stored_ms in rows:
            if surplus <= 0 and stored_ms >= before_ms:
                break
            doomed.append((first, following, size))
            surplus -= size
        return doomed

    def statistics(self) -> LogStatistics:
        """Sizes; cheap enough for every scrape."""
        size = sum(_size(self._path.with_name(self._path.name + suffix)) for suffix in ("", "-wal"))
        return LogStatistics(self._first_offset, self._next_offset, self._frames_bytes, size)

    def close(self) -> None:
        """Close all connections; the last one folds the write-ahead log into the file."""
        with self._readers_lock:
            for reader in self._readers:
                reader.close()
            self._readers.clear()
        self._db.close()
        self._lock.close()

    def _reader(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_S)
            db.execute("PRAGMA query_only=ON")
            self._local.db = db
            with self._readers_lock:
                self._readers.append(db)
        return db


class _Group:
    """One commit in the making. Touches no state of the engine, so a failed commit leaves nothing behind."""

    def __init__(self, engine: SqliteEngine, next_offset: int) -> None:
        self._engine = engine
        self.first_offset = self.next_offset = next_offset
        self.producers: dict[ProducerKey, int] = {}
        self.topics: dict[str, int] = {}
        self.stored_bytes = 0
        self._topic_ids = array("I")
        self._deliveries: list[bytes] = []

    def add(self, append: Append) -> Appended:
        """Judge and number the frames of one producer."""
        producer = append.producer
        last = self.producers.get(producer)
        if last is None:
            last = self._engine._last_sequence(producer)
        records: list[Record] = []
        messages = duplicates = 0
        gap_expected = None
        for frame in append.frames:
            verdict = judge(last, frame.sequence, frame.skipped_frames)
            if verdict is Verdict.NEW:
                last = frame.sequence
                records.append(self._number(producer, frame))
                messages += frame.messages
            elif verdict is Verdict.DUPLICATE:
                duplicates += 1
            else:
                assert last is not None
                gap_expected = last + 1
                break
        if records:
            assert last is not None
            self.producers[producer] = last
        return Appended(last or 0, records, messages, duplicates, gap_expected)

    def _number(self, producer: ProducerKey, frame: IncomingFrame) -> Record:
        offset = self.next_offset
        self.next_offset += 1
        delivery = passthrough_pb2.RawDelivery(
            offset=offset, producer=producer.name, epoch=producer.epoch, frame=frame.data
        ).SerializeToString()
        self._topic_ids.append(self._topic_id(frame.topic))
        self._deliveries.append(delivery)
        return Record(offset, frame.topic, delivery)

    def _topic_id(self, topic: str) -> int:
        number = self._engine._topic_ids.get(topic) or self.topics.get(topic)
        if number is None:
            number = len(self._engine._topic_ids) + len(self.topics) + 1
            self.topics[topic] = number
        return number

    def chunks(self) -> Iterator[tuple[int, int, bytes, bytes]]:
        """(first offset, next offset, topics, deliveries) of each row, about _CHUNK_BYTES_MAX big."""
        begin = size = 0
        for index, delivery in enumerate(self._deliveries, 1):
            size += len(delivery)
            if size >= _CHUNK_BYTES_MAX or index == len(self._deliveries):
                packed = self._topic_ids[begin:index]
                if sys.byteorder == "big":
                    packed.byteswap()
                raw = passthrough_pb2.RawDeliveries(deliveries=self._deliveries[begin:index]).SerializeToString()
                yield self.first_offset + begin, self.first_offset + index, packed.tobytes(), raw
                begin, size = index, 0


def _lock(path: Path) -> IO[bytes]:
    """Keep a second hub away from this log, for as long as the file is open; a killed hub's lock goes with it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.with_name(path.name + ".lock"), "wb")  # noqa: SIM115  # open as long as the engine is
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"data: {path.parent} is not a folder; choose another for the log") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise ConfigError(f"data: another hub uses {path}; stop it, or choose another folder") from error
    return lock


class _translated:
    """SQLite's errors as StorageError that says which file, what was tried, and why it failed."""

    def __init__(self, path: Path, tried: str) -> None:
        self._path = path
        self._tried = tried

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # A number SQLite cannot hold is an OverflowError; a damaged chunk a DecodeError of Protobuf.
        if isinstance(error, sqlite3.Error | OverflowError | ProtobufDecodeError):
            raise StorageError(
                f"log {self._path} cannot be {self._tried}: {error}; check disk space and rights"
            ) from error


def _unpack(packed: bytes) -> "array[int]":
    topics = array("I")
    topics.frombytes(packed)
    if sys.byteorder == "big":
        topics.byteswap()
    return topics


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
