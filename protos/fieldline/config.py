"""YAML configuration with the line number of every mistake.

A file is one mapping whose first key is `kind:` (gateway, plant, hub, anomaly, maintenance). It is checked whole
before anything starts; every problem is reported as `file:line: key.path: what is wrong; what would be right`.
`${NAME}` and `${NAME:-default}` in a value are replaced from the environment, after parsing, so that a value can
never change the structure of the file. Unquoted, the result is read like any other word (`port: ${PORT}` is a number,
`${NAME:-}` is empty); in quotes it stays text.

Refused before they can cost anything: files over 1 MiB, aliases (`*name`: billion laughs), tags (`!!python/...`), more
than 40 levels; then duplicate and unknown keys. Three things YAML 1.1 would do behind a reader's back are not done:
`14:30` and `2026-01-01` are text and no numbers or dates, and `0100` is refused, because it would be 64.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pydantic

from fieldline.errors import ConfigError

__all__ = ["FileSettings", "Settings", "kind_of", "load", "loads", "read", "sample"]

FILE_BYTES_MAX = 1 << 20


class Settings(pydantic.BaseModel):
    """Base of every settings class: frozen, unknown keys refused, defaults checked too.

    Its validators are built when first used: a gateway that is handed checked settings needs none of them. A default
    that is a settings object itself is written as `Field(default_factory=...)`, or it would be made at import.
    """

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, defer_build=True
    )


class FileSettings(Settings):
    """Base of what a whole file holds. `KIND` is what its first line must say after `kind:`."""

    KIND: ClassVar[str]
    kind: str


_S = TypeVar("_S", bound=FileSettings)


def read(path: Path | str) -> str:
    """The text of a configuration file; ConfigError if it cannot be read, is larger than 1 MiB or is no UTF-8."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: is larger than {FILE_BYTES_MAX} bytes; split it into several files")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error


def load(path: Path | str, model: type[_S], *, environment: Mapping[str, str] | None = None) -> _S:
    """Read and check one file; ConfigError names every problem, its line and its cure."""
    path = Path(path)
    return loads(read(path), model, name=str(path), environment=environment)


def loads(text: str, model: type[_S], *, name: str, environment: Mapping[str, str] | None = None) -> _S:
    """Check the text of a file called `name`. Raises ConfigError; never touches the network or the disk."""
    from fieldline._config_problems import capped, explain, shown_value
    from fieldline._config_yaml import Builder, compose

    root = compose(text, name)
    builder = Builder(name, os.environ if environment is None else environment)
    data = builder.build(root, ())
    if builder.problems:
        raise ConfigError(*capped(builder.problems, name))
    if "kind" not in data:
        raise ConfigError(f"{name}:1: kind: is missing; start the file with the line 'kind: {model.KIND}'")
    if data["kind"] != model.KIND:
        line, found = builder.lines[("kind",)], shown_value(data["kind"])
        raise ConfigError(f"{name}:{line}: kind: is {found}; this command needs a file with 'kind: {model.KIND}'")
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        raise ConfigError(*explain(error, name, builder.lines, model)) from None


def kind_of(path: Path | str, *, known: Collection[str] | None = None) -> str:
    """What the file says after `kind:`; ConfigError if it says nothing, or nothing that is `known`."""
    path = Path(path)
    from fieldline._config_yaml import first_kind

    found = first_kind(read(path), str(path))
    if found is None:
        raise ConfigError(f"{path}:1: kind: is missing; start the file with a line like 'kind: gateway'")
    kind, line = found
    if known is not None and kind not in known:
        cure = f"use one of {', '.join(sorted(known))}"
        raise ConfigError(f"{path}:{line}: kind: {kind!r} is not known; {cure}")
    return kind


def sample(model: type[Settings]) -> str:
    """A commented sample of a settings class: each field's sentence above it, optional ones commented out.

    It is a file that loads once the required keys have values; a line of it that is uncommented changes nothing.
    """
    from fieldline._config_yaml import dump_flow

    lines = []
    for key, field in model.model_fields.items():
        if field.description:
            lines.append(f"# {' '.join(field.description.split())}")
        if key == "kind" and issubclass(model, FileSettings):
            lines.append(f"kind: {model.KIND}")
        elif field.is_required():
            lines.append(f"{key}:")
        else:
            default = _plain(field.get_default(call_default_factory=True))
            lines.append(f"# {key}: {dump_flow(default)}")
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    return pydantic.TypeAdapter(Any).dump_python(value, mode="json")
