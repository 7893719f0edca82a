"""What has arrived, counted from sequence numbers. Pure.

A frame is known by (producer, epoch, sequence). Seen once it is stored; seen again it is duplicated; a number missing
below the highest is lost, unless the producer itself declared the gap.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from fieldline.model import Alert, AlertState, Reading, Task

__all__ = ["Ledger", "ProducerLedger", "percentile"]

_LATENCIES_MAX = 200_000
_RATE_WINDOW_S = 5.0


@dataclass(slots=True)
class ProducerLedger:
    """The sequences of one (producer, epoch): all up to `contiguous`, and those beyond a hole."""

    contiguous: int = 0
    beyond: set[int] = field(default_factory=set)
    readings: int = 0
    duplicated_readings: int = 0
    declared_readings: int = 0

    def note(self, sequence: int, count: int, *, skipped_frames: int = 0, skipped_count: int = 0) -> bool:
        """A frame has come; False if it was here before."""
        if sequence <= self.contiguous or sequence in self.beyond:
            self.duplicated_readings += count
            return False
        if skipped_frames:
            self.declared_readings += skipped_count
            self.beyond.update(range(max(self.contiguous + 1, sequence - skipped_frames), sequence))
        self.readings += count
        self.beyond.add(sequence)
        while self.contiguous + 1 in self.beyond:
            self.contiguous += 1
            self.beyond.discard(self.contiguous)
        return True

    @property
    def missing_frames(self) -> int:
        """Numbers below the highest that have not come."""
        if not self.beyond:
            return 0
        return max(self.beyond) - self.contiguous - len(self.beyond)


class Ledger:
    """Everything the demo has seen. Times are Unix nanoseconds unless named otherwise."""

    def __init__(self) -> None:
        self.producers: dict[tuple[str, int], ProducerLedger] = {}
        self.frame_bytes = 0
        self.latencies_ms: deque[float] = deque(maxlen=_LATENCIES_MAX)
        self.last: dict[str, dict[str, Reading]] = {}
        """The last reading by device and tag."""
        self.alerts: dict[str, Alert] = {}
        self.tasks: dict[str, Task] = {}
        self._recent: deque[tuple[float, int]] = deque()

    @property
    def readings(self) -> int:
        """Different readings that are in the log."""
        return sum(one.readings for one in self.producers.values())

    @property
    def duplicated(self) -> int:
        """Readings that are in the log a second time."""
        return sum(one.duplicated_readings for one in self.producers.values())

    @property
    def missing_frames(self) -> int:
        """Frames with a number below the highest that are not in the log."""
        return sum(one.missing_frames for one in self.producers.values())

    @property
    def bytes_per_reading(self) -> float:
        """Bytes of whole frames, as the gateway sent them, for each reading."""
        return self.frame_bytes / self.readings if self.readings else 0.0

    def note_frame(
        self,
        producer: tuple[str, int],
        sequence: int,
        readings: Sequence[Reading],
        *,
        device: str,
        frame_bytes: int,
        skipped_frames: int,
        skipped_count: int,
        now_ns: int | None,
        now_s: float,
    ) -> None:
        """A frame of readings has been delivered; with `now_ns` None they say nothing of how long that took."""
        ledger = self.producers.setdefault(producer, ProducerLedger())
        if not ledger.note(sequence, len(readings), skipped_frames=skipped_frames, skipped_count=skipped_count):
            return
        self.frame_bytes += frame_bytes
        self._recent.append((now_s, len(readings)))
        self._forget_before(now_s - _RATE_WINDOW_S)
        values = self.last.setdefault(device, {})
        for reading in readings:
            values[reading.tag] = reading
            if now_ns is not None:
                self.latencies_ms.append((now_ns - reading.at_ns) / 1e6)

    def note_alert(self, alert: Alert) -> None:
        """An alert has been raised or cleared; the latest state of each is kept."""
        self.alerts[alert.id] = alert

    def note_task(self, task: Task) -> None:
        """A task has been created or changed; the highest revision is kept."""
        known = self.tasks.get(task.id)
        if known is None or task.revision >= known.revision:
            self.tasks[task.id] = task

    def rate(self, now_s: float) -> float:
        """Readings per second over the last seconds."""
        self._forget_before(now_s - _RATE_WINDOW_S)
        return sum(count for _, count in self._recent) / _RATE_WINDOW_S

    def _forget_before(self, from_s: float) -> None:
        while self._recent and self._recent[0][0] < from_s:
            self._recent.popleft()

    def raised(self) -> list[Alert]:
        """Alerts that stand, the newest first."""
        standing = [alert for alert in self.alerts.values() if alert.state is AlertState.RAISED]
        return sorted(standing, key=lambda alert: -alert.raised_at_ns)


def percentile(values: Sequence[float], fraction: float) -> float | None:
    """The smallest value that at least `fraction` of the values do not exceed (nearest rank); None of no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * fraction)) - 1]
