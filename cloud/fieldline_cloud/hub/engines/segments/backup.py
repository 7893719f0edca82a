"""A copy of the log as one tar stream, and a log made from such a stream.

The stream holds `state`, then the segments, each up to what was committed at the moment of the call, and last
`backup.json` with the size and CRC-32 of every file: without it the stream is not whole.
"""

import json
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from fieldline.errors import ConfigError, DecodeError
from fieldline_cloud.hub.engines.segments.files import sync_folder

__all__ = ["PIECE_BYTES", "restore", "stream"]

PIECE_BYTES = 256 << 10
_FORMAT = 1
_MANIFEST = "backup.json"
_MANIFEST_BYTES_MAX = 16 << 20
_NAME = re.compile(r"(?:state|\d{20}(?:-\d{20})?\.log)\Z")


def stream(state: bytes | None, parts: list[tuple[str, int, int]], made_ms: int) -> Generator[bytes, None, None]:
    """A backup of the state and `parts`: (name, descriptor, bytes). The descriptors are closed at the end.

    Already begun, so that closing it or dropping it at any time closes the descriptors.
    """
    pieces = _stream(state, parts, made_ms)
    next(pieces)
    return pieces


def _stream(state: bytes | None, parts: list[tuple[str, int, int]], made_ms: int) -> Generator[bytes, None, None]:
    with ExitStack() as stack:
        for _, fd, _ in parts:
            stack.callback(os.close, fd)
        yield b""
        sums: dict[str, dict[str, int]] = {}
        if state is not None:
            yield from _member("state", len(state), made_ms, _cut(state))
            sums["state"] = {"bytes": len(state), "crc32": zlib.crc32(state)}
        for name, fd, size in parts:
            crc32 = 0
            yield _header(name, size, made_ms)
            for piece in _read(name, fd, size):
                crc32 = zlib.crc32(piece, crc32)
                yield piece
            yield _padding(size)
            sums[name] = {"bytes": size, "crc32": crc32}
        manifest = json.dumps({"format": _FORMAT, "made_ms": made_ms, "files": sums}, indent=1).encode()
        yield from _member(_MANIFEST, len(manifest), made_ms, _cut(manifest))
        yield bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int, made_ms: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, made_ms // 1000, 0o600
    return info.tobuf(tarfile.GNU_FORMAT)  # sizes above 8 GiB too


def _member(name: str, size: int, made_ms: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield _header(name, size, made_ms)
    yield from pieces
    yield _padding(size)


def _cut(content: bytes) -> Iterator[bytes]:
    return (content[begin : begin + PIECE_BYTES] for begin in range(0, len(content), PIECE_BYTES))


def _read(name: str, fd: int, size: int) -> Iterator[bytes]:
    position = 0
    while position < size:
        piece = os.pread(fd, min(PIECE_BYTES, size - position), position)
        if not piece:
            raise OSError(f"{name} ends at {position} of {size} bytes")
        position += len(piece)
        yield piece


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def restore(folder: Path, backup: IO[bytes]) -> int:
    """Make the log `folder` from a backup, a tar file open for reading. Returns the bytes of its files.

    The folder must not be there, or be empty: ConfigError otherwise. DecodeError if the backup is damaged, cut short or
    something else; then the folder is as it was. It appears at once and whole, after everything in it is on disk.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty; restore into a new folder, or move what is there away")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f"{folder.name}.restoring")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        total = _unpack(backup, aside)
        sync_folder(aside)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_folder(folder.parent)
    return total


def _unpack(backup: IO[bytes], folder: Path) -> int:
    found: dict[str, dict[str, int]] = {}
    try:
        with tarfile.open(fileobj=backup, mode="r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isreg() else None
                if content is None:
                    raise DecodeError(f"backup: {member.name!r} is not a file; this is not a backup of a log")
                if member.name == _MANIFEST:
                    return _check(content.read(_MANIFEST_BYTES_MAX), found)
                if not _NAME.match(member.name) or member.name in found:
                    raise DecodeError(f"backup: {member.name!r} does not belong there; this is not a backup of a log")
                found[member.name] = _copy(content, folder / member.name)
    except tarfile.TarError as error:
        raise DecodeError(f"backup: {error}; the file is damaged, cut short, or not a backup") from error
    raise DecodeError("backup: it has no end; the file was cut short")


def _copy(content: IO[bytes], path: Path) -> dict[str, int]:
    size = crc32 = 0
    with path.open("xb") as file:
        while piece := content.read(PIECE_BYTES):
            file.write(piece)
            size, crc32 = size + len(piece), zlib.crc32(piece, crc32)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "crc32": crc32}


def _check(manifest: bytes, found: dict[str, dict[str, int]]) -> int:
    try:
        said = json.loads(manifest)
    except ValueError as error:
        raise DecodeError(f"backup: {_MANIFEST} is damaged: {error}") from error
    if not isinstance(said, dict) or said.get("format") != _FORMAT:
        raise DecodeError(f"backup: {_MANIFEST} is of another format; this program reads format {_FORMAT}")
    if said.get("files") != found:
        raise DecodeError("backup: its files are not what was saved; it is damaged")
    return sum(one["bytes"] for one in found.values())
