"""`fieldline restore`: a hub's log out of a backup."""

from pathlib import Path
from typing import Annotated

import typer

from fieldline.errors import ConfigError, FieldlineError

__all__ = ["restore"]


def restore(
    file: Annotated[Path, typer.Argument(help="The backup: a tar file that `fieldline backup` has written")],
    data: Annotated[Path, typer.Option(help="The hub's data folder; it must not hold a log yet")],
) -> None:
    """Make a data folder of a backup, for a hub that does not run. The log appears there once it is whole and checked.

    Example: `fieldline restore hub-monday.tar --data data/hub`

    Exit codes: 0 restored, 1 the backup is damaged, 2 bad path, or there is a log already.
    """
    try:
        stream = file.open("rb")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; check the path") from error
    from fieldline_cloud.hub.engines.segments import restore as restore_log

    with stream:
        try:
            size = restore_log(data / "log", stream)
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise ConfigError(f"{data}: {error.strerror}; choose a folder you may write to") from error
        except OSError as error:
            raise FieldlineError(f"{data}: cannot be written: {error.strerror}") from error
    print(f"restored {data / 'log'}, {size:,} bytes")
