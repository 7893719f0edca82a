"""Counters of the learned layer. Pure."""

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["LearnStats", "Tally"]


@dataclass(slots=True)
class LearnStats:
    """Since the start; plain integers, cheap to keep."""

    learned_readings: int = 0
    learned_readings_paused: int = 0
    learned_readings_not_good: int = 0
    learned_readings_late: int = 0
    learned_clocks_set_back: int = 0
    learned_scores: int = 0
    learned_scores_beyond: int = 0
    learned_rows_judged: int = 0
    learned_tags_refused: int = 0
    learned_tags_left_out: int = 0
    learned_counters_found: int = 0
    learned_codes_found: int = 0
    learned_units_changed: int = 0
    learned_shadow_alerts: int = 0
    learned_batches: int = 0
    learned_relearned: int = 0
    learned_states_refused: int = 0
    verdicts: int = 0
    verdicts_refused: int = 0
    thresholds_raised: int = 0
    thresholds_lowered: int = 0


@dataclass(slots=True)
class Tally:
    """What became of the alerts of each detector, by its name."""

    raised: Counter[str] = field(default_factory=Counter)
    confirmed: Counter[str] = field(default_factory=Counter)
    refuted: Counter[str] = field(default_factory=Counter)

    def precision(self, detector: str) -> tuple[int, int]:
        """How many of its alerts people have confirmed, and how many called false."""
        return self.confirmed[detector], self.refuted[detector]
