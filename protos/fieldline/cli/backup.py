"""`fieldline backup`: the hub's log as of this moment, in a file."""

import os
import sys
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from fieldline.cli.administer import administer
from fieldline.cli.options import HubOption, check_hub
from fieldline.errors import ConfigError, FieldlineError

if TYPE_CHECKING:
    from fieldline import AdminClient

__all__ = ["backup"]


def backup(
    file: Annotated[Path, typer.Argument(help="File to write, a tar file; - for standard output")],
    hub: HubOption = "127.0.0.1:50051",
) -> None:
    """Save the hub's log as of this moment, while the hub goes on. `fieldline restore` makes a hub of it again.

    The file is written aside and takes its name once it is whole and on disk; one of that name is replaced then.

    Example: `fieldline backup hub-monday.tar`

    Exit codes: 0 saved, 1 it could not be written, 2 bad path or option, 3 the hub could not be reached or refused.
    """
    check_hub(hub)
    if str(file) == "-":
        if sys.stdout.isatty():
            raise ConfigError("-: a tar file is nothing for a terminal; send it to a file or a pipe")
        administer(hub, lambda client: _pour(client, sys.stdout.buffer))
        return
    aside = file.with_name(f"{file.name}.partial")
    try:
        with _opened(aside) as out:
            size = administer(hub, lambda client: _pour(client, out))
            out.flush()
            os.fsync(out.fileno())
        if not size:
            raise FieldlineError(f"{file}: the hub sent nothing; nothing was replaced")
        os.replace(aside, file)
        _sync_folder(file.parent)
    except OSError as error:
        raise FieldlineError(f"{file}: cannot be written: {error.strerror}; nothing was replaced") from error
    finally:
        with suppress(OSError):
            aside.unlink()
    print(f"wrote {file}, {size:,} bytes")


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}; choose another place") from error


async def _pour(client: "AdminClient", out: BinaryIO) -> int:
    size = 0
    async with aclosing(client.backup()) as pieces:
        async for piece in pieces:
            out.write(piece)
            size += len(piece)
    return size


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
