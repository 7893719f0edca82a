"""Recorded traces on disk, and the plant that plays them: reads each file once, also where many machines play it."""

import gzip
import io
import zlib
from collections.abc import Mapping
from pathlib import Path

from fieldline.errors import ConfigError
from fieldline_edge.drivers.simulator.machine_settings import ReplaySettings
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.drivers.simulator.trace import Trace, parse_trace

__all__ = ["load_traces", "new_plant"]


def load_traces(settings: PlantSettings, folder: Path) -> dict[str, Trace]:
    """The trace of every replay machine, by name; ConfigError with file and cure if one cannot be read.

    A file that is not given in full is looked for from `folder` on, which is that of the plant file.
    """
    found: dict[str, Trace] = {}
    known: dict[str, Trace] = {}
    for machine in settings.placed():
        if machine.replay is not None:
            key = machine.replay.model_dump_json()
            if key not in known:
                known[key] = _load(machine.name, machine.replay, folder / machine.replay.file)
            found[machine.name] = known[key]
    return found


def new_plant(settings: PlantSettings, traces: Mapping[str, Trace], *, start_s: float | None = None) -> Plant:
    """The plant of `settings`; ConfigError if a fault or a register names a signal that a trace does not have."""
    try:
        return Plant(settings, start_s=start_s, traces=traces)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _load(name: str, replay: ReplaySettings, path: Path) -> Trace:
    place = f"replay of {name}: {path}"
    try:
        with _open(path) as file:
            return parse_trace(
                file,
                time_column=replay.time_column,
                columns=replay.columns,
                only=replay.only,
                delimiter=replay.delimiter,
                time_format=replay.time_format,
                sort=replay.sort,
            )
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{place}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{place}: is not UTF-8 text; export the recording as CSV") from error
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from error


def _open(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
