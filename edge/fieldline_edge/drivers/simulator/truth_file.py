"""The truth file while it is written: one JSON line for each thing that happens, and each line at once on its way.

The lines are described, and read, in the room `truth`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from fieldline.errors import ConfigError
from fieldline_edge.drivers.simulator.faults import Change, FaultEvent
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.truth import SCHEMA

__all__ = ["TruthFile", "event_line"]


class TruthFile:
    """A context manager: writes what the plant is on entering, and its end on leaving. `stamp_ms` gives Unix time."""

    def __init__(self, path: Path, plant: Plant, *, seed: int, step_ms: int, stamp_ms: Callable[[], int]) -> None:
        self._path = path
        self._plant = plant
        self._seed = seed
        self._step_ms = step_ms
        self._stamp_ms = stamp_ms
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Open it; ConfigError with the cure if that cannot be."""
        try:
            self._file = self._path.open("w", buffering=1, encoding="utf-8")
        except OSError as error:
            cure = "choose another file"
            raise ConfigError(f"{self._path}: truth cannot be written: {error.strerror}; {cure}") from error
        machines = [
            {"name": each.name, "area": each.area, "model": each.placed.model} for each in self._plant.machines.values()
        ]
        head = {"event": "plant", "schema": SCHEMA, "seed": self._seed, "step_ms": self._step_ms}
        self._write({**head, "at_s": 0.0, "at_ms": self._stamp_ms(), "machines": machines})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the end of the run and close."""
        assert self._file is not None
        self._write({"event": "end", "at_s": round(self._plant.time_s, 6), "at_ms": self._stamp_ms()})
        self._file.close()

    def note(self, event: FaultEvent) -> None:
        """Write down what happened."""
        self._write(event_line(event, self._stamp_ms()))

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line) + "\n")


def event_line(event: FaultEvent, at_ms: int) -> dict[str, Any]:
    """One thing that happened to a fault, as the truth file tells it."""
    fault = event.fault
    line: dict[str, Any] = {
        "event": event.change.value,
        "id": fault.number,
        "kind": fault.kind.value,
        "machine": event.machine,
        "area": event.area,
        "at_s": event.at_s,
        "at_ms": at_ms,
    }
    if event.change is Change.START:
        line |= {
            "grow_s": fault.grow_s,
            "severity": fault.severity,
            "growth": fault.growth.value,
            "failure_s": fault.failure_s,
            "signals": fault.signals,
        }
    return line
