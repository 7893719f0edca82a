"""Hands checked settings to a fresh interpreter, so that the process that runs for years carries only what it needs.

Checking a file of 5,000 tags leaves some 20 MiB of torn memory behind, and the command line its libraries: measured,
a third of a gateway's memory. So `fieldline-edge run` checks the file and then replaces itself, under the same process
id, by an interpreter that is given the finished settings. What passes between the two is a pickle in anonymous memory
that only they have. A new file, while the gateway runs, is likewise checked by a child that lives no longer than that.
"""

import asyncio.subprocess
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import NoReturn

from fieldline.errors import ConfigError, FieldlineError
from fieldline.logs import setup_logging
from fieldline_edge.settings import GatewaySettings

__all__ = ["launch", "load_apart", "main"]

_EXIT_FAILED = 1
_EXIT_CONFIG = 2
_EXIT_INTERRUPTED = 130
_CHECK = "--check"
_CHECK_WITHIN_S = 120.0


def launch(file: Path, settings: GatewaySettings, *, log_level: str) -> NoReturn:
    """Become the gateway that `settings`, read from `file`, describe. Does not return; open files stay open.

    Only where the system has anonymous memory files (Linux): elsewhere the gateway runs in this process.
    """
    # SIGHUP means reload, and nobody may be there yet to take it: ignored, which outlives the exec, until somebody is.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if not hasattr(os, "memfd_create"):
        sys.exit(_serve(file, settings, log_level))
    # Inheritable: the whole point is that it outlives the exec.
    handle = os.memfd_create("fieldline-settings", 0)
    with os.fdopen(handle, "wb", closefd=False) as memory:
        pickle.dump(settings, memory, protocol=pickle.HIGHEST_PROTOCOL)
    arguments = [str(file), "--log-level", log_level, "--settings", str(handle)]
    # glibc would give each of gRPC's threads a heap of its own, to be faster where threads compete; here they do not.
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "fieldline_edge.launch", *arguments])


async def load_apart(file: Path) -> GatewaySettings:
    """Read and check a gateway file in a child process; ConfigError with its problems if it is wrong."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fieldline_edge.launch", _CHECK, str(file), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_CHECK_WITHIN_S):
            found, _ = await child.communicate()
    except TimeoutError:
        raise ConfigError(f"{file}: checking it took over {_CHECK_WITHIN_S:g} s; use several gateways") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise ConfigError(f"{file}: checking it failed with exit code {child.returncode}; the log says more above")
    settings = pickle.loads(found)  # our own child's
    if isinstance(settings, ConfigError):
        raise settings
    assert isinstance(settings, GatewaySettings)
    return settings


def _check(file: Path) -> None:
    """Write the checked settings, or what is wrong with them, to standard output, as a pickle."""
    from fieldline.config import load

    found: GatewaySettings | ConfigError
    try:
        found = load(file, GatewaySettings)
    except ConfigError as error:
        found = error
    pickle.dump(found, sys.stdout.buffer, protocol=pickle.HIGHEST_PROTOCOL)
    sys.stdout.flush()


def main() -> NoReturn:
    """What the fresh interpreter runs. Not for people: they use `fieldline-edge run`."""
    if sys.argv[1] == _CHECK:
        _check(Path(sys.argv[2]))
        sys.exit(0)
    file, _, log_level, _, handle = sys.argv[1:]  # as `launch` writes them, so that `ps` shows which gateway this is
    with os.fdopen(int(handle), "rb") as memory:
        memory.seek(0)
        settings = pickle.load(memory)  # written by ourselves, into memory that nobody else can open
    assert isinstance(settings, GatewaySettings)
    sys.exit(_serve(Path(file), settings, log_level))


def _serve(file: Path, settings: GatewaySettings, log_level: str) -> int:
    """Run the gateway to its end; the exit code."""
    from fieldline_edge.serve import serve

    setup_logging(log_level)
    try:
        asyncio.run(serve(settings, file))
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
