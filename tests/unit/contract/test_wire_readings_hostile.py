"""Reading batches from an enemy: only DecodeError comes out, and only a little memory goes in."""

import random
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from fieldline.errors import DecodeError
from fieldline.limits import (
    BATCH_PAYLOAD_BYTES_MAX,
    BATCH_RAW_BYTES_MAX,
    BATCH_READINGS_MAX,
    BATCH_SERIES_MAX,
    BATCH_STRING_BYTES_MAX,
    BATCH_STRINGS_BYTES_MAX,
)
from fieldline.model import Quality, Reading
from fieldline.v1.readings_pb2 import Columns, ReadingBatch
from fieldline.wire.compression import decompress
from fieldline.wire.readings import decode_readings, encode_readings

SEED = 20260
NOON_NS = 1_790_000_000_000_000_000
TABLES = {1: {tag_id: f"tag{tag_id}" for tag_id in range(50)}}
IDS = {name: tag_id for tag_id, name in TABLES[1].items()}


def sample(count: int = 60, seed: int = SEED) -> list[Reading]:
    """Readings that use every mode, several axes, strings and qualities."""
    noise = random.Random(seed)
    makers: list[Callable[[int], Any]] = [
        lambda index: round(noise.gauss(50, 9), 2),
        lambda index: index * 0.1,
        lambda index: struct.unpack("<f", struct.pack("<f", index * 0.01))[0],
        lambda index: struct.unpack("<f", struct.pack("<f", noise.random() ** 9))[0],
        lambda index: noise.random() * 1e9,
        lambda index: noise.getrandbits(63) - (1 << 62),
        lambda index: noise.random() > 0.5,
        lambda index: noise.choice(["RUN", "STOP", "Störung"]),
    ]
    return [
        Reading(
            f"tag{index % 8}",
            NOON_NS + (index // 8) * 1_000_000_000 + (noise.getrandbits(20) if index % 8 > 5 else 0),
            makers[index % 8](index),
            Quality.BAD_TIMEOUT if index % 13 == 5 else Quality.GOOD,
        )
        for index in range(count)
    ]


def columns_of(body: bytes) -> Columns:
    batch = ReadingBatch.FromString(body)
    return Columns.FromString(decompress(batch.payload, size_max=batch.raw_size) if batch.codec else batch.payload)


def envelope(raw: bytes, **changes: Any) -> bytes:
    """A batch around `raw` that is right in everything but `changes`."""
    fields = {
        "version": 1,
        "codec": 0,
        "raw_size": len(raw),
        "crc32": zlib.crc32(raw),
        "payload": raw,
        **changes,
    }
    return ReadingBatch(**fields).SerializeToString()


def zipped(raw: bytes, **changes: Any) -> bytes:
    return envelope(raw, codec=1, **{"payload": zstandard.compress(raw), **changes})


def refused(body: bytes) -> bool:
    """Whether `body` is refused; any exception but DecodeError fails the test."""
    try:
        decode_readings(body, tag_names=TABLES)
    except DecodeError:
        return True
    return False


RAW = columns_of(encode_readings(sample())).SerializeToString()


def test_the_samples_themselves_are_accepted() -> None:
    assert not refused(envelope(RAW))
    assert not refused(zipped(RAW))


@pytest.mark.parametrize("count", [0, 3, 60, 400])
def test_a_batch_cut_anywhere_is_refused(count: int) -> None:
    body = encode_readings(sample(count), tag_ids=IDS, tag_table=1)
    assert all(refused(body[:size]) for size in range(len(body)))


@pytest.mark.parametrize("pack", [envelope, zipped])
def test_trailing_bytes_are_refused(pack: Callable[..., bytes]) -> None:
    assert refused(pack(RAW) + b"\x00")
    payload = ReadingBatch.FromString(pack(RAW)).payload
    assert refused(pack(RAW, payload=payload + b"\x00"))
    assert refused(pack(RAW, payload=payload + payload))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"version": 2},
        {"codec": 1},
        {"codec": 2},
        {"codec": 16},
        {"crc32": zlib.crc32(RAW) ^ 1},
        {"raw_size": 0},
        {"raw_size": len(RAW) - 1},
        {"raw_size": len(RAW) + 1},
        {"raw_size": (1 << 32) - 1},
        {"payload": b""},
        {"tag_table": 1},
        {"tag_table": 2},
    ],
    ids=str,
)
def test_a_false_envelope_is_refused(changes: dict[str, Any]) -> None:
    assert refused(envelope(RAW, **changes))


def frame(content: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(content)


def bomb(*, declared: bool, size: int = 256 << 20) -> bytes:
    """A frame of a few kilobytes that swells to `size` zeros."""
    compressor = zstandard.ZstdCompressor(level=3).compressobj(size=size if declared else -1)
    chunk = bytes(1 << 20)
    return b"".join([*(compressor.compress(chunk) for _ in range(size >> 20)), compressor.flush()])


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("claim", [100, BATCH_RAW_BYTES_MAX])
def test_a_bomb_is_refused_before_it_swells(declared: bool, claim: int) -> None:
    body = envelope(b"", codec=1, raw_size=claim, payload=bomb(declared=declared))
    tracemalloc.start()
    assert refused(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * BATCH_PAYLOAD_BYTES_MAX


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x28\xb5\x2f\xfd",
        b"\x1f\x8b\x08 no zstd",
        frame(RAW, write_content_size=False),
        frame(RAW, dict_data=zstandard.ZstdCompressionDict(RAW * 4, dict_type=zstandard.DICT_TYPE_RAWCONTENT)),
        b"\x50\x2a\x4d\x18\x00\x00\x00\x00",
        b"\x50\x2a\x4d\x18\x00\x00\x00\x00" + frame(RAW),
    ],
    ids=["empty", "magic", "gzip", "no size", "dictionary", "skippable", "skippable first"],
)
def test_a_strange_zstd_frame_is_refused(payload: bytes) -> None:
    assert refused(envelope(RAW, codec=1, payload=payload))


def test_a_frame_that_wants_a_large_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    payload = compressor.compress(RAW) + compressor.flush()
    assert zstandard.get_frame_parameters(payload).window_size == 1 << 27
    assert refused(envelope(RAW, codec=1, payload=payload))


def test_a_payload_over_the_bound_is_refused() -> None:
    raw = bytes(BATCH_PAYLOAD_BYTES_MAX + 1)
    assert refused(envelope(raw))
    assert refused(bytes(BATCH_PAYLOAD_BYTES_MAX * 2))


@pytest.mark.parametrize("pack", [envelope, zipped])
def test_flipped_bits_never_pass_for_readings(pack: Callable[..., bytes]) -> None:
    noise = random.Random(SEED)
    for count in (0, 5, 60):
        sent = sample(count)
        good = pack(columns_of(encode_readings(sent)).SerializeToString())
        want = decode_readings(good)
        for _ in range(1_000):
            body = bytearray(good)
            body[noise.randrange(len(body))] ^= 1 << noise.randrange(8)
            if not refused(bytes(body)):  # an unused bit: a spare bit of a varint, a field that is 0 either way
                assert repr(decode_readings(bytes(body), tag_names=TABLES)) == repr(want)


NAMES = [field.name for field in Columns.DESCRIPTOR.fields]
ODD = [0, 1, 2, 3, 5, 31, 32, 255, 256, 8_193, 65_536, 65_537, (1 << 31) - 1]
ODD += [-1, -2, -(1 << 31), (1 << 32) - 1, 1 << 32, (1 << 63) - 1, -(1 << 63)]


def fitting(noise: random.Random, kind: str) -> Any:
    if kind == "text":
        return noise.choice(["", "x", "x" * 256, "x" * 257])
    low, high = {"sint32": (-(1 << 31), (1 << 31) - 1), "uint32": (0, (1 << 32) - 1)}.get(
        kind, (-(1 << 63), (1 << 63) - 1)
    )
    return noise.choice([*(odd for odd in ODD if low <= odd <= high), noise.randint(low, high)])


KINDS = {
    "tag": "sint32",
    "axis": "sint32",
    "head": "sint64",
    "resid": "sint64",
    "strings": "text",
    "names": "text",
}


def mutate(noise: random.Random, columns: Columns) -> None:
    """Change one thing in one field."""
    name = noise.choice(NAMES)
    held = getattr(columns, name)
    if isinstance(held, bytes):
        cut = noise.randrange(len(held) + 1)
        columns.data = noise.choice([held[:cut], held + bytes(cut), held[:cut] + noise.randbytes(1) + held[cut + 1 :]])
    elif isinstance(held, int):
        setattr(columns, name, fitting(noise, "sint64" if name == "t0_ns" else "uint32"))
    else:
        value = fitting(noise, KINDS.get(name, "uint32"))
        action = noise.randrange(5) if held else 0
        if action == 0:
            held.append(value)
        elif action == 1:
            del held[noise.randrange(len(held))]
        elif action == 2 and not isinstance(value, str):
            held[noise.randrange(len(held))] += noise.choice([-1, 1]) if 0 < held[0] < 1 << 30 else 0
        elif action == 3:
            held.extend([value] * noise.randrange(40))
        else:
            held[noise.randrange(len(held))] = value


@pytest.mark.parametrize("by_id", [False, True])
def test_columns_changed_behind_a_valid_checksum_raise_nothing_else(by_id: bool) -> None:
    noise = random.Random(SEED + by_id)
    options: dict[str, Any] = {"tag_ids": IDS, "tag_table": 1} if by_id else {}
    originals = [columns_of(encode_readings(sample(count), **options)) for count in (1, 7, 40, 250)]
    outcomes = {True: 0, False: 0}
    for _ in range(3_000):
        columns = Columns()
        columns.CopyFrom(noise.choice(originals))
        for _ in range(noise.choice([1, 1, 1, 2, 4])):
            try:
                mutate(noise, columns)
            except ValueError:  # one too far for its field: Protobuf would not write it
                continue
        body = envelope(columns.SerializeToString(), tag_table=int(by_id))
        outcomes[refused(body)] += 1
    assert outcomes[True] > 1_000
    assert outcomes[False] > 100  # some changes are only other readings: the checksum's job


def test_bytes_changed_behind_a_valid_checksum_raise_nothing_else() -> None:
    noise = random.Random(SEED)
    for _ in range(4_000):
        raw = bytearray(RAW)
        for _ in range(noise.choice([1, 1, 2, 8])):
            place = noise.randrange(len(raw))
            action = noise.randrange(3)
            if action == 0:
                raw[place] = noise.randrange(256)
            elif action == 1:
                del raw[place : place + noise.randrange(1, 9)]
            else:
                raw[place:place] = noise.randbytes(noise.randrange(1, 9))
            if not raw:
                break
        refused(envelope(bytes(raw)))


def constant(points: int, **changes: Any) -> Columns:
    """`points` readings in a few bytes: one series whose time and value never change."""
    fields: dict[str, Any] = {
        "version": 1,
        "count": points,
        "axis": [0],
        "axis_len": [points],
        "enc": [5 * 32],
        "col": [0, 0],
        "head": [0, 0],
        "names": ["a"],
        **changes,
    }
    return Columns(**fields)


def test_a_million_constant_readings_in_a_few_bytes_are_refused() -> None:
    raw = constant(1_000_000).SerializeToString()
    assert len(raw) < 40
    assert refused(envelope(raw))


def test_the_most_constant_readings_are_accepted_in_bounded_memory() -> None:
    body = envelope(constant(BATCH_READINGS_MAX).SerializeToString())
    tracemalloc.start()
    readings = decode_readings(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(readings) == BATCH_READINGS_MAX
    assert peak < 32 << 20


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"count": 3},
        {"count": 1 << 31},
        {"t_exp": 1},
        {"t_exp": 12},
        {"axis": [1]},
        {"axis": [-1]},
        {"axis": []},
        {"axis": [0, 0]},
        {"axis_len": [3]},
        {"axis_len": [2, 2]},
        {"axis_len": []},
        {"axis_len": [0]},
        {"enc": [8 * 32]},
        {"enc": [23]},
        {"enc": [5 * 32 + 1]},
        {"enc": []},
        {"enc": [5 * 32] * 2},
        {"col": [0]},
        {"col": [0, 0, 0]},
        {"col": [0, 27]},
        {"col": [0, 3]},
        {"col": [0, 2], "head": [0, 0, 0, 0]},
        {"head": [0]},
        {"head": [0, 0, 0]},
        {"data": b"\x00"},
        {"resid": [0]},
        {"resid": [0] * 4},
        {"resid": [0] * 4, "head": [], "data": b"\x00"},
        {"resid": [0] * 4, "head": [], "col": [0, 3]},
        {"enc": [7 * 32]},
        {"enc": [7 * 32], "strings": ["on"], "head": [0, 1]},
        {"enc": [7 * 32], "strings": ["on"], "head": [0, -1]},
        {"enc": [6 * 32], "head": [0, 2]},
        {"enc": [3 * 32], "head": [0, 1 << 31]},
        {"enc": [0], "head": [0, 1 << 53]},
        {"enc": [2 * 32], "head": [0, -(1 << 53)]},
        {"strings": ["x" * (BATCH_STRING_BYTES_MAX + 1)]},
        {"strings": ["x" * 256] * (BATCH_STRINGS_BYTES_MAX // 256 + 1)},
        {"names": []},
        {"names": ["a", "b"]},
        {"names": [], "tag": [1]},
        {"tag": [1]},
        {"names": ["x" * (BATCH_STRING_BYTES_MAX + 1)]},
        {"q_pos": [0]},
        {"q_code": [128]},
        {"q_pos": [2], "q_code": [128]},
        {"q_pos": [0, 0], "q_code": [128, 128]},
        {"q_pos": [0], "q_code": [512]},
        {"q_pos": [0], "q_code": [256]},
        {"q_pos": [0], "q_code": [0]},
        {"t0_ns": (1 << 63) - 1, "head": [1, 0]},
        {"t0_ns": 0, "t_exp": 9, "head": [10_000_000_000, 0]},
        {"head": [-1, 0]},
    ],
    ids=str,
)
def test_columns_that_contradict_each_other_are_refused(changes: dict[str, Any]) -> None:
    assert not refused(envelope(constant(2).SerializeToString()))
    assert refused(envelope(constant(2, **changes).SerializeToString()))


def test_too_many_series_are_refused() -> None:
    series = BATCH_SERIES_MAX + 1
    columns = constant(series, axis=[0] * series, axis_len=[1], enc=[160] * series, names=["a"] * series)
    columns.col[:] = columns.head[:] = [0] * (series + 1)
    assert refused(envelope(columns.SerializeToString()))


def test_text_that_is_not_utf8_is_refused() -> None:
    raw = constant(2).SerializeToString().replace(b"\x01a", b"\x01\xff")
    assert refused(envelope(raw))


GREEDY = {
    "empty strings": b"\x6a\x00" * (BATCH_RAW_BYTES_MAX // 2),
    "empty names": b"\x82\x01\x00" * (BATCH_RAW_BYTES_MAX // 3),
    "short varints": Columns(version=1, enc=[0] * (BATCH_RAW_BYTES_MAX - 9)).SerializeToString(),
    "heads": Columns(version=1, head=[0] * (BATCH_RAW_BYTES_MAX - 9)).SerializeToString(),
    "every list": Columns(head=[0] * 700_000, resid=[0] * 1_900_000, q_pos=[0] * 600_000).SerializeToString(),
    "unpacked varints": b"\x40\x00" * (BATCH_RAW_BYTES_MAX // 2),
    "unknown fields": b"\xf8\x07\x00" * (BATCH_RAW_BYTES_MAX // 3),
    "groups": b"\x0b" * (1 << 20) + b"\x0c" * (1 << 20),
    "endless number": b"\xff" * (1 << 20),
}


@pytest.mark.parametrize("raw", GREEDY.values(), ids=GREEDY)
def test_a_message_that_would_grow_when_parsed_is_refused(raw: bytes) -> None:
    assert refused(zipped(raw))


MEASURE = """
import resource, sys
from pathlib import Path
from fieldline.errors import DecodeError
from fieldline.wire.readings import decode_readings

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

decode_readings(Path(sys.argv[1]).read_bytes())
before = peak()
for path in sys.argv[2:]:
    try:
        decode_readings(Path(path).read_bytes())
    except DecodeError:
        pass
print(peak() - before)
"""


def test_hostile_batches_cost_a_few_megabytes_of_resident_memory(tmp_path: Path) -> None:
    bodies = [envelope(RAW), *(zipped(raw) for raw in GREEDY.values())]
    bodies += [envelope(b"", codec=1, raw_size=4 << 20, payload=bomb(declared=flag)) for flag in (True, False)]
    bodies += [envelope(constant(BATCH_READINGS_MAX).SerializeToString())]
    paths = [tmp_path / str(index) for index in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        path.write_bytes(body)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, paths)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert int(run.stdout) < 40 << 10  # kibibytes
