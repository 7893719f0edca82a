"""Which rules are for which tag. Pure. Asked once per tag; the answer is kept by the monitor."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from fieldline.errors import BadName
from fieldline.model import DeviceId
from fieldline_cloud.agents.anomaly.rules import Range, Rate, Stale

__all__ = ["RuleBook", "RuleEntry", "RuleSet", "TagPattern", "check_pattern"]


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


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """One entry of the configuration."""

    pattern: TagPattern
    range: Range | None = None
    rate: Rate | None = None
    stale: Stale | None = None
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one tag: at most one of each kind."""

    range: Range | None = None
    rate: Rate | None = None
    stale: Stale | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to watch."""
        return self.range is None and self.rate is None and self.stale is None


class RuleBook:
    """All entries, in the order of the file. For each kind the first entry that fits the tag decides."""

    def __init__(self, entries: tuple[RuleEntry, ...]) -> None:
        self._entries = entries

    def rules_for(self, device: DeviceId, tag: str) -> RuleSet:
        """The rules of a tag."""
        fitting = [entry for entry in self._entries if entry.pattern.matches(device, tag)]
        found: dict[str, Range | Rate | Stale | None] = {}
        for entry in fitting:
            for kind in ("range", "rate", "stale"):
                rule = getattr(entry, kind)
                if rule is not None or kind in entry.without:
                    found.setdefault(kind, rule)
        return RuleSet(**found)  # type: ignore[arg-type]  # each kind holds its own class


def _level_matches(pattern: str, given: str) -> bool:
    return pattern == "+" or fnmatchcase(given, pattern)
