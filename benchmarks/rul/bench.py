"""Remaining useful life: learned from engines that failed, or foretold from the trend of one tag."""

from pathlib import Path
from typing import Any, Final

from benchmarks.rul import bearing, turbofans, wear

__all__ = ["GROUPS", "run"]

DATA_DEFAULT: Final = Path(__file__).parents[2].parent / "shared" / "data" / "rul"
GROUPS: Final = {
    "turbofans": "C-MAPSS FD001, cross-validated by engine, and its test part where it is there",
    "bearing": "IMS bearing test 2, a real run to failure",
    "wear": "simulated wear of many shapes",
}


def run(*, quick: bool, data: Path | None = None, only: list[str] | None = None) -> list[dict[str, Any]]:
    """The rows of every group, or of those in `only`; FileNotFoundError names what is missing in `data`."""
    folder = data or DATA_DEFAULT
    wanted = only or list(GROUPS)
    rows: list[dict[str, Any]] = []
    if "turbofans" in wanted:
        rows += turbofans.rows(quick=quick, data=folder)
    if "bearing" in wanted:
        rows += bearing.rows(data=folder)
    if "wear" in wanted:
        rows += wear.rows(quick=quick)
    return rows
