"""Settings of the maintenance agent, and the policy they describe."""

import re
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from fieldline.access_settings import HubTls
from fieldline.config import FileSettings, Settings
from fieldline.model import Severity
from fieldline.topics import check_filter, check_name
from fieldline_cloud.agents.maintenance.assign import Bench, Technician
from fieldline_cloud.agents.maintenance.shifts import MINUTES_PER_DAY, Shift
from fieldline_cloud.agents.maintenance.stages import Policy
from fieldline_cloud.agents.maintenance.templates import Template, Templates, check_text

__all__ = [
    "DueSettings",
    "MaintenanceSettings",
    "ShiftSettings",
    "TechnicianSettings",
    "TemplateSettings",
]

DayName = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: Final[tuple[DayName, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])\Z")
_NS_PER_HOUR: Final = 3_600 * 1_000_000_000


def _minute(value: Any) -> int:
    """Minutes since midnight. YAML reads an unquoted 14:00 as the number 840, which is the same."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MINUTES_PER_DAY:
        return value
    found = _TIME.match(value) if isinstance(value, str) else None
    minute = int(found[1]) * 60 + int(found[2]) if found else -1
    if not 0 <= minute <= MINUTES_PER_DAY:
        raise ValueError(f"{value!r} is not a time of day; write it like '06:00', from '00:00' to '24:00'")
    return minute


def _hours(default: float) -> Any:
    return Field(default=default, gt=0, le=24 * 3_650, allow_inf_nan=False)


Minute = Annotated[int, BeforeValidator(_minute, json_schema_input_type=str | int)]


class ShiftSettings(Settings):
    """Working hours on some days of the week, by the clock on the wall."""

    days: Annotated[list[DayName], Field(min_length=1)] = Field(default_factory=lambda: list(_DAYS))
    """Days on which the shift begins."""
    start: Minute
    """When it begins, such as '06:00'."""
    end: Minute
    """When it ends; at or before the start means on the next day."""

    def build(self) -> Shift:
        """The shift these settings describe."""
        return Shift(frozenset(map(_DAYS.index, self.days)), self.start, self.end)


class TechnicianSettings(Settings):
    """Somebody who can be given work."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """Name, as on the task."""
    skills: Annotated[list[str], Field(min_length=1)]
    """What this person can do."""
    shift: ShiftSettings | None = None
    """Working hours, where one line says it all."""
    shifts: list[ShiftSettings] = Field(default_factory=list)
    """Working hours, where they differ between days."""

    @field_validator("skills")
    @classmethod
    def _skills_are_names(cls, skills: list[str]) -> list[str]:
        return [check_name(skill, "skill") for skill in skills]

    @model_validator(mode="after")
    def _has_a_shift(self) -> Self:
        if not self.shift and not self.shifts:
            raise ValueError(f"{self.name} has no shift; add shift: or shifts:, or take the entry out")
        return self

    def build(self) -> Technician:
        """The technician these settings describe."""
        shifts = [*([self.shift] if self.shift else []), *self.shifts]
        return Technician(self.name, frozenset(self.skills), tuple(shift.build() for shift in shifts))


class TemplateSettings(Settings):
    """What a task says. `{device}`, `{tag}`, `{message}`, `{cause}`, `{site}` and `{area}` are filled in."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    """One line."""
    instructions: Annotated[str, Field(max_length=2_000)] = "{message}"
    """What to do, what to bring, what to look out for."""
    skill: str
    """The skill it takes."""

    @field_validator("title", "instructions")
    @classmethod
    def _fields_are_known(cls, text: str) -> str:
        return check_text(text)

    @field_validator("skill")
    @classmethod
    def _skill_is_a_name(cls, skill: str) -> str:
        return check_name(skill, "skill")

    def build(self) -> Template:
        """The template these settings describe."""
        return Template(self.title, self.instructions, self.skill)


class DueSettings(Settings):
    """By when work is due, counted from when the task is opened or becomes more severe."""

    critical_h: float = _hours(4.0)
    """Hours for a critical alert."""
    warning_h: float = _hours(24.0)
    """Hours for a warning."""
    info_h: float = _hours(168.0)
    """Hours for an information."""

    @model_validator(mode="after")
    def _worse_is_sooner(self) -> Self:
        if not self.critical_h <= self.warning_h <= self.info_h:
            raise ValueError("critical_h must not be more than warning_h, nor warning_h more than info_h")
        return self


class MaintenanceSettings(FileSettings):
    """The maintenance agent's configuration file."""

    KIND: ClassVar[str] = "maintenance"

    hub: str = "127.0.0.1:50051"
    """Address of the hub."""
    hub_tls: HubTls | None = None
    """Encryption on the way to the hub; left out: none, which a hub takes on its own machine alone."""
    hub_token: SecretStr | None = None
    """Token that says who we are, where there is no certificate. Write `${FIELDLINE_TOKEN}`, not the token itself."""
    data: Path = Path("data/maintenance")
    """Folder of the agent's own state (maintenance.db)."""
    name: str = "maintenance"
    """Name at the hub, and of the durable subscription."""
    subscribe: str = "alerts/#"
    """Which alerts to work on, as a topic filter."""
    time_zone: str = "UTC"
    """Time zone the shifts are written in, such as Europe/Berlin."""
    open_tasks_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Open tasks at most; alerts that would open more are counted and logged, and open none."""
    technicians: Annotated[list[TechnicianSettings], Field(min_length=1, max_length=10_000)]
    """Who is there to do the work."""
    due: DueSettings = DueSettings()
    """By when work is due."""
    templates: dict[str, TemplateSettings] = Field(default_factory=dict)
    """What a task says, by the cause of its alert."""
    default_template: TemplateSettings = TemplateSettings(
        title="Inspect {device}: {cause}", instructions="{message}", skill="inspection"
    )
    """What a task says for causes that are not among the templates."""

    @field_validator("name")
    @classmethod
    def _name_is_a_name(cls, name: str) -> str:
        return check_name(name, "name")

    @field_validator("subscribe")
    @classmethod
    def _filter_is_a_filter(cls, topic_filter: str) -> str:
        return check_filter(topic_filter)

    @field_validator("time_zone")
    @classmethod
    def _time_zone_is_known(cls, name: str) -> str:
        _zone(name)
        return name

    @field_validator("technicians")
    @classmethod
    def _names_differ(cls, technicians: list[TechnicianSettings]) -> list[TechnicianSettings]:
        names = [technician.name for technician in technicians]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: more than one technician has this name; names must differ")
        return technicians

    @field_validator("templates")
    @classmethod
    def _causes_are_names(cls, templates: dict[str, TemplateSettings]) -> dict[str, TemplateSettings]:
        for cause in templates:
            check_name(cause, "cause")
        return templates

    def policy(self) -> Policy:
        """What the settings say about describing, timing and giving out work."""
        return Policy(
            templates=Templates(
                {cause: template.build() for cause, template in self.templates.items()},
                self.default_template.build(),
            ),
            due_ns={
                Severity.CRITICAL: round(self.due.critical_h * _NS_PER_HOUR),
                Severity.WARNING: round(self.due.warning_h * _NS_PER_HOUR),
                Severity.INFO: round(self.due.info_h * _NS_PER_HOUR),
            },
            bench=Bench([technician.build() for technician in self.technicians], _zone(self.time_zone)),
        )

    def skills_missing(self) -> list[str]:
        """Skills that a template asks for and no technician has."""
        had = {skill for technician in self.technicians for skill in technician.skills}
        wanted = {template.skill for template in (*self.templates.values(), self.default_template)}
        return sorted(wanted - had)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is not a time zone this machine knows; write it like Europe/Berlin, "
            "and if that fails run: pip install tzdata"
        ) from error
