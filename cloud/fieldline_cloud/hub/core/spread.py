"""Which member of a group is given a frame: same key to the same one, no key to the one with least in hand. Pure."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from operator import attrgetter

from fieldline_cloud.hub.core.member import Member
from fieldline_cloud.hub.core.record import Record

__all__ = ["KEY", "LotOf", "Spread"]

LotOf = Callable[[Record], str]
"""What of a frame decides who gets it; empty: nothing does."""
KEY: LotOf = attrgetter("key")

_REMEMBERED_KEYS_MAX = 10_000


class Spread:
    """Keys and who has frames of them in hand.

    A key without frames in hand belongs to the member with the highest SHA-256 of key and member: so all keys spread
    evenly, and those of the others stay where they are when a member comes or goes.
    """

    def __init__(self) -> None:
        self._numbers: dict[Member, int] = {}
        self._next_number = 0
        self._homes: OrderedDict[str, Member] = OrderedDict()  # a cache: forgotten whenever a member comes or goes
        self._held: dict[str, tuple[Member, int]] = {}

    def join(self, member: Member) -> None:
        """One more to choose from."""
        self._numbers[member] = self._next_number
        self._next_number += 1
        self._homes.clear()

    def leave(self, member: Member) -> None:
        """One less. What it holds must be released by the caller."""
        del self._numbers[member]
        self._homes.clear()

    def choose(self, key: str, members: list[Member]) -> Member:
        """Who is to have a frame of this key."""
        if len(members) == 1:
            return members[0]
        if not key:
            with_room = [member for member in members if member.has_room and member.window.is_open] or members
            return min(with_room, key=lambda member: member.in_hand)
        held = self._held.get(key)
        return held[0] if held is not None else self._home(key)

    def hold(self, key: str, member: Member) -> None:
        """A frame of this key is with this member now."""
        if key:
            held = self._held.get(key)
            self._held[key] = (member, held[1] + 1 if held is not None and held[0] is member else 1)

    def release(self, key: str, member: Member) -> None:
        """One frame of this key is with it no more."""
        held = self._held.get(key)
        if held is None or held[0] is not member:
            return
        if held[1] <= 1:
            del self._held[key]
        else:
            self._held[key] = (member, held[1] - 1)

    def release_all(self) -> None:
        """Nobody has anything in hand."""
        self._held.clear()

    def _home(self, key: str) -> Member:
        home = self._homes.get(key)
        if home is None:
            home = max(self._numbers, key=lambda member: self._weight(key, member))
            self._homes[key] = home
            if len(self._homes) > _REMEMBERED_KEYS_MAX:
                self._homes.popitem(last=False)
        return home

    def _weight(self, key: str, member: Member) -> bytes:
        text = f"{key}\0{member.client}\0{self._numbers[member]}"
        return hashlib.sha256(text.encode()).digest()
