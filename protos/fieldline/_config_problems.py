"""What is wrong with a configuration file, in sentences: pydantic's findings with line, key and cure. Pure."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import pydantic

__all__ = ["Path", "capped", "dotted", "explain", "shown_value"]

_PROBLEMS_SHOWN_MAX = 20

Path = tuple[str | int, ...]
"""Where in a file: keys and list positions from the top."""


def explain(
    error: pydantic.ValidationError, name: str, lines: Mapping[Path, int], model: type[pydantic.BaseModel]
) -> list[str]:
    """Every problem pydantic found as `name:line: key.path: sentence`, in the order of the file."""
    items = error.errors(include_url=False)
    above = {item["loc"][:length] for item in items for length in range(len(item["loc"]))}
    problems = []
    for item in items:
        if item["type"] == "too_short" and item["loc"] in above:
            continue  # the list is short only because its items are wrong, which is said already
        path, line = _place(item, lines)
        problems.append((line, f"{name}:{line}: {dotted(path)}: {_sentence(item, model)}"))
    return capped([problem for _, problem in sorted(problems, key=lambda each: each[0])], name)


def capped(problems: list[str], name: str) -> list[str]:
    """The first problems, and how many there are beyond."""
    shown = problems[:_PROBLEMS_SHOWN_MAX]
    if len(problems) > len(shown):
        shown.append(f"{name}: and {len(problems) - len(shown)} more problems; mend these first")
    return shown


def _place(item: Any, lines: Mapping[Path, int]) -> tuple[Path, int]:
    """The key's path without pydantic's union tags, and the line of the nearest part that is in the file."""
    path: Path = ()
    for part in item["loc"]:
        if (*path, part) in lines:
            path = (*path, part)
    line = lines.get(path, 1)
    if item["type"] == "missing":
        path = (*path, item["loc"][-1])
    elif item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path = (*path, item["ctx"]["discriminator"].strip("'"))
        line = lines.get(path, line)
    return path, line


_EXPECTED = {
    "tuple_type": "must be a list, one '- ' line for each item",
    "list_type": "must be a list, one '- ' line for each item",
    "dict_type": "must be a mapping, one 'key: value' line for each key",
    "model_type": "must be a mapping, one 'key: value' line for each key",
    "model_attributes_type": "must be a mapping, one 'key: value' line for each key",
    "string_type": "must be text; write it in quotes",
    "path_type": "must be text; write it in quotes",
}


def _sentence(item: Any, model: type[pydantic.BaseModel]) -> str:
    kind, given, message = item["type"], item.get("input"), item["msg"].replace("\n", " ")
    if kind in ("missing", "union_tag_not_found"):
        return "is missing; add it"
    if kind == "extra_forbidden":
        return _unknown_key(str(item["loc"][-1]), sorted(_keys_at(model, item["loc"][:-1])))
    if kind == "union_tag_invalid":
        return f"{item['ctx']['tag']!r}: must be one of {item['ctx']['expected_tags']}"
    if kind == "value_error":
        return str(message.removeprefix("Value error, "))
    if given is None and kind in _EXPECTED:
        return f"is empty; {_EXPECTED[kind].partition(';')[0]}"
    shown = "(secret)" if _is_secret(model, item["loc"]) else shown_value(given)
    return f"{shown}: {_EXPECTED.get(kind) or message[0].lower() + message[1:]}"


def _unknown_key(key: str, known: list[str]) -> str:
    near = get_close_matches(key, known, n=1)
    if near:
        return f"is not a known key; did you mean '{near[0]}'?"
    return f"is not a known key; known keys: {', '.join(known)}" if known else "is not a known key; remove it"


def shown_value(given: Any) -> str:
    """A value as the file has it, at most 80 characters."""
    if given is None:
        return "empty"
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, str | int | float):
        return repr(given)[:80]
    return "a list" if isinstance(given, list) else "a mapping"


def _keys_at(model: type[pydantic.BaseModel], location: tuple[str | int, ...]) -> set[str]:
    """Names allowed at a place of the file."""
    return {key for candidate in _models_at(model, location) for key in candidate.model_fields}


def _is_secret(model: type[pydantic.BaseModel], location: tuple[str | int, ...]) -> bool:
    """Whether a place of the file holds something that must not be printed."""
    fields = [candidate.model_fields.get(str(location[-1])) for candidate in _models_at(model, location[:-1])]
    return any(field is not None and "Secret" in str(field.annotation) for field in fields)


def _models_at(model: type[pydantic.BaseModel], location: tuple[str | int, ...]) -> list[type[pydantic.BaseModel]]:
    """The models that may describe a place, following annotations; of a union, the member its tag chose."""
    candidates = [model]
    for part in location:
        following: list[type[pydantic.BaseModel]] = []
        for candidate in candidates:
            field = candidate.model_fields.get(part) if isinstance(part, str) else None
            following.extend(_models_in(field.annotation) if field else [candidate])
        chosen = [candidate for candidate in following if isinstance(part, str) and _has_tag(candidate, part)]
        candidates = chosen or following
    return candidates


def _has_tag(model: type[pydantic.BaseModel], part: str) -> bool:
    return any(part in getattr(field.annotation, "__args__", ()) for field in model.model_fields.values())


def _models_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    found: list[type[pydantic.BaseModel]] = []
    for argument in getattr(annotation, "__args__", ()):
        found.extend(_models_in(argument))
    return found


def dotted(path: Path) -> str:
    """A path as people write it: devices[0].tags[3].address."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if part and part.isprintable() else repr(part)
            text += f".{word}" if text else word
    return text or "(file)"
