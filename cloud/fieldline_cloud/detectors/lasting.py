"""A state that lasts: what a device does when it has long been doing something else than it used to. Pure."""

from typing import Final

import numpy as np

from fieldline_cloud.detectors.normal import Floats

__all__ = ["Lasting"]

_EVERY: Final = 5
"""One row in so many is kept: neighbours are smoothed and say nearly the same."""


class Lasting:
    """Collects the loud blocks of a stretch without a single quiet one, until it has lasted for `rows_max` rows."""

    def __init__(self, rows_max: int) -> None:
        self._rows_max = rows_max
        self._lasted = 0
        self.kept: list[Floats] = []

    def note(self, block: Floats, *, quiet: bool) -> Floats | None:
        """Take one block (n, channels); a sample of the whole stretch when it has lasted long enough, which ends it."""
        if quiet:
            self._lasted, self.kept = 0, []
            return None
        self.kept.append(block[::_EVERY])
        self._lasted += len(block)
        if self._lasted < self._rows_max:
            return None
        sample = np.concatenate(self.kept)
        self._lasted, self.kept = 0, []
        return sample

    def restore(self, kept: list[Floats]) -> None:
        """Go on with what `kept` was."""
        self.kept, self._lasted = kept, _EVERY * sum(map(len, kept))
