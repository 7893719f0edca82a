"""Payloads that are text: one plain value, or CSV. Pure."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fieldline.model import Quality, Value
from fieldline_edge.drivers.mqtt.formats.values import RECORDS_MAX, Unreadable, checked_count, time_ns, written
from fieldline_edge.drivers.mqtt.settings import (
    MqttDeviceSettings,
    OtherTagSettings,
    TimestampSettings,
    ValueSettings,
)

__all__ = ["CsvFormat", "PlainFormat"]


class PlainFormat:
    """The whole payload is one value, like `21.5` or `ON`."""

    def records(self, payload: bytes) -> Sequence[str]:
        """The text."""
        return (_decoded(payload),)

    def finder(self, _tag: OtherTagSettings) -> Callable[[Any], Any]:
        """The text itself."""
        return lambda record: record

    def taker(self, tag: OtherTagSettings) -> Callable[[Any], tuple[Value, Quality]]:
        """A number, with or without the tag's unit behind it, a yes or no, or the text."""
        return written(tag)

    def clock(self, _stamp: TimestampSettings) -> Callable[[Any], int]:
        """Not there."""
        raise AssertionError("the settings refuse a time for a plain payload")


@dataclass(frozen=True, slots=True)
class _Row:
    cells: list[str]
    names: dict[str, int]


class CsvFormat:
    """Lines of cells; each line is a record. Empty lines are passed over."""

    def __init__(self, device: MqttDeviceSettings) -> None:
        self._settings = device.csv
        self._names = {name: at for at, name in enumerate(device.csv.columns)}

    def records(self, payload: bytes) -> Sequence[_Row]:
        """The lines, without the header."""
        reader = csv.reader(io.StringIO(_decoded(payload), newline=""), delimiter=self._settings.delimiter, strict=True)
        try:
            rows = list(islice((row for row in reader if row), RECORDS_MAX + 2))
        except csv.Error as error:
            raise Unreadable(f"payload is not CSV: {error} in line {reader.line_num}") from None
        names = self._names
        if self._settings.header:
            if not rows:
                raise Unreadable("payload has no header line")
            header = [cell.strip() for cell in rows.pop(0)]
            if len(set(header)) != len(header):
                raise Unreadable(f"header names a column twice: {', '.join(header)[:80]}")
            names = {name: at for at, name in enumerate(header)}
        if not rows:
            raise Unreadable("payload has no line of values")
        checked_count(len(rows))
        return [_Row(row, names) for row in rows]

    def finder(self, tag: OtherTagSettings) -> Callable[[Any], Any]:
        """The cell of the tag's column."""
        return _cell(tag)

    def taker(self, tag: OtherTagSettings) -> Callable[[Any], tuple[Value, Quality]]:
        """As for plain values."""
        return written(tag, decimal_comma=self._settings.decimal_comma)

    def clock(self, stamp: TimestampSettings) -> Callable[[Any], int]:
        """The time in the stamp's column."""
        find, where = _cell(stamp), f"column {stamp.column}"
        return lambda row: time_ns(find(row), stamp.unit, where)


def _cell(place: ValueSettings) -> Callable[[_Row], str]:
    column = place.column
    assert column is not None, "checked by the settings"

    def find(row: _Row) -> str:
        at = column - 1 if isinstance(column, int) else row.names.get(column, -1)
        if not 0 <= at < len(row.cells):
            raise Unreadable(f"no column {column} in a line of {len(row.cells)}")
        return row.cells[at]

    return find


def _decoded(payload: bytes) -> str:
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"payload is not UTF-8 text: {error.reason} at byte {error.start}") from None
