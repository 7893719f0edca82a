"""The `fieldline` command as people and scripts run it: in a process of its own, at a terminal or not."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from typing import IO

DEADLINE_S = 20.0
PROGRAM = Path(sys.executable).with_name("fieldline")


def start(*words: object, hub: str = "", stdin: int | IO[str] = subprocess.DEVNULL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(words),
        env=_environment(hub),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def run(*words: object, hub: str = "", given: str | None = None) -> tuple[int, list[str], list[str]]:
    """Exit code, lines on stdout, lines on stderr."""
    process = start(*words, hub=hub, stdin=subprocess.DEVNULL if given is None else subprocess.PIPE)
    try:
        out, err = process.communicate(given, timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    return process.returncode, out.splitlines(), err.splitlines()


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def at_terminal(*words: object, hub: str = "", typed: str = "", columns: int = 160) -> tuple[int, list[str]]:
    """Exit code and what stands on a terminal of so many columns, without spaces at the ends of lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**_environment(hub), "TERM": "xterm"}
    del environment["COLUMNS"]
    process = subprocess.Popen(_command(words), env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    try:
        while chunk := _read(ours):
            shown += chunk
        return process.wait(DEADLINE_S), _lines(shown.decode())
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _lines(shown: str) -> list[str]:
    """Without what makes letters bold."""
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).replace("\r", "").splitlines()]


def _read(number: int) -> bytes:
    try:
        return os.read(number, 1 << 16)
    except OSError:  # how Linux says that the other end was closed
        return b""


def _command(words: Sequence[object]) -> list[str]:
    return [str(PROGRAM), *map(str, words)]


def _environment(hub: str) -> dict[str, str]:
    return {**os.environ, "FIELDLINE_HUB": hub, "COLUMNS": "200", "NO_COLOR": "1"}
