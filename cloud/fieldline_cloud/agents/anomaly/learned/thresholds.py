"""What people's verdicts have made of the thresholds of learned alarms. Pure, bounded, decaying.

A false alarm raises the threshold of its fingerprint by a quarter, a confirmed one lowers it by a twentieth, and half
of what was moved is forgotten every 30 days. Verdicts are not trusted blindly: they must be about an alert that was
raised, not come from the future or from long ago, count once for each alert (the newest word replaces the one before),
move one fingerprint by a few steps a day, and count so many times a day for each person. The factor stays between a
floor and a ceiling, so no number of verdicts makes a tag deaf. Limits set in the rules are not moved at all.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from fieldline.model import Alert, Verdict, VerdictKind

__all__ = ["FACTOR_MIN", "Outcome", "Raising", "Refusal", "Thresholds", "Tuned"]

_DAY_NS: Final = 86_400 * 1_000_000_000
_STEP: Final = {VerdictKind.FALSE_ALARM: math.log(1.25), VerdictKind.CONFIRMED: math.log(0.95)}
FACTOR_MIN: Final = 0.8
"""No verdicts move a threshold below this share of it."""
_FLOOR: Final = math.log(FACTOR_MIN)
_CEILING: Final = math.log(3.0)
HALF_LIFE_NS: Final = 30 * _DAY_NS
FUTURE_NS_MAX: Final = 300 * 1_000_000_000
AGE_NS_MAX: Final = 90 * _DAY_NS
STEPS_A_DAY_MAX: Final = 3
"""Verdicts that move one fingerprint within a day."""
PERSON_A_DAY_MAX: Final = 40
"""Verdicts of one person that move anything within a day."""
RAISINGS_MAX: Final = 20_000
"""Alerts remembered, so that a verdict can be about them; past that the oldest go."""
DEVICE_RAISINGS_MAX: Final = 200
"""Of one device, so many go with it to another process."""
PEOPLE_MAX: Final = 1_000


class Refusal(Enum):
    """Why a verdict changes nothing."""

    UNKNOWN_ALERT = "unknown alert"
    OTHER_FINGERPRINT = "the fingerprint is not that of the alert"
    FUTURE = "from the future"
    TOO_OLD = "too old"
    BEFORE_ALERT = "before the alert"
    REPEATED = "said before"
    OLDER_WORD = "there is a newer one on this alert"
    TAG_MOVED_ENOUGH = "this alarm was moved enough today"
    PERSON_SAID_ENOUGH = "this person said enough today"
    NO_THRESHOLD = "does not move thresholds"

    @property
    def is_suspect(self) -> bool:
        """Whether a verdict that ends so may be somebody's mistake, or worse."""
        return self not in (Refusal.REPEATED, Refusal.NO_THRESHOLD)


@dataclass(frozen=True, slots=True)
class Raising:
    """An alert that people may speak of, and the last word on it. `step` is what that word moved, as a logarithm."""

    alert_id: str
    fingerprint: str
    detector: str
    raised_at_ns: int
    kind: VerdictKind | None = None
    said_at_ns: int = 0
    step: float = 0.0


@dataclass(frozen=True, slots=True)
class Tuned:
    """The threshold of one fingerprint, as the logarithm of a factor at `at_ns`; it decays from there."""

    fingerprint: str
    log_factor: float
    at_ns: int
    steps: tuple[int, ...] = ()
    """When it was moved within the last day."""

    def factor(self, now_ns: int) -> float:
        """What scores are divided by now."""
        return math.exp(self._log(now_ns))

    def moved(self, step: float, now_ns: int) -> "Tuned":
        """One step further."""
        recent = (*(at_ns for at_ns in self.steps if now_ns - at_ns < _DAY_NS), now_ns)
        log_factor = min(max(self._log(now_ns) + step, _FLOOR), _CEILING)
        return Tuned(self.fingerprint, log_factor, now_ns, recent[-STEPS_A_DAY_MAX:])

    def steps_within_a_day(self, now_ns: int) -> int:
        """How often it was moved."""
        return sum(0 <= now_ns - at_ns < _DAY_NS for at_ns in self.steps)

    def _log(self, now_ns: int) -> float:
        return self.log_factor * math.exp2(-max(now_ns - self.at_ns, 0) / HALF_LIFE_NS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a verdict: why it was refused, or the factors before and after."""

    verdict: Verdict
    at_ns: int
    refusal: Refusal | None
    is_first: bool
    """Nobody has said anything of this alert before."""
    before: float
    after: float

    @property
    def counts(self) -> bool:
        """Whether it is the first word on its alert, and was taken."""
        return self.is_first and self.refusal in (None, Refusal.NO_THRESHOLD)


class Thresholds:
    """Factors by fingerprint, and the alerts they are about."""

    def __init__(self) -> None:
        self._tuned: dict[str, Tuned] = {}
        self._raisings: OrderedDict[str, Raising] = OrderedDict()
        self._by_device: dict[str, dict[str, None]] = {}
        self._people: OrderedDict[str, list[int]] = OrderedDict()
        self._changed: dict[str, Tuned] = {}
        self._noted: dict[str, Raising] = {}

    def __len__(self) -> int:
        return len(self._tuned)

    def factor(self, fingerprint: str, now_ns: int) -> float:
        """What the scores of that fingerprint are divided by."""
        tuned = self._tuned.get(fingerprint)
        return 1.0 if tuned is None else tuned.factor(now_ns)

    def all(self) -> tuple[Tuned, ...]:
        """Every fingerprint that a verdict has moved."""
        return tuple(self._tuned.values())

    def raised(self, alert: Alert) -> bool:
        """Remember an alert that a verdict may come for; False if it was known."""
        if alert.id in self._raisings:
            return False
        self._remember(Raising(alert.id, alert.fingerprint, alert.rule, alert.raised_at_ns))
        return True

    def detector_of(self, alert_id: str) -> str:
        """Which detector raised it; empty if that is not known."""
        raising = self._raisings.get(alert_id)
        return "" if raising is None else raising.detector

    def apply(self, verdict: Verdict, now_ns: int) -> Outcome:
        """Let a verdict move its threshold, if it may."""
        before = self.factor(verdict.fingerprint, now_ns)
        raising = self._raisings.get(verdict.alert_id)
        is_first = raising is not None and raising.kind is None
        refusal = self._refusal(raising, verdict, now_ns)
        if refusal is None and raising is not None:
            refusal = self._move(raising, verdict, now_ns)
        return Outcome(verdict, now_ns, refusal, is_first, before, self.factor(verdict.fingerprint, now_ns))

    def take_changes(self) -> tuple[list[Tuned], list[Raising]]:
        """What must be saved since the last call."""
        changed, noted = list(self._changed.values()), list(self._noted.values())
        self._changed.clear()
        self._noted.clear()
        return changed, noted

    def restore(
        self, tuned: Iterable[Tuned], raisings: Iterable[Raising], said: Iterable[tuple[str, int]] = ()
    ) -> None:
        """Go on where a former run ended; `said` is who spoke when within the last day, oldest first."""
        self._tuned = {each.fingerprint: each for each in tuned}
        for each in raisings:
            self._remember(each)
        self._noted.clear()
        for by, at_ns in said:
            self._people.setdefault(by, []).append(at_ns)

    def of_device(self, device: str) -> dict[str, Any]:
        """What `adopt` takes of one device (site/area/device), as plain data."""
        of = f"{device}:"
        tuned = [each for each in self._tuned.values() if each.fingerprint.startswith(of)]
        raisings = [
            self._raisings[alert_id] for alert_id in self._by_device.get(device, ()) if alert_id in self._raisings
        ]
        return {
            "tuned": [[each.fingerprint, each.log_factor, each.at_ns, list(each.steps)] for each in tuned],
            "raisings": [
                [
                    each.alert_id,
                    each.fingerprint,
                    each.detector,
                    each.raised_at_ns,
                    None if each.kind is None else each.kind.value,
                    each.said_at_ns,
                    each.step,
                ]
                for each in raisings[-DEVICE_RAISINGS_MAX:]
            ],
        }

    def adopt(self, plain: Mapping[str, Any]) -> None:
        """Take what another process knew of a device. KeyError, TypeError or ValueError if it is none of ours."""
        for fingerprint, log_factor, at_ns, steps in plain["tuned"]:
            bounded = min(max(float(log_factor), _FLOOR), _CEILING)
            self._tuned[fingerprint] = self._changed[fingerprint] = Tuned(fingerprint, bounded, at_ns, tuple(steps))
        for alert_id, fingerprint, detector, raised_at_ns, kind, said_at_ns, step in plain["raisings"]:
            said = None if kind is None else VerdictKind(kind)
            self._remember(Raising(alert_id, fingerprint, detector, raised_at_ns, said, said_at_ns, step))

    def _refusal(self, raising: Raising | None, verdict: Verdict, now_ns: int) -> Refusal | None:
        if raising is None:
            return Refusal.UNKNOWN_ALERT
        if raising.fingerprint != verdict.fingerprint:
            return Refusal.OTHER_FINGERPRINT
        if verdict.at_ns > now_ns + FUTURE_NS_MAX:
            return Refusal.FUTURE
        if verdict.at_ns < now_ns - AGE_NS_MAX:
            return Refusal.TOO_OLD
        if verdict.at_ns < raising.raised_at_ns - FUTURE_NS_MAX:
            return Refusal.BEFORE_ALERT
        if raising.kind is not None and verdict.at_ns < raising.said_at_ns:
            return Refusal.OLDER_WORD
        return Refusal.REPEATED if raising.kind is verdict.kind else None

    def _move(self, raising: Raising, verdict: Verdict, now_ns: int) -> Refusal | None:
        step = _STEP.get(verdict.kind, 0.0)
        tuned = self._tuned.get(raising.fingerprint) or Tuned(raising.fingerprint, 0.0, now_ns)
        moves = step - raising.step  # a changed mind takes back what it did
        if moves and tuned.steps_within_a_day(now_ns) >= STEPS_A_DAY_MAX:
            return Refusal.TAG_MOVED_ENOUGH
        if moves and not self._may_speak(verdict.by, now_ns):
            return Refusal.PERSON_SAID_ENOUGH
        self._remember(replace(raising, kind=verdict.kind, said_at_ns=verdict.at_ns, step=step))
        if not moves:
            return Refusal.NO_THRESHOLD
        moved = tuned.moved(moves, now_ns)
        self._tuned[moved.fingerprint] = self._changed[moved.fingerprint] = moved
        return None

    def _may_speak(self, by: str, now_ns: int) -> bool:
        said = [at_ns for at_ns in self._people.pop(by, []) if now_ns - at_ns < _DAY_NS]
        may = len(said) < PERSON_A_DAY_MAX
        if may:
            said.append(now_ns)
        self._people[by] = said
        if len(self._people) > PEOPLE_MAX:
            self._people.popitem(last=False)
        return may

    def _remember(self, raising: Raising) -> None:
        self._raisings[raising.alert_id] = self._noted[raising.alert_id] = raising
        self._by_device.setdefault(raising.fingerprint.partition(":")[0], {})[raising.alert_id] = None
        if len(self._raisings) > RAISINGS_MAX:
            _, old = self._raisings.popitem(last=False)
            self._by_device.get(old.fingerprint.partition(":")[0], {}).pop(old.alert_id, None)
