"""A device that names a profile becomes a device with tags. Pure: mappings in, a mapping out."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

__all__ = ["ALL_TAGS", "ProfileMisused", "expand"]

ALL_TAGS = "all"
_DEVICE_KEYS = ("registers_per_request_max", "gap_registers_max")


class ProfileMisused(ValueError):
    """A device asks its profile for something it does not have. `place` is where, from the device on."""

    def __init__(self, message: str, place: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.place = place


def expand(device: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    """The device's own keys, and the profile's limits and tags where it says nothing of its own.

    `tags` of the device chooses: left out it is all of the profile's; in the list a text is the tag of that
    name, `all` is every tag that the list does not name itself, a mapping with the name of one is that tag
    with the mapping's keys instead of its own, and any other mapping is a tag the profile does not have.
    Raises ProfileMisused.
    """
    built = {key: profile[key] for key in _DEVICE_KEYS if key in profile}
    built.update(device)
    built["tags"] = _tags(device.get("tags", [ALL_TAGS]), profile)
    return built


def _tags(wanted: Any, profile: Mapping[str, Any]) -> Any:
    if not isinstance(wanted, Sequence) or isinstance(wanted, str):
        return wanted  # no list: what is wrong with it is said where every list is checked
    known: dict[str, Mapping[str, Any]] = {tag["name"]: tag for tag in profile["tags"]}
    named = {name for item in wanted if (name := _name(item)) is not None}
    tags: list[Any] = []
    for position, item in enumerate(wanted):
        if item == ALL_TAGS:
            tags += [dict(tag) for name, tag in known.items() if name not in named]
        elif isinstance(item, str):
            tags.append(dict(_known(item, known, profile, position)))
        elif isinstance(item, Mapping) and item.get("name") in known:
            tags.append({**known[item["name"]], **item})
        elif isinstance(item, Mapping) and isinstance(item.get("name"), str) and not _is_whole(item):
            _known(item["name"], known, profile, position)
        else:
            tags.append(item)
    return tags


def _is_whole(item: Mapping[str, Any]) -> bool:
    """Whether a tag can stand without a profile; otherwise its name was meant to be one of the profile's."""
    return "address" in item or "type" in item


def _name(item: Any) -> str | None:
    name = item.get("name") if isinstance(item, Mapping) else item
    return name if isinstance(name, str) and name != ALL_TAGS else None


def _known(
    name: str, known: Mapping[str, Mapping[str, Any]], profile: Mapping[str, Any], position: int
) -> Mapping[str, Any]:
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=3)
    cure = f"did you mean {' or '.join(map(repr, near))}?" if near else "`fieldline-edge profiles NAME` shows its tags"
    raise ProfileMisused(f"{name!r} is no tag of profile {profile['name']!r}; {cure}", ("tags", position))
