"""What a score is worth, with the thresholds of settings and verdicts and caution for the young. Pure."""

from collections.abc import Mapping
from typing import Final

from fieldline_cloud.agents.anomaly.learned.signs import Manner
from fieldline_cloud.agents.anomaly.learned.spec import Caution, LearnSpec
from fieldline_cloud.agents.anomaly.learned.thresholds import FACTOR_MIN, Thresholds
from fieldline_cloud.agents.anomaly.learned.tracks import Track

__all__ = ["QUICK", "Worth"]

QUICK: Final = Manner(0, 60 * 1_000_000_000)
"""Of a detector that has no manner of its own."""


class Worth:
    """How the scores of each detector count, and how its alarms come and go."""

    def __init__(self, manners: Mapping[str, Manner], caution: Caution, thresholds: Thresholds) -> None:
        self._manners = manners
        self._caution = caution
        self._thresholds = thresholds

    def least(self, rule: str) -> float:
        """Scores below this are worth no alert of any tag whose own threshold is 1 or more, however long it learned."""
        return self._manners.get(rule, QUICK).threshold * (FACTOR_MIN if len(self._thresholds) else 1.0)

    def score(self, track: Track, rule: str, score: float, learned_ns: int, now_ns: int) -> float:
        """The score of a tag that has been learned for so long; 1.0 is worth an alert."""
        shipped = self._manners.get(rule, QUICK)
        moved = self._thresholds.factor(f"{track.device}:{track.tag}:{rule}", now_ns)
        cautious = shipped.threshold * self._caution.threshold(learned_ns, shipped.caution, shipped.caution_fades)
        return score / (track.spec.threshold * moved * cautious)

    def manner(self, rule: str, spec: LearnSpec) -> Manner:
        """The delays of its alarms: those of the settings, else as the detector is shipped."""
        shipped = self._manners.get(rule, QUICK)
        on_delay_ns = shipped.on_delay_ns if spec.on_delay_ns is None else spec.on_delay_ns
        off_delay_ns = shipped.off_delay_ns if spec.off_delay_ns is None else spec.off_delay_ns
        return Manner(on_delay_ns, off_delay_ns)
