"""Settings of the alarm system: chattering, floods, shelving."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from fieldline.config import Settings
from fieldline.topics import check_name
from fieldline_cloud.agents.anomaly.alarms.area import FloodSpec
from fieldline_cloud.agents.anomaly.alarms.board import BoardSpec
from fieldline_cloud.agents.anomaly.alarms.chatter import ChatterSpec
from fieldline_cloud.agents.anomaly.alarms.operators import OperatorSpec
from fieldline_cloud.agents.anomaly.rule_settings import SeverityName, severity_named

__all__ = ["AlarmSettings", "ChatterSettings", "FloodSettings"]


Areas = Annotated[list[str], Field(min_length=1, max_length=1_000)]


class ChatterSettings(Settings):
    """An alarm that is raised and cleared again and again is held raised until it has been quiet."""

    raisings: Annotated[int, Field(ge=0, le=100)] = 3
    """So many raisings within the window are chatter; 0: no alarm is ever held."""
    window_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = 60.0
    """The window, in the time of the readings."""
    quiet_s: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] = 60.0
    """It is held until no raising has come for so long."""

    @field_validator("raisings")
    @classmethod
    def _not_every_alarm(cls, raisings: int) -> int:
        if raisings == 1:
            raise ValueError("1 would hold every alarm at its first raising; give 2 or more, or 0 for never")
        return raisings

    def build(self) -> ChatterSpec:
        """What these settings describe."""
        return ChatterSpec(self.raisings, round(self.window_s * 1e9), round(self.quiet_s * 1e9))


class FloodSettings(Settings):
    """More alarms than one operator can take: what matters less is held back until it is over."""

    raisings: Annotated[int, Field(ge=0, le=100_000)] = 10
    """More raisings than this in one area within 10 minutes are a flood; 0: there is none."""
    over: Annotated[int, Field(ge=1, le=100_000)] = 5
    """The flood is over with fewer raisings than this within 10 minutes."""
    notify: SeverityName = "critical"
    """What matters less than this is held back during a flood (suppressed, and told when it is over); info: nothing."""
    severity: SeverityName = "warning"
    """Severity of the flood's own alert."""
    cause: str = "alarm_flood"
    """Cause of the flood's own alert."""

    @field_validator("cause")
    @classmethod
    def _cause_is_a_name(cls, cause: str) -> str:
        return check_name(cause, "cause")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.raisings and self.over > self.raisings:
            raise ValueError(f"over {self.over} must not be more than raisings {self.raisings}, or floods flicker")
        return self

    def build(self) -> FloodSpec:
        """What these settings describe."""
        notify, severity = severity_named(self.notify), severity_named(self.severity)
        return FloodSpec(self.raisings, self.over, notify, severity, self.cause)


class AlarmSettings(Settings):
    """What holds for all alarms, whatever their rule."""

    chatter: ChatterSettings = ChatterSettings()
    """Alarms that are raised and cleared again and again."""
    flood: FloodSettings = FloodSettings()
    """More alarms in an area than its operator can take."""
    shelve_h_max: Annotated[float, Field(gt=0, le=24 * 365, allow_inf_nan=False)] = 24.0
    """How long an alarm may be shelved at most; for longer, take it out of service."""
    stale_h: Annotated[float, Field(gt=0, le=24 * 365, allow_inf_nan=False)] = 24.0
    """An alarm that stands for longer counts as stale in the figures on the alarm system."""
    operators: Annotated[dict[str, Areas], Field(max_length=100)] = Field(default_factory=dict)
    """Who has which areas, patterns of `site/area`: figures then stand for each operator too. Empty: by area alone."""

    @field_validator("operators")
    @classmethod
    def _names_and_areas(cls, operators: dict[str, list[str]]) -> dict[str, list[str]]:
        for name, areas in operators.items():
            check_name(name, "operator")
            for area in areas:
                if area.count("/") != 1 or not all(area.split("/")):
                    raise ValueError(f"{name}: {area[:80]!r} is no area; write site/area, as in demo/hall-* or demo/+")
        return operators

    def build(self) -> BoardSpec:
        """What these settings describe."""
        shelve_ns_max, stale_ns = round(self.shelve_h_max * 3_600e9), round(self.stale_h * 3_600e9)
        operators = tuple(OperatorSpec(name, tuple(areas)) for name, areas in self.operators.items())
        return BoardSpec(self.chatter.build(), self.flood.build(), shelve_ns_max, stale_ns, operators)
