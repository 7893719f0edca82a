"""Settings of the messages to people: channels, routes, repeats, limits."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from fieldline.config import Settings
from fieldline.model import Severity
from fieldline_cloud.agents.maintenance.notices import NoticeKind
from fieldline_cloud.agents.maintenance.notify.pace import Repeats
from fieldline_cloud.agents.maintenance.notify.routes import Route

__all__ = ["ChannelSettings", "NotifySettings", "RouteSettings"]

_KINDS = Literal["assigned", "moved", "withdrawn", "reminded", "escalated", "unplanned", "reopened"]
_NS = 1_000_000_000


class ChannelSettings(Settings):
    """One way to tell somebody: a signed webhook, or whatever Apprise can reach."""

    webhook: str | None = None
    """Address that gets a signed POST of JSON, such as https://ops.example/fieldline."""
    secret: SecretStr | None = None
    """Secret the webhook is signed with. Write `${OPS_SECRET}`, not the secret itself."""
    apprise: SecretStr | None = None
    """Apprise URL, such as `${AMIRA_NTFY}`; needs: pip install 'fieldline[notify]'."""

    @field_validator("webhook")
    @classmethod
    def _webhook_is_an_address(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is no address; it begins with http:// or https://")
        return url

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if (self.webhook is None) == (self.apprise is None):
            raise ValueError("give webhook or apprise, one of them")
        if self.webhook is not None and self.secret is None:
            raise ValueError("a webhook needs a secret, so that its receiver can tell who speaks; make one up")
        return self


class RouteSettings(Settings):
    """Who else hears of what: everything a route names must hold, what it leaves out does not matter."""

    channels: Annotated[list[str], Field(min_length=1)]
    """Channels told, by their names."""
    kinds: list[_KINDS] = Field(default_factory=list)
    """What is told of; none: everything."""
    severity: Literal["info", "warning", "critical"] = "warning"
    """From which severity on."""
    skills: list[str] = Field(default_factory=list)
    """Tasks that take one of these skills."""
    areas: list[str] = Field(default_factory=list)
    """Tasks in one of these areas, as site/area."""
    technicians: list[str] = Field(default_factory=list)
    """Tasks of one of these people."""

    def build(self) -> Route:
        """The route these settings describe."""
        return Route(
            tuple(self.channels),
            frozenset(NoticeKind(kind) for kind in self.kinds),
            Severity[self.severity.upper()],
            frozenset(self.skills),
            frozenset(self.areas),
            frozenset(self.technicians),
        )


class NotifySettings(Settings):
    """How people are told."""

    channels: dict[str, ChannelSettings] = Field(default_factory=dict)
    """Ways to tell somebody, by name."""
    routes: list[RouteSettings] = Field(default_factory=list)
    """Who hears of what besides the technician it concerns."""
    supervisor: list[str] = Field(default_factory=list)
    """Channels of whoever is told when nobody accepts, nobody can, or a repair did not hold."""
    repeat_first_min: Annotated[float, Field(gt=0, le=60 * 24, allow_inf_nan=False)] = 15.0
    """Minutes until a message that nobody acknowledged is said again."""
    repeat_factor: Annotated[float, Field(ge=1, le=10, allow_inf_nan=False)] = 2.0
    """How much longer each further wait is."""
    repeat_most_min: Annotated[float, Field(gt=0, le=60 * 24 * 7, allow_inf_nan=False)] = 240.0
    """Minutes that a wait is at most."""
    repeats_max: Annotated[int, Field(ge=0, le=100)] = 5
    """How often a message is said again at most."""
    per_minute_max: Annotated[int, Field(ge=1, le=10_000)] = 30
    """Messages in a minute through one channel; what is beyond waits."""
    attempts_max: Annotated[int, Field(ge=1, le=100)] = 8
    """How often a message that cannot be delivered is tried."""
    timeout_s: Annotated[float, Field(gt=0, le=120, allow_inf_nan=False)] = 10.0
    """Seconds that one attempt may take."""
    waiting_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Messages that wait at most; beyond that the oldest that is not critical is dropped and counted."""

    @model_validator(mode="after")
    def _channels_are_known(self) -> Self:
        for name in (*self.supervisor, *(name for route in self.routes for name in route.channels)):
            if name not in self.channels:
                known = ", ".join(sorted(self.channels)) or "none"
                raise ValueError(f"channel {name!r} is not under notify.channels; known are {known}")
        return self

    def repeats(self) -> Repeats:
        """The repeats these settings describe."""
        first_ns, most_ns = round(self.repeat_first_min * 60 * _NS), round(self.repeat_most_min * 60 * _NS)
        return Repeats(first_ns, self.repeat_factor, most_ns, self.repeats_max)
