"""Settings of the prognosis agent, and the degradations they describe."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from fieldline.config import Settings
from fieldline.model import DeviceId
from fieldline.topics import check_name
from fieldline_cloud.agents.agent_settings import AgentSettings
from fieldline_cloud.agents.prognosis.forecaster import Wear
from fieldline_cloud.agents.prognosis.machines import Estimator, Fleet
from fieldline_cloud.agents.tag_pattern import MatchSettings, TagPattern, check_pattern

__all__ = ["ModelSettings", "PrognosisSettings", "WearSettings"]

Number = Annotated[float, Field(allow_inf_nan=False)]


class WearSettings(Settings):
    """A tag that shows wear, and the limit at which the machine has failed."""

    match: MatchSettings
    """Which tags these are."""
    limit: Number
    """Value at which the machine counts as failed, in the tag's own unit."""
    falling: bool = False
    """Whether the value sinks towards the limit (a flow, a pressure) instead of rising towards it."""
    bucket_s: Annotated[float, Field(ge=1, le=7 * 86_400)] = 3_600.0
    """Length of time whose median is one point of the trend; an hour suits wear of days to months."""
    warmup: Annotated[int, Field(ge=8, le=1_000)] = 24
    """Points before anything is said; they should span the cycle of the load, such as a day."""
    horizon_h: Annotated[float, Field(ge=1, le=24 * 3_650)] = 8_760.0
    """Hours: nothing is said of a life whose median is longer, and no quantile is later than this."""
    idle_below: Number | None = None
    """Values below this come from a machine that stands still, and count for nothing."""

    def build(self) -> Wear:
        """The entry these settings describe."""
        return Wear(
            pattern=self.match.pattern(),
            limit=self.limit,
            falling=self.falling,
            bucket_s=self.bucket_s,
            warmup=self.warmup,
            horizon_h=self.horizon_h,
            idle_below=self.idle_below,
        )


class ModelSettings(Settings):
    """Machines of one type, whose life is foretold from histories of others that failed. Needs the extra `rul`."""

    device: str
    """Which devices are of this type: site, area and device, each a pattern as under `tags`."""
    histories: Annotated[str, Field(min_length=1, max_length=4_096)]
    """A folder with one CSV file for each machine that failed, or a file pattern such as `histories/pump-*.csv`:
    columns are tags, rows are steps, the last row is the failure."""
    step_s: Annotated[float, Field(ge=1, le=366 * 86_400, allow_inf_nan=False)]
    """Length of a step. Each row holds the means of a tag over a step; the readings of the devices are taken so too."""
    publish_as: str = "machine"
    """Tag that the prognosis is of, as in `machine.remaining_h.p50`; with the tag of an alarm, tasks are due by it."""
    warmup_steps: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Steps before anything is said; 20 are what counts as a machine's own beginning."""
    cap_steps: Annotated[float, Field(ge=1, le=1e6, allow_inf_nan=False)] = 125.0
    """Steps: a machine with more life than this shows no wear yet, and its life is learned as this."""
    new_since: dict[str, datetime] = Field(default_factory=dict)
    """When a machine was new, or as good as new after a repair, by site/area/device; else its first reading was."""

    @field_validator("device")
    @classmethod
    def _three_levels(cls, device: str) -> str:
        return check_pattern(device)

    @field_validator("publish_as")
    @classmethod
    def _is_a_tag(cls, tag: str) -> str:
        return check_name(tag, "tag")

    @field_validator("new_since")
    @classmethod
    def _devices_and_moments(cls, moments: dict[str, datetime]) -> dict[str, datetime]:
        for device, moment in moments.items():
            if device.count("/") != 2 or not all(device.split("/")):
                raise ValueError(f"{device!r} is no device; write it as site/area/device")
            if moment.tzinfo is None:
                raise ValueError(f"{device}: the moment has no offset; write it like 2026-03-02T08:00+01:00")
        return moments

    def build(self, tags: tuple[str, ...], model: Estimator, failed: int) -> Fleet:
        """The fleet these settings describe, with what was learned from `failed` machines with these `tags`."""
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return Fleet(
            TagPattern(self.device, "*"),
            tags,
            model,
            failed,
            self.step_s,
            self.publish_as,
            self.warmup_steps,
            {
                DeviceId(*device.split("/")): (moment - epoch) // timedelta(microseconds=1) * 1_000
                for device, moment in self.new_since.items()
            },
        )


class PrognosisSettings(AgentSettings):
    """The prognosis agent's configuration file."""

    KIND: ClassVar[str] = "prognosis"

    data: Path = Path("data/prognosis")
    """Folder of the agent's own state (prognosis.db)."""
    name: str = "prognosis"
    """Name at the hub, and of the durable subscription: agents with different entries need different names."""
    subscribe: str = "readings/#"
    """Which readings to follow, as a topic filter."""
    tags_max: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """Tags followed at most, about 30 kB each; further ones are refused, counted and logged once."""
    publish_every_s: Annotated[float, Field(ge=0, le=30 * 86_400)] = 3_600.0
    """Time, by the readings' clock, between two prognoses of a tag; the first and the withdrawal do not wait."""
    save_every_s: Annotated[float, Field(ge=0.05, le=600)] = 30.0
    """Time between two saves while there is nothing to publish. After a crash so much is read again."""
    tags: Annotated[list[WearSettings], Field(max_length=10_000)] = Field(default_factory=list)
    """Tags that show wear; for each tag the first entry that matches decides."""
    models: Annotated[list[ModelSettings], Field(max_length=100)] = Field(default_factory=list)
    """Types of machines with histories of failures to learn from; for each device the first that matches decides."""
    machines_max: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Machines that models follow at most, 520 steps of their tags each; further ones are refused and counted."""

    @model_validator(mode="after")
    def _says_what_wears(self) -> Self:
        if not self.tags and not self.models:
            raise ValueError("tags is missing; say which tags show wear, or name histories to learn from under models")
        return self

    def wears(self) -> tuple[Wear, ...]:
        """The entries, in the order of the file."""
        return tuple(entry.build() for entry in self.tags)
