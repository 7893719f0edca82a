"""The alarms of one area, as its operator meets them: how many, of which severity, and whether they are a flood. Pure.

After ISA-18.2 and EEMUA 191 a flood begins with more than 10 alarms in 10 minutes and ends with fewer than 5. Time is
that of arrival: it is the operator's load that counts. Everything is counted in slices, so memory is bounded.

Alarms of one cause at one device are one thing to look at, and count once: a device of 20 tags that falls silent is no
flood.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from fieldline.model import Alert, DeviceId, Severity
from fieldline_cloud.agents.anomaly.state import Change

__all__ = ["AREA_TAG", "DAY_PERIODS", "TEN_MINUTES_NS", "Area", "AreaFigures", "FloodSpec"]

AREA_TAG: Final = "alarms"
"""Tag, and name of the device, that an area's own alarms are raised on: `<site>/<area>/alarms`."""
TEN_MINUTES_NS: Final = 600 * 1_000_000_000
_SLICE_NS: Final = TEN_MINUTES_NS // 60
DAY_PERIODS: Final = 144
"""Ten-minute periods of a day."""
_STEP_NS_MAX: Final = 60 * 1_000_000_000
"""Between two looks no more than this is counted as time: the agent stood still."""


@dataclass(frozen=True, slots=True)
class FloodSpec:
    """More than `raisings` in 10 minutes begin a flood, fewer than `over` end it. 0 raisings: there is none.

    What matters less than `notify` is held back while it lasts.
    """

    raisings: int = 10
    over: int = 5
    notify: Severity = Severity.CRITICAL
    severity: Severity = Severity.WARNING
    cause: str = "alarm_flood"


@dataclass(frozen=True, slots=True)
class AreaFigures:
    """The last 10 minutes, and the last 24 hours or since the area is known."""

    area: str
    last_10_min: int
    mean_10_min: float
    peak_10_min: int
    in_flood: bool
    flood_share: float
    """Share of the time in flood; good practice is below 0.01."""
    by_severity: dict[str, int]
    """Raisings of the day; good practice is about 5 % critical, 15 % warning, 80 % info."""


class Area:
    """Counts what is raised in one area."""

    __slots__ = (
        "_leads",
        "_periods",
        "_since_ns",
        "_slices",
        "_stepped_ns",
        "device",
        "in_flood",
        "load",
        "raised_at_ns",
        "spec",
    )

    def __init__(self, device: DeviceId, spec: FloodSpec, now_ns: int) -> None:
        self.device = device
        """Stands for the area in its own alarms."""
        self.spec = spec
        self.in_flood = False
        self.load = 0
        """Raisings of the last ten minutes, when somebody looked last."""
        self.raised_at_ns = 0
        self._since_ns = self._stepped_ns = now_ns
        self._leads: dict[str, tuple[str, int]] = {}  # by device and cause: the alarm that led, and when
        self._slices: deque[list[int]] = deque()  # [number of the 10 s, raisings]
        self._periods: deque[list[int]] = deque()  # [number of the 10 min, info, warning, critical, ns in flood]

    @property
    def name(self) -> str:
        """`site/area`."""
        return f"{self.device.site}/{self.device.area}"

    @property
    def since_ns(self) -> int:
        """Since when something is known of it."""
        return self._since_ns

    def periods(self) -> list[tuple[int, int, int, int]]:
        """Number of each period of ten minutes, and its raisings by severity. Copied at once: other threads ask too."""
        return [(number, info, warning, critical) for number, info, warning, critical, _ in [*self._periods]]

    def seen_10_min(self, now_ns: int) -> int:
        """Raisings of the last ten minutes, for whoever may not change anything."""
        first, last = (now_ns - TEN_MINUTES_NS) // _SLICE_NS + 1, now_ns // _SLICE_NS
        return sum(count for number, count in [*self._slices] if first <= number <= last)

    def leads(self, alert: Alert, now_ns: int) -> bool:
        """Whether it adds to the load: within ten minutes of an alarm another one of its device and cause does not."""
        old_ns = now_ns - TEN_MINUTES_NS
        for group in [group for group, (_, at_ns) in self._leads.items() if not old_ns < at_ns <= now_ns]:
            del self._leads[group]
        lead, _ = self._leads.setdefault(alert.group, (alert.fingerprint, now_ns))
        return lead == alert.fingerprint

    def raised(self, severity: Severity, now_ns: int) -> None:
        """Something was raised that the operator sees, or would see were it not held back."""
        number = now_ns // _SLICE_NS
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append([number, 0])
        self._slices[-1][1] += 1
        self._period(now_ns)[int(severity)] += 1

    def last_10_min(self, now_ns: int) -> int:
        """Raisings of the last ten minutes. What a clock that went back makes of the future is forgotten."""
        first = (now_ns - TEN_MINUTES_NS) // _SLICE_NS + 1
        while self._slices and self._slices[0][0] < first:
            self._slices.popleft()
        while self._slices and self._slices[-1][0] > now_ns // _SLICE_NS:
            self._slices.pop()
        return sum(count for _, count in self._slices)

    def step(self, now_ns: int) -> Change | None:
        """Look whether a flood begins or ends; to be called after each raising and with every tick."""
        if self.in_flood:
            self._period(now_ns)[4] += min(max(now_ns - self._stepped_ns, 0), _STEP_NS_MAX)
        self._stepped_ns = now_ns
        if not self._slices and not self.in_flood:
            self.load = 0
            return None
        count = self.load = self.last_10_min(now_ns)
        if not self.in_flood and 0 < self.spec.raisings < count:
            self.in_flood = True
            self.raised_at_ns = max(now_ns, self.raised_at_ns + 1)
            return Change.RAISED
        if self.in_flood and count < self.spec.over:
            self.in_flood = False
            return Change.CLEARED
        return None

    def figures(self, now_ns: int) -> AreaFigures:
        """How the alarm system does here."""
        self._period(now_ns)
        counts = [sum(period[1:4]) for period in self._periods]
        known_ns = min(max(now_ns - self._since_ns, TEN_MINUTES_NS), DAY_PERIODS * TEN_MINUTES_NS)
        return AreaFigures(
            area=self.name,
            last_10_min=self.last_10_min(now_ns),
            mean_10_min=sum(counts) * TEN_MINUTES_NS / known_ns,
            peak_10_min=max(counts),
            in_flood=self.in_flood,
            flood_share=min(1.0, sum(period[4] for period in self._periods) / known_ns),
            by_severity={
                severity.name.lower(): sum(period[int(severity)] for period in self._periods) for severity in Severity
            },
        )

    def snapshot(self) -> dict[str, Any]:
        """What `restore` needs, as JSON-able data."""
        return {
            "in_flood": self.in_flood,
            "raised_at_ns": self.raised_at_ns,
            "since_ns": self._since_ns,
            "slices": [list(one) for one in self._slices],
            "periods": [list(one) for one in self._periods],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on where `snapshot` was taken."""
        self.in_flood, self.raised_at_ns = snapshot["in_flood"], snapshot["raised_at_ns"]
        self._since_ns = snapshot["since_ns"]
        self._slices = deque(list(one) for one in snapshot["slices"])
        self._periods = deque(list(one) for one in snapshot["periods"])

    def _period(self, now_ns: int) -> list[int]:
        """The counts of this period of ten minutes; those of a day ago, and of the future, are forgotten."""
        number = now_ns // TEN_MINUTES_NS
        while self._periods and self._periods[-1][0] > number:
            self._periods.pop()
        if not self._periods or self._periods[-1][0] != number:
            self._periods.append([number, 0, 0, 0, 0])
        while self._periods[0][0] <= number - DAY_PERIODS:
            self._periods.popleft()
        return self._periods[-1]
