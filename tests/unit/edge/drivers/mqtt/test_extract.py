import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Quality, Reading
from fieldline_edge.drivers.mqtt.extract import Extraction, Extractor
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings

NOW_NS = 1_800_000_000_000_000_000
DAY_NS = 86_400 * 1_000_000_000


def extractor(*tags: dict[str, Any], **options: Any) -> Extractor:
    given = {"driver": "mqtt", "name": "env-1", "area": "b", "broker": {"host": "localhost"}, "topic": "t"}
    return Extractor(MqttDeviceSettings.model_validate({**given, "tags": tags, **options}))


def read_one(tag: dict[str, Any], document: Any) -> Reading:
    found = extractor({"name": "x", "path": "$.v", **tag}).read(json.dumps(document).encode(), arrived_ns=NOW_NS)
    (reading,) = found.readings
    return reading


def read_with_stamp(stamp: dict[str, str], document: Any) -> Extraction:
    it = extractor({"name": "x", "path": "$.v"}, timestamp=stamp)
    return it.read(json.dumps(document).encode(), arrived_ns=NOW_NS)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("$.temp", {"temp": 21.5}),
        ("$.a.b", {"a": {"b": 21.5}}),
        ("$.list[1]", {"list": [0, 21.5]}),
        ("$['odd key']", {"odd key": 21.5}),
        ("$.m[0].v", {"m": [{"v": 21.5}]}),
        ("$", 21.5),
    ],
)
def test_a_path_finds_its_value(path: str, document: Any) -> None:
    assert read_one({"path": path}, document) == Reading("x", NOW_NS, 21.5)


@pytest.mark.parametrize(
    ("type_", "raw", "value"),
    [
        ("float", 21, 21.0),
        ("float", -0.5, -0.5),
        ("int", 7, 7),
        ("int", 7.0, 7),
        ("int", -(2**63), -(2**63)),
        ("bool", True, True),
        ("string", "grün", "grün"),
    ],
)
def test_a_value_of_the_right_type_is_taken(type_: str, raw: Any, value: Any) -> None:
    reading = read_one({"type": type_}, {"v": raw})
    assert (reading.value, reading.quality) == (value, Quality.GOOD)
    assert type(reading.value) is type(value)


@pytest.mark.parametrize(
    ("type_", "raw"),
    [
        ("float", "21.5"),
        ("float", True),
        ("float", None),
        ("float", 10**400),
        ("int", 7.5),
        ("int", 2**63),
        ("int", False),
        ("int", math.nan),
        ("int", math.inf),
        ("bool", 1),
        ("string", 5),
        ("string", "x" * 257),
        ("string", "\ud800"),
        ("float", [1]),
        ("float", {"v": 1}),
    ],
)
def test_a_value_of_another_type_is_bad_parse(type_: str, raw: Any) -> None:
    assert read_one({"type": type_}, {"v": raw}) == Reading("x", NOW_NS, None, Quality.BAD_PARSE)


@pytest.mark.parametrize("document", [{}, {"w": 1}, [], [1], 5, "text", None])
def test_a_missing_path_is_bad_parse(document: Any) -> None:
    assert read_one({}, document) == Reading("x", NOW_NS, None, Quality.BAD_PARSE)


def test_a_path_with_several_values_is_bad_parse_rather_than_a_guess() -> None:
    assert read_one({"path": "$.v[*]"}, {"v": [1, 2]}).quality is Quality.BAD_PARSE


def test_one_wrong_tag_leaves_the_others_alone() -> None:
    it = extractor({"name": "a", "path": "$.a"}, {"name": "b", "path": "$.b"})
    found = it.read(b'{"a": 1, "b": "x"}', arrived_ns=NOW_NS)
    assert found.readings == [
        Reading("a", NOW_NS, 1.0),
        Reading("b", NOW_NS, None, Quality.BAD_PARSE),
    ]
    assert not found.refused
    assert found.problems == ("tag b: 'x' is not a number",)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"not json",
        b'{"v": 1',
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"v": ' + b"9" * 5000 + b"}",
        b'{"v": 1}' + b" " * 70_000,
    ],
)
def test_a_payload_that_is_not_json_marks_every_tag_and_is_refused(payload: bytes) -> None:
    found = extractor({"name": "a", "path": "$.a"}, {"name": "b", "path": "$.b"}).read(payload, arrived_ns=NOW_NS)
    assert found.refused
    assert found.readings == [
        Reading("a", NOW_NS, None, Quality.BAD_PARSE),
        Reading("b", NOW_NS, None, Quality.BAD_PARSE),
    ]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_payload_raises(payload: bytes) -> None:
    found = extractor({"name": "a", "path": "$.a[0].b"}, timestamp={"path": "$.t"}).read(payload, arrived_ns=NOW_NS)
    assert len(found.readings) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abt"), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["float", "int", "bool", "string"]), st.sampled_from(["s", "ms", "ns", "iso"]))
def test_no_document_raises(document: Any, type_: str, unit: str) -> None:
    it = extractor({"name": "a", "path": "$.a[0].b", "type": type_}, timestamp={"path": "$.t", "unit": unit})
    (reading,) = it.read(json.dumps(document).encode(), arrived_ns=NOW_NS).readings
    assert reading.value is not None or reading.quality.is_bad


def test_numbers_are_scaled_and_limited() -> None:
    tag = {"scale": 0.1, "min": 0, "max": 50}
    assert read_one(tag, {"v": 214}) == Reading("x", NOW_NS, 21.4)
    assert read_one(tag, {"v": 600}) == Reading("x", NOW_NS, 60.0, Quality.BAD_RANGE)
    assert read_one(tag, {"v": math.inf}).quality is Quality.BAD_RANGE


@pytest.mark.parametrize(
    ("unit", "raw", "at_ns"),
    [
        ("s", 1_799_999_999, 1_799_999_999_000_000_000),
        ("ms", 1_799_999_999_123, 1_799_999_999_123_000_000),
        ("ns", 1_799_999_999_123_456_789, 1_799_999_999_123_456_789),
        ("s", 1_799_999_999.5, 1_799_999_999_500_000_000),
        ("iso", "2027-01-15T07:59:59.123456Z", 1_799_999_999_123_456_000),
        ("iso", "2027-01-15T08:59:59.123456+01:00", 1_799_999_999_123_456_000),
        ("iso", "2027-01-15T07:59:59.123456", 1_799_999_999_123_456_000),
    ],
)
def test_the_time_in_the_payload_is_taken(unit: str, raw: Any, at_ns: int) -> None:
    found = read_with_stamp({"path": "$.t", "unit": unit}, {"v": 1, "t": raw})
    assert found.readings == [Reading("x", at_ns, 1.0)]


@pytest.mark.parametrize(
    ("unit", "raw"),
    [
        ("ms", "soon"),
        ("ms", None),
        ("ms", True),
        ("ms", 0),
        ("ms", -5),
        ("s", 1e300),
        ("s", math.nan),
        ("s", math.inf),
        ("iso", "yesterday"),
        ("iso", 5),
        ("iso", "0001-01-01T00:00:00"),
    ],
)
def test_a_time_that_cannot_be_read_refuses_the_message(unit: str, raw: Any) -> None:
    found = read_with_stamp({"path": "$.t", "unit": unit}, {"v": 1, "t": raw})
    assert found.refused
    assert found.readings == [Reading("x", NOW_NS, None, Quality.BAD_PARSE)]


def test_a_missing_time_refuses_the_message() -> None:
    assert read_with_stamp({"path": "$.t"}, {"v": 1}).refused


def test_a_time_days_ahead_keeps_the_value_and_doubts_the_clock() -> None:
    found = read_with_stamp({"path": "$.t", "unit": "ns"}, {"v": 1, "t": NOW_NS + 2 * DAY_NS})
    assert found.readings == [Reading("x", NOW_NS + 2 * DAY_NS, 1.0, Quality.UNCERTAIN_CLOCK)]


def test_a_repeated_message_is_stale_unless_it_says_when() -> None:
    it = extractor({"name": "x", "path": "$.v"}, {"name": "y", "path": "$.w"})
    found = it.read(b'{"v": 1}', arrived_ns=NOW_NS, repeated=True)
    assert [r.quality for r in found.readings] == [Quality.UNCERTAIN_STALE, Quality.BAD_PARSE]
    stamped = extractor({"name": "x", "path": "$.v"}, timestamp={"path": "$.t", "unit": "ns"})
    found = stamped.read(b'{"v": 1, "t": 5}', arrived_ns=NOW_NS, repeated=True)
    assert found.readings == [Reading("x", 5, 1.0)]
