"""`fieldline-edge profiles`: which devices are known by name, and what they offer."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fieldline_edge.profiles import ProfileSettings

__all__ = ["profiles"]


def profiles(
    name: Annotated[
        str | None, typer.Argument(help="A profile to show, or the path of one's own.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the device profiles that come with the gateway, or show one with its tags.

    Example: `fieldline-edge profiles eastron-sdm630`

    Exit codes: 0 done, 2 there is no such profile, or the file is wrong.
    """
    from fieldline_edge.profiles import load_profile, profile_names

    if name is not None:
        profile = load_profile(name)
        print(json.dumps(profile.model_dump(mode="json", exclude_unset=True)) if as_json else "\n".join(shown(profile)))
        return
    known = [load_profile(each) for each in profile_names()]
    if as_json:
        rows = [{"name": each.name, "title": each.title, "what": each.what, "tags": len(each.tags)} for each in known]
        print(json.dumps(rows))
        return
    for each in known:
        print(f"{each.name:24} {each.title}, {each.what} ({len(each.tags)} tags)")


def shown(profile: "ProfileSettings") -> list[str]:
    """Lines that show a profile to a person."""
    lines = [", ".join(filter(None, (profile.title or profile.name, profile.what)))]
    if profile.manual is not None:
        lines += [f"from: {profile.manual.title} ({profile.manual.revision})", f"      {profile.manual.url}"]
    lines += [f"checked: {_CHECKED[profile.checked.value]}"] if profile.checked is not None else []
    lines += [f"note: {profile.notes}"] if profile.notes else []
    computed = [f"{made.name:26} = {made.expression}  {made.unit}".rstrip() for made in profile.derived]
    return [*lines, "", *(_tag_line(tag) for tag in profile.tags), *computed]


_CHECKED = {
    "manual": "against the maker's documents, not tried on the device",
    "map": "against another project's map, at least in part; not tried on the device",
    "hardware": "tried on the device",
}


def _tag_line(tag: Any) -> str:
    order = f" {tag.order.value}" if tag.order is not None else ""
    bit = f" bit {tag.bit}" if tag.bit is not None else ""
    scale = f" x {tag.scale:g}" if tag.scale != 1 else ""
    return f"{tag.name:26} {tag.kind.value:8} {tag.address:5} {tag.type.value}{bit}{order}{scale} {tag.unit}".rstrip()
