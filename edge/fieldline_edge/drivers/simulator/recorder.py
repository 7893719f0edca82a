"""Writes what a plant tells into a file: CSV with one row for each machine and moment, or JSON lines."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from fieldline.errors import ConfigError
from fieldline_edge.drivers.simulator.faults import FaultEvent
from fieldline_edge.drivers.simulator.record import Sample, simulate, unix_ms
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.drivers.simulator.trace_files import load_traces, new_plant
from fieldline_edge.drivers.simulator.truth_file import TruthFile

__all__ = ["record"]

_FORMATS = (".csv", ".jsonl")
_Write = Callable[[Sample], object]


def record(
    settings: PlantSettings,
    out: Path,
    *,
    duration_s: float,
    every_s: float | None = None,
    truth: Path | None = None,
    folder: Path = Path(),
) -> int:
    """Simulate `duration_s` of plant time into `out` (.csv or .jsonl); how many values that were.

    ConfigError if a file cannot be written or the ending is another. A CSV has the columns time_ms, area, machine and
    every signal of any machine; a signal that a machine does not have is empty.
    """
    if out.suffix not in _FORMATS:
        raise ConfigError(f"--record {out}: ends in neither .csv nor .jsonl; choose one of them")
    plant = new_plant(settings, load_traces(settings, folder))
    truth_path = truth or settings.truth
    names = list(dict.fromkeys(each.name for one in plant.machines.values() for each in one.blueprint.signals))
    try:
        with ExitStack() as stack:
            file = stack.enter_context(out.open("w", encoding="utf-8", newline=""))
            write = _csv(file, names) if out.suffix == ".csv" else _json_lines(file)
            note: Callable[[FaultEvent], None] = _forget
            if truth_path is not None:
                truth_file = TruthFile(
                    truth_path,
                    plant,
                    seed=settings.seed,
                    step_ms=settings.step_ms,
                    stamp_ms=lambda: unix_ms(plant.now_s),
                )
                note = stack.enter_context(truth_file).note
            return _write_all(
                simulate(plant, step_s=settings.step_s, duration_s=duration_s, every_s=every_s), write, note
            )
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror or error}; choose another file") from error


def _write_all(run: Iterator[Sample | FaultEvent], write: _Write, note: Callable[[FaultEvent], None]) -> int:
    count = 0
    for each in run:
        if isinstance(each, FaultEvent):
            note(each)
        else:
            write(each)
            count += len(each.values)
    return count


def _forget(event: FaultEvent) -> None:
    """Without a truth file."""


def _csv(file: IO[str], names: list[str]) -> _Write:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["time_ms", "area", "machine", *names])

    def write(sample: Sample) -> None:
        values = sample.values
        cells = [int(value) if isinstance(value := values.get(name, ""), bool) else value for name in names]
        writer.writerow([sample.at_ms, sample.area, sample.machine, *cells])

    return write


def _json_lines(file: IO[str]) -> _Write:
    def write(sample: Sample) -> None:
        line = {"ts": sample.at_ms, "area": sample.area, "machine": sample.machine, **sample.values}
        file.write(json.dumps(line, separators=(",", ":")) + "\n")

    return write
