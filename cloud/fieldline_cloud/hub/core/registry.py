"""Who is present at the hub: agents join, are heard, leave or fall silent. Pure: the time is handed in."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from fieldline.agent import SERVES
from fieldline.errors import FieldlineError
from fieldline.topics import matches

__all__ = [
    "HEARTBEAT_S_MAX",
    "HEARTBEAT_S_MIN",
    "MISSED_MAX",
    "Joining",
    "NameInUse",
    "Presence",
    "Registry",
    "RegistryFull",
    "heartbeat_s",
]

HEARTBEAT_S_MIN: Final = 0.5
HEARTBEAT_S_MAX: Final = 60.0
MISSED_MAX: Final = 3
"""Silent for so many of its intervals, an agent has timed out."""
# After so many intervals without a heartbeat the stream of an agent may be taken over by its own successor: a process
# that lost its link is back long before the hub notices that the old connection is dead.
_STALE_INTERVALS: Final = 1.5


class NameInUse(FieldlineError):
    """An agent of that name is present."""


class RegistryFull(FieldlineError):
    """As many agents are present as may be."""


@dataclass(frozen=True, slots=True)
class Joining:
    """An agent at the door, checked. `host` is where it comes from, `identity` whom it has shown to be (or empty)."""

    name: str
    kind: str
    version: str
    capabilities: Mapping[str, str]
    heartbeat_s: float
    peer: str = ""
    identity: str = ""
    software: str = ""

    @property
    def host(self) -> str:
        """The peer without its port."""
        return self.peer.rpartition(":")[0]


@dataclass(slots=True, eq=False)
class Presence:
    """One stay of an agent. Times are of the clock that is handed in, in seconds."""

    agent: Joining
    joined_s: float
    heard_s: float
    ended: bool = False

    @property
    def deadline_s(self) -> float:
        """When it will have timed out, if nothing more is heard."""
        return self.heard_s + MISSED_MAX * self.agent.heartbeat_s

    def serves(self, topic: str, filters: Iterable[str]) -> bool:
        """Whether one of its open subscriptions (`filters`) or its capability `serves` is about `topic`."""
        own = self.agent.capabilities.get(SERVES)
        return (own is not None and matches(own, topic)) or any(matches(one, topic) for one in filters)


def heartbeat_s(asked_ms: int) -> float:
    """The interval an agent gets that asks for this one (0: it does not mind)."""
    return min(max(asked_ms / 1000 or 5.0, HEARTBEAT_S_MIN), HEARTBEAT_S_MAX)


class Registry:
    """The agents that are present, by name. At most `agents_max`; further ones are refused."""

    def __init__(self, agents_max: int) -> None:
        self._agents_max = agents_max
        self._present: dict[str, Presence] = {}
        # Deadlines as they were when last looked at: a heartbeat moves one without touching the heap.
        self._deadlines: list[tuple[float, int, Presence]] = []
        self._serial = count()

    def __len__(self) -> int:
        return len(self._present)

    @property
    def present(self) -> Sequence[Presence]:
        """Everybody, in order of joining."""
        return tuple(self._present.values())

    @property
    def next_deadline_s(self) -> float | None:
        """When `overdue` may next have something to say; None while nobody is present."""
        return self._deadlines[0][0] if self._deadlines else None

    def join(self, agent: Joining, now_s: float) -> tuple[Presence, Presence | None]:
        """Its presence, and the former one it takes the place of. Raises NameInUse or RegistryFull.

        A former stay gives way if it is the same agent's (by identity, or where nobody was asked by host) and has been
        silent for longer than its heartbeat allows.
        """
        former = self._present.get(agent.name)
        if former is not None:
            if not _succeeds(agent, former, now_s):
                raise NameInUse(
                    f"agent {agent.name!r} is present already, from {former.agent.peer}; give this one another name, "
                    "or stop that one"
                )
            self.leave(former)
        elif len(self._present) >= self._agents_max:
            raise RegistryFull(f"the hub already has {self._agents_max} agents; raise limits.agents_max in hub.yaml")
        presence = self._present[agent.name] = Presence(agent, now_s, now_s)
        self._schedule(presence)
        return presence, former

    def heard(self, presence: Presence, now_s: float) -> None:
        """It lives."""
        presence.heard_s = now_s

    def leave(self, presence: Presence) -> bool:
        """It has gone. False if that was known: it had timed out, or another has its place."""
        if presence.ended:
            return False
        presence.ended = True
        del self._present[presence.agent.name]
        if len(self._deadlines) > 2 * len(self._present) + 64:  # mostly of those who have left
            self._deadlines = [one for one in self._deadlines if not one[2].ended]
            heapq.heapify(self._deadlines)
        return True

    def overdue(self, now_s: float, *, looks_max: int | None = None) -> list[Presence]:
        """Those who have been silent for three of their intervals. They have left when this returns.

        With `looks_max` no more than so many are looked at; `next_deadline_s` is then still in the past.
        """
        silent = []
        looks = count()
        while self._deadlines and self._deadlines[0][0] <= now_s and next(looks) != looks_max:
            presence = heapq.heappop(self._deadlines)[2]
            if presence.ended:
                continue
            if presence.deadline_s <= now_s:
                silent.append(presence)
                self.leave(presence)
            else:
                self._schedule(presence)
        return silent

    def _schedule(self, presence: Presence) -> None:
        heapq.heappush(self._deadlines, (presence.deadline_s, next(self._serial), presence))


def _succeeds(agent: Joining, former: Presence, now_s: float) -> bool:
    same = agent.identity == former.agent.identity and (bool(agent.identity) or agent.host == former.agent.host)
    return same and now_s - former.heard_s > _STALE_INTERVALS * former.agent.heartbeat_s
