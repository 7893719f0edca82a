"""The `fieldline` command: finds its sub-commands among what is installed and keeps the exit codes.

Exit codes, the same for every command:
    0   done
    1   it ran, and failed
    2   wrong usage or configuration; nothing was started
    3   the hub could not be reached, or refused
    130 interrupted with Ctrl-C (commands that run until then end with 0)
"""

import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from fieldline import __version__
from fieldline.errors import BadName, BadTopic, ConfigError, FieldlineError, HubError, LimitError

try:
    import typer
except ModuleNotFoundError:  # the SDK alone was installed, which needs no command line
    print("fieldline: the command line is not installed; run: pip install 'fieldline[tools]'", file=sys.stderr)
    sys.exit(2)

__all__ = ["EXIT_CONFIG", "EXIT_FAILED", "EXIT_HUB", "load_entry", "main", "new_app", "run", "version_option"]

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
EXIT_HUB: Final = 3
_EXIT_INTERRUPTED: Final = 130

# Typer brings its own copy of click or uses click, depending on its version; its public error leads to the right one.
_USAGE_ERROR: Final[Any] = typer.BadParameter.__mro__[1]


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


def version_option(program: str) -> Any:
    """The `--version` of a program's root callback."""

    def show(wanted: bool) -> None:
        if wanted:
            print(f"{program} {__version__}")
            raise typer.Exit

    return typer.Option(False, "--version", help="Print the version and exit.", is_eager=True, callback=show)


def run(app: Callable[..., Any]) -> None:
    """Run a command; turn our own errors into one line on stderr and the exit code that belongs to them."""
    # What gRPC's core would print on stderr (a port that is taken, a proxy) comes back to us as an error anyway.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        code = app(standalone_mode=False)
        if isinstance(code, int) and code:
            sys.exit(code)
    except _USAGE_ERROR as error:
        _show_usage(error)
        sys.exit(EXIT_CONFIG)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except FieldlineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_exit_code(error))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing.startswith("fieldline"):
            raise
        extras = "'fieldline[cloud]' for hub, agents and demo, 'fieldline[edge]' for gateway and plant"
        print(f"error: {missing} is not installed; pip install {extras}", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)


def _exit_code(error: FieldlineError) -> int:
    if isinstance(error, HubError):
        return EXIT_HUB
    return EXIT_CONFIG if isinstance(error, LimitError | BadTopic | BadName) else EXIT_FAILED


def _show_usage(error: Any) -> None:
    """What is wrong with the command line, in one line; the whole help if there was nothing on it."""
    message = error.format_message().rstrip(".").replace("\n", " ")
    if type(error).__name__ == "NoArgsIsHelpError" or not message:
        error.show()
        return
    where = error.ctx.command_path if error.ctx else "fieldline"
    print(f"error: {message[0].lower()}{message[1:]}; see '{where} --help'", file=sys.stderr)


def main() -> None:
    """Entry point of `fieldline`. Loads only the sub-command asked for, so that `fieldline pub` starts fast."""
    app = new_app("Fieldline: readings from the plant floor to the people who keep it running.")
    app.callback()(_root)
    found = {entry.name: entry for entry in entry_points(group="fieldline.commands")}
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [found[wanted]] if wanted in found else [found[name] for name in sorted(found)]
    for entry in chosen:
        _add(app, entry)
    run(app)


def _root(version: bool = version_option("fieldline")) -> None:
    pass


def load_entry(entry: EntryPoint) -> Any:
    """What an entry point names; ConfigError with the extra to install if something it needs is missing."""
    try:
        return entry.load()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing.startswith("fieldline"):
            raise
        extra = "edge" if entry.value.startswith("fieldline_edge") else "cloud"
        cure = f"{missing} is not installed; run: pip install 'fieldline[{extra}]'"
        raise ConfigError(f"{entry.name}: {cure}") from error


def _add(app: typer.Typer, entry: EntryPoint) -> None:
    try:
        command = load_entry(entry)
    except ConfigError as error:
        _add_missing(app, entry.name, error)
        return
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=entry.name)
    else:
        app.command(entry.name)(command)


def _add_missing(app: typer.Typer, name: str, error: ConfigError) -> None:
    """A command that says what to install, whatever it is given."""

    def command() -> None:
        raise error

    lenient = {"ignore_unknown_options": True, "allow_extra_args": True}
    app.command(name, help=f"Not available: {error}.", context_settings=lenient)(command)
