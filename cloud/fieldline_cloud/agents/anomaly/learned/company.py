"""Which rows go together: those of one device whose means its detector of tags together looks at. Pure."""

import itertools
from collections.abc import Iterator

import numpy as np

from fieldline_cloud.agents.anomaly.learned.columns import Floats
from fieldline_cloud.agents.anomaly.learned.stretches import Told

__all__ = ["Company"]

_NONE = -1


class Company:
    """The device each row has joined; rows told in one go come out device by device."""

    def __init__(self) -> None:
        self._devices = np.full(0, _NONE, np.int64)

    def reserve(self, rows: int) -> None:
        """Make room for rows 0 to `rows` - 1."""
        more = rows - len(self._devices)
        if more > 0:
            self._devices = np.append(self._devices, np.full(more, _NONE))

    def forget(self, row: int) -> None:
        """Row goes with no others."""
        self._devices[row] = _NONE

    def join(self, row: int, device: int) -> None:
        """Row goes with all that have joined this device, known by a number."""
        self._devices[row] = device

    def meet(self, told: Told, values: Floats) -> Iterator[tuple[list[int], list[int], list[float], list[float]]]:
        """Rows, moments, values and spreads of one device after the other.

        Without those that go alone and those whose value is NaN. A device whose rows do not stand side by side may come
        several times.
        """
        places = np.flatnonzero((self._devices[told.rows] != _NONE) & ~np.isnan(values))
        if not len(places):
            return
        rows = told.rows[places]
        devices = self._devices[rows]
        edges = [0, *(np.flatnonzero(devices[1:] != devices[:-1]) + 1).tolist(), len(rows)]
        own_rows, at_ns = rows.tolist(), told.at_ns[places].tolist()
        means, spreads = values[places].tolist(), told.spreads[places].tolist()
        for begin, end in itertools.pairwise(edges):
            yield own_rows[begin:end], at_ns[begin:end], means[begin:end], spreads[begin:end]
