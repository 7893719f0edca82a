"""Bodies written once, with the readings they stand for: what was once sent can be read for ever, in any language.

Run as a program, this file writes the vectors that do not exist yet; it never changes one.
"""

import json
import math
import re
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from fieldline.errors import DecodeError
from fieldline.model import Quality, Reading
from fieldline.v1.readings_pb2 import Columns, ReadingBatch
from fieldline.wire.readings import decode_readings, encode_readings

FOLDER = Path(__file__).parent / "vectors"
NOON_NS = 1_790_000_000_000_000_000
SECOND_NS = 1_000_000_000


def written(value: Any) -> dict[str, Any]:
    """A value as JSON in which nothing is lost."""
    if type(value) is float:
        return {"type": "float", "bits": struct.pack(">d", value).hex(), "value": repr(value)}
    if type(value) is int:
        return {"type": "int", "value": str(value)}
    return {"type": type(value).__name__ if value is not None else "none", "value": value}


def as_json(readings: list[Reading]) -> list[dict[str, Any]]:
    return [
        {"tag": one.tag, "at_ns": str(one.at_ns), "quality": int(one.quality), **written(one.value)} for one in readings
    ]


def load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def decode(vector: dict[str, Any]) -> list[Reading]:
    tables = {
        int(table): {int(tag_id): name for tag_id, name in names.items()}
        for table, names in vector["tag_tables"].items()
    }
    return decode_readings(bytes.fromhex(vector["body"]), tag_names=tables)


INVALID = load(FOLDER / "invalid.json") if (FOLDER / "invalid.json").exists() else []
VALID = sorted(path for path in FOLDER.glob("*.json") if path.stem != "invalid")


def test_there_are_vectors_for_every_mode_and_variant() -> None:
    assert len(VALID) >= 12
    assert len(INVALID) >= 12


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_vector_is_read_as_the_readings_it_was_made_of(path: Path) -> None:
    vector = load(path)
    assert as_json(decode(vector)) == vector["readings"]


@pytest.mark.parametrize("vector", INVALID, ids=lambda vector: vector["why"])
def test_an_invalid_vector_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode(vector)


def test_the_vector_printed_in_the_docs_is_the_one_in_the_folder() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "wire-format.md").read_text(encoding="utf-8")
    block = page.split("```")[1]
    printed = "".join(re.findall(r"^((?:[0-9a-f]{2} )+)", block, re.MULTILINE)).replace(" ", "")
    assert printed == load(FOLDER / "straight_lines.json")["body"]


def polled(values: list[Any], step_ns: int = SECOND_NS) -> list[Reading]:
    return [Reading("a", NOON_NS + index * step_ns, value) for index, value in enumerate(values)]


def float32(value: float) -> float:
    nearest: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return nearest


def float_of(pattern: int) -> float:
    value: float = struct.unpack(">d", pattern.to_bytes(8, "big"))[0]
    return value


def valid_vectors() -> dict[str, tuple[list[Reading], dict[str, int]]]:
    """Readings, and tag ids where the batch has ids, by name of vector."""
    late = [Reading("a", moment, index) for index, moment in enumerate([-(1 << 63), (1 << 63) - 1, 0, 0, -5, 1])]
    mixed: list[Any] = [1.5, 2, True, "run", 2.5, 3, False, "stop"]
    bad = [
        Reading("a", NOON_NS, None, Quality.BAD_NOT_CONNECTED),
        Reading("a", NOON_NS + SECOND_NS, 7.25),
        Reading("a", NOON_NS + 2 * SECOND_NS, None, Quality.UNCERTAIN_STALE),
        Reading("b", NOON_NS, None, Quality.BAD_TIMEOUT),
        Reading("c", NOON_NS, 1, Quality.UNCERTAIN_CLOCK),
    ]
    poll = [
        Reading(
            f"plc/{tag}", NOON_NS + turn * SECOND_NS + (tag % 3) * 1000, ((turn * 7919 + tag * 104729) % 70000) / 10
        )
        for turn in range(30)
        for tag in range(10)
    ]
    return {
        "empty": ([], {}),
        "straight_lines": (polled([20.0, 20.5, 21.0]), {}),
        "decimals_by_id": (poll[:40], {f"plc/{tag}": 100 + tag * tag for tag in range(10)}),
        "ulps": (polled([index * 0.1 for index in range(20)]), {}),
        "float32_decimals": (polled([float32(index * 0.37 + 0.01) for index in range(20)]), {}),
        "float32_bits": (
            polled([float32(math.sqrt(index + 2)) for index in range(20)] + [-0.0, math.inf, -math.inf]),
            {},
        ),
        "float64_bits": (polled([math.exp(index * 1.7 - 20) for index in range(20)]), {}),
        "not_a_number": (polled([float_of(0x7FF0_0000_0000_0001), float_of(0xFFF8_0000_0000_1234), -0.0, 5e-324]), {}),
        "int64_extremes": (polled([-(1 << 63), (1 << 63) - 1, -1, 0, (1 << 53) + 1, 1 << 62]), {}),
        "booleans": (polled([True, True, False, True]), {}),
        "strings": (polled(["RUN", "Störung", "", "RUN", "温度過高 🔥"]), {}),
        "mixed_types": (polled(mixed), {}),
        "qualities_and_no_value": (bad, {}),
        "moments_out_of_order": (late, {}),
        "zstd_planes": (poll, {}),
        "milliseconds": (polled([1.0, 4.0, 9.0, 16.0], step_ns=250_000_000), {}),
    }


def invalid_vectors() -> list[dict[str, Any]]:
    raw = Columns(version=1, count=2, axis=[0], axis_len=[2], enc=[160], col=[0, 0], head=[0, 0], names=["a"])

    def body(why: str, envelope: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        columns = Columns()
        columns.CopyFrom(raw)
        for name, value in changes.items():
            columns.ClearField(name)  # type: ignore[arg-type]  # the stub wants literal names
            columns.MergeFrom(Columns(**{name: value}))
        payload = columns.SerializeToString()
        fields = {"version": 1, "codec": 0, "raw_size": len(payload), "crc32": zlib.crc32(payload), "payload": payload}
        batch = ReadingBatch(**{**fields, **(envelope or {})})
        return {"why": why, "body": batch.SerializeToString().hex(), "tag_tables": {}}

    return [
        body("wrong CRC", {"crc32": 1}),
        body("unknown version of the envelope", {"version": 2}),
        body("unknown codec", {"codec": 3}),
        body("not a zstd frame", {"codec": 1}),
        body("wrong raw size", {"raw_size": 9}),
        body("unknown tag table", {"tag_table": 5}),
        body("unknown version of the columns", version=2),
        body("unknown mode", enc=[8 * 32]),
        body("more readings than allowed", count=1_000_000, axis_len=[1_000_000]),
        body("more readings than its series have", count=3),
        body("an axis that is not there", axis=[1]),
        body("a width of nine bytes", col=[0, 27]),
        body("a missing head", head=[0]),
        body("bytes too many", data=b"\0"),
        body("an index outside the strings", enc=[7 * 32]),
        body("a boolean of 2", enc=[6 * 32], head=[0, 2]),
        body("a quality for a reading that is not there", q_pos=[2], q_code=[128]),
        body("a moment beyond 64 bits", t0_ns=(1 << 63) - 1, head=[1, 0]),
    ]


def write_missing() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, (readings, ids) in valid_vectors().items():
        body = encode_readings(readings, tag_ids=ids or None, tag_table=9 if ids else 0)
        tables = {"9": {str(tag_id): tag for tag, tag_id in ids.items()}} if ids else {}
        vector = {"body": body.hex(), "tag_tables": tables}
        write_once(name, {**vector, "readings": as_json(decode(vector))})
    write_once("invalid", invalid_vectors())


def write_once(name: str, content: Any) -> None:
    path = FOLDER / f"{name}.json"
    if not path.exists():
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    write_missing()
