"""The few numbers of the per-tag detector: one set for every tag of every plant."""

from dataclasses import dataclass

__all__ = ["DEFAULT", "HOUR_NS", "Tuning"]

HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Tuning:
    """How long the detector remembers; the defaults are what docs/decisions/0012-per-tag-detector.md chose.

    - `warm_up` readings get no score.
    - A seasonal baseline forgets with `season_hours` hours of readings at the same hour, which is as many days.
    - The level forgets at `level_rate` a reading: 0.002 is 500 readings.
    - Deviations from both are smoothed at `fast_rate` and at `slow_rate`: a spike and a shift.
    - A surprise is as large as the `record_rank`-th largest of the present and the last generation. A generation is
      `record_rank` times `readings_a_rank` readings or `generation_days` long, whichever takes longer.
    """

    warm_up: int = 50
    season_hours: float = 8.0
    level_rate: float = 0.002
    fast_rate: float = 0.3
    slow_rate: float = 0.06
    record_rank: int = 18
    readings_a_rank: int = 200
    generation_days: float = 7.0

    def __post_init__(self) -> None:
        for name in ("level_rate", "fast_rate", "slow_rate"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; a rate is above 0 and at most 1")
        for name in ("warm_up", "season_hours", "record_rank", "readings_a_rank"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is at least 1")
        if not self.generation_days >= 0.0:
            raise ValueError(f"generation_days is {self.generation_days}; it is 0 or more")

    @property
    def generation(self) -> int:
        """Readings in a generation, at least."""
        return self.record_rank * self.readings_a_rank

    @property
    def generation_ns(self) -> int:
        """How long a generation lasts, at least."""
        return int(self.generation_days * 24 * HOUR_NS)


DEFAULT = Tuning()
