"""Rows for people as a table, for programs as JSON."""

import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

__all__ = ["Column", "count", "moment", "print_rows", "words"]

Show = Callable[[Any], str]


class Column(NamedTuple):
    """A heading, the key of the row below it, and how that value is shown."""

    heading: str
    key: str
    show: Show = str
    right: bool = False


def count(value: int | None) -> str:
    """A number for people; a dash for none."""
    return "-" if value is None else f"{value:,}"


def moment(at_ms: int) -> str:
    """A Unix time in ms for people; a dash for none."""
    from fieldline.cli.text import timestamp

    return timestamp(at_ms * 1_000_000) if at_ms else "-"


def words(values: Any) -> str:
    """Several values, or a mapping, in one cell."""
    if isinstance(values, dict):
        return " ".join(f"{key}={value}" for key, value in values.items())
    return " ".join(map(str, values))


async def print_rows(
    rows: AsyncIterator[dict[str, Any]], columns: list[Column], *, as_json: bool, nothing: str
) -> None:
    """A table where standard output is a terminal, unless JSON is wanted; else a JSON object a line, as rows come.

    `nothing` is said on standard error if there are none.
    """
    if as_json or not sys.stdout.isatty():
        async for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    found = [row async for row in rows]
    if found:
        _print_table(found, columns)
    else:
        print(nothing, file=sys.stderr)


def _print_table(rows: list[dict[str, Any]], columns: list[Column]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fieldline.cli.text import harmless

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.heading, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(harmless(column.show(row[column.key]))) for column in columns))
    Console().print(table)
