"""Settings of what happens to readings at the edge: `process:` of a tag, `derived:` and `alarms:` of a device."""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from fieldline.config import Settings
from fieldline_edge.processing.anomaly_settings import Anomaly
from fieldline_edge.processing.expressions.parser import Expression, parse
from fieldline_edge.processing.limiter import Keep
from fieldline_edge.processing.names import TAG_NAME_MAX, Name, SeverityName
from fieldline_edge.processing.window import Function, Stamp

__all__ = [
    "AggregateSettings",
    "AlarmSettings",
    "DeadbandSettings",
    "DerivedSettings",
    "DoorSettings",
    "LevelName",
    "LimitSettings",
    "ProcessSettings",
    "RateLimitSettings",
]

Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
LevelName = Literal["lo_lo", "lo", "hi", "hi_hi"]
LEVELS: Final[tuple[LevelName, ...]] = ("lo_lo", "lo", "hi", "hi_hi")

_DAY_MS: Final = 86_400_000


class ToleranceSettings(Settings):
    """How far off a reader of the tag may be."""

    absolute: NotNegative | None = None
    """Bound in the unit of the tag; 0 lets everything pass that differs at all."""
    percent: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    """Bound in percent of the span."""
    span: Positive | None = None
    """Span that percent counts from; left out, it is max - min of the tag."""
    report_ms_max: int = Field(default=10_000, ge=1, le=366 * _DAY_MS)
    """A reading travels at least so often while readings come, moved or not; a rule on silence must allow for it."""

    @model_validator(mode="after")
    def _has_one_bound(self) -> "ToleranceSettings":
        if (self.absolute is None) == (self.percent is None):
            raise ValueError("needs either 'absolute' (in the tag's unit) or 'percent' (of its span); keep one of them")
        if self.span is not None and self.percent is None:
            raise ValueError("span: belongs to 'percent'; remove it")
        return self

    def bound(self, minimum: float | None, maximum: float | None) -> float:
        """The bound in the unit of a tag that measures from `minimum` to `maximum`; ValueError if there is no span."""
        if self.absolute is not None:
            return self.absolute
        assert self.percent is not None, "checked above"
        span = self.span
        if span is None:
            if minimum is None or maximum is None or minimum == maximum:
                raise ValueError("percent: needs a span; give the tag min and max, or write 'span:' beside it")
            span = maximum - minimum
        return span * self.percent / 100


class DeadbandSettings(ToleranceSettings):
    """A reading travels when it differs from the last one that did by more than the bound."""


class DoorSettings(ToleranceSettings):
    """A reading travels when a straight line between those that do would miss it by more than the bound."""

    hold_ms_max: int = Field(default=5_000, ge=1, le=_DAY_MS)
    """How long the newest reading may be held back, to see whether the line goes on; also what a kill can cost."""


class RateLimitSettings(Settings):
    """Travel less often than the device is read."""

    period_ms: int = Field(ge=1, le=_DAY_MS)
    """At most one reading in such a time."""
    keep: Keep = Keep.LAST
    """last, or extremes: the smallest and the largest, at most two in such a time."""


class AggregateSettings(Settings):
    """Windows aligned to the clock; each function becomes a tag <name>.<function>."""

    period_ms: int = Field(ge=10, le=366 * _DAY_MS)
    """Length of a window; 60000 begins at every full minute, 86400000 at midnight UTC."""
    functions: Annotated[tuple[Function, ...], Field(min_length=1)] = (Function.MEAN, Function.MIN, Function.MAX)
    """mean, time_mean, min, max, first, last, count, sum, std, integral (value times seconds), good_percent."""
    offset_ms: int = Field(default=0, ge=-_DAY_MS, le=_DAY_MS)
    """Moves the windows: -3600000 lets days begin at midnight UTC+1."""
    stamp: Stamp = Stamp.START
    """Whether the readings carry the time of the window's start or of its end."""
    keep_raw: bool = False
    """Whether the tag itself travels too."""
    good_percent_min: float = Field(default=80.0, ge=0, le=100)
    """With fewer good readings than this the window is uncertain; without a usable one it is bad."""
    late_ms: int = Field(default=0, ge=0, le=_DAY_MS)
    """How long a window stays open after its end, for readings that come late."""
    report_empty: bool = False
    """Whether a window without any reading is reported, as bad."""

    @model_validator(mode="after")
    def _is_bounded(self) -> "AggregateSettings":
        if len(set(self.functions)) != len(self.functions):
            raise ValueError("functions: one stands twice; remove one")
        if self.late_ms > 16 * self.period_ms:
            raise ValueError(
                f"late_ms: {self.late_ms} keeps more than 16 windows of {self.period_ms} ms open; "
                f"write at most {16 * self.period_ms}"
            )
        return self


class ProcessSettings(Settings):
    """What happens to the readings of one tag: rate limit or windows, then deadband or door."""

    rate_limit: RateLimitSettings | None = None
    """Travel less often than the device is read."""
    aggregate: AggregateSettings | None = None
    """Travel as mean, min, max and so on of windows."""
    deadband: DeadbandSettings | None = None
    """Travel only when the value has moved."""
    door: DoorSettings | None = None
    """Travel only when a straight line does not say the same (swinging door with an error bound that holds)."""

    @model_validator(mode="after")
    def _fits_together(self) -> "ProcessSettings":
        if self.deadband is not None and self.door is not None:
            raise ValueError("deadband and door are two answers to one question; keep one of them")
        if self.rate_limit is not None and self.aggregate is not None and not self.aggregate.keep_raw:
            raise ValueError("rate_limit has nothing to limit beside aggregate; remove it, or write 'keep_raw: true'")
        return self

    def check(self, tag: str, minimum: float | None, maximum: float | None) -> None:
        """Raise ValueError unless this fits a tag of that name and range."""
        for key in ("deadband", "door"):
            tolerance = getattr(self, key)
            if tolerance is not None:
                try:
                    tolerance.bound(minimum, maximum)
                except ValueError as error:
                    raise ValueError(f"process.{key}.{error}") from None
        for name in self.names_for(tag):
            if len(name) > TAG_NAME_MAX:
                raise ValueError(
                    f"process.aggregate: makes the tag {name!r}, which is longer than {TAG_NAME_MAX}; "
                    f"shorten the tag's name by {len(name) - TAG_NAME_MAX}"
                )

    def names_for(self, tag: str) -> Iterator[str]:
        """Names of the tags that windows of `tag` make."""
        for function in self.aggregate.functions if self.aggregate is not None else ():
            yield f"{tag}.{function.value}"


class LimitSettings(Settings):
    """Alarms on the value of a tag, judged at the edge; every limit that is set is an alarm of its own."""

    lo_lo: Finite | None = None
    """Critical below this."""
    lo: Finite | None = None
    """Warning below this."""
    hi: Finite | None = None
    """Warning above this."""
    hi_hi: Finite | None = None
    """Critical above this."""
    missing_ms: int | None = Field(default=None, ge=100, le=366 * _DAY_MS)
    """Warning when no usable value has come for so long."""
    deadband: NotNegative = 0.0
    """How far back inside a limit the value must come before its alarm may clear, in the tag's unit."""
    on_delay_ms: int = Field(default=0, ge=0, le=31 * _DAY_MS)
    """How long the value must stay beyond a limit before the alarm is raised."""
    off_delay_ms: int = Field(default=0, ge=0, le=31 * _DAY_MS)
    """How long the value must stay back before the alarm is cleared."""
    severity: dict[LevelName | Literal["missing"], SeverityName] = Field(default_factory=dict)
    """Severity by alarm, where it should not be warning for lo, hi and missing and critical for lo_lo and hi_hi."""
    cause: Name = "limit"
    """What maintenance plans by: alerts of one device with one cause become one task."""
    message: str = Field(default="", max_length=200)
    """What a person should know; stands before the value in the alert."""

    @model_validator(mode="after")
    def _in_order(self) -> "LimitSettings":
        limits = [(name, value) for name in LEVELS if (value := getattr(self, name)) is not None]
        if not limits and self.missing_ms is None:
            raise ValueError("sets no limit; give at least one of lo_lo, lo, hi, hi_hi, missing_ms")
        for (lower, low), (upper, high) in pairwise(limits):
            if low >= high:
                raise ValueError(f"{lower} {low:g} must be below {upper} {high:g}; swap or correct them")
        lows = [value for name, value in limits if name.startswith("lo")]
        highs = [value for name, value in limits if name.startswith("hi")]
        if lows and highs and self.deadband >= min(highs) - max(lows):
            room = min(highs) - max(lows)
            raise ValueError(f"deadband: {self.deadband:g} leaves no value to clear at; make it less than {room:g}")
        for name in self.severity:
            if getattr(self, "missing_ms" if name == "missing" else name) is None:
                raise ValueError(f"severity: names {name}, which is not set; set it, or leave it out here")
        return self


class AlarmSettings(LimitSettings):
    """Alarms on one tag of the device."""

    tag: Name
    """Name of the tag, or of a derived one."""


class DerivedSettings(Settings):
    """A tag that is computed from others of its device."""

    name: Name
    """Name of the new tag, unique in its device."""
    expression: str = Field(min_length=1)
    """Formula over tags of this device, like 'voltage * current / 1000'. Quote a name with - in it: `flow-1`."""
    unit: str = Field(default="", max_length=16)
    """Unit of measure of the value."""
    min: Finite | None = None
    """Smallest value that makes sense; below it the quality is BAD_RANGE."""
    max: Finite | None = None
    """Largest value that makes sense; above it the quality is BAD_RANGE."""
    process: ProcessSettings | None = None
    """What happens to the readings before they travel."""
    alarms: LimitSettings | None = None
    """Alarms on the value, judged at the edge."""
    anomaly: Anomaly | None = None
    """Learn the value and raise an alert on what is unusual: true, or what is different from the defaults."""

    @model_validator(mode="after")
    def _is_right(self) -> "DerivedSettings":
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: {self.min:g} is above max: {self.max:g}; exchange them")
        try:
            _ = self.parsed
        except ValueError as error:
            raise ValueError(f"expression: {error}") from None
        if self.process is not None:
            self.process.check(self.name, self.min, self.max)
        if self.anomaly is not None:
            self.anomaly.check(self.name)
        return self

    @cached_property
    def parsed(self) -> Expression:
        """The formula as a tree, read once."""
        return parse(self.expression)
