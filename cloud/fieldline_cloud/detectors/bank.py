"""The per-tag detector for many series at once: the same sums in arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldline.detectors import Surprise, Tuning
from fieldline.detectors.records import RATIO_MAX
from fieldline.detectors.season import DAY, SLOTS, WEEK
from fieldline.detectors.surprise import RESOLUTION, RESOLUTION_MIN, VALUE_MAX, VERSION
from fieldline.detectors.tuning import DEFAULT, HOUR_NS

__all__ = ["SurpriseBank"]

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]

_SEEN, _TURNED, _NOW, _BEGAN, _SINCE, _DEPTH = range(6)  # columns of `whole`
_NONE = -1.0  # in place of a record not set yet


class SurpriseBank:
    """`Surprise` for many series, a row each, with the scores of the plain class.

    The state lies in arrays, so a batch costs a few dozen numpy calls however many series it brings. A bank begins with
    room for `capacity` series and doubles when it is full: 4 kB a series. A row that was removed is used again.
    """

    def __init__(self, capacity: int = 64, *, tuning: Tuning = DEFAULT) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}; a bank has room for at least 1 series")
        self._tuning = tuning
        self._rates = np.array([tuning.fast_rate, tuning.slow_rate] * 2)
        self._state = self._fresh(capacity)
        self._rows = 0  # handed out so far, removed ones included
        self._removed: set[int] = set()

    def _fresh(self, rows: int) -> dict[str, npt.NDArray[Any]]:
        rank = self._tuning.record_rank
        whole = np.zeros((rows, 6), np.int64)
        whole[:, _DEPTH] = 1
        return {
            "whole": whole,
            "level": np.zeros(rows),
            # By column, because most readings of a batch are of the same hour.
            "means": np.zeros((rows, SLOTS), order="F"),
            "counts": np.zeros((rows, SLOTS), np.int64, order="F"),
            # Four records a row, in the order of Surprises; ascending, with _NONE for those not set yet.
            "smoothed": np.zeros((rows, 4)),
            "bar": np.zeros((rows, 4)),
            "ratios": np.full((rows, 4), np.nan),
            "old": np.full((rows, 4, rank), _NONE),
            "young": np.full((rows, 4, rank), _NONE),
            "floor": np.full((rows, 4), _NONE),
        }

    def __len__(self) -> int:
        return self._rows - len(self._removed)

    def add(self) -> int:
        """A row for a series that starts to learn."""
        if self._removed:
            return self._removed.pop()
        room = len(self._state["level"])
        if self._rows == room:
            more = self._fresh(room)
            self._state = {name: np.concatenate((held, more[name])) for name, held in self._state.items()}
        self._rows += 1
        return self._rows - 1

    def remove(self, row: int) -> None:
        """Forget the series of `row`, which `add` may hand out again."""
        self._check(row)
        for name, fresh in self._fresh(1).items():
            self._state[name][row] = fresh[0]
        self._removed.add(row)

    def _check(self, row: int) -> None:
        if not 0 <= row < self._rows or row in self._removed:
            raise KeyError(f"row {row} is none of this bank's; add() hands them out")

    def update(self, rows: npt.ArrayLike, times: npt.ArrayLike, values: npt.ArrayLike) -> _Floats:
        """The scores of one reading each of the series `rows`: all of shape (n,), times in ns, no row twice.

        As `Surprise.step`: NaN for a value that is none, and while a series is learning.
        """
        at, at_ns, value = np.asarray(rows, np.int64), np.asarray(times, np.int64), np.asarray(values, np.float64)
        good = np.abs(value) < VALUE_MAX  # false for NaN
        if good.all():
            return self._step(at, at_ns, value)
        scores = np.full(len(value), np.nan)
        scores[good] = self._step(at[good], at_ns[good], value[good])
        return scores

    def _step(self, rows: _Ints, at_ns: _Ints, value: _Floats) -> _Floats:
        state = self._state
        whole = state["whole"].take(rows, 0)
        due = whole[:, _SEEN] % self._tuning.readings_a_rank == 0
        if due.any():
            whole[due] = self._age(rows[due], whole[due], at_ns[due])
        stood_ns = at_ns - whole[:, _NOW]
        seen = whole[:, _SEEN] + 1
        whole[:, _SEEN], whole[:, _NOW] = seen, at_ns
        state["whole"][rows] = whole

        by_level = self._by_level(rows, value, seen)
        deviations = np.empty((len(rows), 4))
        deviations[:, :2] = self._by_season(rows, at_ns, stood_ns, value, by_level)[:, None]
        deviations[:, 2:] = by_level[:, None]
        ratios = self._ratios(rows, deviations, RESOLUTION * np.abs(value) + RESOLUTION_MIN)
        state["ratios"][rows] = ratios
        ratios *= ratios
        a, b, c, d = (ratios * ratios).T
        scores: _Floats = np.sqrt(np.sqrt((a + b + c + d) / 4.0))
        scores[seen <= self._tuning.warm_up] = np.nan
        return scores

    def _by_level(self, rows: _Ints, value: _Floats, seen: _Ints) -> _Floats:
        mean = self._state["level"].take(rows)
        deviation: _Floats = value - mean
        self._state["level"][rows] = mean + deviation * np.maximum(self._tuning.level_rate, 1.0 / seen)
        deviation[seen == 1] = 0.0
        return deviation

    def _by_season(self, rows: _Ints, at_ns: _Ints, stood_ns: _Ints, value: _Floats, otherwise: _Floats) -> _Floats:
        hour = at_ns // HOUR_NS
        slots = rows, np.array((hour % DAY, DAY + hour % WEEK))
        means, counts = self._state["means"], self._state["counts"]
        mean, seen = means[slots], counts[slots]
        deviations = value - mean
        rate = np.minimum(np.maximum(stood_ns, 0), HOUR_NS) / (self._tuning.season_hours * HOUR_NS)
        counts[slots] = seen + 1
        means[slots] = mean + deviations * np.maximum(rate, 1.0 / (seen + 1))
        by_day = np.where(seen[0], deviations[0], otherwise)
        nearer = (seen[1] > 0) & (np.abs(deviations[1]) < np.abs(by_day))
        return np.where(nearer, deviations[1], by_day)

    def _ratios(self, rows: _Ints, deviations: _Floats, resolution: _Floats) -> _Floats:
        state = self._state
        smoothed = state["smoothed"].take(rows, 0)
        smoothed += self._rates * (deviations - smoothed)
        state["smoothed"][rows] = smoothed
        size = np.abs(smoothed)
        bar = np.maximum(state["bar"].take(rows, 0), resolution[:, None])
        larger = np.flatnonzero(size > state["floor"].take(rows, 0))
        if len(larger):
            self._keep(rows[larger // 4], larger % 4, size.reshape(-1)[larger])
        ratios: _Floats = np.minimum(size / bar, RATIO_MAX)
        return ratios

    def _keep(self, rows: _Ints, which: _Ints, size: _Floats) -> None:
        young = self._state["young"][rows, which]
        young[:, 0] = size
        young.sort(axis=1)
        self._state["young"][rows, which] = young
        self._state["floor"][rows, which] = young[:, 0]
        self._weigh(rows, which)

    def _weigh(self, rows: _Ints, which: _Ints) -> None:
        largest = np.concatenate((self._state["old"][rows, which], self._state["young"][rows, which]), axis=1)
        largest.sort(axis=1)
        depth = self._state["whole"][rows, _DEPTH]
        bar = np.take_along_axis(largest, (largest.shape[1] - depth)[:, None], axis=1)[:, 0]
        self._state["bar"][rows, which] = np.maximum(bar, 0.0)

    def _age(self, rows: _Ints, whole: _Ints, at_ns: _Ints) -> _Ints:
        """As `Surprise._age` of each row; `whole` as it is then."""
        tuning, state = self._tuning, self._state
        first = whole[:, _SEEN] == 0
        whole[first, _BEGAN] = whole[first, _SINCE] = at_ns[first]
        whole[:, _BEGAN] = np.minimum(whole[:, _BEGAN], at_ns)
        whole[~first, _DEPTH] = np.minimum(whole[~first, _DEPTH] + 1, tuning.record_rank)
        readings, lasted_ns = whole[:, _SEEN] - whole[:, _TURNED], at_ns - whole[:, _BEGAN]
        turns = (readings >= tuning.generation) & (lasted_ns >= tuning.generation_ns)
        whole[turns, _TURNED], whole[turns, _SINCE] = whole[turns, _SEEN], whole[turns, _BEGAN]
        whole[turns, _BEGAN] = at_ns[turns]
        turning = rows[turns]
        state["old"][turning] = state["young"][turning]
        state["young"][turning] = state["floor"][turning] = _NONE
        state["whole"][rows] = whole
        self._weigh(np.repeat(rows, 4), np.tile(np.arange(4), len(rows)))
        return whole

    def single(self, row: int) -> Surprise:
        """The series of `row` as a detector of its own, for what is asked of one: its band, its reason."""
        one = Surprise(self._tuning)
        one.restore(self.snapshot(row))
        return one

    def learning(self, row: int) -> bool:
        """Whether its next reading has no score yet."""
        return bool(self._state["whole"][row, _SEEN] < self._tuning.warm_up)

    def band(self, row: int) -> tuple[float, float]:
        """Low and high of the next value; see `Surprise.expected`."""
        return self.single(row).expected()

    def snapshot(self, row: int) -> dict[str, Any]:
        """What `Surprise.snapshot` of this series would be; either restores the other's."""
        self._check(row)
        state = self._state
        seen, turned, now_ns, began_ns, since_ns, depth = state["whole"][row].tolist()
        smoothed = state["smoothed"][row].tolist()
        kept = [
            {name: [size for size in state[name][row, which].tolist() if size != _NONE] for name in ("old", "young")}
            for which in range(4)
        ]
        return {
            "version": VERSION,
            "seen": seen,
            "turned": turned,
            "now_ns": now_ns,
            "began_ns": began_ns,
            "since_ns": since_ns,
            "ratios": [None if np.isnan(ratio) else ratio for ratio in state["ratios"][row].tolist()],
            "season": {
                "at_ns": now_ns,
                "means": state["means"][row].tolist(),
                "counts": state["counts"][row].tolist(),
            },
            "level": {"mean": float(state["level"][row]), "seen": seen},
            "records": [{"depth": depth, "mean": mean, **sizes} for mean, sizes in zip(smoothed, kept, strict=True)],
        }

    def restore(self, row: int, snapshot: Mapping[str, Any]) -> None:
        """Take up where `snapshot` was taken, as `Surprise.restore`: ValueError for one that cannot be."""
        self._check(row)
        one = Surprise(self._tuning)
        one.restore(snapshot)  # refuses what is not one
        taken, state, rank = one.snapshot(), self._state, self._tuning.record_rank
        records = taken["records"]
        state["whole"][row] = [taken[name] for name in ("seen", "turned", "now_ns", "began_ns", "since_ns")] + [
            records[0]["depth"]
        ]
        state["level"][row] = taken["level"]["mean"]
        state["means"][row], state["counts"][row] = taken["season"]["means"], taken["season"]["counts"]
        state["ratios"][row] = one.surprises
        state["smoothed"][row] = [each["mean"] for each in records]
        for name in ("old", "young"):
            state[name][row] = [[_NONE] * (rank - len(each[name])) + each[name] for each in records]
        state["floor"][row] = state["young"][row, :, 0]
        self._weigh(np.full(4, row), np.arange(4))
