"""Opens a spool file: creates it, checks that it is one and whole, and puts a broken one aside.

One SQLite file in WAL mode with `synchronous=FULL`: measured with power cuts, anything less loses what was
acknowledged. `secure_delete` is off, because Debian's build would else overwrite every deleted frame: twice
the wear for nothing.
"""

import fcntl
import logging
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from fieldline.errors import ConfigError
from fieldline_edge.spool.lanes import URGENT_BASE

__all__ = [
    "APPLICATION_ID",
    "connect",
    "connect_read_only",
    "is_corruption",
    "lock",
    "new_epoch",
    "quarantine",
]

log = logging.getLogger(__name__)

APPLICATION_ID = 0x464C5350  # "FLSP"
VERSION = 2
# SQLite writes whole pages. With 4 KiB a commit of a few frames took twice the bytes, and a large backlog lost an
# eighth of its space at the ends of rows (docs/decisions/0006).
PAGE_BYTES = 1024
# A full check of more would hold up the start; damage beyond is found when it is read.
_CHECKED_BYTES_MAX = 64 << 20
_QUARANTINED_MAX = 3
_WAL_BYTES_KEPT = 4 << 20
_WAL_PAGES = _WAL_BYTES_KEPT // PAGE_BYTES

_TABLES = f"""
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    next_sequence INTEGER NOT NULL DEFAULT 1,
    urgent_next INTEGER NOT NULL DEFAULT {URGENT_BASE + 1},
    frames INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    readings_polled INTEGER NOT NULL DEFAULT 0,
    readings_spooled INTEGER NOT NULL DEFAULT 0,
    readings_acked INTEGER NOT NULL DEFAULT 0,
    readings_dropped INTEGER NOT NULL DEFAULT 0,
    frames_spooled INTEGER NOT NULL DEFAULT 0,
    frames_dropped INTEGER NOT NULL DEFAULT 0,
    thinned_up_to INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE chunks (
    sequence INTEGER PRIMARY KEY,
    at_ns INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    crc32 INTEGER NOT NULL,
    frame BLOB NOT NULL,
    span INTEGER NOT NULL DEFAULT 0,
    frames INTEGER NOT NULL DEFAULT 1,
    missing INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE gaps (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    readings INTEGER NOT NULL
);
"""
_LANES = """
CREATE TABLE lanes (
    number INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER,
    acked INTEGER NOT NULL
);
"""
# A row of version 1 is a chunk of one frame. Its columns `epoch` and `acked_sequence` stay where they were, unused.
_FROM_VERSION_1 = f"""
ALTER TABLE frames RENAME TO chunks;
ALTER TABLE chunks ADD COLUMN span INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN frames INTEGER NOT NULL DEFAULT 1;
ALTER TABLE chunks ADD COLUMN missing INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN urgent_next INTEGER NOT NULL DEFAULT {URGENT_BASE + 1};
ALTER TABLE state ADD COLUMN thinned_up_to INTEGER NOT NULL DEFAULT 0;
"""


def lock(path: Path) -> IO[bytes]:
    """Hold the spool for this process until the returned file is closed; ConfigError if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_name(path.name + ".lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigError(f"spool {path} is used by another gateway; give each gateway its own spool.path") from None
    return file


def connect(path: Path) -> sqlite3.Connection:
    """The writer's connection to a whole spool file, created if need be. To be used by one thread at a time.

    Raises sqlite3.DatabaseError (see is_corruption) or OSError if the file cannot serve, ConfigError if it is
    not ours.
    """
    fresh = not path.exists()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    if fresh:
        _sync_folder(path.parent)
    return connection


def connect_read_only(path: Path, *, how: str = "mode=ro") -> sqlite3.Connection:
    """A second connection that cannot write; sees what is committed. `how` is SQLite's URI parameter."""
    uri = f"{path.absolute().as_uri()}?{how}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
    connection.execute("PRAGMA cache_size = -256")
    return connection


def quarantine(path: Path, reason: str) -> Path:
    """Rename a broken spool (with its WAL) aside; says so in the log. The newest three are kept."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    _sync_folder(path.parent)
    log.error("spool is corrupt; put aside and started anew", extra={"reason": reason, "aside": str(aside)})
    _forget_old_quarantine(path)
    return aside


def is_corruption(error: BaseException) -> bool:
    """Whether the file itself is damaged, as opposed to a disk that is full, read-only or failing."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def new_epoch() -> int:
    """A random identity for a numbering: 63 bits, so that it fits SQLite's integers; never 0."""
    return (int.from_bytes(os.urandom(8)) >> 1) or 1


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    for pragma in (
        f"page_size = {PAGE_BYTES}",  # of a new file; that of an old one stays
        "auto_vacuum = INCREMENTAL",
        "secure_delete = OFF",
        "cache_size = -512",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
    (found,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if found != APPLICATION_ID and tables:
        raise ConfigError(f"{path} is an SQLite file, but no spool; choose another spool.path")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
    if not tables:
        _create(connection)
    _check(connection, path)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    _run(connection, _TABLES + _LANES)
    connection.execute("INSERT INTO state (id) VALUES (1)")
    _add_lanes(connection, new_epoch(), first=1, acked=0)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _convert_version_1(connection: sqlite3.Connection) -> None:
    """One short transaction: no frame is copied, whatever waits in the file."""
    connection.execute("BEGIN IMMEDIATE")
    _run(connection, _FROM_VERSION_1 + _LANES)
    epoch, acked = connection.execute("SELECT epoch, acked_sequence FROM state").fetchone()
    _add_lanes(connection, epoch, first=1, acked=acked)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _run(connection: sqlite3.Connection, statements: str) -> None:
    for statement in filter(str.strip, statements.split(";")):
        connection.execute(statement)


def _add_lanes(connection: sqlite3.Connection, epoch: int, *, first: int, acked: int) -> None:
    row = "INSERT INTO lanes (epoch, first, last, acked) VALUES (?, ?, NULL, ?)"
    connection.execute(row, (epoch, first, acked))
    connection.execute(row, (new_epoch(), URGENT_BASE + 1, URGENT_BASE))


def _use_page_size(connection: sqlite3.Connection) -> None:
    """Write an empty spool of an earlier version anew, which is the only way to other pages; costs nothing."""
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    if page_bytes == PAGE_BYTES or connection.execute("SELECT 1 FROM chunks LIMIT 1").fetchone():
        return
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode = WAL")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in (1, VERSION):
        raise ConfigError(
            f"spool {path} has version {version}, this gateway writes version {VERSION}; "
            "drain it with the version that wrote it, or choose another spool.path"
        )
    if path.stat().st_size <= _CHECKED_BYTES_MAX:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _corrupt(str(verdict))
    if connection.execute("SELECT 1 FROM state").fetchone() is None:
        raise _corrupt("the state row is missing")
    if version == 1:
        _convert_version_1(connection)
    if {one[0] >= URGENT_BASE for one in connection.execute("SELECT first FROM lanes WHERE last IS NULL")} != {
        True,
        False,
    }:
        raise _corrupt("a lane is missing")
    _use_page_size(connection)


def _corrupt(reason: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(reason)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _forget_old_quarantine(path: Path) -> None:
    asides = sorted(path.parent.glob(f"{path.name}.corrupt-*Z"))
    for old in asides[:-_QUARANTINED_MAX]:
        for part in path.parent.glob(f"{old.name}*"):
            part.unlink(missing_ok=True)
        log.warning("an old corrupt spool was deleted", extra={"file": str(old)})


def _sync_folder(folder: Path) -> None:
    """Make a new or renamed file in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
