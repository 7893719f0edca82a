"""The labelled files, where they are found."""

import csv
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.anomaly.scoring import Labelled

__all__ = ["DATA_DEFAULT", "nab"]

DATA_DEFAULT = Path(__file__).parents[2].parent / "shared" / "data" / "anomaly"


def nab(folder: Path) -> list[Labelled]:
    """Every file that NAB's `windows.json` names and that is there, in order of names."""
    labels = folder / "nab" / "windows.json"
    if not labels.is_file():
        raise FileNotFoundError(
            f"{labels} is not there: put the labelled data into {DATA_DEFAULT}, or say where it is with --data "
            "(benchmarks/anomaly/README.md says what it is)"
        )
    windows = json.loads(labels.read_text())
    paths = {name: folder / "nab" / f"{name}.gz" for name in sorted(windows)}
    return [_labelled(name, path, windows[name]) for name, path in paths.items() if path.is_file()]


def _labelled(name: str, path: Path, windows: list[tuple[str, str]]) -> Labelled:
    with gzip.open(path, "rt", newline="") as text:
        lines = list(csv.DictReader(text))
    seconds = np.array([_seconds(line["timestamp"]) for line in lines])
    values = np.array([float(line["value"]) for line in lines])
    rows = tuple((_first(seconds, begin), _first(seconds, end)) for begin, end in windows)
    return Labelled(name, seconds * 1_000_000_000, values, rows)


def _first(seconds: np.ndarray, moment: str) -> int:
    """The first row of that time; times may come twice."""
    return int(np.flatnonzero(seconds == _seconds(moment))[0])


def _seconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())
