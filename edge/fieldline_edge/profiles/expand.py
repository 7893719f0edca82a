"""A device that names a profile becomes a device with tags. Pure: a mapping and a profile in, a mapping out."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fieldline_edge.drivers.modbus.settings import ModbusTagSettings
    from fieldline_edge.processing.settings import DerivedSettings
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
    Derived tags are chosen by the same list: `all` brings every one, a name that one, with the tags it needs; a
    mapping in the device's `derived` with the name of one changes it.
    A tag that the device leaves as it is comes as the profile's own checked object, not as a copy: a thousand
    devices then share one set of tags. Raises ProfileMisused.
    """
    built = {key: getattr(profile, key) for key in _DEVICE_KEYS if key in profile.model_fields_set}
    built.update(device)
    wanted = device.get("tags", [ALL_TAGS])
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):  # if not, that is said where lists are checked
        built["tags"] = _tags(wanted, profile)
        if profile.derived:
            built["derived"] = _derived(device.get("derived", ()), wanted, profile)
    return built


def _tags(wanted: Sequence[Any], profile: "ProfileSettings") -> Any:
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
        elif name not in known and (inputs := _inputs(name, profile)):
            new = [] if ALL_TAGS in wanted else [each for each in inputs if each not in named]
            tags += [known[each] for each in new]
            named.update(new)
        else:
            tags.append(_known(name, known, profile, position))
    return tags


def _derived(own: Any, wanted: Sequence[Any], profile: "ProfileSettings") -> Any:
    if not isinstance(own, Sequence) or isinstance(own, str):
        return own  # as above
    known = {made.name: made for made in profile.derived}
    changed = {name for item in own if isinstance(item, Mapping) and (name := _name(item)) in known}
    chosen = known if ALL_TAGS in wanted else {item for item in wanted if isinstance(item, str)}
    taken = [made for name, made in known.items() if name in chosen and name not in changed]
    # The device's own first: what is wrong with one is then said at its place in the file.
    return [*(_merged(item, known) for item in own), *taken]


def _merged(item: Any, known: Mapping[str, "DerivedSettings"]) -> Any:
    made = known.get(_name(item) or "") if isinstance(item, Mapping) else None
    return {**made.model_dump(mode="json", exclude_unset=True), **item} if made is not None else item


def _inputs(name: str, profile: "ProfileSettings") -> list[str]:
    """The tags that are read for the derived tag of that name, directly or for another; none if there is no such."""
    needs = {made.name: made.parsed.tags for made in profile.derived}
    found = dict.fromkeys(needs.get(name, ()))
    waiting = list(found)
    while waiting:
        new = [each for each in needs.get(waiting.pop(), ()) if each not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return [each for each in found if each not in needs]


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
    if any(made.name == name for made in profile.derived):
        cure = "write its changes under 'derived', not under 'tags'"
        raise ProfileMisused(f"{name!r} is computed by profile {profile.name!r}; {cure}", ("tags", position))
    near = get_close_matches(name, known, n=3)
    cure = f"did you mean {' or '.join(map(repr, near))}?" if near else "`fieldline-edge profiles NAME` shows its tags"
    raise ProfileMisused(f"{name!r} is no tag of profile {profile.name!r}; {cure}", ("tags", position))
