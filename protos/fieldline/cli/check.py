"""`fieldline check`: validate configuration files of any kind."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from fieldline.cli import load_entry
from fieldline.config import kind_of, load
from fieldline.errors import ConfigError

__all__ = ["check"]


def check(
    files: Annotated[list[Path], typer.Argument(help="Configuration files")],
) -> None:
    """Check configuration files without starting anything; every problem is named with file, line, key and cure.

    Example: `fieldline check config/demo/*.yaml`

    Exit codes: 0 all are right, 2 at least one is not.
    """
    kinds = {entry.name: entry for entry in entry_points(group="fieldline.settings")}
    problems: list[str] = []
    for path in files:
        try:
            kind = kind_of(path, known=kinds)
            load(path, load_entry(kinds[kind]))
        except ConfigError as error:
            problems += error.problems
        else:
            print(f"{path}: ok ({kind})")
    if problems:
        raise ConfigError(*problems)
