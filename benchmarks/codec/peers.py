"""What else could carry readings: JSON and Protobuf rows, each compressed as usual."""

import gzip
import json
from collections.abc import Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from fieldline.model import Quality, Reading
from fieldline.wire.compression import compress

_FIELD = descriptor_pb2.FieldDescriptorProto
_ROW_FIELDS = (
    ("at_ns", _FIELD.TYPE_SINT64),
    ("tag", _FIELD.TYPE_UINT32),
    ("quality", _FIELD.TYPE_UINT32),
    ("number", _FIELD.TYPE_DOUBLE),
    ("integer", _FIELD.TYPE_SINT64),
    ("flag", _FIELD.TYPE_BOOL),
    ("text", _FIELD.TYPE_STRING),
)


def _rows_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="bench_rows.proto", package="bench", syntax="proto3")
    row = file.message_type.add(name="Row")
    for number, (name, kind) in enumerate(_ROW_FIELDS, start=1):
        row.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    rows = file.message_type.add(name="Rows")
    rows.field.add(name="rows", number=1, type=_FIELD.TYPE_MESSAGE, type_name=".bench.Row", label=_FIELD.LABEL_REPEATED)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Rows"))


_ROWS = _rows_class()
_VALUE_FIELD = {float: "number", int: "integer", bool: "flag", str: "text"}


def to_json(readings: Sequence[Reading]) -> bytes:
    rows = [
        {"tag": reading.tag, "ts": reading.at_ns, "value": reading.value, "quality": int(reading.quality)}
        for reading in readings
    ]
    return json.dumps(rows, separators=(",", ":")).encode()


def json_gzip(readings: Sequence[Reading]) -> bytes:
    return gzip.compress(to_json(readings), compresslevel=6, mtime=0)


def from_json_gzip(body: bytes) -> list[Reading]:
    return [
        Reading(row["tag"], row["ts"], row["value"], Quality(row["quality"]))
        for row in json.loads(gzip.decompress(body))
    ]


def json_zstd(readings: Sequence[Reading]) -> bytes:
    return compress(to_json(readings))


def protobuf_rows_zstd(readings: Sequence[Reading], tag_ids: dict[str, int]) -> bytes:
    message = _ROWS()
    for reading in readings:
        row = message.rows.add(at_ns=reading.at_ns, tag=tag_ids[reading.tag], quality=int(reading.quality))
        setattr(row, _VALUE_FIELD[type(reading.value)], reading.value)
    return compress(message.SerializeToString())
