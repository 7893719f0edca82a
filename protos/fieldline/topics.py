"""Topics and topic filters: `/` between levels, `+` for one level, `#` for the rest, as in MQTT.

Rules follow MQTT 3.1.1 section 4.7: a filter that starts with a wildcard does not match a topic that starts with
`$`, and `a/#` matches `a` as well as everything below it. Unlike MQTT, empty levels are refused, because they
are nearly always a mistake (`/readings`, `a//b`).
"""

import re
from functools import lru_cache

from fieldline.errors import BadName, BadTopic
from fieldline.limits import TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX

__all__ = ["INBOX", "check_filter", "check_name", "check_topic", "matches"]

INBOX = "$inbox/"
"""What topics for replies begin with; behind it the name of the client they are for."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")


def check_name(name: str, what: str = "name") -> str:
    """Return `name` if it is `[A-Za-z0-9_.-]{1,64}` and not dots alone; raise BadName otherwise.

    Names become file names and metric labels, so nothing that could leave a folder gets through.
    """
    if not _NAME.match(name) or set(name) == {"."}:
        raise BadName(f"{what} {name[:80]!r} must be 1 to 64 of the characters A-Z a-z 0-9 _ . -")
    return name


@lru_cache(maxsize=4096)
def check_topic(topic: str) -> str:
    """Return `topic` if a message may be published to it; raise BadTopic otherwise."""
    for level in _levels(topic, "topic"):
        if "+" in level or "#" in level:
            raise BadTopic(f"topic {topic!r}: '+' and '#' belong into filters; publish to one exact topic")
    return topic


@lru_cache(maxsize=4096)
def check_filter(topic_filter: str) -> str:
    """Return `topic_filter` if it can be subscribed to; raise BadTopic otherwise."""
    levels = _levels(topic_filter, "filter")
    for position, level in enumerate(levels):
        if "#" in level and (level != "#" or position != len(levels) - 1):
            raise BadTopic(f"filter {topic_filter!r}: '#' must be the whole last level, as in 'readings/#'")
        if "+" in level and level != "+":
            raise BadTopic(f"filter {topic_filter!r}: '+' must be a whole level, as in 'readings/+/press'")
    return topic_filter


def matches(topic_filter: str, topic: str) -> bool:
    """Whether `topic` is among what `topic_filter` asks for. Both must have been checked."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    if given[0].startswith("$") and wanted[0] in ("+", "#"):
        return False
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position >= len(given) or level not in ("+", given[position]):
            return False
    return len(wanted) == len(given)


def _levels(text: str, what: str) -> list[str]:
    if not text:
        raise BadTopic(f"{what} is empty; give one like 'readings/site/area/device'")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise BadTopic(f"{what} {text!r} is not valid Unicode") from error
    if size > TOPIC_BYTES_MAX:
        raise BadTopic(f"{what} {text[:40]!r}... has {size} bytes; at most {TOPIC_BYTES_MAX} are allowed")
    if _FORBIDDEN.search(text):
        raise BadTopic(f"{what} {text!r} contains a control character")
    levels = text.split("/")
    if len(levels) > TOPIC_LEVELS_MAX:
        raise BadTopic(f"{what} {text!r} has {len(levels)} levels; at most {TOPIC_LEVELS_MAX} are allowed")
    if "" in levels:
        raise BadTopic(f"{what} {text!r} has an empty level; remove the extra '/'")
    return levels
