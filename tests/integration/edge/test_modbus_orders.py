"""The four byte orders against libmodbus, which gave them their names."""

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from fieldline_edge.drivers.modbus.group import block_readers
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

SOURCE = Path(__file__).with_name("libmodbus_values.c")
NAMES = ("ABCD", "BADC", "CDAB", "DCBA")
# Up to 3.1.7 the functions went by the bytes of the host: on a little-endian one, `abcd` reads what the name and every
# other program call DCBA, and `badc` what they call CDAB (libmodbus 358, 529, 611). 3.1.8 to 3.1.10 do not agree with
# themselves (libmodbus 665), 3.1.11 reads what it says, and so does what Debian ships as 3.1.6.
TURNED = {"ABCD": "DCBA", "BADC": "CDAB", "CDAB": "BADC", "DCBA": "ABCD"}


def absent(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None or shutil.which("pkg-config") is None:
        absent("gcc or pkg-config is not installed; run: apt-get install gcc libc6-dev pkg-config")
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True, check=False
    )
    if flags.returncode:
        absent("libmodbus is not installed; run: apt-get install libmodbus-dev")
    built = tmp_path_factory.mktemp("libmodbus") / "values"
    subprocess.run(["gcc", "-Wall", "-o", built, SOURCE, *flags.stdout.split()], check=True)
    return built


def libmodbus_says(program: Path, rows: list[list[int]]) -> tuple[tuple[int, ...], list[list[str]]]:
    text = "\n".join(" ".join(f"{word:x}" for word in row) for row in rows)
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True, timeout=30)
    version, *lines = done.stdout.splitlines()
    return tuple(map(int, version.split())), [line.split() for line in lines]


def we_say(words: list[int]) -> tuple[dict[str, str], int, int]:
    tags = [{"name": order, "address": 0, "type": "float32", "order": order} for order in NAMES]
    tags += [{"name": f"int{bits}", "address": 0, "type": f"int{bits}"} for bits in (32, 64)]
    device = {"driver": "modbus", "name": "d", "area": "a", "host": "127.0.0.1", "tags": tags}
    (reader,) = block_readers(ModbusDeviceSettings.model_validate(device))
    values = {reading.tag: reading.value for reading in reader.read(words, 0)}
    floats = {order: struct.pack(">f", values[order]).hex() for order in NAMES}
    return floats, int(values["int32"] or 0), int(values["int64"] or 0)


def test_registers_are_read_as_libmodbus_reads_them(program: Path) -> None:
    source = random.Random(4)
    # Without NaN, whose bits may change on the way through a float: no byte of 7F or FF.
    rows = [
        [int.from_bytes(bytes(source.choice(range(0x7F)) for _ in range(2)), "big") for _ in range(4)]
        for _ in range(200)
    ]

    _, (example,) = libmodbus_says(program, [[0x47F1, 0x2000, 0, 0]])  # 123456.0, A first
    version, answers = libmodbus_says(program, rows)

    if "47f12000" not in (example[0], example[3]):
        pytest.skip(f"libmodbus {version} does not agree with itself")
    is_turned = example[3] == "47f12000"
    for row, answer in zip(rows, answers, strict=True):
        floats, int32, int64 = we_say(row)
        for name, bits in zip(NAMES, answer[:4], strict=True):
            assert floats[TURNED[name] if is_turned else name] == bits, (row, name)
        assert [int32, int64] == [int(answer[4]), int(answer[5])]
