import csv
import io
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Quality, Reading
from fieldline_edge.drivers.mqtt.extract import Extraction, Extractor
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings

NOW_NS = 1_800_000_000_000_000_000
S = 1_000_000_000


def extractor(*tags: dict[str, Any], **options: Any) -> Extractor:
    given = {"driver": "mqtt", "name": "d", "area": "a", "broker": {"host": "h"}, "topic": "t"}
    return Extractor(MqttDeviceSettings.model_validate({**given, "tags": tags, **options}))


def read(body: bytes, /, *tags: dict[str, Any], **options: Any) -> Extraction:
    return extractor(*tags, **options).read(body, arrived_ns=NOW_NS)


def plain(payload: bytes, **tag: Any) -> tuple[Any, Quality]:
    (reading,) = read(payload, {"name": "x", **tag}, payload="plain").readings
    return reading.value, reading.quality


# Plain values


@pytest.mark.parametrize(
    ("payload", "tag", "value"),
    [
        (b"21.5", {}, 21.5),
        (b" -3e2\n", {}, -300.0),
        (b"\xef\xbb\xbf7", {"type": "int"}, 7),
        (b"7.0", {"type": "int"}, 7),
        (b"21.5 degC", {"unit": "degC"}, 21.5),
        (b"21.5%", {"unit": "%"}, 21.5),
        (b"ON", {"type": "bool"}, True),
        (b"0", {"type": "bool"}, False),
        (b"idle ", {"type": "string"}, "idle "),
        (b"214", {"scale": 0.1}, 21.4),
    ],
)
def test_a_plain_value_is_taken(payload: bytes, tag: dict[str, Any], value: Any) -> None:
    assert plain(payload, **tag) == (value, Quality.GOOD)


@pytest.mark.parametrize(
    ("payload", "tag"),
    [
        (b"", {}),
        (b"hot", {}),
        (b"21.5 degF", {"unit": "degC"}),
        (b"21.5 degC", {}),
        (b"21,5", {}),
        (b"1_000", {}),
        ("١٢".encode(), {}),
        (b"0x10", {}),
        (b"9" * 500, {}),
        (b"\xff", {}),
        (b"maybe", {"type": "bool"}),
        (b"7.5", {"type": "int"}),
    ],
)
def test_a_plain_value_of_another_kind_is_bad_parse(payload: bytes, tag: dict[str, Any]) -> None:
    assert plain(payload, **tag) == (None, Quality.BAD_PARSE)


def test_a_plain_nan_is_bad_range() -> None:
    assert plain(b"nan")[1] is Quality.BAD_RANGE


# CSV


def test_lines_are_records_with_times_of_their_own() -> None:
    found = read(
        b"ts;temp;state\r\n1800000000;21,5;run\r\n\r\n1800000001;22;idle\r\n",
        {"name": "t", "column": "temp"},
        {"name": "s", "column": 3, "type": "string"},
        payload="csv",
        csv={"delimiter": ";", "header": True, "decimal_comma": True},
        timestamp={"column": "ts", "unit": "s"},
    )
    assert found.readings == [
        Reading("t", NOW_NS, 21.5),
        Reading("s", NOW_NS, "run"),
        Reading("t", NOW_NS + S, 22.0),
        Reading("s", NOW_NS + S, "idle"),
    ]


def test_columns_can_be_named_by_the_settings() -> None:
    found = read(b'1,"2"', {"name": "b", "column": "b"}, payload="csv", csv={"columns": ["a", "b"]})
    assert found.readings == [Reading("b", NOW_NS, 2.0)]


def test_one_bad_line_leaves_the_others_alone() -> None:
    found = read(
        b"1800000000,1\nsoon,2\n1800000002\n1800000003,x\n",
        {"name": "t", "column": 2},
        payload="csv",
        timestamp={"column": 1, "unit": "s"},
    )
    assert [r.quality for r in found.readings] == [Quality.GOOD, *[Quality.BAD_PARSE] * 3]
    assert (found.refused, found.faults) == (False, 3)


@pytest.mark.parametrize("payload", [b"", b"\n\n", b"a,a\n1,2", b'a,"b\n', b"\xff\xff"])
def test_csv_that_cannot_be_used_is_refused(payload: bytes) -> None:
    found = read(payload, {"name": "t", "column": "a"}, payload="csv", csv={"header": True})
    assert found.refused
    assert found.readings == [Reading("t", NOW_NS, None, Quality.BAD_PARSE)]


def test_too_many_records_are_refused() -> None:
    found = read(b"1\n" * 10_001, {"name": "t", "column": 1}, payload="csv")
    assert found.refused
    assert "10000 are allowed" in found.problems[0]


# Binary


@pytest.mark.parametrize(
    ("kind", "form", "value"),
    [
        ("int8", ">b", -5),
        ("uint8", ">B", 250),
        ("int16", ">h", -300),
        ("uint16", ">H", 60_000),
        ("int32", ">i", -70_000),
        ("uint32", ">I", 4_000_000_000),
        ("int64", ">q", -(2**40)),
        ("uint64", ">Q", 2**40),
        ("float16", ">e", 1.5),
        ("float32", ">f", 21.5),
        ("float64", ">d", 21.4),
    ],
)
def test_every_binary_type_is_read(kind: str, form: str, value: float) -> None:
    found = read(b"\0" + struct.pack(form, value), {"name": "x", "at": 1, "type": kind}, payload="binary")
    assert found.readings == [Reading("x", NOW_NS, value)]


@pytest.mark.parametrize(
    ("order", "payload"),
    [("ABCD", "41ac0000"), ("DCBA", "0000ac41"), ("CDAB", "000041ac"), ("BADC", "ac410000")],
)
def test_the_four_orders_mean_what_they_mean_for_registers(order: str, payload: str) -> None:
    tag = {"name": "x", "at": 0, "type": "float32", "order": order}
    assert read(bytes.fromhex(payload), tag, payload="binary").readings[0].value == 21.5


def test_bits_strings_and_records_with_times() -> None:
    record = struct.Struct(">IB6s")
    found = read(
        record.pack(1_800_000_000, 0b100, b"run\0xx") + record.pack(1_800_000_001, 0, b"idle"),
        {"name": "alarm", "at": 4, "type": "bool", "bit": 2},
        {"name": "state", "at": 5, "type": "string", "bytes": 6},
        payload="binary",
        record_bytes=11,
        timestamp={"at": 0, "type": "uint32", "unit": "s"},
    )
    assert [(r.at_ns - NOW_NS, r.value) for r in found.readings] == [(0, True), (0, "run"), (S, False), (S, "idle")]


def test_a_short_payload_is_bad_where_it_is_short() -> None:
    tags = {"name": "a", "at": 0, "type": "uint16"}, {"name": "b", "at": 2, "type": "uint16"}
    found = read(b"\0\1\0", *tags, payload="binary")
    assert [r.quality for r in found.readings] == [Quality.GOOD, Quality.BAD_PARSE]
    assert read(b"\0\1\0", tags[0], payload="binary", record_bytes=2).refused


# JSON arrays


def test_items_of_an_array_are_records() -> None:
    document = {"samples": [{"t": 1_800_000_000_000_000, "v": 1}, {"t": 1_800_000_001_000_000, "v": 2}, {"v": 3}]}
    found = read(
        json.dumps(document).encode(),
        {"name": "x", "path": "$.v"},
        records="$.samples",
        timestamp={"path": "$.t", "unit": "us"},
    )
    assert [(r.at_ns - NOW_NS, r.value) for r in found.readings] == [(0, 1.0), (S, 2.0), (0, None)]
    assert not found.refused


def test_an_array_of_values_is_spaced_from_the_stated_time_or_up_to_the_arrival() -> None:
    payload = b'{"t": 1800000000000, "v": [1, 2, "x"]}'
    tag = {"name": "x", "path": "$.v"}
    stated = read(payload, tag, values_every_ms=0.5, timestamp={"path": "$.t"})
    assert [(r.at_ns - NOW_NS, r.value) for r in stated.readings] == [(0, 1.0), (500_000, 2.0), (1_000_000, None)]
    arrived = read(payload, tag, values_every_ms=0.5)
    assert [r.at_ns - NOW_NS for r in arrived.readings] == [-1_000_000, -500_000, 0]


def test_an_array_that_would_end_beyond_time_is_refused() -> None:
    found = read(
        b'{"t": 9223372036854775807, "v": [1, 2]}',
        {"name": "x", "path": "$.v"},
        values_every_ms=1,
        timestamp={"path": "$.t", "unit": "ns"},
    )
    assert found.readings == [Reading("x", NOW_NS, None, Quality.BAD_PARSE)]


# Whatever arrives

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"payload": "plain", "tags": [{"name": "x"}]},
    "plain_int": {"payload": "plain", "tags": [{"name": "x", "type": "int"}]},
    "csv": {
        "payload": "csv",
        "tags": [{"name": "x", "column": 2}, {"name": "y", "column": 1, "type": "bool"}],
        "timestamp": {"column": 3, "unit": "iso"},
    },
    "csv_header": {"payload": "csv", "csv": {"header": True}, "tags": [{"name": "x", "column": "a"}]},
    "binary": {
        "payload": "binary",
        "record_bytes": 9,
        "timestamp": {"at": 0, "type": "float32", "unit": "s"},
        "tags": [{"name": "x", "at": 4, "type": "float32"}, {"name": "s", "at": 8, "type": "string", "bytes": 1}],
    },
    "json": {
        "records": "$.a",
        "values_every_ms": 1,
        "timestamp": {"path": "$.t", "unit": "us"},
        "tags": [{"name": "x", "path": "$.v"}],
    },
}
BYTES = (
    st.binary(max_size=120)
    | st.text(max_size=60).map(lambda text: text.encode(errors="replace"))
    | st.lists(st.lists(st.text(max_size=5) | st.floats().map(str), max_size=4), max_size=5).map(
        lambda rows: _csv(rows).encode()
    )
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("atv"), inner, max_size=3),
        max_leaves=8,
    ).map(lambda document: json.dumps(document).encode())
)


def _csv(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows([[cell.replace("\0", "") for cell in row] for row in rows])
    return out.getvalue()


@given(st.sampled_from(sorted(KINDS)), BYTES, st.booleans())
def test_no_payload_of_any_kind_raises_or_vanishes(kind: str, payload: bytes, repeated: bool) -> None:
    options = dict(KINDS[kind])
    found = extractor(*options.pop("tags"), **options).read(payload, arrived_ns=NOW_NS, repeated=repeated)
    assert found.readings or kind == "json"  # an empty array has none
    assert found.faults == 0 or found.problems
    for reading in found.readings:
        assert 0 < reading.at_ns < 2**63
        assert reading.value is not None or reading.quality.is_bad
