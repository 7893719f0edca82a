"""A health indicator: the median of every hour or so, in bounded memory, whatever order the readings come in.

A bucket of time takes values while it is open. The newest is, and one other, so that a backlog that arrives late
between live readings is counted where it belongs. A bucket holds at most VALUES_MAX values: past that every second
one goes and every second further one is passed over. Closed buckets are points. At `points_max` of them the older half
is merged in pairs: what is recent stays fine, what is old becomes coarse, and nothing is forgotten.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, Self

__all__ = ["Indicator", "Point"]

VALUES_MAX: Final = 64
"""Values that one open bucket holds."""


@dataclass(slots=True)
class Point:
    """What `buckets` buckets from `start_ns` on said in `count` values: the mean of their medians."""

    start_ns: int
    value: float
    count: int
    buckets: int = 1


@dataclass(slots=True)
class _Bucket:
    """Values under collection: every `stride`-th of `count`."""

    values: list[float] = field(default_factory=list)
    stride: int = 1
    count: int = 0

    def add(self, value: float) -> None:
        if self.count % self.stride == 0:
            if len(self.values) == VALUES_MAX:
                del self.values[1::2]
                self.stride *= 2
                if self.count % self.stride:
                    self.count += 1
                    return
            self.values.append(value)
        self.count += 1


class Indicator:
    """Medians of buckets of `bucket_ns`, at most `points_max` (an even number) of them."""

    def __init__(self, *, bucket_ns: int, points_max: int) -> None:
        assert bucket_ns > 0, bucket_ns
        assert points_max >= 2, points_max
        self.bucket_ns = bucket_ns
        self.points: list[Point] = []
        """In order of time, without those of open buckets."""
        self._points_max = points_max
        self._open: dict[int, _Bucket] = {}  # by number: the newest, and a late one
        self._newest: int | None = None

    @property
    def newest_ns(self) -> int | None:
        """Where the newest bucket begins."""
        return None if self._newest is None else self._newest * self.bucket_ns

    def add(self, at_ns: int, value: float) -> bool:
        """Take one finite value; True if with it a bucket was closed, so that the points are others now."""
        number = at_ns // self.bucket_ns
        closed = False
        if number not in self._open:
            closed = self._make_room(number)
        bucket = self._open.pop(number, None) or _Bucket()
        bucket.add(value)
        self._open[number] = bucket
        return closed

    def _make_room(self, number: int) -> bool:
        """For a bucket: the newest is closed by a newer one, the late one by another late one."""
        if self._newest is None or number > self._newest:
            leaving, self._newest = self._newest, number
        else:
            leaving = next((late for late in self._open if late != self._newest), None)
        if leaving is None or leaving not in self._open:
            return False
        self._close(leaving)
        return True

    def forget_before(self, at_ns: int) -> None:
        """Drop the points that begin before `at_ns`."""
        self.points = [point for point in self.points if point.start_ns >= at_ns]

    def forget_from(self, at_ns: int) -> None:
        """Drop everything that begins at `at_ns` or later."""
        self.points = [point for point in self.points if point.start_ns < at_ns]
        self._open = {number: bucket for number, bucket in self._open.items() if number * self.bucket_ns < at_ns}
        starts = [point.start_ns // self.bucket_ns for point in self.points]
        self._newest = max([*starts, *self._open], default=None)

    def _close(self, number: int) -> None:
        bucket = self._open.pop(number)
        value = median(bucket.values)
        start_ns = number * self.bucket_ns
        place = bisect_right(self.points, start_ns, key=lambda point: point.start_ns)
        before = self.points[place - 1] if place else None
        if before is not None and start_ns < before.start_ns + before.buckets * self.bucket_ns:
            before.count += bucket.count  # a part of its time came late
            before.value += (value - before.value) * bucket.count / before.count
            return
        self.points.insert(place, Point(start_ns, value, bucket.count))
        if len(self.points) > self._points_max:
            self._merge()

    def _merge(self) -> None:
        older = len(self.points) // 4 * 2
        pairs = zip(self.points[:older:2], self.points[1:older:2], strict=True)
        self.points[:older] = [_merged(first, second) for first, second in pairs]

    def snapshot(self) -> dict[str, Any]:
        """Plain data from which `restore` makes the same again."""
        return {
            "bucket_ns": self.bucket_ns,
            "points": [[point.start_ns, point.value, point.count, point.buckets] for point in self.points],
            "open": [[number, each.values, each.stride, each.count] for number, each in self._open.items()],
            "newest": self._newest,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> Self:
        """Go on where `snapshot` was taken. If its buckets had another length, the points stay and open ones go."""
        self.points = [Point(int(start), float(v), int(count), int(n)) for start, v, count, n in snapshot["points"]]
        if snapshot["bucket_ns"] == self.bucket_ns:
            self._open = {int(n): _Bucket(list(map(float, v)), int(s), int(c)) for n, v, s, c in snapshot["open"]}
            self._newest = None if snapshot["newest"] is None else int(snapshot["newest"])
        elif self.points:
            self._newest = self.points[-1].start_ns // self.bucket_ns
        return self


def _merged(first: Point, second: Point) -> Point:
    buckets = first.buckets + second.buckets
    value = (first.value * first.buckets + second.value * second.buckets) / buckets
    return Point(first.start_ns, value, first.count + second.count, buckets)
