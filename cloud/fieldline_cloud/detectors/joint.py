"""The detector for tags that belong together on one device. Pure: rows and times in, scores out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fieldline_cloud.detectors.aftermath import Aftermath
from fieldline_cloud.detectors.channels import Channels
from fieldline_cloud.detectors.lasting import Lasting
from fieldline_cloud.detectors.normal import Floats, Normal
from fieldline_cloud.detectors.warmup import Lesson, Study, learn

__all__ = ["CHANNELS_MAX", "KEEN", "Joint", "JointSettings", "JointStats"]

CHANNELS_MAX: Final = 64
"""Channels of one device; the cost of a row grows with their square, and so does what is kept."""
_VERSION: Final = 1
_LESSON_BLOCKS_MAX: Final = 10
"""Blocks between two lessons at most: what is kept until then is bounded."""
_VALUE_MAX: Final = 1e150
"""No sensor says more than this; such a value is not there, like NaN and infinity."""
_LOUD_SHARE_MAX: Final = 0.2
"""The share of a block's rows that may score above `quiet_below` in one that trains.

None at all would train on the quietest blocks only, and the bar would sink towards them.
"""
_ADOPTED_SHARE: Final = 0.3
"""How much of the normal a state that was adopted makes up."""
_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class JointSettings:
    """One configuration for every device.

    warmup_rows      rows that are taken for normal and learned from before the first score
    smoothing        weight of a new row in the exponential mean of a channel: 0.1 looks back about 10 rows
    clip             a value counts as at most this many scales of its channel, so that one spike is no alarm
    ridge            how far the correlations are shrunk: 0 trusts all of the warm-up, 10 takes channels one by one
    bar              score 1.0 lies at this many times the `quantile` of the distances in normal running
    block_rows       rows that are judged quiet, or not, together; also what wandering is measured over
    wandering_from   a level that moves this many times more from block to block than noise explains is followed
    followed_weight  what such a channel counts: its steps have heavier tails than a short warm-up shows
    memory_rows      how many quiet rows the normal remembers
    quiet_below      a block with four rows in five below this score trains the normal; no other does
    adopt_rows       a state that lasts so long without one block that trains is taken for normal as well
    aftermath_share, aftermath_max, aftermath_half_life_rows
                     after a peak of p the bar stands at share x p, but within 1 and max; p halves in that time
    quantile         of the distances in normal running, which the bar is a multiple of
    gap_s            a longer pause starts the smoothing afresh
    set_back_s       a row older than the one before by more than this is a clock that was set back, not a late row
    """

    warmup_rows: int = 400
    smoothing: float = 0.1
    clip: float = 12.0
    ridge: float = 0.5
    bar: float = 1.75
    block_rows: int = 50
    wandering_from: float = 80.0
    followed_weight: float = 0.35
    memory_rows: int = 20_000
    quiet_below: float = 0.7
    adopt_rows: int = 1_000
    aftermath_share: float = 0.4
    aftermath_max: float = 2.0
    aftermath_half_life_rows: float = 300.0
    quantile: float = 0.99
    gap_s: float = 300.0
    set_back_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0.0 < self.smoothing <= 1.0:
            raise ValueError(f"smoothing is {self.smoothing:g}; it is a weight above 0 and at most 1")
        if self.block_rows < 2 or self.warmup_rows < 4 * self.block_rows:
            raise ValueError(
                f"warmup_rows is {self.warmup_rows} with block_rows {self.block_rows}; "
                f"give blocks of at least two rows, and at least four of them"
            )
        if min(self.clip, self.ridge, self.bar, self.followed_weight, self.aftermath_half_life_rows) <= 0.0:
            raise ValueError("clip, ridge, bar, followed_weight and aftermath_half_life_rows must be above 0")

    @property
    def study(self) -> Study:
        """How the warm-up is read."""
        return Study(self.smoothing, self.clip, self.ridge, self.quantile, self.block_rows, self.wandering_from)


KEEN: Final = JointSettings(quiet_below=0.4, followed_weight=1.0)
"""For runs of minutes and hours, and where a miss is dear: next to nothing is learned after the warm-up.

It sees what begins slowly soon after the warm-up, and takes the change of a machine that was still getting warm for a
fault. docs/decisions/0013-joint-detector.md has the figures of both.
"""


@dataclass(slots=True)
class JointStats:
    """Counters since the start."""

    rows: int = 0
    rows_late: int = 0
    rows_empty: int = 0
    restarts: int = 0
    blocks_learned: int = 0
    blocks_not_quiet: int = 0
    states_adopted: int = 0
    warmups_without_movement: int = 0


class Joint:
    """Watches the rows of one device: how far are its channels from what they make of each other.

    Learns on the first `warmup_rows` rows (scores NaN), then scores every row and goes on learning from quiet blocks.
    Sources: exponentially smoothed multivariate control (Lowry, Woodall, Champ and Rigdon 1992), regression-adjusted
    variables (Hawkins 1991), self-starting charts (Hawkins 1987), a robust local level per wandering channel. Scores
    depend on the past alone, whatever the batches.

    Channels that did not move in the warm-up, or were hardly there, are left out until `relearn`. Values that are not
    finite are "not there": the row is judged by the others. Late and repeated rows score NaN and change nothing.
    """

    def __init__(self, channels: Sequence[str], settings: JointSettings | None = None) -> None:
        self.settings = settings or JointSettings()
        self.stats = JointStats()
        self._name(channels)
        self._last_ns: int | None = None
        self._lesson: Lesson | None = None
        self._warmup: list[Floats] = []
        self._block: list[tuple[Floats, Floats]] = []
        self._forget()

    @property
    def learning(self) -> bool:
        """Whether it is still in its warm-up, or in a new one after `relearn`."""
        return self._lesson is None

    @property
    def judged(self) -> tuple[str, ...]:
        """The channels that count, once learned."""
        return () if self._lesson is None else tuple(self.channels[column] for column in self._lesson.columns)

    def relearn(self, channels: Sequence[str] | None = None) -> None:
        """Forget what is normal and learn it again: after a repair, a restart, or with other `channels`."""
        if channels is not None:
            self._name(channels)
        self._forget()

    def update(self, times: ArrayLike, values: ArrayLike, spreads: ArrayLike | None = None) -> Floats:
        """Judge rows: `times` (n,) in ns, `values` (n, channels); the scores (n,), 1.0 is worth an alert.

        `spreads` are there for `Duty`, which takes the same rows; they are not looked at. ValueError where the shapes
        do not fit the channels.
        """
        at = np.asarray(times, dtype=np.int64)
        rows = np.asarray(values, dtype=np.float64)
        if at.ndim != 1 or rows.shape != (len(at), len(self.channels)):
            raise ValueError(
                f"times {at.shape} and values {rows.shape} do not fit: give (n,) and (n, {len(self.channels)}), "
                f"a column each for {', '.join(self.channels)}; relearn(channels) takes other channels"
            )
        taken, jumps = self._in_order(at)
        self.stats.rows += len(at)
        self.stats.rows_late += len(at) - len(taken)
        rows = rows if len(taken) == len(at) else rows[taken]
        rows = np.where(np.abs(rows) < _VALUE_MAX, rows, np.nan)
        found = np.empty(len(taken))
        edges = [*jumps, len(taken)]
        start = 0
        while start < len(taken):
            if start == edges[0]:
                self._restart()
                del edges[0]
            stop = min(start + self._room(), edges[0])
            found[start:stop] = self._piece(rows[start:stop])
            start = stop
        if len(taken) == len(at):
            return found
        scores = np.full(len(at), np.nan)
        scores[taken] = found
        return scores

    def contributions(self) -> list[tuple[str, float]]:
        """Each judged channel's share of the last row's distance, the largest first; empty while there is none."""
        squares = np.nan_to_num(self._last_deviations) ** 2
        total = float(squares.sum())
        if not total:
            return []
        shares = zip(self.judged, (squares / total).tolist(), strict=True)
        return sorted(shares, key=lambda share: -share[1])

    def expected(self) -> tuple[Floats, Floats]:
        """The band (low, high) of each channel, given the others now, in which its smoothed value scores below 1.0.

        NaN for channels that are not judged or missing.
        """
        low, high = np.full(len(self.channels), np.nan), np.full(len(self.channels), np.nan)
        if self._lesson is not None:
            channels, columns = self._lesson.channels, self._lesson.columns
            row = np.where(channels.missing > 0, np.nan, channels.smooth)
            widths = self.settings.bar * self._aftermath.bar / self._weights(self._lesson)
            band = self._lesson.normal.expected(row, widths)
            low[columns], high[columns] = (channels.level + channels.scale * edge for edge in band)
        return low, high

    def snapshot(self) -> dict[str, Any]:
        """All it remembers as plain data."""
        lesson, settings = self._lesson, self.settings
        return {
            "version": _VERSION,
            "rows": [settings.warmup_rows, settings.block_rows],
            "channels": list(self.channels),
            "last_ns": self._last_ns,
            "warmup": [_plain(rows) for rows in self._warmup],
            "block": [[_plain(bare[:, None]), _plain(smooth)] for bare, smooth in self._block],
            "lasting": [_plain(rows) for rows in self._lasting.kept],
            "aftermath": self._aftermath.peak,
            "lesson": None
            if lesson is None
            else {
                "columns": lesson.columns.tolist(),
                "channels": lesson.channels.snapshot(),
                "normal": lesson.normal.snapshot(),
            },
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken, with its channels.

        ValueError where it is not one of ours, and nothing has changed then. Under other `warmup_rows` or
        `block_rows` what was being collected is dropped, and what was learned is kept.
        """
        try:
            if snapshot["version"] != _VERSION:
                raise ValueError(f"version {snapshot['version']!r}, {_VERSION} is known")
            channels, last_ns, peak = snapshot["channels"], snapshot["last_ns"], float(snapshot["aftermath"])
            lesson = None if snapshot["lesson"] is None else self._lesson_of(snapshot["lesson"])
            warmup = [_floats(rows) for rows in snapshot["warmup"]]
            block = [(_floats(bare)[:, 0], _floats(smooth)) for bare, smooth in snapshot["block"]]
            lasting = [_floats(rows) for rows in snapshot["lasting"]]
            same = list(snapshot["rows"]) == [self.settings.warmup_rows, self.settings.block_rows]
            self._name(channels)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no snapshot of a joint detector: {error!r}; begin without it") from error
        self._forget()
        self._last_ns, self._lesson, self._aftermath.peak = last_ns, lesson, peak
        if same:
            self._warmup, self._block = warmup, block
            self._lasting.restore(lasting)
            self._warmup_rows, self._block_rows = sum(map(len, warmup)), sum(len(bare) for bare, _ in block)

    def _lesson_of(self, snapshot: Mapping[str, Any]) -> Lesson:
        return Lesson(
            np.asarray(snapshot["columns"], dtype=np.intp),
            Channels.restored(snapshot["channels"]),
            Normal.restored(snapshot["normal"], ridge=self.settings.ridge),
        )

    def _name(self, channels: Sequence[str]) -> None:
        if not 1 <= len(channels) <= CHANNELS_MAX or len(set(channels)) < len(channels):
            raise ValueError(f"{len(channels)} channels: give 1 to {CHANNELS_MAX}, each name once")
        self.channels = tuple(channels)

    def _forget(self) -> None:
        settings = self.settings
        self._lesson = None
        self._warmup = []
        self._warmup_rows = 0
        self._block = []
        self._block_rows = 0
        self._last_deviations: Floats = np.zeros(0)
        self._lasting: Lasting = Lasting(settings.adopt_rows)
        self._aftermath: Aftermath = Aftermath(
            settings.aftermath_share, settings.aftermath_max, settings.aftermath_half_life_rows
        )

    def _in_order(self, at: NDArray[np.int64]) -> tuple[Sequence[int], list[int]]:
        """Which rows are newer than all before, and at which of those time has jumped."""
        settings, last = self.settings, self._last_ns
        if not len(at):
            return (), []
        gap_ns, set_back_ns = int(settings.gap_s * _S), int(settings.set_back_s * _S)
        first = 1 if last is None else int(at[0]) - last
        steps = at[1:] - at[:-1]
        if 0 < first <= gap_ns and (not len(steps) or (steps.min() > 0 and steps.max() <= gap_ns)):
            self._last_ns = int(at[-1])
            return range(len(at)), []
        taken: list[int] = []
        jumps = []
        for place, now in enumerate(at.tolist()):
            step = 1 if last is None else now - last
            if -set_back_ns <= step <= 0:
                continue
            if step < 0 or step > gap_ns:
                jumps.append(len(taken))
            taken.append(place)
            last = now
        self._last_ns = last
        return taken, jumps

    def _room(self) -> int:
        """Rows until the next lesson."""
        if self._lesson is None:
            return self.settings.warmup_rows - self._warmup_rows
        return self._lesson_rows() - self._block_rows

    def _lesson_rows(self) -> int:
        """A lesson is due when what is new is an eighth of what is known: often at first, seldom later."""
        assert self._lesson is not None
        blocks = self._lesson.normal.seen // (8 * self.settings.block_rows)
        return self.settings.block_rows * min(max(blocks, 1), _LESSON_BLOCKS_MAX)

    def _restart(self) -> None:
        self.stats.restarts += 1
        if self._lesson is not None:
            self._lesson.channels.restart()

    def _piece(self, rows: Floats) -> Floats:
        """Judge rows that end at the next lesson at the latest."""
        if self._lesson is None:
            self._collect(rows)
            return np.full(len(rows), np.nan)
        lesson = self._lesson
        judged = rows if len(lesson.columns) == rows.shape[1] else rows[:, lesson.columns]
        smooth = lesson.channels.follow(judged)
        deviations = lesson.normal.deviations(smooth) * self._weights(lesson)
        bare = lesson.normal.furthest(deviations) / self.settings.bar
        self._last_deviations = deviations[-1]
        self.stats.rows_empty += int(np.isnan(bare).sum())
        self._study(smooth, bare)
        return self._aftermath.soften(bare)

    def _weights(self, lesson: Lesson) -> Floats:
        """What the deviation of each channel counts."""
        return np.where(lesson.channels.gain > 0.0, self.settings.followed_weight, 1.0)

    def _collect(self, rows: Floats) -> None:
        self._warmup.append(rows.copy())
        self._warmup_rows += len(rows)
        if self._warmup_rows < self.settings.warmup_rows:
            return
        self._lesson = learn(np.concatenate(self._warmup), self.settings.study)
        self._warmup, self._warmup_rows = [], 0
        if self._lesson is None:
            self.stats.warmups_without_movement += 1

    def _study(self, smooth: Floats, bare: Floats) -> None:
        """Keep the rows; when a lesson is due, learn from those of its blocks that were quiet."""
        assert self._lesson is not None
        settings = self.settings
        self._block.append((bare, smooth))
        self._block_rows += len(smooth)
        if self._block_rows < self._lesson_rows():
            return
        scores, rows = (np.concatenate(parts) for parts in zip(*self._block, strict=True))
        loud = np.mean(scores.reshape(-1, settings.block_rows) >= settings.quiet_below, axis=1)
        quiet = loud <= _LOUD_SHARE_MAX
        self.stats.blocks_learned += int(quiet.sum())
        self.stats.blocks_not_quiet += int((~quiet).sum())
        normal = self._lesson.normal
        if quiet.any():
            taught = rows[np.repeat(quiet, settings.block_rows)]
            normal.absorb(taught, quantile=settings.quantile, memory_rows=settings.memory_rows)
        for block, was_quiet in zip(np.split(rows, len(quiet)), quiet.tolist(), strict=True):
            lasted = self._lasting.note(block, quiet=was_quiet)
            if lasted is not None:
                normal.adopt(lasted, _ADOPTED_SHARE)
                self.stats.states_adopted += 1
        self._block, self._block_rows = [], 0


def _plain(rows: Floats) -> list[list[float | None]]:
    """Rows as JSON can say them: None for what is not finite."""
    return [[value if np.isfinite(value) else None for value in row] for row in rows.tolist()]


def _floats(rows: list[list[float | None]]) -> Floats:
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
