"""Settings of the learned layer, and what they describe."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator

from fieldline.config import Settings
from fieldline.model import Severity
from fieldline.topics import check_name
from fieldline_cloud.agents.anomaly.learned.catalogue import JOINT, MANNERS, banks_of, rule_of
from fieldline_cloud.agents.anomaly.learned.layer_settings import LearnedSettings
from fieldline_cloud.agents.anomaly.learned.rest import RestSpec
from fieldline_cloud.agents.anomaly.learned.spec import Caution, LearnBook, LearnEntry, Treatment
from fieldline_cloud.agents.anomaly.rule_settings import SeverityName
from fieldline_cloud.agents.tag_pattern import MatchSettings, TagPattern

__all__ = ["LearnSettings", "LearnTagSettings"]

Delay = Annotated[float, Field(ge=0, le=86_400 * 31, allow_inf_nan=False)]

_COUNTERS: Final = ("*hours*", "*energy*", "*_total", "total_*", "*count*", "*kwh*", "*cycles*", "*runtime*")
_NOT_MEASURED: Final = ("*setpoint*", "*_sp", "*mode*", "*state*", "*status*", "*serial*", "*version*", "alarm*")


class LearnTagSettings(Settings):
    """How tags that `match` are learned. Per tag and key the first entry that matches and has the key counts."""

    match: MatchSettings = MatchSettings()
    """Which tags this is for."""
    take: Literal["value", "rate", "nothing"] | None = None
    """As it is, as the growth per hour of a counter, or not at all; left out: by its name and its values."""
    detectors: list[str] | None = None
    """Detectors of single tags; left out: all of the section's."""
    joint: bool | None = None
    """Whether it is one of the tags of its device that are judged together; left out: yes."""
    severity: SeverityName | None = None
    """How much it matters; left out: warning."""
    cause: str | None = None
    """What alerts led by this tag point to; maintenance plans by it. Left out: anomaly."""
    threshold: Annotated[float, Field(ge=0.5, le=20)] | None = None
    """Score that is worth an alert; left out: 1."""
    on_delay_s: Delay | None = None
    """How long a score must stay above the threshold; left out: as the detector is shipped."""
    off_delay_s: Delay | None = None
    """How long all scores must stay below before the alarm ends; left out: as the detector is shipped."""
    shadow: bool | None = None
    """Count what would have been raised, and raise nothing; left out: no."""
    unit: str | None = Field(default=None, max_length=16)
    """Unit of the value, for the text of the alert."""

    @field_validator("detectors")
    @classmethod
    def _detectors_are_known(cls, detectors: list[str] | None) -> list[str] | None:
        banks_of(detectors or [])
        return detectors

    @field_validator("cause")
    @classmethod
    def _cause_is_a_name(cls, cause: str | None) -> str | None:
        return cause if cause is None else check_name(cause, "cause")

    def build(self) -> LearnEntry:
        """The entry of the book these settings describe."""
        changes: dict[str, Any] = {
            "treatment": None if self.take is None else Treatment(self.take),
            "detectors": None if self.detectors is None else tuple(map(rule_of, self.detectors)),
            "joint": self.joint,
            "severity": None if self.severity is None else Severity[self.severity.upper()],
            "cause": self.cause,
            "threshold": self.threshold,
            "on_delay_ns": _ns(self.on_delay_s),
            "off_delay_ns": _ns(self.off_delay_s),
            "shadow": self.shadow,
            "unit": self.unit,
        }
        pattern = self.match.pattern()
        return LearnEntry(pattern, tuple((name, value) for name, value in changes.items() if value is not None))


class LearnSettings(Settings):
    """What the agent learns by itself. All on as shipped: every numeric tag, and the tags of each device together."""

    enabled: bool = True
    """Whether anything is learned."""
    shadow: bool = False
    """Count what would have been raised, and raise nothing: to look at it for some weeks before it may wake anybody."""
    detectors: list[str] = Field(default_factory=lambda: ["surprise"])
    """Detectors of single tags: `surprise`, or `package.module:Class` for one of your own."""
    spread: bool = True
    """Whether they also watch how much a tag moves within a stretch: for noise, spikes and unsteady running."""
    joint: bool = True
    """Whether the tags of a device are also judged together."""
    together: Literal["duty", "joint"] = "duty"
    """How: each as it usually is at this load, or, for test rigs that run for hours at one, as they fit each other."""
    every_s: Annotated[float, Field(ge=0.1, le=3_600)] = 10.0
    """Length of a stretch: detectors see means over it. Tags that are read more slowly are taken reading by reading."""
    caution: Annotated[float, Field(ge=0, le=100)] = 6.0
    """By how much a score must exceed 1 on the first day of learning; a quarter of that after two days, and so on."""
    running: list[str] = Field(default_factory=lambda: ["running", "is_running", "run"])
    """Tags that are true, or not 0, while a device runs. While it stands nothing is learned and nothing raised."""
    effort: list[str] = Field(default_factory=lambda: ["speed", "rpm", "current", "power"])
    """Tags that show whether a device without such a tag runs: far below their highest value it stands."""
    settle_s: Annotated[float, Field(ge=0, le=86_400)] = 900.0
    """How long a device is not looked at after it was started."""
    save_every_s: Annotated[float, Field(ge=1, le=3_600)] = 60.0
    """Within so long what was learned of every device is saved once; after a crash so much is learned again at most."""
    tags: Annotated[list[LearnTagSettings], Field(max_length=10_000)] = Field(default_factory=list)
    """What is different for some tags, the most particular first."""

    @field_validator("detectors")
    @classmethod
    def _detectors_are_known(cls, detectors: list[str]) -> list[str]:
        banks_of(detectors)
        return detectors

    def book(self) -> LearnBook:
        """How each tag is learned: the entries of the file, and then what its name says."""
        entries = [entry.build() for entry in self.tags]
        entries += [_shipped(name, treatment=Treatment.RATE) for name in _COUNTERS]
        entries += [_shipped(name, treatment=Treatment.NOTHING) for name in (*_NOT_MEASURED, *self.running)]
        entries.append(_shipped("*", detectors=tuple(map(rule_of, self.detectors)), shadow=self.shadow))
        return LearnBook(tuple(entries))

    def build(self, tags_max: int) -> LearnedSettings:
        """The settings of the layer."""
        names = {*self.detectors, *(name for entry in self.tags for name in entry.detectors or ())}
        return LearnedSettings(
            book=self.book(),
            detectors=banks_of(sorted(names)),
            joint=JOINT[self.together] if self.joint else None,
            every_ns=round(self.every_s * 1e9),
            spreads=frozenset(map(rule_of, names)) if self.spread else frozenset(),
            manners=MANNERS,
            rest=RestSpec(tuple(self.running), tuple(self.effort), settle_ns=round(self.settle_s * 1e9)),
            caution=Caution(self.caution),
            tags_max=tags_max,
        )


def _shipped(tag: str, **changes: object) -> LearnEntry:
    return LearnEntry(TagPattern("+/+/+", tag), tuple(changes.items()))


def _ns(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)
