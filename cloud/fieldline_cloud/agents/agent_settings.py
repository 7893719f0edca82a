"""Settings that every agent has: its hub, its own name, folder and clock. Pure."""

from pathlib import Path

from pydantic import SecretStr, field_validator

from fieldline.access_settings import HubTls
from fieldline.config import FileSettings
from fieldline.scaled_clock import ClockText
from fieldline.topics import check_filter, check_name

__all__ = ["AgentSettings"]


class AgentSettings(FileSettings):
    """How an agent's configuration file begins; each agent gives `data`, `name` and `subscribe` its own default."""

    hub: str = "127.0.0.1:50051"
    """Address of the hub."""
    hub_tls: HubTls | None = None
    """Encryption on the way to the hub; left out: none, which a hub takes on its own machine alone."""
    hub_token: SecretStr | None = None
    """Token that says who we are, where there is no certificate. Write `${FIELDLINE_TOKEN}`, not the token itself."""
    data: Path
    """Folder of the agent's own state."""
    name: str
    """Name at the hub, and of the durable subscription."""
    clock: ClockText = ""
    """Clock of a simulated plant, as wall_ns,plant_ns,scale; empty: the wall's."""
    subscribe: str
    """What to read, as a topic filter."""

    @field_validator("name")
    @classmethod
    def _name_is_a_name(cls, name: str) -> str:
        return check_name(name, "name")

    @field_validator("subscribe")
    @classmethod
    def _filter_is_a_filter(cls, topic_filter: str) -> str:
        return check_filter(topic_filter)
