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
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pydantic
import yaml

from fieldline._config_problems import Path as KeyPath
from fieldline._config_problems import capped, dotted, explain, shown_value
from fieldline.errors import ConfigError

__all__ = ["FileSettings", "Settings", "kind_of", "load", "loads", "sample"]

FILE_BYTES_MAX = 1 << 20
DEPTH_MAX = 40
_NUMBER_CHARACTERS_MAX = 64

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_NOT_TEXT = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OCTAL = re.compile(r"[-+]?0[0-9_]+\Z")
_YAML = "tag:yaml.org,2002:"
_TYPED = {f"{_YAML}{name}": _Loader.yaml_constructors[f"{_YAML}{name}"] for name in ("null", "bool", "int", "float")}
_NUMBERS = (f"{_YAML}int", f"{_YAML}float")


class Settings(pydantic.BaseModel):
    """Base of every settings class: frozen, unknown keys refused, defaults checked too."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )


class FileSettings(Settings):
    """Base of what a whole file holds. `KIND` is what its first line must say after `kind:`."""

    KIND: ClassVar[str]
    kind: str


_S = TypeVar("_S", bound=FileSettings)


def load(path: Path | str, model: type[_S], *, environment: Mapping[str, str] | None = None) -> _S:
    """Read and check one file; ConfigError names every problem, its line and its cure."""
    path = Path(path)
    return loads(_read(path), model, name=str(path), environment=environment)


def loads(text: str, model: type[_S], *, name: str, environment: Mapping[str, str] | None = None) -> _S:
    """Check the text of a file called `name`. Raises ConfigError; never touches the network or the disk."""
    root = _compose(text, name)
    builder = _Builder(name, os.environ if environment is None else environment)
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
    root = _compose(_read(path), str(path))
    for key, value in root.value:
        if key.value == "kind" and isinstance(value, yaml.ScalarNode):
            if known is not None and value.value not in known:
                cure = f"use one of {', '.join(sorted(known))}"
                raise ConfigError(f"{path}:{value.start_mark.line + 1}: kind: {value.value!r} is not known; {cure}")
            return str(value.value)
    raise ConfigError(f"{path}:1: kind: is missing; start the file with a line like 'kind: gateway'")


def sample(model: type[Settings]) -> str:
    """A commented sample of a settings class: each field's sentence above it, optional ones commented out.

    It is a file that loads once the required keys have values; a line of it that is uncommented changes nothing.
    """
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
            text = yaml.safe_dump(default, default_flow_style=True, width=float("inf"), allow_unicode=True)
            lines.append(f"# {key}: {text.splitlines()[0]}")
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    return pydantic.TypeAdapter(Any).dump_python(value, mode="json")


def _read(path: Path) -> str:
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


def _compose(text: str, name: str) -> yaml.MappingNode:
    _refuse_what_is_dangerous(text, name)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, name) from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{name}:1: must be a mapping; start the file with a line like 'kind: gateway'")
    return root


def _refuse_what_is_dangerous(text: str, name: str) -> None:
    """Aliases, tags and deep nesting; walks the event stream, which costs no recursion, before anything is built."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                raise ConfigError(f"{name}:{line}: aliases (*{event.anchor}) are not allowed; write the value out")
            tag: str | None = getattr(event, "tag", None)
            if tag is not None:
                shown = tag.replace(_YAML, "!!")
                raise ConfigError(f"{name}:{line}: tags ({shown}) are not allowed; leave it out, write a plain value")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEPTH_MAX:
                    raise ConfigError(f"{name}:{line}: is nested deeper than {DEPTH_MAX} levels; flatten it")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, name) from error


def _syntax_error(error: yaml.YAMLError, text: str, name: str) -> ConfigError:
    if isinstance(error, yaml.reader.ReaderError):
        found = _NOT_TEXT.search(text)
        line = text.count("\n", 0, found.start()) + 1 if found else 1
        return ConfigError(f"{name}:{line}: contains a control character; save the file as plain text")
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    problem = getattr(error, "problem", None) or "it cannot be read"
    return ConfigError(f"{name}:{line}: is not valid YAML: {problem}; check indentation, quotes and brackets there")


class _Builder:
    """Turns nodes into plain values and remembers the line of every path."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.problems: list[str] = []
        self.lines: dict[KeyPath, int] = {}
        self._environment = environment
        self._resolver: Any = _Loader("")  # for its rules of what a plain word means; reads nothing

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, index)) for index, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[Any, Any]:
        built: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == f"{_YAML}merge":
                self._problem(key_node, path, "keys must be plain words; write it as 'key: value'")
                continue
            key = key_node.value
            here = (*path, key)
            if key in built:
                self._problem(key_node, here, f"is already set on line {self.lines[here]}; keep one")
                continue
            self.lines[here] = key_node.start_mark.line + 1
            built[key] = self.build(value_node, here)
        return built

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        text, tag = node.value, node.tag
        if "${" in text:
            if "${" in _VARIABLE.sub("", text):
                self._problem(node, path, f"{text[:80]!r} is cut short; write ${{NAME}} or ${{NAME:-default}}")
            text = _VARIABLE.sub(lambda found: self._variable(found, node, path), text)
            tag = self._resolver.resolve(yaml.ScalarNode, text, (True, False))
        # In quotes everything is text; so are plain dates, times of day, and whatever else YAML knows.
        if node.style or tag not in _TYPED or (tag in _NUMBERS and ":" in text):
            return text
        if tag in _NUMBERS and (len(text) > _NUMBER_CHARACTERS_MAX or _OCTAL.match(text)):
            self._problem(node, path, f"{text[:80]!r} is no plain number; leave out leading zeros, or quote a text")
            return None
        try:
            return _TYPED[tag](self._resolver, yaml.ScalarNode(tag, text))
        except ValueError:
            self._problem(node, path, f"{text!r} cannot be read as a number; correct it, or quote a text")
            return None

    def _variable(self, found: re.Match[str], node: yaml.Node, path: KeyPath) -> str:
        name: str = found.group(1)
        default: str | None = found.group(2)
        value = self._environment.get(name, default)
        if value is None:
            cure = f"set it, or write ${{{name}:-default}}"
            self._problem(node, path, f"the environment variable {name} is not set; {cure}")
            return ""
        return value

    def _problem(self, node: yaml.Node, path: KeyPath, sentence: str) -> None:
        self.problems.append(f"{self.name}:{node.start_mark.line + 1}: {dotted(path)}: {sentence}")
