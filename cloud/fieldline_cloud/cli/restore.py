"""`fieldline restore`: a hub's log out of a backup."""

import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from fieldline.errors import ConfigError, FieldlineError

__all__ = ["restore"]

# The files of a log lie side by side; nothing else is taken out of a tar file, and nothing leaves the folder.
_NAME: Final = re.compile(r"(?:\./)?(?:log/)?([A-Za-z0-9][A-Za-z0-9._-]{0,127})\Z")
_COPY_BYTES: Final = 1 << 20


def restore(
    file: Annotated[Path, typer.Argument(help="The backup: a tar file that `fieldline backup` has written")],
    data: Annotated[Path, typer.Option(help="The hub's data folder; it must not hold a log yet")],
) -> None:
    """Make a data folder of a backup, for a hub that does not run. Its log takes its place once it is whole and opens.

    Example: `fieldline restore hub-monday.tar --data data/hub`

    Exit codes: 0 restored, 1 the backup is damaged, 2 bad path, or there is a log already.
    """
    place, aside = data / "log", data / "log.restoring"
    if place.exists():
        raise ConfigError(f"{place}: there is a log already; choose another folder, or move that one away")
    try:
        stream = file.open("rb")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; check the path") from error
    with stream:
        try:
            data.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(aside, ignore_errors=True)  # of one that was broken off
            aside.mkdir()
        except OSError as error:
            raise ConfigError(f"{data}: {error.strerror}; choose a folder you may write to") from error
        try:
            _unpack(stream, aside)
            frames_bytes, next_offset = _look(aside)
            os.replace(aside, place)
            _sync(data)
        except OSError as error:
            raise FieldlineError(f"{data}: cannot be written: {error.strerror}") from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    print(f"restored {place}: {frames_bytes:,} bytes of frames, the next offset is {next_offset:,}")


def _unpack(stream: BinaryIO, folder: Path) -> None:
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            files = [_take(archive, member, folder) for member in _files(archive)]
    except (tarfile.TarError, EOFError) as error:
        raise FieldlineError(f"{stream.name}: is not a whole tar file: {error}; take another backup") from error
    if not files:
        raise FieldlineError(f"{stream.name}: holds no log; is it a backup of a hub?")
    _sync(folder)


def _files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in archive:
        if member.isdir():
            continue
        if not member.isfile() or not _NAME.match(member.name):
            raise FieldlineError(f"{member.name[:80]!r} does not belong into a backup; nothing was restored")
        yield member


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> str:
    found = _NAME.match(member.name)
    content = archive.extractfile(member)
    assert found is not None
    assert content is not None, member.name
    with (folder / found[1]).open("xb") as out:
        shutil.copyfileobj(content, out, _COPY_BYTES)
        out.flush()
        os.fsync(out.fileno())
    return found[1]


def _look(folder: Path) -> tuple[int, int]:
    """Open it as a hub would; raises StorageError if no hub could. (bytes of frames, next offset)."""
    from fieldline_cloud.hub.engines.segments import SegmentEngine

    engine = SegmentEngine(folder)
    try:
        statistics = engine.statistics()
        return statistics.frames_bytes, statistics.next_offset
    finally:
        engine.close()


def _sync(folder: Path) -> None:
    from fieldline_cloud.hub.engines.segments.files import sync_folder

    sync_folder(folder)
