"""Runs benches and prints their rows as a table: python -m benchmarks [NAME] [--quick] [--report FILE] [--data DIR].

A bench is a package here with a module `bench` that has `run(*, quick, data) -> list of rows`. A row is
{measure, unit, ours, peers: {name: value}, goal, met}: goal is text ("<= 2", ">= 100000") or a number, met is null
where there is no goal.
"""

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_HERE = Path(__file__).parent


def main() -> int:
    names = sorted(path.parent.name for path in _HERE.glob("*/bench.py"))
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=names, help="one bench; without it all of them")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--report", type=Path, help="write the rows here as a JSON list")
    parser.add_argument("--data", type=Path, help="folder with recorded traces and labelled data")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name in [options.name] if options.name else names:
        print(f"{name}: running on {os.cpu_count()} cores, Python {platform.python_version()} ...", file=sys.stderr)
        try:
            found = importlib.import_module(f"benchmarks.{name}.bench").run(quick=options.quick, data=options.data)
        except FileNotFoundError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        _print(name, found)
        rows += found
    if options.report:
        options.report.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def _print(name: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"{name} ({'quick' if '--quick' in sys.argv else 'full length'})", title_justify="left")
    for heading in ("measure", "unit", "ours", "peers", "goal", "met"):
        table.add_column(heading, justify="right" if heading == "ours" else "left")
    for row in rows:
        peers = ", ".join(f"{peer} {_number(value)}" for peer, value in row["peers"].items())
        met = {True: "yes", False: "NO", None: ""}[row["met"]]
        goal = "" if row["goal"] is None else _number(row["goal"])
        table.add_row(row["measure"], row["unit"], _number(row["ours"]), peers, goal, met)
    Console(width=None if sys.stdout.isatty() else 180).print(table)


def _number(value: Any) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
