"""The audit file: one JSON line before a write and one after it, on disk before anything else happens."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Audit"]

_TAIL_BYTES = 1 << 20


class Audit:
    """Appends to a file and renames it when it is full. May be used by several threads."""

    def __init__(self, path: Path, *, bytes_max: int, files_max: int) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._turn = threading.Lock()

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one line and return when it is on disk; OSError if that cannot be done."""
        line = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
        with self._turn:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._size() + len(line) > self._bytes_max:
                self._rotate()
            self._put(line)

    def latest(self) -> Iterator[Mapping[str, Any]]:
        """The records at the end of the file, oldest first; lines that cannot be read are left out."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, self._size() - _TAIL_BYTES))
                lines = file.read().split(b"\n")
        except OSError:  # none yet; one that cannot be read cannot be written, which is said at the first command
            return
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record

    def _put(self, line: bytes) -> None:
        # One write: a crash leaves a whole line, or a cut one at the very end, which the next line starts behind.
        number = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            if self._ends_cut():
                line = b"\n" + line
            written = os.write(number, line)
            if written != len(line):
                raise OSError(f"only {written} of {len(line)} bytes of the audit line were written")
            os.fsync(number)
        finally:
            os.close(number)

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def _ends_cut(self) -> bool:
        if not self._size():
            return False
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def _rotate(self) -> None:
        for number in range(self._files_max, 0, -1):
            source = self._numbered(number - 1) if number > 1 else self._path
            if source.exists():
                os.replace(source, self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
