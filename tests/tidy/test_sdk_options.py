"""The SDK page names every option with its default, and no option that is not there."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import fieldline
from tests.tidy.tree import ROOT, text_of

PAGE = ROOT / "docs" / "reference" / "sdk.md"
# In the signatures, but not options: what the call is about.
_SUBJECTS = {"self", "filters", "handler", "topic", "content"}
# Given as the name the reader writes, not as the value's repr.
_NAMED = {"start": "Start.LIVE", "redelivery": "NO_REDELIVERY"}


def options_of(function: Callable[..., Any]) -> dict[str, str]:
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name in _SUBJECTS:
            continue
        default = parameter.default
        shown = "none, must be given" if default is inspect.Parameter.empty else _shown(name, default)
        found[name] = shown
    return found


def _shown(name: str, default: object) -> str:
    if isinstance(default, str):
        return f'`"{default}"`'
    return f"`{_NAMED.get(name, repr(default))}`"


def fields_of(kind: Any) -> dict[str, str]:
    return {one.name: _shown(one.name, one.default) for one in fields(kind) if one.default is not MISSING}


def test_the_page_has_every_option_with_its_default() -> None:
    listed: dict[tuple[str, str], str] = {}
    section = text_of(PAGE).partition("## Every option")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        names, owners, _, defaults, _ = (cell.strip() for cell in line.strip("|").split("|"))
        for name, default in zip(names.split(", "), _split(defaults), strict=True):
            for owner in owners.split(", "):
                listed[owner.strip("`"), name.strip("`")] = default
    there = {
        "Runtime": options_of(fieldline.Runtime.__init__),
        "RuntimePool": options_of(fieldline.RuntimePool.__init__),
        "Coalescing": fields_of(fieldline.Coalescing),
        "Redelivery": fields_of(fieldline.Redelivery),
        "subscribe": options_of(fieldline.Runtime.subscribe),
        "publish": options_of(fieldline.Runtime.publish),
    }
    expected = {(owner, name): default for owner, options in there.items() for name, default in options.items()}
    expected.pop(("RuntimePool", "address"))  # said in the words of the Runtime's row
    assert listed == expected


def _split(defaults: str) -> list[str]:
    return defaults.split(", ") if defaults.startswith("`") else [defaults]
