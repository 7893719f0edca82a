"""Sparkplug B payloads from bytes and back. Pure.

Eclipse Sparkplug Specification 3.0.0, section 6.4: integers travel as unsigned numbers, negative ones as their two's
complement, and how wide they are only the data type says, which data messages may leave out.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from fieldline.limits import BATCH_STRING_BYTES_MAX
from fieldline.model import Quality, Value
from fieldline_edge.drivers.mqtt.sparkplug import payload_pb2 as pb

__all__ = ["BAD_DATATYPE", "Message", "Metric", "Unreadable", "parse", "rebirth_request", "value_of"]

_BITS = {1: 8, 2: 16, 3: 32, 4: 64, 5: 8, 6: 16, 7: 32, 8: 64}  # Int8 to Int64, UInt8 to UInt64
_SIGNED_UP_TO = 4
_FLOAT, _DOUBLE, _BOOLEAN, _DATE_TIME = 9, 10, 11, 13
_TEXTS = {12, 14, 15}  # String, Text, UUID
_INT64_MAX = (1 << 63) - 1
BAD_DATATYPE = "no single value"
# The property "Quality" (specification 3.0.0, section 6.4.15): 0 bad, 192 good, 500 stale.
_QUALITIES = {0: Quality.BAD, 192: Quality.GOOD, 500: Quality.UNCERTAIN_STALE}


class Unreadable(ValueError):
    """What is wrong with a payload or a metric, in words."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a message. `raw` is the value as it travelled, and `kind` the field it travelled in."""

    name: str
    alias: int | None
    at_ms: int | None
    datatype: int
    raw: int | float | bool | str | None
    kind: str
    is_null: bool = False
    is_historical: bool = False
    quality: Quality = Quality.GOOD
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One payload: `seq` and `at_ms` are None where it has none."""

    at_ms: int | None
    seq: int | None
    metrics: tuple[Metric, ...]

    @property
    def bd_seq(self) -> int | None:
        """The number that ties a node's death to its birth."""
        for metric in self.metrics:
            if metric.name == "bdSeq" and type(metric.raw) is int:
                return metric.raw
        return None


def parse(payload: bytes) -> Message:
    """The message in a payload; Unreadable if it is none."""
    try:
        found = pb.Payload.FromString(payload)
        metrics = tuple(_metric(metric) for metric in found.metrics)
    except (DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"payload is not Sparkplug B: {error}") from None
    return Message(
        found.timestamp if found.HasField("timestamp") else None,
        found.seq if found.HasField("seq") else None,
        metrics,
    )


def value_of(metric: Metric, datatype: int) -> Value:
    """The value as its data type (that of the birth) says; Unreadable if it is of another kind or no single value.

    DateTime stays the number of milliseconds since 1970; a UInt64 over the largest int64 becomes a float.
    """
    raw = metric.raw
    if datatype in _BITS and metric.kind in ("int_value", "long_value"):
        assert isinstance(raw, int), "the field holds an integer"
        return _integer(raw, datatype)
    if datatype == _DATE_TIME and metric.kind in ("int_value", "long_value"):
        assert isinstance(raw, int), "the field holds an integer"
        return raw if raw <= _INT64_MAX else float(raw)
    if datatype in (_FLOAT, _DOUBLE) and metric.kind in ("float_value", "double_value"):
        assert isinstance(raw, float), "the field holds a float"
        return raw
    if datatype == _BOOLEAN and metric.kind == "boolean_value":
        return bool(raw)
    if datatype in _TEXTS and metric.kind == "string_value":
        return _text(str(raw))
    if datatype in _BITS or datatype in _TEXTS or datatype in (_FLOAT, _DOUBLE, _BOOLEAN, _DATE_TIME):
        raise Unreadable(f"data type {datatype} does not go with {metric.kind or 'no value'}")
    raise Unreadable(f"data type {datatype}: {BAD_DATATYPE}")


def rebirth_request(at_ms: int) -> bytes:
    """The payload of an NCMD that asks a node for its births (metric Node Control/Rebirth, true)."""
    metric = pb.Metric(name="Node Control/Rebirth", timestamp=at_ms, datatype=_BOOLEAN, boolean_value=True)
    return pb.Payload(timestamp=at_ms, metrics=[metric]).SerializeToString()


_READERS: dict[str, Callable[[pb.Metric], int | float | bool | str]] = {
    "int_value": lambda metric: metric.int_value,
    "long_value": lambda metric: metric.long_value,
    "float_value": lambda metric: _shortest(metric.float_value),
    "double_value": lambda metric: metric.double_value,
    "boolean_value": lambda metric: metric.boolean_value,
    "string_value": lambda metric: metric.string_value,
}


def _metric(metric: pb.Metric) -> Metric:
    kind = metric.WhichOneof("value") or ""
    reader = _READERS.get(kind)
    quality, unit = _properties(metric.properties) if metric.HasField("properties") else (Quality.GOOD, "")
    return Metric(
        name=metric.name,
        alias=metric.alias if metric.HasField("alias") else None,
        at_ms=metric.timestamp if metric.HasField("timestamp") else None,
        datatype=metric.datatype,
        raw=reader(metric) if reader else None,
        kind=kind,
        is_null=metric.is_null,
        is_historical=metric.is_historical,
        quality=quality,
        unit=unit,
    )


def _properties(properties: pb.PropertySet) -> tuple[Quality, str]:
    quality, unit = Quality.GOOD, ""
    for key, value in zip(properties.keys, properties.values, strict=False):
        if key == "Quality":
            quality = _QUALITIES.get(value.int_value or value.long_value, Quality.UNCERTAIN)
        elif key in ("engUnit", "EngUnit"):
            unit = value.string_value[:16]
    return quality, unit


def _integer(raw: int, datatype: int) -> int | float:
    bits = _BITS[datatype]
    value = raw & ((1 << bits) - 1)
    if datatype <= _SIGNED_UP_TO and value >> (bits - 1):
        value -= 1 << bits
    return value if value <= _INT64_MAX else float(value)


def _text(text: str) -> str:
    if len(text.encode()) > BATCH_STRING_BYTES_MAX:
        raise Unreadable(f"text of {len(text.encode())} bytes is over {BATCH_STRING_BYTES_MAX}")
    return text


def _shortest(value: float) -> float:
    """A float32 as the shortest decimal that means it: 21.4 and not 21.399999618530273, which is longer on the wire."""
    short = float(f"{value:.7g}")
    return short if struct.pack("f", short) == struct.pack("f", value) else value
