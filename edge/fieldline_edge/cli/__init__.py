"""The `fieldline-edge` command. Each sub-command is loaded only when it is asked for.

Exit codes: 0 done, 1 it ran and failed, 2 wrong usage or configuration (nothing was started), 130
interrupted.
"""

import sys
from importlib import import_module

import typer

from fieldline.cli import new_app, version_option
from fieldline.cli import run as run_app  # `run` is also a module of this package

__all__ = ["main"]

_COMMANDS = {
    "run": "fieldline_edge.cli.run:run",
    "reload": "fieldline_edge.cli.reload:reload",
    "check": "fieldline_edge.cli.check:check",
    "spool": "fieldline_edge.cli.spool:app",
}


def main() -> None:
    """Entry point of `fieldline-edge`."""
    app = new_app("The gateway: reads Modbus and MQTT devices, keeps their readings, and streams them to the hub.")
    app.callback()(_root)
    wanted = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    for name in [wanted] if wanted in _COMMANDS else _COMMANDS:
        module, _, attribute = _COMMANDS[name].partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    run_app(app)


def _root(version: bool = version_option("fieldline-edge")) -> None:
    pass
