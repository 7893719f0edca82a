"""Settings of the plan: how far ahead, how steady, how long is searched, and the ways between places."""

from typing import Annotated

from pydantic import Field

from fieldline.config import Settings
from fieldline_cloud.agents.maintenance.people_settings import Minute
from fieldline_cloud.agents.maintenance.planboard import PlanRules
from fieldline_cloud.planning.model import Travel

__all__ = ["PlanSettings", "TravelSettings"]


class TravelSettings(Settings):
    """Minutes from one place to another; the way back takes as long."""

    start: Annotated[str, Field(min_length=1, max_length=64)]
    """One place, such as hall-a."""
    end: Annotated[str, Field(min_length=1, max_length=64)]
    """The other place."""
    minutes: Annotated[float, Field(ge=0, le=60 * 24, allow_inf_nan=False)]
    """Minutes between them."""


class PlanSettings(Settings):
    """How work is planned."""

    days: Annotated[int, Field(ge=1, le=60)] = 14
    """Days ahead that are planned."""
    jobs_max: Annotated[int, Field(ge=1, le=5_000)] = 500
    """Tasks planned at a time, the most urgent ones; the others wait in line."""
    frozen_h: Annotated[float, Field(ge=0, le=24 * 14, allow_inf_nan=False)] = 2.0
    """Hours ahead within which nothing is moved any more, unless it cannot stay."""
    tell_h: Annotated[float, Field(gt=0, le=24 * 60, allow_inf_nan=False)] = 24.0
    """Hours before it begins that a technician is told of a task."""
    grace_min: Annotated[float, Field(gt=0, le=60 * 24, allow_inf_nan=False)] = 30.0
    """Minutes that a technician may begin late before the task is planned anew."""
    move_cost_min: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)] = 120.0
    """Minutes of travel a new plan must save for each task it gives to another person or shift; 0 lets it churn."""
    delay_cost_min: Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)] = 10.0
    """Minutes of travel a new plan must save for each task it lets begin over 15 minutes later on the same shift."""
    hold_min: Annotated[float, Field(ge=0, le=60 * 24, allow_inf_nan=False)] = 120.0
    """Minutes that a task may begin later than need be, to keep the start it has; 0: always as soon as it can."""
    day_cost_min: Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False)] = 2.0
    """Minutes of travel that doing a task a day sooner is worth; 0: any day before its due date is as good."""
    search_s: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 2.5
    """Seconds of search for a better plan after a change, beside everything else; 0: never."""
    nightly_at: Minute | None = 180
    """Time of day of the long search, by the clock on the wall; null: never."""
    nightly_s: Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)] = 20.0
    """Seconds of the long search."""
    travel_min: Annotated[float, Field(ge=0, le=60 * 24, allow_inf_nan=False)] = 5.0
    """Minutes between two places that travel_minutes does not list."""
    travel_minutes: list[TravelSettings] = Field(default_factory=list)
    """Minutes between places."""

    def rules(self) -> PlanRules:
        """The rules these settings describe."""
        return PlanRules(
            days=self.days,
            jobs_max=self.jobs_max,
            frozen_s=round(self.frozen_h * 3_600),
            tell_s=round(self.tell_h * 3_600),
            grace_s=round(self.grace_min * 60),
            move_cost=self.move_cost_min,
            delay_cost=self.delay_cost_min,
            hold_s=round(self.hold_min * 60),
            day_cost=self.day_cost_min,
        )

    def travel(self) -> Travel:
        """The travel times these settings describe."""
        seconds = {(way.start, way.end): round(way.minutes * 60) for way in self.travel_minutes}
        return Travel(seconds, round(self.travel_min * 60))
