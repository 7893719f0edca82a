"""Peers whose pins cannot be met beside ours: each gets a virtual environment of its own, made when first needed."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from benchmarks.contest import Absent

__all__ = ["python_of"]

_INSTALL_S = 600.0


@cache
def python_of(name: str, version: str, *wanted: str) -> Path:
    """The interpreter of a peer's own environment, which is made with the packages `wanted` if it is not there.

    It is the folder that FIELDLINE_BENCH_<NAME> names, otherwise `.venv-<name>` beside the project's own. Absent, with
    the reason, where it cannot be made.
    """
    chosen = os.environ.get(f"FIELDLINE_BENCH_{name.upper()}")
    home = Path(chosen or Path(__file__).resolve().parents[1] / f".venv-{name}")
    python, whole = home / "bin" / "python", home / f".{name}-{version}"
    if not whole.exists():
        print(f"installing {name} into {home} ...", file=sys.stderr)
        _run(sys.executable, "-m", "venv", str(home))
        _run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted)
        whole.touch()
    return python


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Absent(f"could not be installed: {last}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Absent(f"could not be installed: {error}") from error
