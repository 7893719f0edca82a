"""Settings of the maintenance agent, and the rules they describe."""

from collections import Counter
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from fieldline.topics import check_name
from fieldline_cloud.agents.agent_settings import AgentSettings
from fieldline_cloud.agents.maintenance.crew import Crew
from fieldline_cloud.agents.maintenance.escalation import Step
from fieldline_cloud.agents.maintenance.inhibit import Inhibition
from fieldline_cloud.agents.maintenance.machines import Machines
from fieldline_cloud.agents.maintenance.notify.routes import Person, Routing
from fieldline_cloud.agents.maintenance.notify.settings import NotifySettings
from fieldline_cloud.agents.maintenance.people_settings import (
    ShiftSettings,
    TechnicianSettings,
    WallTime,
    zone_of,
)
from fieldline_cloud.agents.maintenance.plan_settings import PlanSettings
from fieldline_cloud.agents.maintenance.planboard import Planboard
from fieldline_cloud.agents.maintenance.stages import WorkRules
from fieldline_cloud.agents.maintenance.templates import Templates
from fieldline_cloud.agents.maintenance.work_settings import (
    DueSettings,
    EscalationStepSettings,
    InhibitSettings,
    MachineSettings,
    StockSettings,
    TemplateSettings,
    hours,
)

__all__ = [
    "DueSettings",
    "MaintenanceSettings",
    "NotifySettings",
    "PlanSettings",
    "ShiftSettings",
    "TechnicianSettings",
    "TemplateSettings",
    "WallTime",
]


def _steps() -> list[EscalationStepSettings]:
    return [
        EscalationStepSettings(do="remind"),
        EscalationStepSettings(do="next_technician", critical_min=20, warning_min=180, info_min=2_880),
        EscalationStepSettings(do="supervisor", critical_min=30, warning_min=240, info_min=4_320),
    ]


class MaintenanceSettings(AgentSettings):
    """The maintenance agent's configuration file."""

    KIND: ClassVar[str] = "maintenance"

    data: Path = Path("data/maintenance")
    """Folder of the agent's own state (maintenance.db)."""
    name: str = "maintenance"
    """Name at the hub, and of the durable subscription."""
    subscribe: str = "alerts/#"
    """Which alerts to work on, as a topic filter."""
    ask_topic: str = "ask/tasks"
    """Topic on which orders and questions about tasks are answered."""
    time_zone: str = "UTC"
    """Time zone the shifts are written in, such as Europe/Berlin."""
    open_tasks_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Open tasks at most; alerts that would open more are counted and logged, and open none."""
    technicians: Annotated[list[TechnicianSettings], Field(min_length=1, max_length=10_000)]
    """Who is there to do the work."""
    due: DueSettings = Field(default_factory=DueSettings)
    """By when work is due."""
    templates: dict[str, TemplateSettings] = Field(default_factory=dict)
    """What a task says and takes, by the cause of its alert."""
    default_template: TemplateSettings = Field(
        default_factory=lambda: TemplateSettings(
            title="Inspect {device}: {cause}", instructions="{message}", skill="inspection"
        )
    )
    """What a task says for causes that are not among the templates."""
    machines: list[MachineSettings] = Field(default_factory=list)
    """What is known of the machines."""
    parts: Annotated[list[StockSettings], Field(max_length=100_000)] = Field(default_factory=list)
    """Spare parts in the store, counted down by the tasks; one that is not listed is taken to be at hand."""
    inhibit: list[InhibitSettings] = Field(default_factory=list)
    """Causes that silence their consequences."""
    plan: PlanSettings = Field(default_factory=PlanSettings)
    """How work is planned."""
    escalation: list[EscalationStepSettings] = Field(default_factory=_steps)
    """What is done, step by step, while nobody accepts an assigned task."""
    verify_h: float = hours(24.0)
    """Hours for which the signal must stay normal after the work until the task is verified."""
    notify: NotifySettings = Field(default_factory=NotifySettings)
    """How people are told."""

    @field_validator("time_zone")
    @classmethod
    def _time_zone_is_known(cls, name: str) -> str:
        zone_of(name)
        return name

    @field_validator("technicians")
    @classmethod
    def _names_differ(cls, technicians: list[TechnicianSettings]) -> list[TechnicianSettings]:
        names = [technician.name for technician in technicians]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: more than one technician has this name; names must differ")
        return technicians

    @field_validator("parts")
    @classmethod
    def _parts_differ(cls, parts: list[StockSettings]) -> list[StockSettings]:
        twice = sorted(name for name, count in Counter(part.name for part in parts).items() if count > 1)
        if twice:
            raise ValueError(f"{', '.join(twice)}: is listed more than once; give the whole stock in one entry")
        return parts

    @field_validator("templates")
    @classmethod
    def _causes_are_names(cls, templates: dict[str, TemplateSettings]) -> dict[str, TemplateSettings]:
        for cause in templates:
            check_name(cause, "cause")
        return templates

    @model_validator(mode="after")
    def _people_have_channels(self) -> Self:
        for technician in self.technicians:
            for channel in technician.notify:
                if channel not in self.notify.channels:
                    raise ValueError(
                        f"{technician.name}: channel {channel!r} is not under notify.channels; add it there"
                    )
        return self

    def rules(self) -> WorkRules:
        """How work is described, how urgent it is, and by when it is due."""
        templates = {cause: template.build() for cause, template in self.templates.items()}
        return WorkRules(
            Templates(templates, self.default_template.build()),
            self.due.build(),
            self.build_machines(),
            {part.name: part.build() for part in self.parts},
        )

    def build_machines(self) -> Machines:
        """What is known of the machines."""
        return Machines((machine.build() for machine in self.machines), zone_of(self.time_zone))

    def crew(self) -> Crew:
        """Who is there."""
        return Crew((technician.build() for technician in self.technicians), zone_of(self.time_zone))

    def planboard(self) -> Planboard:
        """Where work is planned."""
        return Planboard(self.crew(), self.build_machines(), self.plan.travel(), self.plan.rules())

    def inhibition(self) -> Inhibition:
        """Which alerts are only consequences."""
        return Inhibition((rule.build() for rule in self.inhibit), self.build_machines().feeders)

    def steps(self) -> tuple[Step, ...]:
        """What is done while nobody accepts."""
        return tuple(step.build() for step in self.escalation)

    def routing(self) -> Routing:
        """Who is told of what."""
        people = {
            one.name: Person(tuple(one.notify), (one.quiet.start, one.quiet.end) if one.quiet else None)
            for one in self.technicians
        }
        routes = (route.build() for route in self.notify.routes)
        return Routing(routes, people, self.notify.supervisor, zone_of(self.time_zone))

    def skills_missing(self) -> list[str]:
        """Skills that a template asks for and no technician has."""
        had = {skill for technician in self.technicians for skill in technician.skills}
        templates = (*self.templates.values(), self.default_template)
        return sorted({skill for template in templates for skill in template.every_skill} - had)
