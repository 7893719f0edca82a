"""Whether a device stands still, so that nothing is learned of it and nothing is said of it. Pure.

A tag such as `running` says so, where there is one. Where there is none, a tag that follows the motor (speed, current,
power) does: far below what it was at its highest, the machine is at rest. After a start the device has time to settle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, Final

from fieldline.model import Quality, Value
from fieldline.wire.readings import Series

__all__ = ["Rest", "RestSpec", "Role", "Roles", "last_good"]

_UNCERTAIN: Final = int(Quality.UNCERTAIN)
_ROLES_MAX: Final = 100_000
_FADE: Final = 0.9995
"""The highest value is forgotten slowly, so that one spike does not put a machine to rest for good."""


@dataclass(frozen=True, slots=True)
class RestSpec:
    """`running`: tags that are true, or not 0, while the device runs. `effort`: tags that follow its motor.

    Below `share` of the highest value seen an effort counts as none. After a start, `settle_ns` are not looked at.
    """

    running: tuple[str, ...] = ("running", "is_running", "run")
    effort: tuple[str, ...] = ("speed", "rpm", "current", "power")
    share: float = 0.05
    settle_ns: int = 600 * 1_000_000_000


class Role(Enum):
    """What a tag says of its device."""

    RUNNING = "running"
    EFFORT = "effort"
    NEITHER = "neither"


class Roles:
    """The role of every tag by its name, each looked up once."""

    def __init__(self, spec: RestSpec) -> None:
        self.spec = spec
        self._roles: dict[str, Role] = {}

    def of(self, frame: Sequence[Series]) -> list[tuple[Role, Series]]:
        """The series of a frame that have one."""
        roles = self._roles
        for series in frame:
            if series.tag not in roles:
                self._look_up(series.tag)
        return [(roles[series.tag], series) for series in frame if roles[series.tag] is not Role.NEITHER]

    def _look_up(self, tag: str) -> None:
        if len(self._roles) >= _ROLES_MAX:
            self._roles.clear()
        is_running = any(fnmatchcase(tag, pattern) for pattern in self.spec.running)
        is_effort = any(fnmatchcase(tag, pattern) for pattern in self.spec.effort)
        self._roles[tag] = Role.RUNNING if is_running else Role.EFFORT if is_effort else Role.NEITHER


class Rest:
    """One device."""

    __slots__ = ("_has_running_tag", "_high", "_resumes_ns", "_roles", "_spec", "_stands", "_stopped_ns")

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._spec = roles.spec
        self._has_running_tag = False
        self._high: dict[str, float] = {}
        self._stands = False
        self._resumes_ns = 0
        self._stopped_ns = 0

    @property
    def stands(self) -> bool:
        """Whether it stood still in the last frame that said anything of it."""
        return self._stands

    def is_settled(self, at_ns: int) -> bool:
        """Whether it stands still at this time, and has done so for as long as it needs after a start."""
        return self._stands and at_ns - self._stopped_ns >= self._spec.settle_ns

    def pauses(self, frame: Sequence[Series], said: Sequence[tuple[Role, Series]] | None = None) -> bool:
        """Take one frame of the device; whether it is not to be looked at: the device stands still, or settles.

        `said` are its series that have a role, where that is known.
        """
        if said is None:
            said = self._roles.of(frame)
        newest_ns = frame[0].at_ns[-1] if frame and frame[0].at_ns else 0
        if said:
            stands = self._by_running(said)
            if stands is None and not self._has_running_tag:
                stands = self._by_effort(said)
            if stands is not None:
                if self._stands and not stands:
                    self._resumes_ns = newest_ns + self._spec.settle_ns
                elif stands and not self._stands:
                    self._stopped_ns = newest_ns
                self._stands = stands
        return self._stands or newest_ns < self._resumes_ns <= newest_ns + self._spec.settle_ns

    def snapshot(self) -> list[Any]:
        """What `restore` needs, as plain data."""
        return [self._has_running_tag, self._high, self._stands, self._resumes_ns, self._stopped_ns]

    def restore(self, snapshot: list[Any]) -> None:
        """Go on where `snapshot` was taken."""
        self._has_running_tag, self._high, self._stands, self._resumes_ns, self._stopped_ns = snapshot

    def _by_running(self, said: Sequence[tuple[Role, Series]]) -> bool | None:
        for role, series in said:
            if role is Role.RUNNING:
                value = last_good(series)
                if isinstance(value, bool | int | float):
                    self._has_running_tag = True
                    return not value
        return None

    def _by_effort(self, said: Sequence[tuple[Role, Series]]) -> bool | None:
        """None where the frame says nothing of it; one tag with an effort to show is enough to run."""
        stands = None
        for _, series in said:
            value = last_good(series)
            if type(value) is float or (isinstance(value, int | float) and not isinstance(value, bool)):
                high = self._high[series.tag] = max(self._high.get(series.tag, 0.0) * _FADE, abs(value))
                stands = stands is not False and abs(value) < self._spec.share * high
        return stands


def last_good(series: Series) -> Value:
    """The last good value of a series; None if it has none."""
    if not series.values:
        return None
    if series.qualities is None:
        return series.values[-1]
    for value, quality in zip(reversed(series.values), reversed(series.qualities), strict=True):
        if quality < _UNCERTAIN and value is not None:
            return value
    return None
