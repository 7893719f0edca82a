"""Settings of the anomaly agent."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from fieldline.topics import check_name
from fieldline_cloud.agents.agent_settings import AgentSettings
from fieldline_cloud.agents.anomaly.alarms.settings import AlarmSettings
from fieldline_cloud.agents.anomaly.learn_settings import LearnSettings
from fieldline_cloud.agents.anomaly.matching import RuleBook
from fieldline_cloud.agents.anomaly.rule_settings import RuleSettings

__all__ = ["AnomalySettings"]


class AnomalySettings(AgentSettings):
    """The anomaly agent's configuration file."""

    KIND: ClassVar[str] = "anomaly"

    data: Path = Path("data/anomaly")
    """Folder of the agent's own state (anomaly.db)."""
    name: str = "anomaly"
    """Name at the hub, and of the durable subscription: agents with different rules need different names."""
    group: str = ""
    """Name of the group this process is a member of: its members share the devices. Left out: it has all of them."""
    subscribe: str = "readings/#"
    """Which readings to watch, as a topic filter."""
    tags_max: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Tags watched at most; further ones are refused, counted and logged once."""
    save_every_s: Annotated[float, Field(ge=0.05, le=60)] = 0.5
    """Time between two saves while nothing is raised or cleared. After a crash so much is read again."""
    tick_s: Annotated[float, Field(ge=0.05, le=60)] = 0.5
    """Time between two looks for silent tags."""
    alarms: AlarmSettings = AlarmSettings()
    """What holds for all alarms: chattering, floods, shelving."""
    rules: Annotated[list[RuleSettings], Field(min_length=1, max_length=10_000)]
    """Rules, the most particular first."""
    learn: LearnSettings = LearnSettings()
    """What is learned of all tags, beside the rules."""

    @field_validator("group")
    @classmethod
    def _group_is_a_name(cls, group: str) -> str:
        return group and check_name(group, "group")

    def rule_book(self) -> RuleBook:
        """The rules, ready to be asked."""
        return RuleBook(tuple(rule.build() for rule in self.rules))
