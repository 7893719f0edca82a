"""One SQLite file and the one thread that touches it."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self, TypeVar

from fieldline.errors import FieldlineError

__all__ = ["Database", "Migration", "StorageError"]

_T = TypeVar("_T")
Migration = Callable[[sqlite3.Connection], None]
"""Turns what one version wrote into what the next one reads, within one transaction."""
_BUSY_TIMEOUT_S = 5.0


class StorageError(FieldlineError):
    """An agent's own database cannot be read or written; the message names the file and the cure."""


class Database:
    """Runs functions on a connection, one after the other, each in a transaction of its own, fsynced.

    A cancelled caller does not cut a transaction short: it is finished, and `close` waits for it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self.path = path
        self._connection = connection
        self._thread = thread

    @classmethod
    async def open(
        cls, path: Path, *, schema: str, version: int, migrations: Mapping[int, Migration] | None = None
    ) -> Self:
        """Open or create the file; StorageError if that fails or the file belongs to another version.

        `migrations` carry over what older versions wrote: the one under n leads from version n to n + 1.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        try:
            connection = await _in(thread, lambda: _connect(path, schema, version, migrations or {}))
        except (sqlite3.Error, OSError) as error:
            thread.shutdown()
            raise StorageError(f"{path}: cannot be opened: {error}; check that the folder is writable") from error
        except StorageError:
            thread.shutdown()
            raise
        return cls(path, connection, thread)

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction and return its result; StorageError leaves the file unchanged."""

        def transaction() -> _T:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                return work(self._connection)

        try:
            return await _in(self._thread, transaction)
        except sqlite3.Error as error:
            raise StorageError(f"{self.path}: cannot be used: {error}; check free space and the disk") from error

    async def close(self) -> None:
        """Finish what is running and close the file."""
        try:
            await _in(self._thread, self._connection.close)
        finally:
            self._thread.shutdown(wait=True)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], _T]) -> _T:
    return await asyncio.shield(asyncio.get_running_loop().run_in_executor(thread, work))


def _connect(path: Path, schema: str, version: int, migrations: Mapping[int, Migration]) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_S
    )  # closed by another call, though always on the same thread
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(connection.close)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        found = _migrated(path, connection, version, migrations)
        if found not in (0, version):
            raise StorageError(
                f"{path}: was written by version {found} of this agent, this is version {version}; "
                "use the matching release, or move the file away to start afresh"
            )
        connection.executescript(schema)
        connection.execute(f"PRAGMA user_version = {int(version)}")
        on_failure.pop_all()
    return connection


def _migrated(path: Path, connection: sqlite3.Connection, version: int, migrations: Mapping[int, Migration]) -> int:
    """The file's version, after it was carried over step by step as far as there are migrations."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    while found < version and found in migrations:
        try:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                migrations[found](connection)
                connection.execute(f"PRAGMA user_version = {found + 1}")
        except FieldlineError as error:
            raise StorageError(
                f"{path}: version {found} cannot be carried over to {version}: {error}; "
                "use the matching release, or move the file away to start afresh"
            ) from error
        found += 1
    return found
