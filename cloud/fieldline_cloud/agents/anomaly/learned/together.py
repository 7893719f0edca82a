"""The rows of one device for the detector of tags that belong together: the same stretch of every tag. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from fieldline_cloud.agents.anomaly.learned.columns import Floats, Ints

__all__ = ["CHANNELS_MAX", "JointDetector", "JointMaker", "Judged", "Together"]

CHANNELS_MAX: Final = 64
ROWS_MAX: Final = 6
"""Rows that are judged together: a detector takes six rows in little more time than one."""
ADOPT_ROWS: Final = 300
"""After so many rows with a new tag the device is learned anew with it, and without the tags that have gone."""


class JointDetector(Protocol):
    """One device. Scores depend on the past alone; 1.0 is the threshold, NaN stands for "still learning"."""

    @property
    def learning(self) -> bool:
        """Whether it is still in its warm-up."""

    def update(self, times: npt.ArrayLike, values: npt.ArrayLike, spreads: npt.ArrayLike | None = None) -> Floats:
        """Score rows (n, channels), NaN for what is not there, at times (n,) in ns.

        `spreads` (n, channels) are standard deviations of what each value is the mean of, NaN where there is none.
        """

    def contributions(self) -> Sequence[tuple[str, float]]:
        """Each channel's share of the last score, the largest first."""

    def expected(self) -> tuple[Floats, Floats]:
        """The band (low, high) of each channel; NaN where it has none."""

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs, as plain data."""

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken."""


JointMaker = Callable[[Sequence[str]], JointDetector]


@dataclass(frozen=True, slots=True)
class Judged:
    """The score of one row, and what contributed, the largest first, as (tag, share, value, low, high).

    What contributed is that of the last row judged with it: a detector remembers one.
    """

    at_ns: int
    score: float
    channels: tuple[tuple[str, float, float, float, float], ...] = ()


class Together:
    """Builds the rows of one device and has them judged.

    A row is complete when a later stretch begins; a tag that said nothing in a stretch is NaN in its row. A tag that is
    new while the detector learns is taken in at once; later it waits for ADOPT_ROWS rows, so that tags which come and
    go do not keep a device from ever being known.
    """

    def __init__(self, make: JointMaker, every_ns: int) -> None:
        self._make = make
        self._every_ns = every_ns
        self._detector: JointDetector | None = None
        self._channels: list[str] = []
        self._places: dict[str, int] = {}
        self._newcomers: dict[str, int] = {}
        self._open = -1
        self._open_ns = 0
        self._values: dict[str, float] = {}
        self._spreads: dict[str, float] = {}
        self._rows: list[tuple[int, dict[str, float], dict[str, float]]] = []

    @property
    def learning(self) -> bool:
        """Whether there is no score yet."""
        return self._detector is None or self._detector.learning

    def take_all(
        self, at_ns: Sequence[int], tags: Sequence[str], values: Sequence[float], spreads: Sequence[float]
    ) -> None:
        """Means of several tags and their spreads, as if each was taken by itself."""
        stretch = at_ns[0] // self._every_ns
        last_ns = max(at_ns)
        if min(at_ns) // self._every_ns != stretch or last_ns // self._every_ns != stretch:
            for each in zip(at_ns, tags, values, spreads, strict=True):
                self.take(*each)
            return
        if stretch != self._open:
            self._end_row()
            self._open = stretch
        self._open_ns = max(self._open_ns, last_ns) if self._values else last_ns
        self._values.update(zip(tags, values, strict=True))
        self._spreads.update({tag: spread for tag, spread in zip(tags, spreads, strict=True) if spread == spread})

    def take(self, at_ns: int, tag: str, value: float, spread: float = math.nan) -> None:
        """One tag's mean over a stretch that ended at `at_ns`, and the standard deviation within it, if known."""
        stretch = at_ns // self._every_ns
        if stretch != self._open:
            self._end_row()
            self._open = stretch
        self._open_ns = max(at_ns, self._open_ns) if self._values else at_ns
        self._values[tag] = value
        if spread == spread:
            self._spreads[tag] = spread

    def judge(self, *, threshold: float, at_once: bool = False) -> list[Judged]:
        """The scores of complete rows, once there are enough of them; what contributed from `threshold` on."""
        if not self._rows or (len(self._rows) < ROWS_MAX and not at_once):
            return []
        rows, self._rows = self._rows, []
        self._adopt(rows)
        if self._detector is None:
            return []
        times = np.array([at_ns for at_ns, _, _ in rows], np.int64)
        values = np.array([[row.get(tag, np.nan) for tag in self._channels] for _, row, _ in rows])
        spreads = np.array([[row.get(tag, np.nan) for tag in self._channels] for _, _, row in rows])
        return self._judge(times, values, spreads, threshold)

    def relearn(self) -> None:
        """Forget what belongs together, with the tags there are now."""
        self._detector = None
        self._newcomers = dict.fromkeys(self._channels, ADOPT_ROWS)
        self._channels, self._places = [], {}

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs, as plain data."""
        return {
            "detector": None if self._detector is None else self._detector.snapshot(),
            "channels": self._channels,
            "newcomers": self._newcomers,
            "open": [self._open, self._open_ns, self._values, self._spreads],
            "rows": self._rows,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        self._channels = list(snapshot["channels"])
        self._places = {tag: place for place, tag in enumerate(self._channels)}
        self._newcomers = dict(snapshot["newcomers"])
        self._open, self._open_ns, self._values, self._spreads = snapshot["open"]
        self._rows = [(int(at_ns), dict(row), dict(spreads)) for at_ns, row, spreads in snapshot["rows"]]
        if snapshot["detector"] is not None and self._channels:
            self._detector = self._make(self._channels)
            self._detector.restore(snapshot["detector"])

    def _end_row(self) -> None:
        if self._values:
            self._rows.append((self._open_ns, self._values, self._spreads))
            self._values, self._spreads = {}, {}

    def _adopt(self, rows: Sequence[tuple[int, dict[str, float], dict[str, float]]]) -> None:
        """Make the detector, or another one, when tags have shown that they stay."""
        for _, row, _ in rows:
            for tag in row.keys() - self._places.keys():
                self._newcomers[tag] = self._newcomers.get(tag, 0) + 1
        while len(self._newcomers) > CHANNELS_MAX:
            del self._newcomers[min(self._newcomers, key=self._newcomers.__getitem__)]
        due = self.learning or max(self._newcomers.values(), default=0) >= ADOPT_ROWS
        if not self._newcomers or not due:
            return
        present = set().union(*(row for _, row, _ in rows))
        kept = self._channels if self.learning else [tag for tag in self._channels if tag in present]
        self._channels = [*kept, *sorted(self._newcomers)][:CHANNELS_MAX]
        self._places = {tag: place for place, tag in enumerate(self._channels)}
        self._newcomers = {}
        self._detector = self._make(self._channels)

    def _judge(self, times: Ints, values: Floats, spreads: Floats, threshold: float) -> list[Judged]:
        assert self._detector is not None
        scores = self._detector.update(times, values, spreads)
        channels = self._channels_of(values[-1]) if np.any(scores >= threshold) else ()
        told = zip(times.tolist(), scores.tolist(), strict=True)
        return [Judged(at_ns, score, channels if score >= threshold else ()) for at_ns, score in told]

    def _channels_of(self, row: Floats) -> tuple[tuple[str, float, float, float, float], ...]:
        assert self._detector is not None
        low, high = self._detector.expected()
        found = []
        for tag, share in self._detector.contributions():
            place = self._places[tag]
            found.append((tag, share, float(row[place]), float(low[place]), float(high[place])))
        return tuple(found)
