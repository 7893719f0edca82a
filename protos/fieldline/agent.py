"""An agent as it joins a hub, and as others see it there. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fieldline.errors import LimitError
from fieldline.limits import CAPABILITIES_PER_AGENT_MAX, CAPABILITY_BYTES_MAX, VERSION_BYTES_MAX
from fieldline.topics import check_filter, check_name

__all__ = ["SERVES", "Agent", "AgentInfo", "check_capabilities", "check_version"]

SERVES: Final = "serves"
"""The capability whose value is a topic filter: the agent is found by who asks for those that serve a topic."""


@dataclass(frozen=True, slots=True)
class Agent:
    """What a runtime tells the hub of itself, so that others find it: `Runtime(..., agent=Agent(kind="pump-watch"))`.

    `kind` says what sort of agent it is: `[A-Za-z0-9_.-]{1,64}`. `capabilities` are yours: at most 32 of 256 bytes, key
    and value together; one called `serves` must be a topic filter. Every `heartbeat_s` (0.5 to 60) it says that it
    lives; silent for three times that, it is taken to be gone. Raises BadName, BadTopic or LimitError.
    """

    kind: str
    version: str = ""
    capabilities: Mapping[str, str] = field(default_factory=dict)
    heartbeat_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what a hub would refuse."""
        check_name(self.kind, "agent kind")
        check_version(self.version)
        check_capabilities(self.capabilities)
        if not 0.5 <= self.heartbeat_s <= 60:
            raise LimitError(f"heartbeat_s {self.heartbeat_s:g} is not within 0.5 to 60; 5 suits most")


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """An agent that is present at a hub. Times are Unix times in ms, by the hub's clock.

    `filters` are those of the subscriptions that are open under its name. `identity` is whom it has shown to be; empty
    where the hub asks nobody. `peer` is the address it comes from.
    """

    name: str
    kind: str
    version: str
    capabilities: Mapping[str, str]
    joined_at_ms: int
    heard_at_ms: int
    filters: tuple[str, ...]
    peer: str
    identity: str
    software: str


def check_version(version: str) -> str:
    """Return `version` if it is short enough; raise LimitError otherwise."""
    size = _bytes(version)
    if size > VERSION_BYTES_MAX:
        raise LimitError(f"agent version {version[:20]!r}... has {size} bytes; at most {VERSION_BYTES_MAX} are allowed")
    return version


def check_capabilities(capabilities: Mapping[str, str]) -> Mapping[str, str]:
    """Return `capabilities` if they are few and short; raise LimitError, or BadTopic for what `serves` no topic."""
    if len(capabilities) > CAPABILITIES_PER_AGENT_MAX:
        raise LimitError(f"{len(capabilities)} capabilities; an agent has at most {CAPABILITIES_PER_AGENT_MAX}")
    for key, value in capabilities.items():
        if not key:
            raise LimitError("a capability has no name; give it one, like 'serves'")
        size = _bytes(key) + _bytes(value)
        if size > CAPABILITY_BYTES_MAX:
            raise LimitError(
                f"capability {key[:40]!r} has {size} bytes with its value; at most {CAPABILITY_BYTES_MAX} are allowed"
            )
    if SERVES in capabilities:
        check_filter(capabilities[SERVES])
    return capabilities


def _bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise LimitError(f"{text[:40]!r} is not valid Unicode: {error.reason}") from error
