"""Hands checked settings to a fresh interpreter, so that the process that runs for years carries only what it needs.

Checking a file of 5,000 tags leaves some 20 MiB of torn memory behind, and the command line its libraries: measured,
a third of a gateway's memory. So `fieldline-edge run` checks the file and then replaces itself, under the same process
id, by an interpreter that is given the finished settings. What passes between the two is a pickle in anonymous memory
that only they have.
"""

import os
import pickle
import sys
from pathlib import Path
from typing import NoReturn

from fieldline.errors import ConfigError, FieldlineError
from fieldline.logs import setup_logging
from fieldline_edge.settings import GatewaySettings

__all__ = ["launch", "main"]

_EXIT_FAILED = 1
_EXIT_CONFIG = 2
_EXIT_INTERRUPTED = 130


def launch(file: Path, settings: GatewaySettings, *, log_level: str) -> NoReturn:
    """Become the gateway that `settings`, read from `file`, describe. Does not return; open files stay open.

    Only where the system has anonymous memory files (Linux): elsewhere the gateway runs in this process.
    """
    if not hasattr(os, "memfd_create"):
        sys.exit(_serve(file, settings, log_level))
    # Inheritable: the whole point is that it outlives the exec.
    handle = os.memfd_create("fieldline-settings", 0)
    with os.fdopen(handle, "wb", closefd=False) as memory:
        pickle.dump(settings, memory, protocol=pickle.HIGHEST_PROTOCOL)
    arguments = [str(file), "--log-level", log_level, "--settings", str(handle)]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "fieldline_edge.launch", *arguments])


def main() -> NoReturn:
    """What the fresh interpreter runs. Not for people: they use `fieldline-edge run`."""
    file, _, log_level, _, handle = sys.argv[1:]  # as `launch` writes them, so that `ps` shows which gateway this is
    with os.fdopen(int(handle), "rb") as memory:
        memory.seek(0)
        settings = pickle.load(memory)  # written by ourselves, into memory that nobody else can open
    assert isinstance(settings, GatewaySettings)
    sys.exit(_serve(Path(file), settings, log_level))


def _serve(file: Path, settings: GatewaySettings, log_level: str) -> int:
    """Run the gateway to its end; the exit code."""
    import asyncio

    from fieldline_edge.serve import serve

    setup_logging(log_level)
    try:
        asyncio.run(serve(settings))
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return _EXIT_CONFIG
    except FieldlineError as error:
        print(f"error: {error}", file=sys.stderr)
        return _EXIT_FAILED
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    return 0


if __name__ == "__main__":
    main()
