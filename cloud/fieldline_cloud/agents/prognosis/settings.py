"""Settings of the prognosis agent, and the degradations they describe."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from fieldline.config import Settings
from fieldline_cloud.agents.agent_settings import AgentSettings
from fieldline_cloud.agents.prognosis.forecaster import Wear
from fieldline_cloud.agents.tag_pattern import MatchSettings

__all__ = ["PrognosisSettings", "WearSettings"]

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
    tags: Annotated[list[WearSettings], Field(min_length=1, max_length=10_000)]
    """Tags that show wear; for each tag the first entry that matches decides."""

    def wears(self) -> tuple[Wear, ...]:
        """The entries, in the order of the file."""
        return tuple(entry.build() for entry in self.tags)
