"""Tags of one device against what they usually are at this duty: at this load, speed or current. Pure.

A machine at another load is not a sick machine. So each channel is compared with what its drivers (the efforts of the
device, now and as slow means, and the hour) make expected, smoothed. Where they are as they never were, little is
known, and the band is wider by as much. Beside its level each channel's roughness is judged, from reading to reading:
noise shows there.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fieldline_cloud.detectors.drivers import Drivers
from fieldline_cloud.detectors.expectation import ROWS_MIN, Expectation, LearningSettings, learn
from fieldline_cloud.detectors.remembered import Remembered, packed, unpacked
from fieldline_cloud.detectors.trailing import Floats, Ints, evenly, first_known, held, lately, trailing

__all__ = ["Duty", "DutySettings"]

_S: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _S
_HOURS_KNOWN_NS: Final = 20 * 3_600 * _S
"""Until so much was seen, each hour of the day is a new one."""
_SET_BACK_NS: Final = 60 * _S
_VERSION: Final = 2
_VALUE_MAX: Final = 1e100
"""Beyond this, squares of squares overflow: such values are not there."""
_LESSON_ROWS_MAX: Final = 1_000
_PACES: Final = 5.0
"""Rows further apart than so many usual intervals are apart by a gap."""
_ALONE: Final = 12.0
"""Usual deviations that one row counts for at most: a spike is no news for ten rows."""
_PIECE_ROWS_MAX: Final = 64
"""Rows that are followed at once: what they cost grows with the square of them."""


@dataclass(frozen=True, slots=True)
class DutySettings:
    """`efforts` and `draws` are names of channels that show the duty (see `Drivers`), `no_drivers` names that do not.

    `late_s` are the time constants of their slow means. The last `untrusted_share` of what was seen, a day at most, is
    no part of what is usual yet: a fault that grows slowly must not teach its own normal. `bar` times the usual
    deviation (its 97.5 % quantile) is score 1.0, or `largest_bar` times what was hardly ever exceeded, if that is more;
    `rough_bar` is that of the roughness. Leverage widens all by sqrt(1 + `caution` x leverage). `memory_rows` rows are
    spread evenly over all that was seen, at most one in `stride_max`; then the oldest goes.
    """

    efforts: tuple[str, ...] = ("*load*", "*speed*", "*rpm*")
    draws: tuple[str, ...] = ("*current*", "*power*", "*torque*")
    no_drivers: tuple[str, ...] = ("*factor*",)
    warmup_rows: int = 60
    memory_rows: int = 512
    stride_max: int = 256
    smoothing: float = 0.1
    untrusted_share: float = 0.25
    bar: float = 2.5
    largest_bar: float = 1.5
    rough_bar: float = 2.5
    caution: float = 8.0
    late_s: tuple[float, float] = (150.0, 900.0)
    gap_s: float = 300.0
    learning: LearningSettings = field(default_factory=LearningSettings)


@dataclass(frozen=True, slots=True)
class _Followed:
    """Rows and what came of them: features, values and roughness side by side, as they are and smoothed.

    And the finest steps yet; `known` tells which channels have said something lately, None where all have.
    """

    wide: Floats
    smooth: Floats
    finest: Floats
    known: NDArray[np.bool_] | None

    def rows(self, part: slice) -> "_Followed":
        """Some of the rows."""
        known = None if self.known is None else self.known[part]
        return _Followed(self.wide[part], self.smooth[part], self.finest[part], known)


class Duty:
    """Watches the rows of one device. Scores depend on the past alone, whatever the batches; 1.0 is worth an alert."""

    def __init__(self, channels: Sequence[str], settings: DutySettings | None = None) -> None:
        self.channels = tuple(channels)
        self.settings = settings = settings or DutySettings()
        self._drivers = Drivers.among(
            self.channels, efforts=settings.efforts, draws=settings.draws, never=settings.no_drivers
        )
        count = len(self.channels)
        width = self._drivers.count + 2 * count
        self._memory = Remembered(width, count, settings.memory_rows, settings.stride_max)
        self._smooth = np.full(width, np.nan)
        self._slow = np.full((2, 2 * len(self._drivers.channels)), np.nan)
        self._last = np.full((3, count), np.nan)
        self._finest = np.full(count, np.inf)
        self._seen_ns = np.zeros(count, np.int64)
        self._began_ns = self._last_ns = self._followed_ns = self._pace_ns = 0
        self._off = np.full(count, np.nan)
        self._followed = 0
        self._settled_ns = 0
        self._due = settings.warmup_rows
        self._expected: Expectation | None = None
        self._ratios: Floats = np.zeros(count)
        self._band = np.full((2, count), np.nan)

    @property
    def learning(self) -> bool:
        """Whether nothing is expected yet."""
        return self._expected is None

    def update(self, times: ArrayLike, values: ArrayLike, spreads: ArrayLike | None = None) -> Floats:
        """Judge rows: `times` (n,) in ns, `values` (n, channels), NaN for what is not there; the scores (n,).

        `spreads` (n, channels) are standard deviations of the readings that each value is the mean of, NaN where there
        is none: roughness is taken from them, and where there is none from steps to and fro.
        """
        at, rows = np.asarray(times, np.int64), np.asarray(values, np.float64)
        within = np.full(rows.shape, np.nan) if spreads is None else np.asarray(spreads, np.float64)
        scores = np.full(len(at), np.nan)
        # a channel that never moved has no width, and memory holds no square of more than 1e19
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rows = np.where(np.abs(rows) < _VALUE_MAX, rows, np.nan)
            for places in self._pieces(at):
                scores[places] = self._piece(at[places], rows[places], within[places])
        return scores

    def contributions(self) -> list[tuple[str, float]]:
        """Each channel's share of the last score, the largest first; empty while there is none."""
        squares = np.nan_to_num(self._ratios) ** 2
        total = float(squares.sum())
        shares = zip(self.channels, (squares / total).tolist(), strict=True) if total else ()
        return sorted(shares, key=lambda share: -share[1])

    def expected(self) -> tuple[Floats, Floats]:
        """The band (low, high) of each channel at this duty; NaN where that is not known."""
        return self._band[0].copy(), self._band[1].copy()

    def snapshot(self) -> dict[str, Any]:
        """All it remembers as plain data."""
        parts = [self._smooth, self._slow.ravel(), self._last.ravel(), self._finest, self._off, self._band.ravel()]
        return {
            "version": _VERSION,
            "channels": list(self.channels),
            "counts": [self._began_ns, self._last_ns, self._settled_ns, self._pace_ns, self._followed, self._due],
            "state": packed(np.concatenate(parts), "<f8"),
            "seen_ns": self._seen_ns.tolist(),
            "memory": self._memory.snapshot(),
            "learned_ns": None if self._expected is None else self._expected.until_ns,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken, with the same channels; ValueError where it is none of ours."""
        own = [self._smooth, self._slow, self._last, self._finest, self._off, self._band]
        try:
            if snapshot["version"] != _VERSION:
                raise ValueError(f"version {snapshot['version']!r}, {_VERSION} is known")
            if tuple(snapshot["channels"]) != self.channels:
                raise ValueError("it is of other channels")
            state = np.split(unpacked(snapshot["state"], "<f8"), np.cumsum([part.size for part in own])[:-1])
            parts = [found.reshape(part.shape) for found, part in zip(state, own, strict=True)]
            seen_ns = np.array(snapshot["seen_ns"], np.int64).reshape(self._seen_ns.shape)
            counts = [int(each) for each in snapshot["counts"]]
            learned_ns = None if snapshot["learned_ns"] is None else int(snapshot["learned_ns"])
            began_ns, last_ns, settled_ns, pace_ns, followed, due = counts
            self._memory.restore(snapshot["memory"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no snapshot of a duty detector: {error!r}; begin without it") from error
        for part, found in zip(own, parts, strict=True):
            part[...] = found
        self._seen_ns = seen_ns
        self._began_ns, self._last_ns, self._followed_ns, self._pace_ns = began_ns, last_ns, last_ns, pace_ns
        self._settled_ns, self._followed, self._due = settled_ns, followed, due
        self._expected = None if learned_ns is None else self._learn(learned_ns)

    def _pieces(self, at: Ints) -> Iterator[slice | Ints]:
        """The places of rows in order, piece by piece; after a gap or a clock set back all is followed from there."""
        begun: list[int] = []
        for place, now_ns in enumerate(at.tolist()):
            passed_ns = now_ns - self._last_ns
            if self._began_ns and -_SET_BACK_NS <= passed_ns <= 0:
                continue
            gap_ns = max(self.settings.gap_s * _S, _PACES * self._pace_ns)
            if self._began_ns and not 0 < passed_ns <= gap_ns:
                if begun:
                    yield _places(begun)
                    begun = []
                self._restart(now_ns)
            if self._began_ns:
                steady_ns = max(passed_ns, 0) if not self._pace_ns else min(max(passed_ns, 0), 2 * self._pace_ns)
                self._pace_ns = steady_ns if not self._pace_ns else (7 * self._pace_ns + steady_ns) // 8
            self._began_ns = self._began_ns or now_ns
            self._last_ns = now_ns
            begun.append(place)
            if len(begun) == _PIECE_ROWS_MAX:
                yield _places(begun)
                begun = []
        if begun:
            yield _places(begun)

    def _restart(self, now_ns: int) -> None:
        for part in (self._smooth, self._slow, self._last, self._off):
            part[:] = np.nan
        self._followed, self._followed_ns = 0, now_ns
        self._settled_ns = now_ns + round(self.settings.late_s[-1] * _S)

    def _piece(self, at: Ints, rows: Floats, spreads: Floats) -> Floats:
        """Judge rows in order, without a gap."""
        followed = self._follow(at, rows, spreads)
        unripe = math.ceil(1.0 / self.settings.smoothing) - 1  # a mean of a few rows is noise
        begin = max(unripe - self._followed, int(at.searchsorted(self._settled_ns)))
        self._followed += len(at)
        scores = np.full(len(at), np.nan)
        while begin < len(at):
            end = min(len(at), begin + max(self._due - self._memory.seen, 1))
            part = slice(begin, end)
            scores[part], sizes = self._judge(followed.rows(part))
            self._memory.add(at[part], followed.smooth[part], sizes)
            if self._memory.seen >= self._due:
                self._learn_until(int(at[end - 1]), followed.smooth[end - 1])
            begin = end
        return scores

    def _follow(self, at: Ints, rows: Floats, spreads: Floats) -> "_Followed":
        """Take rows.

        A step in load makes one large difference, what follows it late makes many in one direction, and a spike makes
        two. Noise goes to and fro and to: only there the smallest of three differences counts.
        """
        known = np.isfinite(rows)
        values, unknown = (rows, None) if known.all() else first_known(held(rows, known, self._last[-1]))
        lines = np.empty((len(at) + 3, len(self.channels)))
        lines[:3], lines[3:] = self._last, values
        np.copyto(lines[:3], values[0], where=np.isnan(self._last))
        steps = lines[1:] - lines[:-1]
        sizes = np.abs(steps)
        finest = np.minimum.accumulate(np.where(sizes[2:] > 0.0, sizes[2:], np.inf), axis=0)
        finest = np.minimum(finest, self._finest)
        wide = self._wide(at, values)
        wide[:, -len(self.channels) :] = _rough(spreads, steps, sizes)
        smooth = trailing(wide, self._smooth, evenly(len(at), self.settings.smoothing))
        self._last, self._finest = lines[-3:], finest[-1]
        if unknown is not None and unknown.any():
            smooth[self._drivers.unknown(unknown)] = np.nan
            self._slow[:, np.tile(unknown[-1, self._drivers.channels], 2)] = np.nan
            self._last[:, unknown[-1]] = np.nan
        self._smooth = smooth[-1].copy()
        return _Followed(wide, smooth, np.where(finest < np.inf, finest, 0.0), self._known(at, known, unknown))

    def _wide(self, at: Ints, values: Floats) -> Floats:
        """Features and values (n, wide) of rows, and room for their roughness."""
        width, count = self._drivers.count, len(self.channels)
        wide = np.empty((len(at), width + 2 * count))
        now = self._drivers.put(wide[:, :width], values, at)
        passed_ns = np.empty_like(at)
        passed_ns[0] = at[0] - self._followed_ns if self._followed else 0
        np.subtract(at[1:], at[:-1], out=passed_ns[1:])
        self._followed_ns = int(at[-1])
        slow = trailing(now, self._slow, lately(passed_ns.tobytes(), self.settings.late_s))
        self._slow = slow[:, -1].copy()
        own = now.shape[1]
        wide[:, own : 2 * own], wide[:, 2 * own : 3 * own] = slow
        wide[:, width : width + count] = values
        return wide

    def _known(self, at: Ints, told: NDArray[np.bool_], unknown: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Which channels (n, channels) have said something lately; None where all have, in each row.

        `told` is what the rows say, `unknown` what has never been said, None where nothing is missing.
        """
        if unknown is None:
            self._seen_ns[:] = at[-1]
            return None
        seen_ns = np.maximum.accumulate(np.where(told, at[:, None], self._seen_ns), axis=0)
        self._seen_ns = seen_ns[-1]
        lost_ns = max(self.settings.gap_s * _S, _PACES * self._pace_ns)
        return ~unknown & (at[:, None] - seen_ns <= lost_ns)

    def _judge(self, rows: "_Followed") -> tuple[Floats, Floats]:
        """The scores (n,) of rows, and how far each channel is off (n, channels), less where little is known."""
        expected, settings, count = self._expected, self.settings, len(self.channels)
        if expected is None:
            return np.full(len(rows.wide), np.nan), np.full((len(rows.wide), count), np.nan)
        width = self._drivers.count
        features, values = rows.wide[:, :width], rows.wide[:, width : width + count]
        smooth, rough = rows.smooth[:, :width], rows.smooth[:, width + count :]
        usual = expected.usual + rows.finest
        caution = np.sqrt(1.0 + settings.caution * expected.leverages(smooth))
        alone = _ALONE * usual * caution
        off = np.minimum(np.maximum(values - expected.values(features), -alone), alone)
        off = trailing(off, self._off, evenly(len(off), settings.smoothing))
        self._off = off[-1].copy()
        size = np.abs(off) / caution
        if rows.known is not None:
            size, rough = np.where(rows.known, size, np.nan), np.where(rows.known, rough, np.nan)
        bar = np.fmax(settings.bar * usual, settings.largest_bar * expected.largest)
        rough_bar = settings.rough_bar * (expected.rough + 0.5 * rows.finest) * caution
        ratios = np.fmax(size / bar, rough / rough_bar)
        self._ratios = ratios[-1]
        middle, reach = expected.values(smooth[-1]), bar[-1] * caution[-1]
        self._band[0], self._band[1] = middle - reach, middle + reach
        highest = np.fmax.reduce(ratios, axis=1, initial=-1.0)
        return np.where(highest < 0.0, np.nan, highest), size

    def _learn_until(self, now_ns: int, smooth: Floats) -> None:
        settings = self.settings
        seen = self._memory.seen
        self._due = seen + min(max(seen // 8, settings.warmup_rows // 2), _LESSON_ROWS_MAX)
        untrusted_ns = min(settings.untrusted_share * max(now_ns - self._began_ns, 0), _DAY_NS)
        self._expected = self._learn(now_ns - round(untrusted_ns)) or self._expected
        if self._expected is not None:  # it goes on from what the new lesson makes of the same rows
            width = self._drivers.count
            self._off = smooth[width : width + len(self.channels)] - self._expected.values(smooth[:width])

    def _learn(self, until_ns: int) -> Expectation | None:
        rows, largest = self._memory.until(until_ns)
        if len(rows) < ROWS_MIN:
            return None
        with_hours = until_ns - self._began_ns >= _HOURS_KNOWN_NS
        return learn(rows, largest, self._drivers, self.settings.learning, until_ns=until_ns, with_hours=with_hours)


def _places(begun: list[int]) -> slice | Ints:
    """Where rows stand: side by side they need no copy."""
    is_whole = begun[-1] - begun[0] == len(begun) - 1
    return slice(begun[0], begun[-1] + 1) if is_whole else np.array(begun)


def _rough(spreads: Floats, steps: Floats, sizes: Floats) -> Floats:
    """The roughness (n, channels) of rows: their spreads, or where there is none that of steps (n + 2, channels)."""
    known = np.isfinite(spreads)
    if known.all():
        return spreads
    turns = steps[1:] * steps[:-1] < 0.0
    smallest = np.minimum(np.minimum(sizes[2:], sizes[1:-1]), sizes[:-2])
    return np.where(known, spreads, np.where(turns[1:] & turns[:-1], smallest, 0.0))
