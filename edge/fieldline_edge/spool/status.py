"""Looks at a spool file from outside, without a lock and without writing: also while a gateway works with it."""

import contextlib
import sqlite3
from pathlib import Path

from fieldline.errors import ConfigError, FieldlineError
from fieldline_edge.spool import schema
from fieldline_edge.spool.policy import State
from fieldline_edge.spool.tables import load_state

__all__ = ["is_spool_file", "read_state"]

_MAGIC = b"SQLite format 3\x00"


def is_spool_file(path: Path) -> bool:
    """Whether the file begins like an SQLite database (a gateway's YAML does not)."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read_state(path: Path) -> State:
    """The numbers as of the last commit.

    ConfigError if there is no spool at `path`; FieldlineError if it is broken.
    """
    if not path.exists():
        raise ConfigError(f"spool {path} does not exist; start its gateway once, or check the path")
    if not is_spool_file(path):
        raise ConfigError(f"{path} is neither a spool nor a gateway file; name one of the two")
    try:
        return _read(path, "mode=ro")
    except sqlite3.OperationalError as error:
        if schema.is_corruption(error) or path.with_name(path.name + "-wal").exists():
            raise _broken(path, error) from error
    except sqlite3.DatabaseError as error:
        raise _broken(path, error) from error
    try:
        return _read(path, "immutable=1")  # on a disk that cannot be written, and nobody writes: no WAL is there
    except sqlite3.DatabaseError as error:
        raise _broken(path, error) from error


def _read(path: Path, how: str) -> State:
    with contextlib.closing(schema.connect_read_only(path, how=how)) as connection:
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        if found != schema.APPLICATION_ID:
            raise ConfigError(f"{path} is an SQLite file, but no spool; name the gateway's spool.path")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != schema.VERSION:
            raise ConfigError(f"spool {path} has version {version}; start its gateway once, which converts it")
        connection.execute("BEGIN")  # one moment for all numbers
        return load_state(connection)


def _broken(path: Path, error: Exception) -> FieldlineError:
    return FieldlineError(f"spool {path} cannot be read: {error}; the gateway will put it aside when it starts")
