"""Runs benches and prints their rows as a table.

python -m benchmarks [NAME [--only GROUP,...]] [--quick] [--report FILE] [--data DIR]

A bench is a package here with a module `bench` that has `run(*, quick, data) -> list of rows`; one whose rows come in
groups has `GROUPS` as well, by name, and takes `only`. A row is {measure, unit, ours, peers: {name: value}, goal, met}:
goal is text ("<= 2", ">= 3 x NATS core") or a number, met is null where there is no goal or it cannot be judged. Rows
beside peers also have ratios: {name: ours / the peer's, median of the pairs} and absent: {name: why it is missing}.
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
    parser.add_argument("--only", default="", help="of that bench only these groups of rows, with commas in between")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--report", type=Path, help="write the rows here as a JSON list")
    parser.add_argument("--data", type=Path, help="folder with recorded traces and labelled data")
    options = parser.parse_args()
    some = _groups(parser, options.name, options.only)
    rows: list[dict[str, Any]] = []
    for name in [options.name] if options.name else names:
        print(f"{name}: running on {os.cpu_count()} cores, Python {platform.python_version()} ...", file=sys.stderr)
        try:
            bench = importlib.import_module(f"benchmarks.{name}.bench")
            found = bench.run(quick=options.quick, data=options.data, **some)
        except FileNotFoundError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        _print(name, found)
        rows += found
    if options.report:
        options.report.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def _groups(parser: argparse.ArgumentParser, name: str | None, only: str) -> dict[str, list[str]]:
    """What `run` is told beside the rest: nothing, or the groups wanted."""
    if not only:
        return {}
    known = getattr(importlib.import_module(f"benchmarks.{name}.bench"), "GROUPS", {}) if name else {}
    wanted = only.split(",")
    if unknown := [one for one in wanted if one not in known]:
        there = ", ".join(known) or "none; name a bench that has some, as in: hub --only latency"
        parser.error(f"--only: no group {', '.join(unknown)}; there are: {there}")
    return {"only": wanted}


def _print(name: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=f"{name} ({'quick' if '--quick' in sys.argv else 'full length'})", title_justify="left")
    for heading in ("measure", "unit", "ours", "peers", "goal", "met"):
        table.add_column(heading, justify="right" if heading == "ours" else "left")
    for row in rows:
        ratios = row.get("ratios", {})
        peers = [
            f"{peer} {_number(value)}" + (f" (x {_number(ratios[peer])})" if peer in ratios else "")
            for peer, value in row["peers"].items()
        ]
        peers += [f"{peer} absent: {why}" for peer, why in row.get("absent", {}).items()]
        met = {True: "yes", False: "NO", None: ""}[row["met"]]
        goal = "" if row["goal"] is None else _number(row["goal"])
        table.add_row(row["measure"], row["unit"], _number(row["ours"]), ", ".join(peers), goal, met)
    Console(width=None if sys.stdout.isatty() else 180).print(table)


def _number(value: Any) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
