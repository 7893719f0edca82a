"""Counts what commits write to the disk, as far as SQLite lets one see it: the pages in its write-ahead log."""

import contextlib
import os
import struct
from pathlib import Path

__all__ = ["WalMeter"]

_FRAME_HEADER_BYTES = 24
_LAST_FRAME_AT = 16


class WalMeter:
    """Reads the number of pages in the log out of its index ("WAL-mode File Format", 2.1: mxFrame, in native order).

    Closing any handle of the index takes SQLite's own locks on it away (POSIX), so `close` comes after its connections.
    What folding the log back into the file writes is not seen: under load about a hundredth of it, because the same few
    pages are used again and again.
    """

    def __init__(self, path: Path, *, page_bytes: int) -> None:
        self._page_bytes = page_bytes + _FRAME_HEADER_BYTES
        self._handle = -1
        with contextlib.suppress(OSError):
            self._handle = os.open(path.with_name(path.name + "-shm"), os.O_RDONLY)
        self._last = self._frames()
        self.bytes = 0

    def look(self) -> None:
        """After each commit."""
        frames = self._frames()
        pages = frames - self._last if frames >= self._last else frames  # fewer: it was begun anew
        self.bytes += pages * self._page_bytes
        self._last = frames

    def close(self) -> None:
        """Let go of the index."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _frames(self) -> int:
        if self._handle < 0:
            return 0
        found = os.pread(self._handle, 4, _LAST_FRAME_AT)
        return struct.unpack("=I", found)[0] if len(found) == 4 else 0
