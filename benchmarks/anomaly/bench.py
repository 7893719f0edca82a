"""Rows of the anomaly bench: labelled corpora, and what a reading costs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.anomaly.agent import agent
from benchmarks.anomaly.corpus import DATA_DEFAULT
from benchmarks.anomaly.cost import cost
from benchmarks.anomaly.nab import nab
from benchmarks.anomaly.noise import noise
from benchmarks.anomaly.rows import Rows
from benchmarks.anomaly.skab import skab

GROUPS: dict[str, Callable[[bool, Path], Rows]] = {
    "nab": nab,
    "skab": skab,
    "noise": lambda quick, _data: noise(quick),
    "cost": lambda quick, _data: cost(quick),
    "agent": lambda quick, _data: agent(quick),
}


def run(*, quick: bool, data: Path | None, only: Sequence[str] = ()) -> Rows:
    """The rows of the groups wanted, all of them without `only`.

    FileNotFoundError, with the cure, where the labelled data is neither at `data` nor in the default place.
    """
    return [row for name in only or GROUPS for row in GROUPS[name](quick, data or DATA_DEFAULT)]
