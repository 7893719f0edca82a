"""Reading batches: what goes in comes out, bit for bit, and what is over a bound is refused by name."""

import json
import math
import random
import struct
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fieldline.errors import DecodeError, LimitError
from fieldline.limits import (
    BATCH_READINGS_MAX,
    BATCH_SERIES_MAX,
    BATCH_STRING_BYTES_MAX,
    BATCH_STRINGS_BYTES_MAX,
)
from fieldline.model import Quality, Reading
from fieldline.v1.readings_pb2 import Columns, ReadingBatch
from fieldline.wire.compression import decompress
from fieldline.wire.readings import ReadingEncoder, decode_readings, decode_series, encode_readings

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
NOON_NS = 1_790_000_000_000_000_000


def bits(value: Any) -> Any:
    """`value` so that equality means: same type, same bits."""
    return (type(value), struct.pack("<d", value)) if type(value) is float else (type(value), value)


def rows(readings: Iterable[Reading]) -> list[Any]:
    return [(reading.tag, reading.at_ns, bits(reading.value), reading.quality) for reading in readings]


def by_tag_and_type(readings: Iterable[Reading]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for reading, row in zip(readings, rows(readings), strict=True):
        if reading.value is not None:  # which series a missing value joins is the encoder's choice
            groups[reading.tag, type(reading.value)].append(row)
    return groups


def assert_same(sent: Sequence[Reading], got: Sequence[Reading]) -> None:
    assert by_tag_and_type(got) == by_tag_and_type(sent)
    assert Counter(rows(got)) == Counter(rows(sent))
    assert all(type(reading.quality) is Quality for reading in got)


def tag_a(values: Iterable[Any], step_ns: int = 1_000_000) -> list[Reading]:
    return [Reading("a", NOON_NS + index * step_ns, value) for index, value in enumerate(values)]


def columns_of(body: bytes) -> Columns:
    batch = ReadingBatch.FromString(body)
    raw = decompress(batch.payload, size_max=batch.raw_size) if batch.codec else batch.payload
    return Columns.FromString(raw)


def float_of(pattern: int) -> float:
    value: float = struct.unpack("<d", pattern.to_bytes(8, "little"))[0]
    return value


def float32(value: float) -> float:
    nearest: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return nearest


FLOATS = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.integers(0, (1 << 64) - 1).map(float_of),  # every NaN payload, too
    st.integers(-100_000, 100_000).map(lambda number: number / 100),
    st.integers(-100_000, 100_000).map(lambda number: number * 0.1),
    st.integers(-1000, 1000).map(float),
    st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324, 2.0**53, 1e22, 1.7e308]),
)
INTEGERS = st.one_of(st.integers(INT64_MIN, INT64_MAX), st.integers(-5, 5), st.sampled_from([INT64_MIN, INT64_MAX]))
STRINGS = st.text(max_size=BATCH_STRING_BYTES_MAX // 4)
VALUES = st.one_of(FLOATS, INTEGERS, st.booleans(), STRINGS)
MOMENTS = st.one_of(
    st.integers(INT64_MIN, INT64_MAX),
    st.integers(0, 3).map(lambda second: NOON_NS + second * 1_000_000_000),
    st.sampled_from([INT64_MIN, 0, INT64_MAX]),
)
TAGS = st.sampled_from(["a", "b", "Ofen/Wärme", "温度"])
NOT_GOOD = st.sampled_from([quality for quality in Quality if not quality.is_good])
READINGS = st.one_of(
    st.builds(Reading, TAGS, MOMENTS, VALUES, st.sampled_from(list(Quality))),
    st.builds(Reading, TAGS, MOMENTS, st.none(), NOT_GOOD),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(READINGS, max_size=30))
def test_mixed_readings_come_back_bit_for_bit(sent: list[Reading]) -> None:
    assert_same(sent, decode_readings(encode_readings(sent)))


@settings(deadline=None, max_examples=150)
@given(st.lists(READINGS, max_size=30))
def test_ids_and_names_carry_the_same_readings(sent: list[Reading]) -> None:
    ids = {"a": 7, "b": 0, "Ofen/Wärme": 2**31 - 1, "温度": 12}
    body = encode_readings(sent, tag_ids=ids, tag_table=3)
    names = {tag_id: name for name, tag_id in ids.items()}
    assert_same(sent, decode_readings(body, tag_names={3: names}))


@pytest.mark.parametrize("values", [FLOATS, INTEGERS, st.booleans(), STRINGS], ids=["float", "int", "bool", "str"])
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_one_type_keeps_its_order_through_any_moments(values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(MOMENTS, values), max_size=60))
    sent = [Reading("a", at_ns, value) for at_ns, value in pairs]
    assert rows(decode_readings(encode_readings(sent))) == rows(sent)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(FLOATS, min_size=1, max_size=25), min_size=2, max_size=5))
@example([[0.1, 0.2], [float("nan")], [0.25], [1e300, -0.0], [0.1 + 0.2]])
def test_an_encoder_with_a_memory_loses_nothing_when_a_tag_changes_its_habits(
    batches: list[list[float]],
) -> None:
    encoder = ReadingEncoder()
    for values in batches:
        assert rows(decode_readings(encoder.encode(tag_a(values)))) == rows(tag_a(values))


@pytest.mark.parametrize(
    "values",
    [
        [index / 10 for index in range(300)],
        [index * 0.1 for index in range(300)],
        [float32(index * 0.01) for index in range(300)],
        [float32(index**0.5) for index in range(300)],
        [index**0.5 for index in range(300)],
        [
            float("nan"),
            float_of(0x7FF0_0000_0000_0001),
            float_of(0xFFF8_0000_0000_1234),
            -0.0,
            0.0,
            float("inf"),
        ],
        [-float("inf"), float32(3.5), float("nan"), -0.0],
        [1e22, 5e-324, -1.7e308, 123456789.125],
        [float(index) for index in range(300)],
        [0.5] * 300,
    ],
    ids=[
        "decimal",
        "ulp",
        "decimal32",
        "float32",
        "float64",
        "nan",
        "special32",
        "extremes",
        "whole",
        "constant",
    ],
)
def test_every_mode_is_exact(values: list[float]) -> None:
    assert rows(decode_readings(encode_readings(tag_a(values)))) == rows(tag_a(values))


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        ([index / 10 for index in range(50)], 0),
        ([index * 0.1 for index in range(50)], 1),
        ([float32(index * 0.01 + 0.01) for index in range(50)], 2),
        ([float32((index + 2) ** 0.5) for index in range(50)], 3),
        ([math.exp(index * 1.7 - 40) for index in range(50)], 4),
        (list(range(50)), 5),
        ([True, False], 6),
        (["on", "off", "on"], 7),
    ],
)
def test_the_encoder_finds_the_mode_that_fits(values: list[Any], mode: int) -> None:
    assert [enc // 32 for enc in columns_of(encode_readings(tag_a(values))).enc] == [mode]


def test_integers_use_all_64_bits_and_deltas_wrap_around() -> None:
    values = [INT64_MIN, INT64_MAX, -1, 0, INT64_MIN, INT64_MIN, INT64_MAX, 2**53 + 1]
    assert rows(decode_readings(encode_readings(tag_a(values)))) == rows(tag_a(values))


def test_a_whole_number_stays_a_float_and_a_bool_stays_a_bool() -> None:
    got = decode_readings(encode_readings(tag_a([1.0, 1, True])))
    assert {type(reading.value) for reading in got} == {float, int, bool}


def test_an_empty_batch_is_a_batch() -> None:
    assert decode_readings(encode_readings([])) == []


def test_series_are_sorted_by_id_and_moments_shared() -> None:
    sent = [Reading(tag, NOON_NS + second, 1.5) for second in range(5) for tag in ("late", "early")]
    body = encode_readings(sent, tag_ids={"late": 9, "early": 4}, tag_table=1)
    series = decode_series(body, tag_names={1: {9: "late", 4: "early"}})
    assert [one.tag for one in series] == ["early", "late"]
    assert len(columns_of(body).axis_len) == 1


def test_readings_without_a_value_keep_their_place_among_the_others() -> None:
    sent = tag_a([1.5, 2.5, 3.5])
    sent[0] = Reading("a", NOON_NS, None, Quality.BAD_TIMEOUT)
    sent[2] = Reading("a", NOON_NS + 2_000_000, None, Quality.UNCERTAIN)
    assert rows(decode_readings(encode_readings(sent))) == rows(sent)


def test_a_tag_that_never_had_a_value_travels() -> None:
    sent = [Reading("a", NOON_NS + second, None, Quality.BAD_NOT_CONNECTED) for second in range(9)]
    assert rows(decode_readings(encode_readings(sent))) == rows(sent)


def test_a_good_reading_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="'a' has no value"):
        encode_readings([Reading("a", NOON_NS, None)])


@pytest.mark.parametrize(("code", "family"), [(63, Quality.GOOD), (127, Quality.UNCERTAIN), (255, Quality.BAD)])
def test_an_unknown_quality_code_is_read_as_its_family(code: int, family: Quality) -> None:
    sent = [Reading("a", NOON_NS, 1.5, code), Reading("a", NOON_NS, 2.5)]  # type: ignore[arg-type]  # a code this version does not name
    assert [reading.quality for reading in decode_readings(encode_readings(sent))] == [family, Quality.GOOD]


@pytest.mark.parametrize("value", [INT64_MAX + 1, INT64_MIN - 1])
def test_an_integer_beyond_64_bits_is_refused_with_its_tag(value: int) -> None:
    with pytest.raises(LimitError, match=f"{value} of tag 'a'"):
        encode_readings([Reading("a", NOON_NS, value)])


def test_a_moment_beyond_64_bits_is_refused_with_its_tag() -> None:
    with pytest.raises(LimitError, match="tag 'a'"):
        encode_readings([Reading("a", 1 << 63, 1.0)])


def test_a_value_of_another_type_is_refused_with_its_tag() -> None:
    with pytest.raises(TypeError, match="tag 'a' is a bytes"):
        encode_readings([Reading("a", NOON_NS, b"x")])  # type: ignore[arg-type]  # what callers without a type checker do


def test_a_long_string_is_refused_and_the_longest_allowed_is_not() -> None:
    longest = "ä" * (BATCH_STRING_BYTES_MAX // 2)
    assert decode_readings(encode_readings(tag_a([longest])))[0].value == longest
    with pytest.raises(LimitError, match="BATCH_STRING_BYTES_MAX"):
        encode_readings(tag_a([longest + "x"]))


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(LimitError, match="not valid Unicode"):
        encode_readings(tag_a(["\ud800"]))


def test_too_many_bytes_of_strings_are_refused() -> None:
    strings = [f"{index:0{BATCH_STRING_BYTES_MAX}}" for index in range(BATCH_STRINGS_BYTES_MAX // 256 + 1)]
    with pytest.raises(LimitError, match="BATCH_STRINGS_BYTES_MAX"):
        encode_readings(tag_a(strings))


def test_too_many_readings_are_refused_and_the_most_allowed_are_not() -> None:
    most = [Reading("a", NOON_NS, 1.5)] * BATCH_READINGS_MAX
    assert len(decode_readings(encode_readings(most))) == BATCH_READINGS_MAX
    with pytest.raises(LimitError, match="BATCH_READINGS_MAX"):
        encode_readings([*most, most[0]])


def test_too_many_tags_are_refused_and_the_most_allowed_are_not() -> None:
    ids = {str(tag): tag for tag in range(BATCH_SERIES_MAX + 1)}
    sent = [Reading(tag, NOON_NS, 1.5) for tag in ids]
    body = encode_readings(sent[:-1], tag_ids=ids, tag_table=1)
    names = {tag_id: tag for tag, tag_id in ids.items()}
    assert rows(decode_readings(body, tag_names={1: names})) == rows(sent[:-1])
    with pytest.raises(LimitError, match="BATCH_SERIES_MAX"):
        encode_readings(sent, tag_ids=ids, tag_table=1)


def test_a_payload_over_the_bound_is_refused() -> None:
    noise = random.Random(5)
    worst = [Quality.BAD_PARSE, Quality.UNCERTAIN_STALE, Quality.BAD_TIMEOUT]
    sent = [
        Reading("a", noise.getrandbits(63), float_of(noise.getrandbits(64)), noise.choice(worst))
        for _ in range(BATCH_READINGS_MAX)
    ]
    with pytest.raises(LimitError, match="BATCH_PAYLOAD_BYTES_MAX"):
        encode_readings(sent, level=1)


@pytest.mark.parametrize("tag_id", [-1, 1 << 31])
def test_a_tag_id_out_of_range_is_refused(tag_id: int) -> None:
    with pytest.raises(LimitError, match=str(tag_id)):
        encode_readings(tag_a([1.5]), tag_ids={"a": tag_id}, tag_table=1)


def test_a_tag_without_an_id_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'a' has no id"):
        encode_readings(tag_a([1.5]), tag_ids={"b": 1}, tag_table=1)


def test_ids_without_a_table_are_refused() -> None:
    with pytest.raises(ValueError, match="tag_table is 0"):
        encode_readings(tag_a([1.5]), tag_ids={"a": 1})


@pytest.mark.parametrize("tables", [None, {}, {2: {1: "a"}}, {1: {2: "a"}}])
def test_an_unknown_table_or_id_is_refused(tables: Any) -> None:
    body = encode_readings(tag_a([1.5]), tag_ids={"a": 1}, tag_table=1)
    with pytest.raises(DecodeError, match="tag table"):
        decode_readings(body, tag_names=tables)


def test_a_thousand_polled_registers_take_few_bytes() -> None:
    noise = random.Random(1)
    sent = [
        Reading(f"plc/{tag}", NOON_NS + poll * 1_000_000_000, round(noise.gauss(500, 2)) / 10)
        for poll in range(50)
        for tag in range(20)
    ]
    ids = {f"plc/{tag}": tag for tag in range(20)}
    assert len(encode_readings(sent, tag_ids=ids, tag_table=1)) < 1_000
    assert len(encode_readings(sent)) * 8 < len(json.dumps([reading.value for reading in sent])) * 10


def test_the_memory_of_an_encoder_makes_the_next_batch_no_larger() -> None:
    encoder = ReadingEncoder()
    batches = [tag_a([float32((index + start) * 0.01) for index in range(20)]) for start in range(0, 200, 20)]
    sizes = [len(encoder.encode(batch)) for batch in batches]
    assert max(sizes[1:]) <= sizes[0] + 4


def test_the_memory_of_an_encoder_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldline.wire.readings._HINTS_MAX", 5)
    encoder = ReadingEncoder()
    for tag in range(40):
        sent = [Reading(f"tag{tag}", NOON_NS, 0.25)]
        assert rows(decode_readings(encoder.encode(sent))) == rows(sent)
        assert encoder.tags_remembered <= 5


def test_the_codec_does_not_need_numpy() -> None:
    program = "import sys; import fieldline.wire.readings; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
