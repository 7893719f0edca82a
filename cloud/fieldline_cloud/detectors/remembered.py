"""Rows spread evenly over all that was seen, in bounded room, with the largest of what lay between them. Pure."""

import base64
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fieldline_cloud.detectors.trailing import Floats, Ints

__all__ = ["Remembered", "packed", "unpacked"]

_ROOM: Final = 64

Singles = NDArray[np.float32]


class Remembered:
    """At most `rows_max` rows of so many `columns`, and of so many `sizes` the largest since the row before.

    When it is full every second row goes, until one in `stride_max` is kept; then the oldest goes. Rows are kept as
    four-byte distances from the first, so that what hardly moves keeps its digits.
    """

    def __init__(self, columns: int, sizes: int, rows_max: int, stride_max: int) -> None:
        self.seen = 0
        self._rows_max = rows_max
        self._stride_max = stride_max
        self._stride = 1
        self._count = 0
        self._origin = np.zeros(columns)
        self._times = np.zeros(0, np.int64)
        self._rows: Singles = np.zeros((0, columns), np.float32)
        self._largest: Singles = np.zeros((0, sizes), np.float32)
        self._open = np.full(sizes, np.nan)

    def __len__(self) -> int:
        return self._count

    def add(self, at_ns: Ints, rows: Floats, sizes: Floats) -> None:
        """Take rows (n, columns) with sizes (n, sizes), NaN where there is none."""
        begin = 0
        while begin < len(at_ns):
            place = begin + -self.seen % self._stride
            end = min(place + 1, len(at_ns))
            self._open = np.fmax(self._open, np.fmax.reduce(sizes[begin:end], axis=0))
            self.seen += end - begin
            begin = end
            if place < len(at_ns):
                self._keep(int(at_ns[place]), rows[place])

    def until(self, at_ns: int) -> tuple[Floats, Floats]:
        """The rows (n, columns) up to a time, and the largest sizes (n, sizes) since the row before each."""
        count = int(np.searchsorted(self._times[: self._count], at_ns, side="right"))
        return self._rows[:count] + self._origin, self._largest[:count].astype(np.float64)

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs, as plain data."""
        count = self._count
        return {
            "counts": [self.seen, self._stride],
            "times": self._times[:count].tolist(),
            "origin": packed(self._origin, "<f8"),
            "open": packed(self._open, "<f8"),
            "rows": packed(self._rows[:count], "<f4"),
            "largest": packed(self._largest[:count], "<f4"),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on where `snapshot` was taken; ValueError, KeyError or TypeError, and no change, for what is none."""
        times = np.array(snapshot["times"], np.int64)
        rows, largest = (
            unpacked(snapshot[name], "<f4").reshape(len(times), own.shape[1]).astype(np.float32)
            for name, own in (("rows", self._rows), ("largest", self._largest))
        )
        origin, opened = (
            unpacked(snapshot[name], "<f8").reshape(own.shape)
            for name, own in (("origin", self._origin), ("open", self._open))
        )
        seen, stride = (int(each) for each in snapshot["counts"])
        if seen < 0 or stride < 1 or len(times) > self._rows_max:
            raise ValueError(f"{len(times)} rows, one in {stride}, of {seen}")
        self.seen, self._stride, self._count = seen, stride, len(times)
        self._times, self._rows, self._largest = times, rows, largest
        self._origin, self._open = origin, opened

    def _keep(self, at_ns: int, row: Floats) -> None:
        if not self._count:
            self._origin = np.nan_to_num(row)
        if self._count == len(self._times):
            self._times = _with_room(self._times)
            self._rows, self._largest = _with_room(self._rows), _with_room(self._largest)
        self._times[self._count] = at_ns
        self._rows[self._count] = row - self._origin
        self._largest[self._count] = self._open
        self._open = np.full_like(self._open, np.nan)
        self._count += 1
        if self._count > self._rows_max:
            self._make_room()

    def _make_room(self) -> None:
        count = self._count
        if self._stride >= self._stride_max:
            for part in (self._times, self._rows, self._largest):
                part[: count - 1] = part[1:count].copy()
            self._count -= 1
            return
        self._stride *= 2
        self._largest[2:count:2] = np.fmax(self._largest[2:count:2], self._largest[1 : count - 1 : 2])
        if count % 2 == 0:  # the last one goes as well
            self._open = np.fmax(self._open, self._largest[count - 1])
        self._count = (count + 1) // 2
        for part in (self._times, self._rows, self._largest):
            part[: self._count] = part[:count:2].copy()


def packed(values: NDArray[Any], kind: str) -> str:
    """Numbers as text, each as `kind` says."""
    return base64.b64encode(values.astype(kind).tobytes()).decode()


def unpacked(text: str, kind: str) -> NDArray[Any]:
    """The numbers of `packed`, flat."""
    return np.frombuffer(base64.b64decode(text), kind).copy()


def _with_room(part: NDArray[Any]) -> NDArray[Any]:
    more = np.zeros((max(len(part), _ROOM), *part.shape[1:]), part.dtype)
    return np.concatenate([part, more])
