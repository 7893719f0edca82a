"""A device that names a profile becomes a device with tags. Pure: a mapping and a profile in, a mapping out."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fieldline_edge.drivers.modbus.settings import ModbusTagSettings
    from fieldline_edge.profiles.settings import ProfileSettings

__all__ = ["ALL_TAGS", "ProfileMisused", "expand"]

ALL_TAGS = "all"
_DEVICE_KEYS = ("registers_per_request_max", "gap_registers_max")


class ProfileMisused(ValueError):
    """A device asks its profile for something it does not have. `place` is where, from the device on."""

    def __init__(self, message: str, place: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.place = place


def expand(device: Mapping[str, Any], profile: "ProfileSettings") -> dict[str, Any]:
    """The device's own keys, and the profile's limits and tags where it says nothing of its own.

    `tags` of the device chooses: left out it is all of the profile's; in the list a text is the tag of that
    name, `all` is every tag that the list does not name itself, a mapping with the name of one is that tag
    with the mapping's keys instead of its own, and any other mapping is a tag the profile does not have.
    A tag that the device leaves as it is comes as the profile's own checked object, not as a copy: a thousand
    devices then share one set of tags. Raises ProfileMisused.
    """
    built = {key: getattr(profile, key) for key in _DEVICE_KEYS if key in profile.model_fields_set}
    built.update(device)
    built["tags"] = _tags(device.get("tags", [ALL_TAGS]), profile)
    return built


def _tags(wanted: Any, profile: "ProfileSettings") -> Any:
    if not isinstance(wanted, Sequence) or isinstance(wanted, str):
        return wanted  # no list: what is wrong with it is said where every list is checked
    if list(wanted) == [ALL_TAGS]:
        return profile.tags
    known = {tag.name: tag for tag in profile.tags}
    named = {name for item in wanted if (name := _name(item)) is not None}
    tags: list[Any] = []
    for position, item in enumerate(wanted):
        name = item.get("name") if isinstance(item, Mapping) else item
        if item == ALL_TAGS:
            tags += [tag for tag in profile.tags if tag.name not in named]
        elif not isinstance(name, str) or (isinstance(item, Mapping) and name not in known and _is_whole(item)):
            tags.append(item)
        elif isinstance(item, Mapping):
            tag = _known(name, known, profile, position)
            tags.append({**tag.model_dump(mode="json", exclude_unset=True), **item})
        else:
            tags.append(_known(name, known, profile, position))
    return tags


def _is_whole(item: Mapping[str, Any]) -> bool:
    """Whether a tag can stand without a profile; otherwise its name was meant to be one of the profile's."""
    return "address" in item or "type" in item


def _name(item: Any) -> str | None:
    name = item.get("name") if isinstance(item, Mapping) else item
    return name if isinstance(name, str) and name != ALL_TAGS else None


def _known(
    name: str, known: Mapping[str, "ModbusTagSettings"], profile: "ProfileSettings", position: int
) -> "ModbusTagSettings":
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=3)
    cure = f"did you mean {' or '.join(map(repr, near))}?" if near else "`fieldline-edge profiles NAME` shows its tags"
    raise ProfileMisused(f"{name!r} is no tag of profile {profile.name!r}; {cure}", ("tags", position))
