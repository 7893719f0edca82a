"""Settings of the work: templates, due dates, machines, parts, consequences, escalation."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fieldline.config import Settings
from fieldline.model import Part, Severity
from fieldline.topics import check_filter, check_name
from fieldline.wire.plant import PARTS_MAX, SKILLS_MAX
from fieldline_cloud.agents.maintenance.escalation import Step, StepKind
from fieldline_cloud.agents.maintenance.inhibit import InhibitRule, Where
from fieldline_cloud.agents.maintenance.machines import Criticality, Machine
from fieldline_cloud.agents.maintenance.people_settings import ShiftSettings
from fieldline_cloud.agents.maintenance.priority import NS_PER_HOUR, DueRule
from fieldline_cloud.agents.maintenance.stock import StockItem
from fieldline_cloud.agents.maintenance.templates import Template, check_text

__all__ = [
    "DueSettings",
    "EscalationStepSettings",
    "InhibitSettings",
    "MachineSettings",
    "PartSettings",
    "StockSettings",
    "TemplateSettings",
    "hours",
    "minutes",
]

_NS_PER_MINUTE = 60 * 1_000_000_000


def hours(default: float) -> Any:
    """A field of so many hours: more than 0, at most ten years."""
    return Field(default=default, gt=0, le=24 * 3_650, allow_inf_nan=False)


def minutes(default: float) -> Any:
    """A field of so many minutes: more than 0, at most a year."""
    return Field(default=default, gt=0, le=60 * 24 * 366, allow_inf_nan=False)


class PartSettings(Settings):
    """Spare parts that a task takes."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """What the part is called in the store."""
    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    """How many of it."""


class StockSettings(Settings):
    """A spare part in the store."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """What the part is called."""
    stock: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """How many lie in the store when the agent first reads this; it counts on from there, and a changed number is a
    new count."""
    lead_days: Annotated[float, Field(ge=0, le=3_650, allow_inf_nan=False)] = 0.0
    """Days until more of them come, once ordered."""

    def build(self) -> StockItem:
        """The stock these settings describe."""
        return StockItem(self.stock, self.lead_days)


class TemplateSettings(Settings):
    """What a task says and takes. `{device}`, `{tag}`, `{message}`, `{cause}`, `{site}` and `{area}` are filled in."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    """One line."""
    instructions: Annotated[str, Field(max_length=2_000)] = "{message}"
    """What to do, what to bring, what to look out for."""
    checklist: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=25)] = Field(
        default_factory=list
    )
    """Steps to tick off, added to the instructions line by line."""
    skill: str = ""
    """The skill it takes, where one is enough."""
    skills: Annotated[list[str], Field(max_length=SKILLS_MAX)] = Field(default_factory=list)
    """All skills it takes, of one person; the first one names the trade."""
    work_min: Annotated[float, Field(gt=0, le=60 * 24 * 30, allow_inf_nan=False)] = 60.0
    """Minutes of work at the machine."""
    downtime_min: Annotated[float, Field(ge=0, le=60 * 24 * 30, allow_inf_nan=False)] = 0.0
    """Minutes the machine stands for it; with more than 0 it is planned into the machine's windows."""
    parts: Annotated[list[PartSettings], Field(max_length=PARTS_MAX)] = Field(default_factory=list)
    """Spare parts it takes."""

    @field_validator("title", "instructions")
    @classmethod
    def _fields_are_known(cls, text: str) -> str:
        return check_text(text)

    @field_validator("checklist")
    @classmethod
    def _fields_of_lines_are_known(cls, lines: list[str]) -> list[str]:
        return [check_text(line) for line in lines]

    @model_validator(mode="after")
    def _has_a_skill(self) -> Self:
        if not self.every_skill:
            raise ValueError("skill is missing; name the skill it takes, or several under skills")
        for skill in self.every_skill:
            check_name(skill, "skill")
        return self

    @property
    def every_skill(self) -> tuple[str, ...]:
        """All skills it takes, each once."""
        return tuple(dict.fromkeys([*([self.skill] if self.skill else []), *self.skills]))

    def build(self) -> Template:
        """The template these settings describe."""
        return Template(
            self.title,
            self.instructions,
            self.every_skill,
            round(self.work_min * 60),
            round(self.downtime_min * 60),
            tuple(Part(part.name, part.count) for part in self.parts),
            tuple(self.checklist),
        )


class DueSettings(Settings):
    """By when work is due, counted from when the task is opened or becomes more severe."""

    critical_h: float = hours(4.0)
    """Hours for a critical alert."""
    warning_h: float = hours(24.0)
    """Hours for a warning."""
    info_h: float = hours(168.0)
    """Hours for an information."""
    life_safety: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.5
    """Where the remaining life is known: the share of its 10 % quantile after which work must be done."""

    @model_validator(mode="after")
    def _worse_is_sooner(self) -> Self:
        if not self.critical_h <= self.warning_h <= self.info_h:
            raise ValueError("critical_h must not be more than warning_h, nor warning_h more than info_h")
        return self

    def build(self) -> DueRule:
        """The rule these settings describe."""
        return DueRule(
            {
                Severity.CRITICAL: round(self.critical_h * NS_PER_HOUR),
                Severity.WARNING: round(self.warning_h * NS_PER_HOUR),
                Severity.INFO: round(self.info_h * NS_PER_HOUR),
            },
            self.life_safety,
        )


class MachineSettings(Settings):
    """What holds for some machines. Of several entries that match, the first that says something counts."""

    match: str
    """Which devices, as a filter of site/area/device such as '+/+/pump-1' or 'demo/hall-a/#'."""
    criticality: Literal["low", "normal", "high", "vital"] | None = None
    """How much hangs on it; normal where nothing is said."""
    place: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Where it stands, as the travel table calls it; the area of the device where nothing is said."""
    fed_by: list[str] = Field(default_factory=list)
    """Devices it hangs on, such as demo/hall-a/switchboard-1."""
    windows: list[ShiftSettings] = Field(default_factory=list)
    """When it may stand still; none: at any time."""

    @field_validator("match")
    @classmethod
    def _filter_is_a_filter(cls, match: str) -> str:
        return check_filter(match)

    @field_validator("fed_by")
    @classmethod
    def _devices_are_devices(cls, devices: list[str]) -> list[str]:
        for device in devices:
            if device.count("/") != 2 or not all(device.split("/")):
                raise ValueError(f"{device!r} is no device; write it as site/area/device")
        return devices

    def build(self) -> Machine:
        """The entry these settings describe."""
        return Machine(
            self.match,
            Criticality[self.criticality.upper()] if self.criticality else None,
            self.place,
            tuple(self.fed_by),
            tuple(window.build() for window in self.windows),
        )


class InhibitSettings(Settings):
    """A cause that silences what follows from it, while it lasts."""

    cause: str
    """The cause, such as power_loss."""
    silences: Annotated[list[str], Field(min_length=1)]
    """Causes that follow from it, such as no_data."""
    where: Literal["same_device", "same_area", "fed_by"] = "same_device"
    """How far it reaches: that device, all of its area, or the devices that are fed by it."""

    @model_validator(mode="after")
    def _causes_are_names(self) -> Self:
        for cause in (self.cause, *self.silences):
            check_name(cause, "cause")
        if self.cause in self.silences:
            raise ValueError(f"{self.cause} would silence itself; take it out of silences")
        return self

    def build(self) -> InhibitRule:
        """The rule these settings describe."""
        return InhibitRule(self.cause, frozenset(self.silences), Where(self.where))


class EscalationStepSettings(Settings):
    """What is done when nobody has accepted a task in time."""

    do: Literal["remind", "next_technician", "supervisor"]
    """Remind the technician, give it to the next one, or tell the supervisor."""
    critical_min: float = minutes(10.0)
    """Minutes after a critical task was assigned, around the clock."""
    warning_min: float = minutes(60.0)
    """Minutes of the technician's shift after a warning was assigned."""
    info_min: float = minutes(480.0)
    """Minutes of the technician's shift after an information was assigned."""

    def build(self) -> Step:
        """The step these settings describe."""
        return Step(
            StepKind(self.do),
            {
                Severity.CRITICAL: round(self.critical_min * _NS_PER_MINUTE),
                Severity.WARNING: round(self.warning_min * _NS_PER_MINUTE),
                Severity.INFO: round(self.info_min * _NS_PER_MINUTE),
            },
        )
