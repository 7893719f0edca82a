"""The `fieldline` command: finds its sub-commands among what is installed and keeps the exit codes.

Exit codes, the same for every command:
    0   done
    1   it ran, and failed
    2   wrong usage or configuration; nothing was started
    3   the hub could not be reached, or refused
    130 interrupted with Ctrl-C (commands that run until then end with 0)
"""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from fieldline import __version__
from fieldline.errors import ConfigError, FieldlineError, HubError, LimitError

__all__ = ["EXIT_CONFIG", "EXIT_FAILED", "EXIT_HUB", "main", "new_app", "run"]

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_HUB = 3
_EXIT_INTERRUPTED = 130


def new_app(help_text: str) -> typer.Typer:
    """A Typer application in the house style: no completion commands, plain tracebacks, help when called bare."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(app: Callable[[], Any]) -> None:
    """Run a command; turn our own errors into one line on stderr and the exit code that belongs to them."""
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except HubError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_HUB)
    except (LimitError, ValueError) as error:
        if not isinstance(error, FieldlineError):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except FieldlineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)


def main() -> None:
    """Entry point of `fieldline`. Loads only the sub-command asked for, so that `fieldline pub` starts fast."""
    app = new_app("Fieldline: readings from the plant floor to the people who keep it running.")
    app.callback()(_root)
    found = {entry.name: entry for entry in entry_points(group="fieldline.commands")}
    wanted = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    chosen = [found[wanted]] if wanted in found else [found[name] for name in sorted(found)]
    for entry in chosen:
        _add(app, entry)
    run(app)


def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    if version:
        print(f"fieldline {__version__}")
        raise typer.Exit


def _add(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        command = entry.load()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fieldline"):
            raise
        extra = "edge" if "edge" in entry.value else "cloud"
        missing = f"{error.name} is not installed; run: pip install 'fieldline[{extra}]'"

        def command() -> None:
            raise ConfigError(f"fieldline {entry.name}: {missing}")

        command.__doc__ = f"Not available: {missing}."
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=entry.name)
    else:
        app.command(entry.name)(command)
