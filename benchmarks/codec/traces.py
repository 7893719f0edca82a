"""Recorded and synthetic sensor traces as readings."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fieldline.model import Quality, Reading, Value

TRACES_DEFAULT = Path(__file__).parents[2].parent / "shared" / "data" / "traces"
GOALS = {  # bytes per reading with tag ids, at 20, 100, 1,000 and 10,000 readings a batch
    "cmapss_fd001": (6.0, 3.15, 1.62, 0.88),
    "modbus_ms": (5.9, 3.85, 1.30, 0.69),
    "modbus_ns": (8.8, 7.55, 5.45, 4.15),
    "mqtt_mixed": (10.1, 6.7, 3.77, 3.42),
    "nab_aws": (6.6, 2.96, 1.79, 1.70),
    "nab_machine_temp": (7.4, 4.95, 4.26, 4.34),
    "skab_valve1": (7.2, 3.37, 2.09, 1.89),
    "uci_household": (5.2, 1.58, 0.69, 0.54),
}


class Trace(NamedTuple):
    name: str
    tag_ids: dict[str, int]
    readings: list[Reading]

    @property
    def tag_names(self) -> dict[int, dict[int, str]]:
        return {1: {tag_id: name for name, tag_id in self.tag_ids.items()}}

    def batches(self, size: int, readings_max: int) -> list[list[Reading]]:
        """Whole batches from the start of the trace, one at least."""
        end = max(size, min(readings_max, len(self.readings)) // size * size)
        return [self.readings[start : start + size] for start in range(0, end, size)]


def load(name: str, folder: Path, readings_max: int) -> Trace:
    path = folder / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there: put the traces into {TRACES_DEFAULT}, or say where they are with --data "
            "(benchmarks/codec/README.md says what they are)"
        )
    with np.load(path) as held:
        names, texts, kinds = held["names"].tolist(), held["strings"].tolist(), held["vtype"].tolist()
        columns = [held[key][:readings_max].tolist() for key in ("ts", "tag", "value", "quality")]
    makers: list[Callable[[float], Value]] = [float, int, bool, lambda number: str(texts[int(number)])]
    readings = [
        Reading(names[tag], at_ns, makers[kinds[tag]](value), Quality.BAD if quality else Quality.GOOD)
        for at_ns, tag, value, quality in zip(*columns, strict=True)
    ]
    return Trace(name, {name: tag_id for tag_id, name in enumerate(names)}, readings)
