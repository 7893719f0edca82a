"""Histories of machines that failed, as CSV: columns are tags, rows are steps, the last row is the failure. Pure.

    vibration,temperature
    2.1,54.0
    2.2,
    ...

An empty cell, or `nan`, is a step in which the tag had no good value. A column of the same tag may stand anywhere.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fieldline.errors import BadName, ConfigError
from fieldline.topics import check_name
from fieldline_cloud.prognosis.features import Array

__all__ = ["STEPS_MIN", "TAGS_MAX", "History", "parse_history"]

TAGS_MAX: Final = 256
STEPS_MIN: Final = 20
"""A machine's own beginning is so long: what is shorter says nothing of its wear."""


@dataclass(frozen=True, slots=True)
class History:
    """One machine from new to its failure: `values` is (steps, tags), NaN where there was no good value."""

    name: str
    tags: tuple[str, ...]
    values: Array


def parse_history(text: str, name: str, tags: Sequence[str] = ()) -> History:
    """The history in the text of a file called `name`, its columns in the order of `tags`, where they are given.

    ConfigError names file, line, column and cure: a header that is none, other tags than `tags`, a cell that is no
    number, a row that is too long or too short, or fewer than 20 steps.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    try:
        found = _header(next(reader, []), name)
        columns = _columns(found, tuple(tags) or found, name)
        rows = [_row(cells, found, f"{name}:{reader.line_num}") for cells in reader if cells]
    except csv.Error as error:
        raise ConfigError(f"{name}:{reader.line_num}: is no CSV: {error}; write numbers between commas") from error
    if len(rows) < STEPS_MIN:
        raise ConfigError(
            f"{name}: {len(rows)} steps: a machine needs at least {STEPS_MIN}; take it out, or choose shorter steps"
        )
    return History(name, tuple(tags) or found, np.array(rows)[:, columns])


def _header(cells: Sequence[str], name: str) -> tuple[str, ...]:
    found = tuple(cell.strip() for cell in cells)
    if not found or len(found) > TAGS_MAX:
        raise ConfigError(f"{name}:1: {len(found)} columns: write 1 to {TAGS_MAX} tags in the first line, with commas")
    for tag in found:
        try:
            check_name(tag, "tag")
        except BadName as error:
            raise ConfigError(
                f"{name}:1: column {tag[:40]!r} is no tag; the first line holds the tags, with commas between them"
            ) from error
        if found.count(tag) > 1:
            raise ConfigError(f"{name}:1: column {tag!r} is there twice; keep one of them")
    return found


def _columns(found: tuple[str, ...], wanted: tuple[str, ...], name: str) -> list[int]:
    if missing := sorted(set(wanted) - set(found)):
        raise ConfigError(f"{name}:1: column {missing[0]!r} is missing; all files of one type need the same tags")
    if strange := sorted(set(found) - set(wanted)):
        raise ConfigError(f"{name}:1: column {strange[0]!r} is not in the other files; all need the same tags")
    return [found.index(tag) for tag in wanted]


def _row(cells: Sequence[str], tags: Sequence[str], place: str) -> list[float]:
    if len(cells) != len(tags):
        raise ConfigError(
            f"{place}: {len(cells)} cells under {len(tags)} columns; write each number with a point, and leave a cell "
            "without a value empty"
        )
    return [_number(cell.strip(), tag, place) for cell, tag in zip(cells, tags, strict=True)]


def _number(cell: str, tag: str, place: str) -> float:
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise ConfigError(
            f"{place}: column {tag!r}: {cell[:40]!r} is no number; write one like 2.5, or leave the cell empty"
        )
    return value
