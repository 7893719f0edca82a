"""Settings of the rules, and the rules they describe."""

import math
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from fieldline.config import Settings
from fieldline.model import Quality, Severity
from fieldline.topics import check_name
from fieldline_cloud.agents.anomaly.matching import KINDS, RuleEntry, RuleSet
from fieldline_cloud.agents.anomaly.rules.deviation import Deviation
from fieldline_cloud.agents.anomaly.rules.flatline import Flatline
from fieldline_cloud.agents.anomaly.rules.limits import Level, Range
from fieldline_cloud.agents.anomaly.rules.quality import QualityRule
from fieldline_cloud.agents.anomaly.rules.rate import Rate
from fieldline_cloud.agents.anomaly.rules.stale import Stale
from fieldline_cloud.agents.anomaly.suppression import Suppress
from fieldline_cloud.agents.anomaly.zone_settings import ZoneSettings
from fieldline_cloud.agents.tag_pattern import MatchSettings
from fieldline_cloud.detectors.vibration import mm_per_s

__all__ = [
    "DeviationSettings",
    "FlatlineSettings",
    "QualitySettings",
    "RangeSettings",
    "RateSettings",
    "RuleSettings",
    "Seconds",
    "SeverityName",
    "StaleSettings",
    "SuppressSettings",
    "severity_named",
]

Number = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=86_400 * 31, allow_inf_nan=False)]
SeverityName = Literal["info", "warning", "critical"]
LevelName = Literal["lo_lo", "lo", "hi", "hi_hi"]
Kind = Literal["range", "rate", "flatline", "deviation", "quality", "stale"]
SuppressibleKind = Literal["range", "rate", "flatline", "deviation", "quality", "stale", "learned"]

_LEVELS: Final[tuple[LevelName, ...]] = ("lo_lo", "lo", "hi", "hi_hi")
_DEFAULT_SEVERITY: Final[dict[LevelName, SeverityName]] = {
    "lo_lo": "critical",
    "lo": "warning",
    "hi": "warning",
    "hi_hi": "critical",
}


class RangeSettings(Settings):
    """Limits on the value; each limit that is set is an alarm of its own."""

    lo_lo: Number | None = None
    """Critical below this."""
    lo: Number | None = None
    """Warning below this."""
    hi: Number | None = None
    """Warning above this."""
    hi_hi: Number | None = None
    """Critical above this."""
    deadband: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """How far back inside a limit the value must come before its alarm may clear, in the tag's unit."""
    on_delay_s: Seconds = 0.0
    """How long the value must stay beyond a limit before the alarm is raised."""
    off_delay_s: Seconds = 0.0
    """How long the value must stay back before the alarm is cleared."""
    severity: dict[LevelName, SeverityName] = Field(default_factory=dict)
    """Severity by limit, where it should not be warning for lo and hi and critical for lo_lo and hi_hi."""
    latch: bool = False
    """Whether the alarm stays, once back to normal, until somebody has acknowledged it."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        limits = [(name, value) for name in _LEVELS if (value := getattr(self, name)) is not None]
        if not limits:
            raise ValueError("sets no limit; give at least one of lo_lo, lo, hi, hi_hi")
        for (lower, low), (upper, high) in pairwise(limits):
            if low >= high:
                raise ValueError(f"{lower} {low:g} must be below {upper} {high:g}; swap or correct them")
        low = max((value for name, value in limits if name.startswith("lo")), default=-math.inf)
        high = min((value for name, value in limits if name.startswith("hi")), default=math.inf)
        if self.deadband >= high - low:
            raise ValueError(
                f"deadband {self.deadband:g} leaves no value to clear at; make it less than {high - low:g}"
            )
        for name in self.severity:
            if getattr(self, name) is None:
                raise ValueError(f"severity names {name}, which has no limit; set {name} or leave it out")
        return self

    def build(self, cause: str, unit: str) -> Range:
        """The rule these settings describe."""
        levels = tuple(
            Level(
                name=name,
                limit=limit,
                above=name.startswith("hi"),
                severity=severity_named(self.severity.get(name, _DEFAULT_SEVERITY[name])),
            )
            for name in _LEVELS
            if (limit := getattr(self, name)) is not None
        )
        return Range(levels, self.deadband, _ns(self.on_delay_s), _ns(self.off_delay_s), cause, unit, self.latch)


class RateSettings(Settings):
    """A limit on how fast the value may change."""

    per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Largest change per second, in the tag's unit."""
    window_s: Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)] = 5.0
    """Length of the window a straight line is laid through."""
    direction: Literal["either", "rising", "falling"] = "either"
    """Which changes count."""
    deadband_per_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """How far below the limit the rate must fall before the alarm may clear."""
    on_delay_s: Seconds = 0.0
    """How long the rate must stay over the limit before the alarm is raised."""
    off_delay_s: Seconds = 0.0
    """How long the rate must stay back before the alarm is cleared."""
    severity: SeverityName = "warning"
    """How much it matters."""
    latch: bool = False
    """Whether the alarm stays, once back to normal, until somebody has acknowledged it."""

    @model_validator(mode="after")
    def _can_clear(self) -> Self:
        if self.deadband_per_s > self.per_s:
            raise ValueError(f"deadband_per_s {self.deadband_per_s:g} must not be more than per_s {self.per_s:g}")
        return self

    def build(self, cause: str, unit: str) -> Rate:
        """The rule these settings describe."""
        return Rate(
            per_s=self.per_s,
            window_ns=_ns(self.window_s),
            direction=self.direction,
            deadband_per_s=self.deadband_per_s,
            on_delay_ns=_ns(self.on_delay_s),
            off_delay_ns=_ns(self.off_delay_s),
            severity=severity_named(self.severity),
            cause=cause,
            unit=unit,
            latch=self.latch,
        )


class FlatlineSettings(Settings):
    """A value that is stuck. Tags that stand still by nature are left alone: see `distinct_min` and `pauses`."""

    after_s: Annotated[float, Field(gt=0, le=86_400 * 31, allow_inf_nan=False)] = 600.0
    """How long the value may stand still."""
    span: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """A change by no more than this counts as standing still, in the tag's unit: the noise of a dead sensor's wire."""
    distinct_min: Annotated[int, Field(ge=2, le=64)] = 8
    """A tag is judged once it has had so many different values; switches and setpoints have fewer."""
    pauses: Annotated[float, Field(ge=1, le=1_000, allow_inf_nan=False)] = 4.0
    """It must stand still for so many times the longest pause it has lately made between two values."""
    severity: SeverityName = "warning"
    """How much it matters."""
    cause: str = "sensor_stuck"
    """What maintenance plans by."""
    latch: bool = False
    """Whether the alarm stays, once back to normal, until somebody has acknowledged it."""

    @field_validator("cause")
    @classmethod
    def _cause_is_a_name(cls, cause: str) -> str:
        return check_name(cause, "cause")

    def build(self, unit: str) -> Flatline:
        """The rule these settings describe."""
        return Flatline(
            span=self.span,
            after_ns=_ns(self.after_s),
            distinct_min=self.distinct_min,
            pauses=self.pauses,
            severity=severity_named(self.severity),
            cause=self.cause,
            unit=unit,
            latch=self.latch,
        )


class DeviationSettings(Settings):
    """A limit on the distance from a setpoint."""

    setpoint_tag: str | None = None
    """Tag of the same device that holds the setpoint."""
    setpoint: Number | None = None
    """The setpoint itself, where no tag holds it."""
    by: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """How far the value may be from the setpoint, to either side, in the tag's unit."""
    deadband: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """How far inside that the value must come back before the alarm may clear."""
    on_delay_s: Seconds = 0.0
    """How long it must be too far: at least the time it takes to follow a new setpoint."""
    off_delay_s: Seconds = 0.0
    """How long it must be back before the alarm is cleared."""
    severity: SeverityName = "warning"
    """How much it matters."""
    latch: bool = False
    """Whether the alarm stays, once back to normal, until somebody has acknowledged it."""

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if (self.setpoint_tag is None) is (self.setpoint is None):
            raise ValueError("needs setpoint_tag or setpoint, and one of the two only")
        if self.deadband > self.by:
            raise ValueError(f"deadband {self.deadband:g} must not be more than by {self.by:g}")
        return self

    def build(self, cause: str, unit: str) -> Deviation:
        """The rule these settings describe."""
        setpoint = self.setpoint_tag if self.setpoint is None else self.setpoint
        assert setpoint is not None, "one of the two is set"
        return Deviation(
            setpoint=setpoint,
            by=self.by,
            deadband=self.deadband,
            on_delay_ns=_ns(self.on_delay_s),
            off_delay_ns=_ns(self.off_delay_s),
            severity=severity_named(self.severity),
            cause=cause,
            unit=unit,
            latch=self.latch,
        )


class QualitySettings(Settings):
    """Limits on bad quality: for too long, or in too large a share of the readings."""

    for_s: Annotated[float, Field(gt=0, le=86_400 * 31, allow_inf_nan=False)] | None = None
    """How long no reading may be good."""
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the readings of a window that may be not good."""
    window_s: Annotated[float, Field(ge=1, le=86_400 * 31, allow_inf_nan=False)] = 600.0
    """The window of `share`."""
    readings_min: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """A share is judged only with so many readings in the window."""
    worst: Literal["uncertain", "bad"] = "uncertain"
    """The best quality that is not good: with uncertain, uncertain and bad readings count, with bad only bad ones."""
    severity: SeverityName = "warning"
    """How much it matters."""
    cause: str = "sensor_quality"
    """What maintenance plans by."""
    latch: bool = False
    """Whether the alarm stays, once back to normal, until somebody has acknowledged it."""

    @field_validator("cause")
    @classmethod
    def _cause_is_a_name(cls, cause: str) -> str:
        return check_name(cause, "cause")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.for_s is None and self.share is None:
            raise ValueError("limits nothing; give for_s, share or both")
        return self

    def build(self) -> QualityRule:
        """The rule these settings describe."""
        return QualityRule(
            for_ns=None if self.for_s is None else _ns(self.for_s),
            share=self.share,
            window_ns=_ns(self.window_s),
            readings_min=self.readings_min,
            worst=Quality.BAD if self.worst == "bad" else Quality.UNCERTAIN,
            severity=severity_named(self.severity),
            cause=self.cause,
            latch=self.latch,
        )


class StaleSettings(Settings):
    """A limit on silence: no good value for too long."""

    after_s: Annotated[float, Field(ge=0.1, le=86_400 * 31, allow_inf_nan=False)] = 10.0
    """How long no good value may arrive. Three times the sampling interval, at least."""
    severity: SeverityName = "warning"
    """How much it matters."""
    cause: str = "no_data"
    """What maintenance plans by."""
    latch: bool = False
    """Whether the alarm stays, once back to normal, until somebody has acknowledged it."""

    @field_validator("cause")
    @classmethod
    def _cause_is_a_name(cls, cause: str) -> str:
        return check_name(cause, "cause")

    def build(self) -> Stale:
        """The rule these settings describe."""
        return Stale(_ns(self.after_s), severity_named(self.severity), self.cause, self.latch)


class SuppressSettings(Settings):
    """Suppression by design: while another tag of the same device says so, alarms are put aside and not shown."""

    tag: Annotated[str, Field(min_length=1, max_length=256)]
    """The other tag, such as `running`."""
    equals: bool | Number | str | None = None
    """Suppress while the tag has this value; false is the same as 0."""
    below: Number | None = None
    """Suppress while the tag is below this."""
    above: Number | None = None
    """Suppress while the tag is above this."""
    after_s: Seconds = 0.0
    """For so long after the condition has ended too: the time a machine needs to start."""
    kinds: Annotated[list[SuppressibleKind], Field(min_length=1)] = Field(
        default_factory=lambda: list[SuppressibleKind](["range", "rate", "flatline", "deviation", "learned"])
    )
    """Kinds of rule this is for; learned is every learned detector. Silence and bad quality are told also at rest."""

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        given = [name for name in ("equals", "below", "above") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs one of equals, below and above, and has {' and '.join(given) or 'none'}")
        return self

    def build(self) -> Suppress:
        """The condition these settings describe."""
        return Suppress(self.tag, self.equals, self.below, self.above, _ns(self.after_s), frozenset(self.kinds))


class RuleSettings(Settings):
    """Rules for the tags that `match`. Per tag and kind of rule the first entry that matches counts."""

    match: MatchSettings = MatchSettings()
    """Which tags this is for."""
    range: RangeSettings | None = None
    """Limits on the value."""
    zones: ZoneSettings | None = None
    """Limits on a vibration from what the machine is, instead of `range`."""
    rate: RateSettings | None = None
    """Limit on the rate of change."""
    flatline: FlatlineSettings | None = None
    """Limit on standing still."""
    deviation: DeviationSettings | None = None
    """Limit on the distance from a setpoint."""
    quality: QualitySettings | None = None
    """Limits on bad quality."""
    stale: StaleSettings | None = None
    """Limit on silence."""
    suppress_while: SuppressSettings | None = None
    """When the alarms of these tags are put aside; of several entries that match, the first that says so counts."""
    without: list[Kind | Literal["suppress_while"]] = Field(default_factory=list)
    """Kinds these tags shall not have, whatever entries further down say."""
    cause: str = "unknown"
    """What range, rate and deviation alerts point to; maintenance plans by it."""
    unit: str = Field(default="", max_length=16)
    """Unit of the value, for the text of the alert."""

    @field_validator("cause")
    @classmethod
    def _cause_is_a_name(cls, cause: str) -> str:
        return check_name(cause, "cause")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.without or self.suppress_while or self.zones or any(getattr(self, kind) for kind in KINDS)):
            raise ValueError(f"has no rule; add {', '.join(KINDS)}, zones, suppress_while or without")
        if self.zones and (self.range or "range" in self.without):
            raise ValueError("has zones and range; zones are limits on the value as well: keep one of the two")
        if self.zones:
            mm_per_s(self.unit or "mm/s")
        for kind in self.without:
            if getattr(self, kind) is not None:
                raise ValueError(f"has {kind} and is without {kind}; keep one of the two")
        return self

    def build(self) -> RuleEntry:
        """The entry of the rule book these settings describe."""
        limits = self.range or self.zones
        return RuleEntry(
            pattern=self.match.pattern(),
            rules=RuleSet(
                range=limits.build(self.cause, self.unit) if limits else None,
                rate=self.rate.build(self.cause, self.unit) if self.rate else None,
                flatline=self.flatline.build(self.unit) if self.flatline else None,
                deviation=self.deviation.build(self.cause, self.unit) if self.deviation else None,
                quality=self.quality.build() if self.quality else None,
                stale=self.stale.build() if self.stale else None,
                suppress_while=self.suppress_while.build() if self.suppress_while else None,
            ),
            without=frozenset(self.without),
        )


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def severity_named(name: str) -> Severity:
    """The severity of that name."""
    return Severity[name.upper()]
