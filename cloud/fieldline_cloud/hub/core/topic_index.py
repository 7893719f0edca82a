"""Which subscribers want a topic: a tree of filter levels with a bounded cache in front. Pure."""

from collections.abc import Iterable
from typing import Generic, TypeVar

__all__ = ["TopicIndex"]

_T = TypeVar("_T")
_CACHE_TOPICS_MAX = 10_000


class _Node(Generic[_T]):
    __slots__ = ("below", "here", "rest")

    def __init__(self) -> None:
        self.below: dict[str, _Node[_T]] = {}
        self.here: set[_T] = set()  # filters that end at this level
        self.rest: set[_T] = set()  # filters that end here with '#'


class TopicIndex(Generic[_T]):
    """Subscribers by topic filter. A subscriber with several filters that match is found once."""

    def __init__(self) -> None:
        self._root: _Node[_T] = _Node()
        self._cache: dict[str, tuple[_T, ...]] = {}

    def add(self, subscriber: _T, filters: Iterable[str]) -> None:
        """Let `subscriber` be found for every topic one of the (checked) filters matches."""
        for topic_filter in filters:
            node, rest = self._walk(topic_filter)
            (node.rest if rest else node.here).add(subscriber)
        self._cache.clear()

    def remove(self, subscriber: _T, filters: Iterable[str]) -> None:
        """Undo `add` with the same filters; branches nobody needs any more are cut off."""
        for topic_filter in filters:
            self._remove(self._root, topic_filter.split("/"), subscriber)
        self._cache.clear()

    def match(self, topic: str) -> tuple[_T, ...]:
        """The subscribers whose filters match `topic`."""
        found = self._cache.get(topic)
        if found is None:
            if len(self._cache) >= _CACHE_TOPICS_MAX:
                self._cache.clear()
            found = self._cache[topic] = tuple(self._collect(topic))
        return found

    def _walk(self, topic_filter: str) -> tuple[_Node[_T], bool]:
        node = self._root
        for level in topic_filter.split("/"):
            if level == "#":
                return node, True
            node = node.below.setdefault(level, _Node())
        return node, False

    def _collect(self, topic: str) -> set[_T]:
        levels = topic.split("/")
        found: set[_T] = set()
        nodes = [self._root]
        for depth, level in enumerate(levels):
            wildcards = depth > 0 or not level.startswith("$")
            following = []
            for node in nodes:
                if wildcards:
                    found |= node.rest
                    if "+" in node.below:
                        following.append(node.below["+"])
                if level in node.below and level != "+":
                    following.append(node.below[level])
            nodes = following
        for node in nodes:
            found |= node.here
            found |= node.rest  # 'a/#' matches 'a' itself
        return found

    def _remove(self, node: _Node[_T], levels: list[str], subscriber: _T) -> None:
        if not levels:
            node.here.discard(subscriber)
            return
        if levels[0] == "#":
            node.rest.discard(subscriber)
            return
        child = node.below.get(levels[0])
        if child is None:
            return
        self._remove(child, levels[1:], subscriber)
        if not (child.below or child.here or child.rest):
            del node.below[levels[0]]
