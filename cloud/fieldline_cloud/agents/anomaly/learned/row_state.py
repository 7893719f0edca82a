"""All that is remembered of rows, one tag each, by the parts of the learned layer. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from fieldline_cloud.agents.anomaly.learned.company import Company
from fieldline_cloud.agents.anomaly.learned.growth import Growth
from fieldline_cloud.agents.anomaly.learned.jumps import Jumps
from fieldline_cloud.agents.anomaly.learned.layer_settings import LearnedSettings
from fieldline_cloud.agents.anomaly.learned.levels import Levels
from fieldline_cloud.agents.anomaly.learned.natures import Natures
from fieldline_cloud.agents.anomaly.learned.repeats import Repeats
from fieldline_cloud.agents.anomaly.learned.scorers import Feature, Scorer
from fieldline_cloud.agents.anomaly.learned.stretches import Stretches

__all__ = ["RowState"]

_ROOM_MIN: Final = 64


class RowState:
    """The parts that know something of each row."""

    def __init__(self, settings: LearnedSettings) -> None:
        self.stretches = Stretches(settings.every_ns)
        self.repeats, self.natures, self.levels, self.jumps = Repeats(), Natures(), Levels(), Jumps()
        self.growth, self.company = Growth(), Company()
        self.scorers = [
            Scorer(name, feature, make)
            for name, make in settings.detectors.items()
            for feature in Feature
            if feature is Feature.MEAN or name in settings.spreads
        ]
        self._room = 0

    def reserve(self, rows: int) -> None:
        """Make room for rows 0 to `rows` - 1, and some more."""
        if rows <= self._room:
            return
        self._room = max(rows, 2 * self._room, _ROOM_MIN)
        for part in (self.stretches, self.repeats, self.natures, self.levels, self.growth, self.company):
            part.reserve(self._room)
        for scorer in self.scorers:
            scorer.reserve(self._room)

    def forget(self, row: int) -> None:
        """Row is a new one from now on."""
        for part in (self.stretches, self.repeats, self.natures, self.levels, self.growth, self.company, self.jumps):
            part.forget(row)
        for scorer in self.scorers:
            scorer.remove(row)

    def relearn(self, row: int) -> None:
        """What is usual of the row is learned anew; what kind of signal it is stays known."""
        for scorer in self.scorers:
            scorer.relearn(row)
        self.levels.forget(row)
        self.jumps.forget(row)
        self.growth.pause([row])

    def snapshot(self, row: int) -> dict[str, Any]:
        """What `restore` needs, as plain data."""
        return {
            "growth": self.growth.snapshot(row),
            "stretch": self.stretches.snapshot(row),
            "repeats": self.repeats.snapshot(row),
            "nature": self.natures.snapshot(row),
            "level": self.levels.snapshot(row),
            "scorers": {scorer.rule: scorer.snapshot(row) for scorer in self.scorers},
        }

    def restore(self, row: int, plain: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        self.growth.restore(row, plain["growth"])
        self.stretches.restore(row, plain["stretch"])
        self.repeats.restore(row, plain["repeats"])
        self.natures.restore(row, plain["nature"])
        self.levels.restore(row, plain["level"])
        for scorer in self.scorers:
            if plain["scorers"].get(scorer.rule) is not None:
                scorer.restore(row, plain["scorers"][scorer.rule])
            elif scorer.rule in plain["scorers"]:
                scorer.remove(row)  # it was not watched: a coarse counter
