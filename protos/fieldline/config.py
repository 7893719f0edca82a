"""YAML configuration with the line number of every mistake.

A file is one mapping whose first key is `kind:` (gateway, plant, hub, anomaly, maintenance). It is checked whole
before anything starts; every problem is reported as `file:line: key.path: what is wrong; what would be right`.
`${NAME}` and `${NAME:-default}` in a value are replaced from the environment, after parsing, so that a value can
never change the structure of the file.

Refused before they can cost anything: files over 1 MiB, aliases (`*name`: billion laughs), more than 40 levels,
duplicate keys, unknown keys (docs: reliability checklist 15).
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pydantic
import yaml

from fieldline.errors import ConfigError

__all__ = ["Settings", "kind_of", "load", "loads", "sample"]

FILE_BYTES_MAX = 1 << 20
DEPTH_MAX = 40
_PROBLEMS_SHOWN_MAX = 20

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_Path = tuple[str | int, ...]


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
        raise ConfigError(*builder.problems)
    found = data.get("kind")
    if found != model.KIND:
        raise ConfigError(f"{name}:1: kind: is {found!r}; this command needs a file with 'kind: {model.KIND}'")
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        raise ConfigError(*_explain(error, name, builder.lines, model)) from None


def kind_of(path: Path | str) -> str:
    """What the file says after `kind:`; ConfigError if it says nothing."""
    path = Path(path)
    root = _compose(_read(path), str(path))
    for key, value in root.value:
        if key.value == "kind" and isinstance(value, yaml.ScalarNode):
            return str(value.value)
    raise ConfigError(f"{path}:1: kind: is missing; start the file with a line like 'kind: gateway'")


def sample(model: type[Settings]) -> str:
    """A commented sample of a settings class: each field's sentence above it, optional ones commented out."""
    lines = []
    for key, field in model.model_fields.items():
        if field.description:
            lines.append(f"# {' '.join(field.description.split())}")
        if field.is_required():
            lines.append(f"{key}:")
        else:
            default = yaml.safe_dump(_plain(field.get_default(call_default_factory=True)), default_flow_style=True)
            lines.append(f"# {key}: {default.splitlines()[0]}")
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
        raise ConfigError(f"{path}: is larger than {FILE_BYTES_MAX} bytes; split it into several gateways")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error


def _compose(text: str, name: str) -> yaml.MappingNode:
    _refuse_depth_and_aliases(text, name)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _syntax_error(error, name) from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{name}:1: must be a mapping; start the file with a line like 'kind: gateway'")
    return root


def _refuse_depth_and_aliases(text: str, name: str) -> None:
    """Walk the event stream, which costs no recursion, before anything is built."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                raise ConfigError(f"{name}:{line}: aliases (*{event.anchor}) are not allowed; write the value out")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEPTH_MAX:
                    raise ConfigError(f"{name}:{line}: is nested deeper than {DEPTH_MAX} levels; flatten it")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError as error:
        raise _syntax_error(error, name) from error


def _syntax_error(error: yaml.YAMLError, name: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    place = f"{name}:{mark.line + 1}" if mark else name
    problem = getattr(error, "problem", None) or str(error)
    return ConfigError(f"{place}: is not valid YAML: {problem}; check indentation, quotes and brackets there")


class _Builder:
    """Turns nodes into plain values and remembers the line of every path."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.problems: list[str] = []
        self.lines: dict[_Path, int] = {}
        self._environment = environment
        self._resolver: Any = _Loader("")  # for its rules of what a plain word means; reads nothing

    def build(self, node: yaml.Node, path: _Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*path, index)) for index, child in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: _Path) -> dict[Any, Any]:
        built: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                self.problems.append(f"{self.name}:{line}: {_dotted(path)}: keys must be plain words")
                continue
            key = key_node.value
            here = (*path, key)
            if key in built:
                first = self.lines[here]
                self.problems.append(f"{self.name}:{line}: {_dotted(here)}: is already set on line {first}; keep one")
                continue
            self.lines[here] = line
            built[key] = self.build(value_node, here)
        return built

    def _scalar(self, node: yaml.ScalarNode, path: _Path) -> Any:
        text, tag = node.value, node.tag
        if "${" in text:
            text = _VARIABLE.sub(lambda found: self._variable(found, node, path), text)
            if node.style is None:  # an unquoted value keeps its type: port: ${PORT:-502} is a number
                tag = self._resolver.resolve(yaml.ScalarNode, text, (True, False))
        try:
            return self._resolver.construct_object(yaml.ScalarNode(tag, text, node.start_mark))
        except (yaml.YAMLError, ValueError) as error:
            line = node.start_mark.line + 1
            self.problems.append(f"{self.name}:{line}: {_dotted(path)}: {text!r} cannot be read ({error}); quote it")
            return None

    def _variable(self, found: re.Match[str], node: yaml.Node, path: _Path) -> str:
        name, default = found.group(1), found.group(2)
        value = self._environment.get(name, default)
        if value is None:
            line = node.start_mark.line + 1
            self.problems.append(
                f"{self.name}:{line}: {_dotted(path)}: the environment variable {name} is not set; "
                f"set it, or write ${{{name}:-default}}"
            )
            return ""
        return value


def _explain(
    error: pydantic.ValidationError, name: str, lines: Mapping[_Path, int], model: type[pydantic.BaseModel]
) -> list[str]:
    problems = []
    for item in error.errors(include_url=False):
        path, line = _place(item["loc"], lines)
        problems.append(f"{name}:{line}: {_dotted(path)}: {_sentence(item, model)}")
    shown = problems[:_PROBLEMS_SHOWN_MAX]
    if len(problems) > len(shown):
        shown.append(f"{name}: and {len(problems) - len(shown)} more problems; mend these first")
    return shown


def _place(location: tuple[str | int, ...], lines: Mapping[_Path, int]) -> tuple[_Path, int]:
    """The key's path without pydantic's union tags, and the line of the nearest part that is in the file."""
    path: _Path = ()
    line = lines.get((), 1)
    for position, part in enumerate(location):
        if (*path, part) in lines:
            path = (*path, part)
            line = lines[path]
        elif position == len(location) - 1 and isinstance(part, str) and not part.startswith("function-"):
            path = (*path, part)
    return path, line


def _sentence(item: Any, model: type[pydantic.BaseModel]) -> str:
    kind, given, message = item["type"], item.get("input"), item["msg"]
    if kind == "missing":
        return "is missing; add it"
    if kind == "extra_forbidden":
        key = str(item["loc"][-1])
        known = sorted(_keys_at(model, item["loc"][:-1]))
        near = get_close_matches(key, known, n=1)
        cure = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        return f"is not a known key; {cure}" if known else "is not a known key; remove it"
    if kind == "value_error":
        return str(message.removeprefix("Value error, "))
    text = message[0].lower() + message[1:]
    shown = f"{given!r}" if isinstance(given, str | int | float | bool) or given is None else type(given).__name__
    return f"{shown[:80]}: {text}"


def _keys_at(model: type[pydantic.BaseModel], location: tuple[str | int, ...]) -> set[str]:
    """Names allowed at a place, following the model's annotations; unions are followed by all their members."""
    candidates: list[Any] = [model]
    for part in location:
        following: list[Any] = []
        for candidate in candidates:
            if isinstance(part, int):
                following.append(candidate)
                continue
            field = candidate.model_fields.get(part)
            following.extend(_models_in(field.annotation) if field else [candidate])
        candidates = following
    keys: set[str] = set()
    for candidate in candidates:
        keys.update(candidate.model_fields)
    return keys


def _models_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    found: list[type[pydantic.BaseModel]] = []
    for argument in getattr(annotation, "__args__", ()):
        found.extend(_models_in(argument))
    return found


def _dotted(path: _Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "(file)"
