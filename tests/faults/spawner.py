"""Starts processes one after the other, each up within milliseconds.

Most of a start is the import of modules. A spawner imports them once, touches no gRPC object, and forks: each child
does its work as if it had been called afresh. (gRPC sets up its threads with the first server or channel, which is in
the child.)

For each line on stdin the spawner says on stdout:

    pid 123         before the child does anything; what the child itself says follows
    ended 123 0     its exit code, or -9 for SIGKILL

A line that begins with "wait " makes the child wait for a line of its own before it starts, so that strace can attach.
"""

import ctypes
import gc
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

__all__ = ["serve"]

_PR_SET_PTRACER = 0x59616D61
_PR_SET_PTRACER_ANY = -1
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_LIBC = ctypes.CDLL(None)


def serve(work: Callable[[str], None]) -> None:
    """Have `work` done with each line of stdin, each in a child of its own, until stdin ends."""
    _end_with_the_parent()
    gc.freeze()  # the children share what was imported
    while line := sys.stdin.readline().strip():
        pid = os.fork()
        if pid == 0:
            _be_the_child(work, line)
        _, status = os.waitpid(pid, 0)
        print(f"ended {pid} {os.waitstatus_to_exitcode(status)}", flush=True)


def _be_the_child(work: Callable[[str], None], line: str) -> NoReturn:
    code = 1
    try:
        _end_with_the_parent()
        _LIBC.prctl(_PR_SET_PTRACER, ctypes.c_ulong(_PR_SET_PTRACER_ANY))
        print(f"pid {os.getpid()}", flush=True)
        if line.startswith("wait "):
            sys.stdin.readline()
        work(line.removeprefix("wait "))
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # nothing of the parent's is to be cleaned up twice


def _end_with_the_parent() -> None:
    """Nothing outlives the test run, however that ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, _SIGKILL)
