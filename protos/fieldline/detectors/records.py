"""How large surprises have been: smoothed deviations against the largest of the last weeks."""

from bisect import insort
from collections.abc import Mapping
from typing import Any

from fieldline.detectors.snapshots import finite, finites

__all__ = ["RATIO_MAX", "Records"]

RATIO_MAX = 20.0  # more says nothing more, and the fourth power of it is still small


class Records:
    """Smooths deviations and divides each by the `rank`-th largest before it.

    Nothing is assumed about the distribution: "1.8 times what a few readings in two weeks exceeded" means the same
    for Gaussian noise, for a heavy tail and for steps, where a sigma does not. What is kept is the largest few of this
    generation and of the one before, so memory is fixed and what is two generations old is forgotten. It is the
    peaks-over-threshold idea of extreme value theory (Pickands, Annals of Statistics 3, 1975) without fitting the tail.
    """

    __slots__ = ("_depth", "_floor", "_mean", "_old", "_rank", "_rate", "_young", "level")

    def __init__(self, rate: float, rank: int) -> None:
        self._rate, self._rank = rate, rank
        self._depth = 1  # the rank that counts now
        self._mean = 0.0
        self._old: list[float] = []  # both ascending, `rank` long at most
        self._young: list[float] = []
        self._floor = -1.0  # only what is above it can be among the largest of this generation
        self.level = 0.0

    def ratio(self, deviation: float, resolution: float) -> float:
        """The smoothed deviation over `level`, from 0 to RATIO_MAX; then remember it.

        `resolution`, above 0, is what the rounding of numbers may amount to: a level below it counts as that.
        """
        self._mean = size = self._mean + self._rate * (deviation - self._mean)
        if size < 0.0:
            size = -size
        level = self.level
        if size > self._floor:
            self._keep(size)
        if level < resolution:
            level = resolution
        return size / level if size < RATIO_MAX * level else RATIO_MAX

    def _keep(self, size: float) -> None:
        young = self._young
        insort(young, size)
        if len(young) > self._rank:
            del young[0]
        if len(young) == self._rank:
            self._floor = young[0]
        self._weigh()

    def _weigh(self) -> None:
        largest = sorted(self._old + self._young)
        self.level = largest[-min(self._depth, len(largest))] if largest else 0.0

    def deepen(self) -> None:
        """Count one rank deeper, up to the last: the first of a few hundred is as rare as the tenth of thousands."""
        if self._depth < self._rank:
            self._depth += 1
            self._weigh()

    def turn(self) -> None:
        """Begin a generation; the one before the last is forgotten."""
        self._old, self._young, self._floor = self._young, [], -1.0
        self._weigh()

    def reach(self) -> tuple[float, float]:
        """The next deviations whose ratio is at most 1."""
        kept = (1.0 - self._rate) * self._mean
        return (-self.level - kept) / self._rate, (self.level - kept) / self._rate

    def snapshot(self) -> dict[str, Any]:
        """The state, as JSON can hold it."""
        return {"depth": self._depth, "mean": self._mean, "old": list(self._old), "young": list(self._young)}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take up where `snapshot` was taken."""
        self._depth, self._mean = int(snapshot["depth"]), finite(snapshot["mean"])
        self._old, self._young = (sorted(finites(snapshot[name]))[-self._rank :] for name in ("old", "young"))
        self._floor = self._young[0] if len(self._young) == self._rank else -1.0
        self._weigh()
