"""A disk that can lose its power.

A power cut is made by shutting a file system down without letting it write its journal (ext4 on a loop file). A file
that was written and not synced before each cut must be gone: else the cut was none.
"""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from tests.faults.support import mount_or_skip, until

__all__ = ["Disk"]

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
_WITHOUT_JOURNAL = 2  # EXT4_GOING_FLAGS_NOLOGFLUSH


class Disk:
    """An ext4 file system that can lose its power. `folder` is where it is mounted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._image = folder.with_suffix(".img")
        self._cuts = 0

    @property
    def _unsynced(self) -> Path:
        return self.folder / f"unsynced-{self._cuts}"  # a new one each time: rewriting a file would sync it

    def __enter__(self) -> "Disk":
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("needs mkfs.ext4 (apt-get install e2fsprogs)")
        with self._image.open("wb") as image:
            image.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self._image)], check=True)
        self.folder.mkdir()
        self._mount()
        return self

    def __exit__(self, *_: object) -> None:
        self._unmount()

    async def cut(self, pid: int) -> None:
        """Lose all that is not synced; from now on the file system answers the process with errors.

        The process stands still meanwhile. A real cut leaves nobody to hear of an fsync that was under way; here it
        would be told that all is well by a kernel that has just thrown the journal away.
        """
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: _stands_still(pid), "every thread has stopped")
        self._cuts += 1
        self._unsynced.write_bytes(b"x" * 10_000)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _WITHOUT_JOURNAL))
        finally:
            os.close(handle)
            os.kill(pid, signal.SIGCONT)

    def restore(self) -> None:
        """Power is back: what the disk holds can be read again."""
        self._unmount()
        self._mount()
        assert not self._unsynced.exists() or not self._unsynced.stat().st_size, "nothing was lost: no power cut"

    def _mount(self) -> None:
        # Committing every minute instead of every 5 s keeps unsynced data in danger for longer.
        mount_or_skip("-t", "ext4", "-o", "loop,commit=60", str(self._image), str(self.folder))

    def _unmount(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)


def _stands_still(pid: int) -> bool:
    """Whether no thread of a stopped process is still inside the kernel."""
    states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}
