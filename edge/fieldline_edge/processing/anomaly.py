"""What is unusual for one tag, learned and judged where it is read. Pure.

    reading ──► stretch (a mean) ──► Surprise (a score) ──► at or above the limit: raised
                                                            below the threshold for the off delay: cleared

The detector is `fieldline.detectors.Surprise`, plain Python, the one that the anomaly agent at the hub has as a bank.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fieldline.detectors import Surprise
from fieldline.model import Alert, AlertState, Band, DeviceId, Evidence, Period, Quality, Reading, Severity
from fieldline_edge.processing.stage import NEVER_S, Emit, ProcessingStats, number_of

__all__ = ["UNUSUAL", "AnomalySpec", "Running", "Unusual"]

UNUSUAL: Final = "edge_unusual"
"""Rule of the alert: never the name of a detector of the anomaly agent's."""

_BAD: Final = Quality.BAD
_HOUR_NS: Final = 3_600_000_000_000
_DAY_NS: Final = 24 * _HOUR_NS
_SET_BACK_AFTER: Final = 3
"""So many late readings in succession are no late readings: the clock was set back."""
_LOOK_EVERY: Final = 8  # what is expected costs more than a score, and moves slowly
_CONFIDENCE_MAX: Final = 0.99


@dataclass(frozen=True, slots=True)
class AnomalySpec:
    """What is learned of one tag of one device, and what its alerts are like."""

    device: DeviceId
    tag: str
    unit: str = ""
    threshold: float = 1.5
    every_ns: int = 10_000_000_000
    caution: float = 6.0
    off_delay_ns: int = 900_000_000_000
    severity: Severity = Severity.WARNING
    cause: str = "anomaly"
    message: str = ""


class Running:
    """Whether the machine runs, by one of its tags, and has run for long enough.

    A value that is true or not 0 says that it runs. A bad one, or a text, says nothing: what was known stays. Before
    the first one nothing is known, and that is as good as standing.
    """

    __slots__ = ("_settle_ns", "_since_ns")

    def __init__(self, settle_ns: int = 0) -> None:
        self._settle_ns = settle_ns
        self._since_ns: int | None = None

    def see(self, reading: Reading) -> None:
        """Take a reading of the tag that tells."""
        value = None if reading.quality >= _BAD else number_of(reading.value)
        if value is None:
            return
        if not value:
            self._since_ns = None
        elif self._since_ns is None or reading.at_ns < self._since_ns:  # a clock that was set back begins again
            self._since_ns = reading.at_ns

    def settled(self, at_ns: int) -> bool:
        """Whether what is read at that time is worth a look."""
        return self._since_ns is not None and at_ns - self._since_ns >= self._settle_ns


class _Stretch:
    """Gathers readings to means over `every_ns`; a tag that is read less than twice in that time passes as it is."""

    __slots__ = ("_count", "_every_ns", "_first", "_last_ns", "_number", "_off", "_slow")

    def __init__(self, every_ns: int) -> None:
        self._every_ns = every_ns
        self.drop()

    def drop(self) -> None:
        """Begin anew."""
        self._number = -1
        self._count = self._last_ns = 0
        self._first = self._off = 0.0
        self._slow = False

    def put(self, at_ns: int, value: float) -> tuple[tuple[int, float], ...]:
        """(time of the last reading, mean) of what has become complete."""
        if not self._every_ns:
            return ((at_ns, value),)
        number = at_ns // self._every_ns
        if number == self._number:
            if self._count:
                self._off += value - self._first  # about the first, so that a large mean costs no digits
            else:
                self._first, self._off = value, 0.0
            self._count += 1
            self._last_ns = at_ns
            return ()
        done = self._told()
        self._number, self._count, self._last_ns = number, 1, at_ns
        self._first, self._off = value, 0.0
        if self._slow:
            done += self._told()
        return done

    def _told(self) -> tuple[tuple[int, float], ...]:
        if not self._count:
            return ()
        told = (self._last_ns, self._first + self._off / self._count)
        self._slow = self._count == 1
        self._count = 0
        return (told,)


class Unusual:
    """Learns one tag and says when it is not as usual. One comparison or two a reading within a stretch.

    Texts, truth values, NaN, infinities and bad readings teach nothing and are not judged; what is raised stays. A
    reading that is older than the last one, or repeats its time, is passed over and counted, unless three in succession
    are older: then the clock was set back, and it goes on from there. Memory does not grow.
    """

    __slots__ = (
        "_alert",
        "_band",
        "_detector",
        "_emit",
        "_judged_ns",
        "_late",
        "_learned_ns",
        "_looked",
        "_newest_ns",
        "_quiet_ns",
        "_raised_ns",
        "_running",
        "_stats",
        "_stretch",
        "due_at_s",
        "spec",
    )

    def __init__(
        self, spec: AnomalySpec, *, stats: ProcessingStats, running: Running | None = None, emit: Emit | None = None
    ) -> None:
        self.spec = spec
        self.due_at_s = NEVER_S
        self._stats = stats
        self._running = running
        self._emit = emit  # takes the scores, as readings of a tag of their own
        self._detector = Surprise()
        self._stretch = _Stretch(spec.every_ns)
        self._newest_ns = self._late = 0
        self._judged_ns = self._learned_ns = 0  # the last one judged; how long it has been learning, gaps left out
        self._alert: Alert | None = None
        self._band = (math.nan, math.nan)  # what was expected lately, before anything was unusual
        self._looked = 0  # so many are judged until it is looked at again
        self._quiet_ns: int | None = None  # since when the score is below the threshold, while raised
        self._raised_ns = 0  # the last time: no two raisings share one, because ids are made of it

    @property
    def fingerprints(self) -> list[str]:
        """Of the one alert there can be."""
        return [f"{self.spec.device}:{self.spec.tag}:{UNUSUAL}"]

    @property
    def learning(self) -> bool:
        """Whether the next value cannot be judged yet."""
        return self._detector.learning

    def put(self, reading: Reading, now_s: float) -> list[Alert] | None:
        """Learn and judge a reading: the alert raised or cleared by it, or None."""
        value = None if reading.quality >= _BAD or type(reading.value) is bool else number_of(reading.value)
        if value is None:
            self._not_quiet()
            return None
        at_ns = reading.at_ns
        if self._running is not None and not self._running.settled(at_ns):
            self._stretch.drop()
            self._not_quiet()
            return None
        if at_ns <= self._newest_ns and not self._is_set_back(at_ns):
            self._stats.anomaly_late += 1
            return None
        self._newest_ns, self._late = at_ns, 0
        found: list[Alert] = []
        for one_ns, mean in self._stretch.put(at_ns, value):
            found += self._judge(one_ns, mean, now_s)
        return found or None

    def tick(self, now_s: float, now_ns: int) -> list[Alert]:
        """Judge that time has passed; `now_ns` is Unix time."""
        return [self._clear(now_ns)] if now_s >= self.due_at_s else []

    def restore(self, raised: Mapping[str, Alert]) -> None:
        """Go on with an alert that was raised before a restart, by fingerprint."""
        alert = raised.get(self.fingerprints[0])
        if alert is not None:
            self._alert, self._raised_ns = alert, alert.raised_at_ns

    def snapshot(self) -> dict[str, Any]:
        """What was learned, as JSON can hold it; raised alerts are kept elsewhere, an open stretch is not."""
        return {
            "every_ns": self.spec.every_ns,
            "judged_ns": self._judged_ns,
            "learned_ns": self._learned_ns,
            "detector": self._detector.snapshot(),
        }

    def learned(self, snapshot: Mapping[str, Any]) -> None:
        """Take up where `snapshot` was taken. ValueError, and nothing has changed, if it is damaged or of means over
        another time: those are other values.
        """
        try:
            every_ns, judged_ns, learned_ns = (int(snapshot[key]) for key in ("every_ns", "judged_ns", "learned_ns"))
            if every_ns != self.spec.every_ns:
                raise ValueError(f"it was learned with every_ms {every_ns / 1e6:g}")
            self._detector.restore(snapshot["detector"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"what was learned is damaged ({error!r})") from error
        self._judged_ns, self._learned_ns = judged_ns, learned_ns

    def _is_set_back(self, at_ns: int) -> bool:
        """Whether a reading that is not newer than the last one is the beginning of another time."""
        self._late = self._late + 1 if at_ns < self._newest_ns else 0
        if self._late < _SET_BACK_AFTER:
            return False
        self._stretch.drop()
        return True

    def _judge(self, at_ns: int, value: float, now_s: float) -> list[Alert]:
        detector, spec = self._detector, self.spec
        stood_ns = at_ns - self._judged_ns
        if stood_ns > 0 and self._judged_ns:
            self._learned_ns += min(stood_ns, _HOUR_NS)  # a gap, or a clock that was put right, teaches nothing
        self._judged_ns = at_ns
        score = detector.step(at_ns, value)
        if score != score:
            return []  # learning
        if self._emit is not None:
            self._emit(Reading(f"{spec.tag}.anomaly", at_ns, round(score, 2)), now_s)
        if score >= spec.threshold:
            if self._alert is None:
                limit = spec.threshold * (1.0 + spec.caution * min(1.0, (_DAY_NS / max(self._learned_ns, 1)) ** 2))
                return [] if score < limit else [self._raise(at_ns, value, score / limit)]
            self._not_quiet()
            return []
        if self._alert is None:
            self._looked -= 1
            if self._looked < 0:
                self._looked, self._band = _LOOK_EVERY, detector.expected()
            return []
        if self._quiet_ns is None:
            self._quiet_ns, self.due_at_s = at_ns, now_s + spec.off_delay_ns / 1e9
        self._quiet_ns = min(self._quiet_ns, at_ns)  # a clock that was set back begins the delay again
        return [self._clear(at_ns)] if at_ns - self._quiet_ns >= spec.off_delay_ns else []

    def _raise(self, at_ns: int, value: float, times: float) -> Alert:
        spec = self.spec
        low, high = self._band
        usual = low == low and high == high
        where = f" where {low:.6g} to {self._with_unit(high)} is usual" if usual else ""
        odds = times * times  # even at the limit; tails of what is normal fall at least like a power law
        self._raised_ns = max(self._raised_ns + 1, at_ns, 1)
        self._quiet_ns = None
        self._alert = Alert(
            device=spec.device,
            tag=spec.tag,
            rule=UNUSUAL,
            cause=spec.cause,
            severity=spec.severity,
            state=AlertState.RAISED,
            raised_at_ns=self._raised_ns,
            message=self._text(f"{self._with_unit(value)}{where}: {self._detector.reason()}"),
            evidence=(Evidence(spec.tag, at_ns, value, high if value > high else low),) if usual else (),
            confidence=min(odds / (1.0 + odds), _CONFIDENCE_MAX),
            window=Period(max(1, at_ns - spec.every_ns), max(1, at_ns)),
            band=Band(low, high) if usual else None,
        )
        return self._alert

    def _clear(self, at_ns: int) -> Alert:
        alert, self._alert = self._alert, None
        assert alert is not None, "quiet is counted while one is raised"
        self._not_quiet()
        return replace(
            alert,
            state=AlertState.CLEARED,
            cleared_at_ns=max(alert.raised_at_ns, at_ns),
            message=self._text(f"as usual again for {self.spec.off_delay_ns / 1e9:g} s, or usual by now"),
        )

    def _not_quiet(self) -> None:
        self._quiet_ns, self.due_at_s = None, NEVER_S

    def _text(self, text: str) -> str:
        return f"{self.spec.message}: {text}" if self.spec.message else text

    def _with_unit(self, value: float) -> str:
        return f"{value:.6g} {self.spec.unit}" if self.spec.unit else f"{value:.6g}"
