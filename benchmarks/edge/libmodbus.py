"""A foreign Modbus device for benches and tests: a small C program on libmodbus, built when it is needed."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contest import Absent

__all__ = ["build_server", "serving"]

_SOURCE = Path(__file__).with_name("libmodbus_server.c")


def build_server(folder: Path) -> Path:
    """The program, built into `folder`. Absent, which says what to install, without compiler or library."""
    if shutil.which("gcc") is None or shutil.which("pkg-config") is None:
        raise Absent("gcc or pkg-config is not installed; run: apt-get install gcc libc6-dev pkg-config")
    found = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        raise Absent("libmodbus is not installed; run: apt-get install libmodbus-dev")
    program = folder / "libmodbus_server"
    subprocess.run(["gcc", "-O2", "-Wall", "-o", program, _SOURCE, *found.stdout.split()], check=True)
    return program


@contextmanager
def serving(program: Path, *arguments: object) -> Iterator[int]:
    """The server's TCP port, while it runs; 0 for one on a serial port."""
    with subprocess.Popen([program, *map(str, arguments)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            if words[:1] != ["ready"]:
                raise RuntimeError(f"{program.name} did not start: exit code {process.wait()}")
            yield int(words[1])
        finally:
            process.kill()
