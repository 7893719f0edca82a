"""Chattering: an alarm that is raised and cleared again and again is held raised until it has been quiet. Pure.

Raisings are counted in the time of the readings, so that history read in one go does not look like chatter; quiet is
counted by arrival, since nobody knows how a device's clock goes on.
"""

from collections import deque
from dataclasses import dataclass

__all__ = ["Chatter", "ChatterSpec"]


@dataclass(frozen=True, slots=True)
class ChatterSpec:
    """`raisings` within `window_ns` are chatter, until there was none for `quiet_ns`. 0 raisings: never."""

    raisings: int = 3
    window_ns: int = 60 * 1_000_000_000
    quiet_ns: int = 60 * 1_000_000_000

    @property
    def note(self) -> str:
        """What an alert says while it is held."""
        return (
            f"chattering: raised {self.raisings} times or more in {self.window_ns / 1e9:g} s; "
            f"held until it has been quiet for {self.quiet_ns / 1e9:g} s"
        )


class Chatter:
    """The last raisings of one alarm, and whether they were too many."""

    __slots__ = ("_raised_ns", "arrived_ns", "is_on", "spec")

    def __init__(self, spec: ChatterSpec) -> None:
        self.spec = spec
        self.is_on = False
        self.arrived_ns = 0
        self._raised_ns: deque[int] = deque(maxlen=max(spec.raisings, 1))

    def raised(self, at_ns: int, now_ns: int) -> bool:
        """Note a raising of `at_ns`, which arrived at `now_ns`; whether chatter has begun by it."""
        self._raised_ns.append(at_ns)
        self.arrived_ns = now_ns
        if self.is_on or not self.spec.raisings or len(self._raised_ns) < self.spec.raisings:
            return False
        self.is_on = 0 <= at_ns - self._raised_ns[0] < self.spec.window_ns
        return self.is_on

    def pass_to(self, now_ns: int) -> bool:
        """It is `now_ns`; whether chatter is over by that. A clock that went back begins the quiet again."""
        self.arrived_ns = min(self.arrived_ns, now_ns)
        if not self.is_on or now_ns - self.arrived_ns < self.spec.quiet_ns:
            return False
        self.is_on = False
        self._raised_ns.clear()
        return True

    def snapshot(self) -> list[int]:
        """What `restore` needs."""
        return [int(self.is_on), self.arrived_ns, *self._raised_ns]

    def restore(self, snapshot: list[int]) -> None:
        """Go on where `snapshot` was taken."""
        on, self.arrived_ns, *raised_ns = snapshot
        self.is_on = bool(on)
        self._raised_ns.extend(raised_ns)
