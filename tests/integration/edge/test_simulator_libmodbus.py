"""Claims about the plant as devices of libmodbus, which shares no line with ours: over TCP and a serial line."""

import asyncio
import ctypes
import ctypes.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from fieldline_edge.drivers.simulator.runner import PlantRunner
from tests.integration.edge.simulating import ALL_MODELS, DEADLINE_S, settings

_ILLEGAL_ADDRESS = 112_345_678 + 2  # libmodbus: MODBUS_ENOBASE and the exception code


def missing(what: str) -> NoReturn:
    """Skip, except where CI=true: there a part that is missing is a failure."""
    reason = f"{what} is missing; run: tools/test-parts.sh"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def libmodbus() -> ctypes.CDLL:
    found = ctypes.util.find_library("modbus")
    if found is None:
        missing("libmodbus")
    library = ctypes.CDLL(found, use_errno=True)
    library.modbus_new_rtu.restype = library.modbus_new_tcp.restype = ctypes.c_void_p
    return library


@pytest.fixture
def line(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A serial line: its two ends."""
    program = shutil.which("socat")
    if program is None:
        missing("socat")
    ends = tmp_path / "plant", tmp_path / "client"
    command = [str(program), *(f"pty,raw,echo=0,link={end}" for end in ends)]
    with subprocess.Popen(command) as process:
        until_s = time.monotonic() + DEADLINE_S
        while not all(end.exists() for end in ends) and time.monotonic() < until_s:
            time.sleep(0.02)  # socat says nowhere else that the line is there
        yield ends
        process.terminate()


def read_all(library: ctypes.CDLL, context: int) -> tuple[list[int], list[int], int]:
    """Ten holding registers of unit 6, the coil of unit 1, and what an address beyond the map gives."""
    client = ctypes.c_void_p(context)
    words, bits = (ctypes.c_uint16 * 10)(), (ctypes.c_uint8 * 1)()
    try:
        assert library.modbus_connect(client) == 0
        library.modbus_set_response_timeout(client, DEADLINE_S, 0)
        library.modbus_set_slave(client, 6)
        assert library.modbus_read_registers(client, 0, 10, words) == 10
        assert library.modbus_read_registers(client, 45, 10, (ctypes.c_uint16 * 10)()) == -1
        problem = ctypes.get_errno()
        library.modbus_set_slave(client, 1)
        assert library.modbus_write_bit(client, 0, 0) == 1
        assert library.modbus_read_bits(client, 0, 1, bits) == 1
        return list(words), list(bits), problem
    finally:
        library.modbus_close(client)
        library.modbus_free(client)


@pytest.mark.parametrize("way", ["tcp", "serial"])
async def test_libmodbus_reads_and_writes_what_the_machines_tell(
    libmodbus: ctypes.CDLL, line: tuple[Path, Path], way: str
) -> None:
    ours, theirs = line
    text = f'modbus: {{listen: "127.0.0.1:0", serial: [{{device: {ours}}}]}}\nmachines:\n{ALL_MODELS}'
    async with PlantRunner(settings(text)) as runner:
        runner.tick()
        if way == "tcp":
            context = libmodbus.modbus_new_tcp(b"127.0.0.1", runner.listeners[0].port)
        else:
            context = libmodbus.modbus_new_rtu(str(theirs).encode(), 19200, ctypes.c_char(b"E"), 8, 1)

        words, bits, problem = await asyncio.to_thread(read_all, libmodbus, context)

        values = list(runner.plant.machines["registers50"].values.values())
        assert words == values[:10]
        assert bits == [0]
        assert problem == _ILLEGAL_ADDRESS
