"""Rows about the step from a Modbus answer to readings: CPU for each reading, by what the tags ask for.

The yardstick is 1 us: at 50,000 readings a second on one core, that is a twentieth of the core.
"""

import time
import timeit
from typing import Any

from benchmarks.harness import at_most

__all__ = ["rows"]

_US_MAX = 1.0
_MAPS: dict[str, list[dict[str, Any]]] = {
    "50 uint16": [{"address": n, "type": "uint16"} for n in range(50)],
    "50 int16, scaled, with limits": [
        {"address": n, "type": "int16", "scale": 0.1, "min": -4000, "max": 4000} for n in range(50)
    ],
    "25 float32 CDAB": [{"address": 2 * n, "type": "float32", "order": "CDAB"} for n in range(25)],
    "one status word and its 16 bits": [
        {"address": 0, "type": "uint16"},
        *({"address": 0, "type": "bool", "bit": n} for n in range(16)),
    ],
}


def rows(*, quick: bool) -> list[dict[str, Any]]:
    """CPU time of `BlockReader.read` for each reading: the best of several runs, the others were disturbed."""
    runs = 20 if quick else 60
    return [
        at_most(f"answer to readings: {name}", "us/reading", _us(tags, runs), _US_MAX) for name, tags in _MAPS.items()
    ]


def _us(tags: list[dict[str, Any]], runs: int) -> float:
    from fieldline_edge.drivers.modbus.group import block_readers
    from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings

    named = [{"name": f"t{n}", **tag} for n, tag in enumerate(tags)]
    device = {"driver": "modbus", "name": "d", "area": "a", "host": "127.0.0.1", "tags": named}
    (reader,) = block_readers(ModbusDeviceSettings.model_validate(device))
    answer = [7 * n % 256 for n in range(reader.block.count)]
    best_s = min(timeit.repeat(lambda: reader.read(answer, 0), number=200, repeat=runs, timer=time.process_time))
    return best_s / 200 / len(tags) * 1e6
