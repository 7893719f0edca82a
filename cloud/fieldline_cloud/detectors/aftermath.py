"""How the bar stands while a large excursion is remembered. Pure."""

from typing import Final

import numpy as np

from fieldline_cloud.detectors.normal import Floats

__all__ = ["Aftermath"]

_PEAK_MAX: Final = 1e6
"""No excursion is remembered as larger than this, so that it is forgotten in bounded time."""


class Aftermath:
    """After an excursion a machine comes back, but seldom to exactly where it was.

    The bar stands at `share` of the largest score remembered, at least at 1 and at most at `bar_max`; what is
    remembered halves every `half_life_rows`. So an alarm whose cause is gone clears, and a second fault is missed only
    while it is smaller than the bar, which is never above `bar_max`.
    """

    __slots__ = ("_bar_max", "_fade", "_share", "peak")

    def __init__(self, share: float, bar_max: float, half_life_rows: float) -> None:
        self._share = share
        self._bar_max = bar_max
        self._fade = 0.5 ** (1.0 / half_life_rows)
        self.peak = 0.0

    @property
    def bar(self) -> float:
        """What scores are divided by now."""
        return min(max(self.peak * self._share, 1.0), self._bar_max)

    def soften(self, scores: Floats) -> Floats:
        """The scores, each divided by the bar at its moment; NaN stays NaN."""
        share, bar_max, fade, peak = self._share, self._bar_max, self._fade, self.peak
        if max(peak, np.fmax.reduce(scores, initial=0.0)) * share <= 1.0:
            faded = scores * fade ** np.arange(len(scores) - 1.0, -1.0, -1.0)
            self.peak = float(np.fmax.reduce(faded, initial=peak * fade ** len(scores)))
            return scores
        softened = []
        for score in scores.tolist():
            peak *= fade
            if score > peak:
                peak = min(score, _PEAK_MAX)
            bar = peak * share
            softened.append(score if bar <= 1.0 else score / min(bar, bar_max))
        self.peak = peak
        return np.array(softened, dtype=np.float64)
