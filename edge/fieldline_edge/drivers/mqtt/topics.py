"""Topic patterns like `plant/{area}/{device}/{tag}`: the filter to subscribe to, and names out of topics. Pure."""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Places", "TopicPattern", "clean_name"]

_FILTER_BYTES_MAX = 1024
_PLACES = ("site", "area", "device", "tag")
_NAME_CHARACTERS_MAX = 64
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Places:
    """What a topic says about whose message it is, as written there; None where the pattern has no such level."""

    site: str | None = None
    area: str | None = None
    device: str | None = None
    tag: str | None = None


def clean_name(level: str) -> str:
    """A topic level as a name of ours: other characters than `A-Z a-z 0-9 _ . -` become `_`.

    Of a longer one than 64 characters the first 55 are kept, and 8 hexadecimal digits that stand for the whole. Empty
    if nothing is left that could be a name (an empty level, or dots alone).
    """
    name = _NOT_IN_NAMES.sub("_", level)
    if len(name) > _NAME_CHARACTERS_MAX:
        name = f"{name[:55]}_{hashlib.blake2b(level.encode(errors='replace'), digest_size=4).hexdigest()}"
    return "" if set(name) <= {"."} else name


@dataclass(frozen=True)
class TopicPattern:
    """An MQTT topic filter in which whole levels may be `{site}`, `{area}`, `{device}` or `{tag}`.

    With `$share/<group>/` in front it is a shared subscription (MQTT 5, section 4.8.2): the clients of a group take
    turns. Many brokers serve that under 3.1.1 as well.
    """

    text: str

    def check(self) -> None:
        """Raise ValueError with the cure if this is no pattern.

        MQTT 3.1.1, section 4.7. Empty levels are allowed: other people's topics have them.
        """
        value = self.text
        if not 0 < len(value.encode(errors="replace")) <= _FILTER_BYTES_MAX or not value.isprintable():
            raise ValueError(f"{value[:80]!r} must be 1 to {_FILTER_BYTES_MAX} bytes without control characters")
        if value.split("/")[0] == "$share" and (len(value.split("/")) < 3 or not self._group_is_right):
            raise ValueError(f"{value!r}: write a shared subscription like '$share/gateways/plant/#'")
        levels = self._levels
        if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
            raise ValueError(f"{value!r}: '#' must be the whole last level, as in 'plant/hall-b/#'")
        if any("+" in level and level != "+" for level in levels):
            raise ValueError(f"{value!r}: '+' must be a whole level, as in 'plant/+/env-1'")
        for level in levels:
            if ("{" in level or "}" in level) and level not in self._marks:
                raise ValueError(f"{value!r}: {level!r} must be a whole level and one of {', '.join(self._marks)}")
        if any(levels.count(mark) > 1 for mark in self._marks):
            raise ValueError(f"{value!r}: each of {', '.join(self._marks)} may stand once")

    @property
    def _marks(self) -> list[str]:
        return [f"{{{place}}}" for place in _PLACES]

    @property
    def _group_is_right(self) -> bool:
        group = self.text.split("/")[1]
        return bool(group) and not set(group) & set("+#{}")

    @cached_property
    def _levels(self) -> list[str]:
        levels = self.text.split("/")
        return levels[2:] if levels[0] == "$share" else levels

    @cached_property
    def places(self) -> dict[str, int]:
        """Which level holds which name."""
        return {level[1:-1]: at for at, level in enumerate(self._levels) if level in self._marks}

    @cached_property
    def subscription(self) -> str:
        """What to ask the broker for."""
        share = self.text.split("/")[:2] if self.text.startswith("$share/") else []
        return "/".join([*share, *self._plain])

    @cached_property
    def _plain(self) -> list[str]:
        return ["+" if level in self._marks else level for level in self._levels]

    @cached_property
    def is_exact(self) -> bool:
        """Whether one topic alone fits."""
        return not set(self._plain) & {"+", "#"}

    @property
    def exact_topic(self) -> str:
        """The one topic, where `is_exact`."""
        return "/".join(self._plain)

    def match(self, topic: str) -> Places | None:
        """The names in `topic`; None if the pattern does not ask for it (wildcards do not match a leading `$`)."""
        given, wanted = topic.split("/"), self._plain
        if given[0].startswith("$") and wanted[0] in ("+", "#"):
            return None
        for at, level in enumerate(wanted):
            if level == "#":
                break
            if at >= len(given) or (level != "+" and level != given[at]):
                return None
        else:
            if len(given) != len(wanted):
                return None
        return Places(**{place: given[at] for place, at in self.places.items()})
