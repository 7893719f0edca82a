"""Learns the models of a configuration from the files it names. Takes seconds: not for the thread of the event loop."""

from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import Final

from fieldline.errors import ConfigError
from fieldline_cloud.agents.prognosis.machines import Fleet
from fieldline_cloud.agents.prognosis.settings import ModelSettings
from fieldline_cloud.prognosis.histories import History, parse_history
from fieldline_cloud.prognosis.learned import MACHINES_MIN, LifeModel, ModelError, check_installed

__all__ = ["learn", "read_histories"]

FILES_MAX: Final = 2_000
FILE_BYTES_MAX: Final = 32 << 20
VALUES_MAX: Final = 20_000_000
"""Numbers in all files of a type, 160 MB of them."""


def learn(models: Sequence[ModelSettings]) -> tuple[Fleet, ...]:
    """A fleet for each entry. ConfigError names the entry, the file, its line and the cure."""
    return tuple(_fleet(entry, f"models[{index}]") for index, entry in enumerate(models))


def read_histories(where: str) -> list[History]:
    """The histories in a folder (its *.csv) or of a file pattern, in the order of their names, with the same tags.

    ConfigError where there are none, too many or too much, or one cannot be read.
    """
    pattern = str(Path(where) / "*.csv") if Path(where).is_dir() else where
    paths = [Path(path) for path in sorted(glob(pattern, recursive=True)) if Path(path).is_file()]
    if not paths:
        raise ConfigError(
            f"{where}: no such file; name a folder with one CSV for each machine that failed, or a pattern like "
            "histories/pump-*.csv"
        )
    if len(paths) > FILES_MAX:
        raise ConfigError(f"{where}: {len(paths)} files, at most {FILES_MAX} are learned from; name fewer")
    found: list[History] = []
    for path in paths:
        found.append(parse_history(_text(path), str(path), found[0].tags if found else ()))
        if sum(history.values.size for history in found) > VALUES_MAX:
            raise ConfigError(
                f"{where}: more than {VALUES_MAX} numbers up to {path}; name fewer files, or longer steps"
            )
    return found


def _fleet(entry: ModelSettings, key: str) -> Fleet:
    try:
        check_installed()
        histories = read_histories(entry.histories)
        if len(histories) < MACHINES_MIN:
            raise ModelError(
                f"{entry.histories}: {len(histories)} machines that failed, at least {MACHINES_MIN} are needed; add "
                "files, or follow single tags with a limit under tags"
            )
        model = LifeModel.fit([history.values for history in histories], cap=entry.cap_steps)
    except ConfigError as error:
        raise ConfigError(*(f"{key}.histories: {problem}" for problem in error.problems)) from error
    except ModelError as error:
        raise ConfigError(f"{key}.histories: {error}") from error
    return entry.build(histories[0].tags, model, len(histories))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: is larger than {FILE_BYTES_MAX >> 20} MiB; choose longer steps")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text; save it as CSV in UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check its rights") from error
