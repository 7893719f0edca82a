"""Which tags an entry of a configuration is for: patterns of devices and tags, and their settings. Pure."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from pydantic import field_validator

from fieldline.config import Settings
from fieldline.errors import BadName
from fieldline.model import DeviceId

__all__ = ["MatchSettings", "TagPattern", "check_pattern"]


def check_pattern(device: str) -> str:
    """Return a device pattern if it has the three levels site/area/device; raise BadName otherwise."""
    levels = device.split("/")
    if len(levels) != 3 or "" in levels:
        raise BadName(f"device pattern {device[:80]!r} must be site/area/device, such as '+/+/pump-*'")
    return device


@dataclass(frozen=True, slots=True)
class TagPattern:
    """A device pattern of three levels and a tag pattern; each is `+` or a shell pattern (`*`, `?`, `[ab]`).

    Upper and lower case differ, and `*` does not reach beyond its level.
    """

    device: str
    tag: str

    def matches(self, device: DeviceId, tag: str) -> bool:
        """Whether the tag of the device is meant."""
        given = (device.site, device.area, device.device)
        return _level_matches(self.tag, tag) and all(map(_level_matches, self.device.split("/"), given))


class MatchSettings(Settings):
    """Which tags an entry is for."""

    device: str = "+/+/+"
    """Site, area and device, each a pattern: `+` or `*` for any, `pump-*` for how it begins."""
    tag: str = "*"
    """Name of the tag, with the same patterns."""

    @field_validator("device")
    @classmethod
    def _three_levels(cls, device: str) -> str:
        return check_pattern(device)

    def pattern(self) -> TagPattern:
        """The pattern these settings describe."""
        return TagPattern(self.device, self.tag)


def _level_matches(pattern: str, given: str) -> bool:
    return pattern == "+" or fnmatchcase(given, pattern)
