"""The YAML of a configuration file: plain values, the line of every key, and nothing dangerous.

Loaded only where a file is read: PyYAML and the nodes of a large file would stay in a process that runs for years.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from fieldline._config_problems import Path as KeyPath
from fieldline._config_problems import dotted
from fieldline.errors import ConfigError

__all__ = ["Builder", "compose", "dump_flow", "first_kind"]

DEPTH_MAX = 40
_NUMBER_CHARACTERS_MAX = 64

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_NOT_TEXT = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OCTAL = re.compile(r"[-+]?0[0-9_]+\Z")
_YAML = "tag:yaml.org,2002:"
_TYPED = {f"{_YAML}{name}": _Loader.yaml_constructors[f"{_YAML}{name}"] for name in ("null", "bool", "int", "float")}
_NUMBERS = (f"{_YAML}int", f"{_YAML}float")


def first_kind(text: str, name: str) -> tuple[str, int] | None:
    """What the file says after `kind:`, and on which line; None if it says nothing."""
    for key, value in compose(text, name).value:
        if key.value == "kind" and isinstance(value, yaml.ScalarNode):
            return str(value.value), value.start_mark.line + 1
    return None


def dump_flow(value: Any) -> str:
    """A value on one line of YAML."""
    return str(yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)).splitlines()[0]


def compose(text: str, name: str) -> yaml.MappingNode:
    """The root of a file called `name`; ConfigError if it is no plain mapping."""
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


class Builder:
    """Turns nodes into plain values and remembers the line of every path."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.problems: list[str] = []
        self.lines: dict[KeyPath, int] = {}
        self._environment = environment
        self._resolver: Any = _Loader("")  # for its rules of what a plain word means; reads nothing

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        """The plain value of a node; what is wrong goes to `problems`."""
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
