"""Starts hubs one after the other, each a process of its own that is up within milliseconds.

Most of a hub's start is the import of its modules. This process imports them once, touches no gRPC object, and forks:
each child runs `fieldline hub` as if it had been called afresh. (gRPC sets up its threads with the first server or
channel, which is in the child.)

For each line on stdin, the path of a hub.yaml, it says on stdout:

    pid 123                     before the hub does anything
    listening on 127.0.0.1:...  the hub itself, once it serves
    ended 123 0                 its exit code, or -9 for SIGKILL

A line that ends in " wait" makes the child wait for a line of its own before it starts, so that strace can attach.
"""

import ctypes
import gc
import os
import sys
from pathlib import Path

from fieldline.cli import run
from fieldline_cloud.cli.hub import hub
from fieldline_cloud.hub import Hub

__all__ = ["main"]

_PR_SET_PTRACER = 0x59616D61
_PR_SET_PTRACER_ANY = -1
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_LIBC = ctypes.CDLL(None)


def main() -> None:
    """Serve until stdin ends."""
    assert Hub.__module__ in sys.modules  # the reason for this process: it is loaded before the fork
    _end_with_the_parent()
    gc.freeze()  # the children share what was imported
    while line := sys.stdin.readline():
        config, _, wait = line.strip().partition(" ")
        pid = os.fork()
        if pid == 0:
            _be_a_hub(Path(config), wait=bool(wait))
        _, status = os.waitpid(pid, 0)
        print(f"ended {pid} {os.waitstatus_to_exitcode(status)}", flush=True)


def _end_with_the_parent() -> None:
    """No hub outlives the test run, however that ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def _be_a_hub(config: Path, *, wait: bool) -> None:
    code = 1
    try:
        _end_with_the_parent()
        _LIBC.prctl(_PR_SET_PTRACER, ctypes.c_ulong(_PR_SET_PTRACER_ANY))
        said = os.open(config.parent / "hub.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(said, 2)
        print(f"pid {os.getpid()}", flush=True)
        if wait:
            sys.stdin.readline()
        run(lambda standalone_mode: hub(config))
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # nothing of the parent's is to be cleaned up twice


if __name__ == "__main__":
    main()
