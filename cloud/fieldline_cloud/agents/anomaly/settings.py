"""Settings of the anomaly agent, and the rules they describe."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from fieldline.access_settings import HubTls
from fieldline.config import FileSettings, Settings
from fieldline.model import Severity
from fieldline.topics import check_filter, check_name
from fieldline_cloud.agents.anomaly.matching import RuleBook, RuleEntry, TagPattern, check_pattern
from fieldline_cloud.agents.anomaly.rules import Level, Range, Rate, Stale

__all__ = [
    "AnomalySettings",
    "MatchSettings",
    "RangeSettings",
    "RateSettings",
    "RuleSettings",
    "StaleSettings",
]

Number = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=86_400 * 31, allow_inf_nan=False)]
SeverityName = Literal["info", "warning", "critical"]
LevelName = Literal["lo_lo", "lo", "hi", "hi_hi"]

_LEVELS: Final[tuple[LevelName, ...]] = ("lo_lo", "lo", "hi", "hi_hi")
_DEFAULT_SEVERITY: Final[dict[LevelName, SeverityName]] = {
    "lo_lo": "critical",
    "lo": "warning",
    "hi": "warning",
    "hi_hi": "critical",
}


class MatchSettings(Settings):
    """Which tags a rule is for."""

    device: str = "+/+/+"
    """Site, area and device, each a pattern: `+` or `*` for any, `pump-*` for how it begins."""
    tag: str = "*"
    """Name of the tag, with the same patterns."""

    @field_validator("device")
    @classmethod
    def _three_levels(cls, device: str) -> str:
        return check_pattern(device)


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
                severity=_severity(self.severity.get(name, _DEFAULT_SEVERITY[name])),
            )
            for name in _LEVELS
            if (limit := getattr(self, name)) is not None
        )
        return Range(levels, self.deadband, _ns(self.on_delay_s), _ns(self.off_delay_s), cause, unit)


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
            severity=_severity(self.severity),
            cause=cause,
            unit=unit,
        )


class StaleSettings(Settings):
    """A limit on silence: no good value for too long."""

    after_s: Annotated[float, Field(ge=0.1, le=86_400 * 31, allow_inf_nan=False)] = 10.0
    """How long no good value may arrive. Three times the sampling interval, at least."""
    severity: SeverityName = "warning"
    """How much it matters."""
    cause: str = "no_data"
    """What maintenance plans by."""

    @field_validator("cause")
    @classmethod
    def _cause_is_a_name(cls, cause: str) -> str:
        return check_name(cause, "cause")

    def build(self) -> Stale:
        """The rule these settings describe."""
        return Stale(_ns(self.after_s), _severity(self.severity), self.cause)


class RuleSettings(Settings):
    """Rules for the tags that `match`. Per tag and kind (range, rate, stale) the first entry counts."""

    match: MatchSettings = MatchSettings()
    """Which tags this is for."""
    range: RangeSettings | None = None
    """Limits on the value."""
    rate: RateSettings | None = None
    """Limit on the rate of change."""
    stale: StaleSettings | None = None
    """Limit on silence."""
    without: list[Literal["range", "rate", "stale"]] = Field(default_factory=list)
    """Kinds these tags shall not have, whatever entries further down say."""
    cause: str = "unknown"
    """What range and rate alerts point to; maintenance plans by it."""
    unit: str = Field(default="", max_length=16)
    """Unit of the value, for the text of the alert."""

    @field_validator("cause")
    @classmethod
    def _cause_is_a_name(cls, cause: str) -> str:
        return check_name(cause, "cause")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.range or self.rate or self.stale or self.without):
            raise ValueError("has no rule; add range, rate, stale or without")
        for kind in self.without:
            if getattr(self, kind) is not None:
                raise ValueError(f"has {kind} and is without {kind}; keep one of the two")
        return self

    def build(self) -> RuleEntry:
        """The entry of the rule book these settings describe."""
        return RuleEntry(
            pattern=TagPattern(self.match.device, self.match.tag),
            range=self.range.build(self.cause, self.unit) if self.range else None,
            rate=self.rate.build(self.cause, self.unit) if self.rate else None,
            stale=self.stale.build() if self.stale else None,
            without=frozenset(self.without),
        )


class AnomalySettings(FileSettings):
    """The anomaly agent's configuration file."""

    KIND: ClassVar[str] = "anomaly"

    hub: str = "127.0.0.1:50051"
    """Address of the hub."""
    hub_tls: HubTls | None = None
    """Encryption on the way to the hub; left out: none, which a hub takes on its own machine alone."""
    hub_token: SecretStr | None = None
    """Token that says who we are, where there is no certificate. Write `${FIELDLINE_TOKEN}`, not the token itself."""
    data: Path = Path("data/anomaly")
    """Folder of the agent's own state (anomaly.db)."""
    name: str = "anomaly"
    """Name at the hub, and of the durable subscription: agents with different rules need different names."""
    subscribe: str = "readings/#"
    """Which readings to watch, as a topic filter."""
    tags_max: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Tags watched at most; further ones are refused, counted and logged once."""
    save_every_s: Annotated[float, Field(ge=0.05, le=60)] = 0.5
    """Time between two saves while nothing is raised or cleared. After a crash so much is read again."""
    tick_s: Annotated[float, Field(ge=0.05, le=60)] = 0.5
    """Time between two looks for silent tags."""
    rules: Annotated[list[RuleSettings], Field(min_length=1, max_length=10_000)]
    """Rules, the most particular first."""

    @field_validator("name")
    @classmethod
    def _name_is_a_name(cls, name: str) -> str:
        return check_name(name, "name")

    @field_validator("subscribe")
    @classmethod
    def _filter_is_a_filter(cls, topic_filter: str) -> str:
        return check_filter(topic_filter)

    def rule_book(self) -> RuleBook:
        """The rules, ready to be asked."""
        return RuleBook(tuple(rule.build() for rule in self.rules))


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _severity(name: str) -> Severity:
    return Severity[name.upper()]
