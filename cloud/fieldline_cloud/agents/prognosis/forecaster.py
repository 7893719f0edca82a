"""What is known of every tag that shows wear, and what is said of it when. Pure.

Everything is decided by the readings and their own times, so that the same readings lead to the same prognoses,
whether they are live, a backlog, or come again after a crash.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fieldline.model import DeviceId, Reading
from fieldline_cloud.agents.tag_pattern import TagPattern
from fieldline_cloud.prognosis.degradation import Degradation
from fieldline_cloud.prognosis.tags import prognosis_readings

__all__ = ["Announcement", "Forecaster", "PrognosisStats", "TagState", "Wear"]

AHEAD_NS_MAX: Final = 3_600 * 10**9
"""A reading further ahead of our clock than this was stamped by a wrong one."""


@dataclass(frozen=True, slots=True)
class Wear:
    """One entry of the configuration: tags that show wear, and how far it may go (as `Degradation` has it)."""

    pattern: TagPattern
    limit: float
    falling: bool
    bucket_s: float
    warmup: int
    horizon_h: float
    idle_below: float | None

    def begin(self) -> Degradation:
        """A degradation of which nothing is known yet."""
        return Degradation(
            self.limit,
            falling=self.falling,
            bucket_s=self.bucket_s,
            warmup=self.warmup,
            horizon_h=self.horizon_h,
            idle_below=self.idle_below,
        )


@dataclass(slots=True)
class PrognosisStats:
    """Counters since the start; the shell counts frames and saves."""

    frames: int = 0
    frames_repeated: int = 0
    frames_undecodable: int = 0
    frames_misplaced: int = 0
    readings: int = 0
    readings_not_good: int = 0
    readings_ahead: int = 0
    readings_refused: int = 0
    machines_refused: int = 0
    prognoses: int = 0
    prognoses_withdrawn: int = 0
    saves: int = 0


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is to be published for a device: one prognosis, or its withdrawal."""

    device: DeviceId
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class TagState:
    """What must be kept of a tag, as plain data. The points, which are most of it, change once a bucket: else None."""

    device: DeviceId
    tag: str
    state: Mapping[str, Any]
    points: Sequence[Any] | None


@dataclass(slots=True)
class _Watched:
    """One tag: its degradation, the newest reading, and what was last said (0: nothing yet) and whether it stands."""

    degradation: Degradation
    newest_ns: int = 0
    said_at_ns: int = 0
    stands: bool = False
    points_kept: bool = False

    def take_state(self, device: DeviceId, tag: str) -> TagState:
        """What must be kept since the last call."""
        degradation = self.degradation.snapshot()
        points = degradation["indicator"].pop("points")
        state = {
            "degradation": degradation,
            "newest_ns": self.newest_ns,
            "said_at_ns": self.said_at_ns,
            "stands": self.stands,
        }
        kept, self.points_kept = self.points_kept, True
        return TagState(device, tag, state, None if kept else points)

    def restore(self, kept: TagState) -> None:
        """Go on where it was taken."""
        degradation = dict(kept.state["degradation"])
        degradation["indicator"] = {**degradation["indicator"], "points": kept.points or []}
        self.degradation.restore(degradation)
        self.newest_ns = int(kept.state["newest_ns"])
        self.said_at_ns = int(kept.state["said_at_ns"])
        self.stands = bool(kept.state["stands"])
        self.points_kept = True


class Forecaster:
    """Follows at most `tags_max` tags; says something of each at most every `publish_every_s` of the readings' time."""

    def __init__(
        self, wears: Sequence[Wear], *, publish_every_s: float, tags_max: int, stats: PrognosisStats | None = None
    ) -> None:
        self.stats = stats or PrognosisStats()
        self._wears = wears
        self._publish_every_ns = round(publish_every_s * 1e9)
        self._tags_max = tags_max
        self._watched: dict[tuple[DeviceId, str], _Watched] = {}
        self._unwatched: dict[tuple[DeviceId, str], None] = {}  # tags that no entry is for, so as not to ask again
        self._changed: dict[tuple[DeviceId, str], None] = {}

    @property
    def tags(self) -> int:
        """Tags followed."""
        return len(self._watched)

    @property
    def standing(self) -> int:
        """Tags with a prognosis that has been published and not withdrawn."""
        return sum(watched.stands for watched in self._watched.values())

    def restore(self, states: Iterable[TagState]) -> None:
        """Take up what a former run left; tags that the configuration no longer has are let go."""
        for kept in states:
            if watched := self._watch((kept.device, kept.tag)):
                watched.restore(kept)

    def take_changes(self) -> list[TagState]:
        """What must be saved since the last call."""
        changed, self._changed = self._changed, {}
        return [self._watched[key].take_state(*key) for key in changed]

    def readings(self, device: DeviceId, readings: Iterable[Reading], now_ns: int) -> list[Announcement]:
        """Take the readings of one frame; returns what is to be published because of them."""
        columns: dict[str, tuple[list[int], list[float]]] = {}
        for reading in readings:
            if self._watch((device, reading.tag)) is None:
                continue
            self.stats.readings += 1
            value = reading.value
            if isinstance(value, bool) or not isinstance(value, float | int) or not reading.quality.is_good:
                self.stats.readings_not_good += 1
            elif reading.at_ns > now_ns + AHEAD_NS_MAX:
                self.stats.readings_ahead += 1
            else:
                times, values = columns.setdefault(reading.tag, ([], []))
                times.append(reading.at_ns)
                values.append(float(value))
        said = (self._take(device, tag, *column) for tag, column in columns.items())
        return [announcement for announcement in said if announcement]

    def _watch(self, key: tuple[DeviceId, str]) -> _Watched | None:
        """The tag, followed from now on if there is an entry for it and room."""
        watched = self._watched.get(key)
        if watched is not None or key in self._unwatched:
            return watched
        wear = next((wear for wear in self._wears if wear.pattern.matches(*key)), None)
        if wear is None:
            if len(self._unwatched) >= 10 * self._tags_max:
                self._unwatched.clear()
            self._unwatched[key] = None
            return None
        if len(self._watched) >= self._tags_max:
            self.stats.readings_refused += 1
            return None
        watched = self._watched[key] = _Watched(wear.begin())
        return watched

    def _take(self, device: DeviceId, tag: str, times: list[int], values: list[float]) -> Announcement | None:
        watched = self._watched[device, tag]
        self._changed[device, tag] = None
        watched.newest_ns = max(watched.newest_ns, *times)
        changed = watched.degradation.update(np.array(times, dtype=np.int64), np.array(values, dtype=np.float64))
        if not changed:
            return None
        watched.points_kept = False
        prognosis = watched.degradation.remaining(watched.newest_ns)
        if prognosis is None:
            if not watched.stands:
                return None
            self.stats.prognoses_withdrawn += 1
        else:
            if watched.stands and watched.newest_ns - watched.said_at_ns < self._publish_every_ns:
                return None
            self.stats.prognoses += 1
        watched.stands = prognosis is not None
        watched.said_at_ns = watched.newest_ns
        return Announcement(device, tuple(prognosis_readings(tag, prognosis, watched.newest_ns)))
