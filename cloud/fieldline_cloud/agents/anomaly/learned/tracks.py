"""The tags that are learned and the devices they belong to, each tag with a row number. Pure, bounded."""

from dataclasses import dataclass, field
from typing import Final

from fieldline.model import DeviceId, Value
from fieldline.wire.readings import Series
from fieldline_cloud.agents.anomaly.learned.layouts import Layouts
from fieldline_cloud.agents.anomaly.learned.natures import CODES_MAX
from fieldline_cloud.agents.anomaly.learned.rest import Rest
from fieldline_cloud.agents.anomaly.learned.spec import LearnSpec, Treatment
from fieldline_cloud.agents.anomaly.learned.together import Together

__all__ = ["CODE_READINGS", "DeviceTracks", "Rows", "Track"]

CODE_READINGS: Final = 200
"""Readings after which whole numbers with few different values are known for a code."""


@dataclass(slots=True)
class Track:
    """One tag. `treatment` may change when its values show what it is."""

    row: int
    device: DeviceId
    tag: str
    spec: LearnSpec
    treatment: Treatment
    since_ns: int = 0
    """When its learning began, in the readings' time; 0: not yet."""
    codes: set[Value] | None = field(default_factory=set)
    """Different whole numbers seen; None once it is known to be a measurement."""
    codes_readings: int = 0

    @property
    def is_joint(self) -> bool:
        """Whether it is one of the tags of its device that are judged together."""
        return self.spec.joint and self.treatment is Treatment.VALUE

    def is_code(self, series: Series) -> bool:
        """Take values while it may still be a code; whether it has shown to be one."""
        assert self.codes is not None
        if not all(value is None or type(value) is int for value in series.values):
            self.codes = None
            return False
        self.codes.update(value for value in series.values if value is not None)
        self.codes_readings += len(series.values)
        if len(self.codes) > CODES_MAX:
            self.codes = None
            return False
        return self.codes_readings >= CODE_READINGS


@dataclass(slots=True)
class DeviceTracks:
    """One device: its tags by name (None: not learned), whether it rests, and its tags together."""

    device: DeviceId
    rest: Rest
    together: Together | None
    at_rest: Together | None
    """Its tags together while it stands still, which is another machine."""
    number: int = 0
    tracks: dict[str, Track | None] = field(default_factory=dict)
    layouts: Layouts = field(default_factory=Layouts)
    newest_ns: int = 0
    since_ns: int = 0
    """When the learning of its tags together began."""
    rest_since_ns: int = 0
    """The same for what they are at rest."""
    is_paused: bool = False
    is_changed: bool = False
    """Whether it has learned since it was last asked for."""
    joint_lead: str = ""
    """The tag that fitted the others least when they were last found odd."""


class Rows:
    """Row numbers, used again when a tag is gone."""

    def __init__(self) -> None:
        self._tracks: list[Track | None] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        """Rows there must be room for."""
        return len(self._tracks)

    @property
    def used(self) -> int:
        """Rows that belong to a tag."""
        return len(self._tracks) - len(self._free)

    def __getitem__(self, row: int) -> Track:
        """Whose row it is."""
        track = self._tracks[row]
        assert track is not None, f"row {row} is nobody's"
        return track

    def next(self) -> int:
        """The row the next tag will have."""
        return self._free[-1] if self._free else len(self._tracks)

    def put(self, track: Track) -> None:
        """Give the next row to a track made for it."""
        assert track.row == self.next()
        if self._free:
            self._free.pop()
            self._tracks[track.row] = track
        else:
            self._tracks.append(track)

    def free(self, row: int) -> None:
        """Nobody's any more."""
        self._tracks[row] = None
        self._free.append(row)
