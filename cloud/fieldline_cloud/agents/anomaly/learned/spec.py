"""What is learned of which tags, and what its alarms are like. Pure."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from fieldline.model import DeviceId, Severity
from fieldline_cloud.agents.tag_pattern import TagPattern

__all__ = ["Caution", "LearnBook", "LearnEntry", "LearnSpec", "Treatment"]

_DAY_NS: Final = 86_400 * 1_000_000_000


class Treatment(Enum):
    """How the values of a tag are taken."""

    VALUE = "value"  # as they are
    RATE = "rate"  # a counter: its growth per hour
    NOTHING = "nothing"  # not at all


@dataclass(frozen=True, slots=True)
class LearnSpec:
    """How one tag is learned. Delays in ns; `threshold` is the score that counts as 1."""

    treatment: Treatment | None = None
    """None: it shows in the values."""
    detectors: tuple[str, ...] = ("surprise",)
    joint: bool = True
    severity: Severity = Severity.WARNING
    cause: str = "anomaly"
    threshold: float = 1.0
    on_delay_ns: int | None = None
    """None: as the detector's alarms come."""
    off_delay_ns: int | None = None
    """None: as they go."""
    shadow: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True)
class LearnEntry:
    """One entry of the configuration; None leaves a field to the entries further down."""

    pattern: TagPattern
    changes: tuple[tuple[str, object], ...]
    """Names and values of the fields of LearnSpec that this entry sets."""


class LearnBook:
    """All entries, in the order of the file. For each field the first entry that fits the tag and sets it decides."""

    def __init__(self, entries: tuple[LearnEntry, ...]) -> None:
        self._entries = entries

    def spec_for(self, device: DeviceId, tag: str) -> LearnSpec:
        """How the tag is learned."""
        found: dict[str, object] = {}
        for entry in self._entries:
            if entry.pattern.matches(device, tag):
                for name, value in entry.changes:
                    found.setdefault(name, value)
        return LearnSpec(**found)  # type: ignore[arg-type]  # checked where the entries were made


@dataclass(frozen=True, slots=True)
class Caution:
    """Who has not seen a whole day takes each shift, each night and each noon for something unheard of.

    On the first day of learning a score must be `extra` above 1; after two days a quarter of that, after a week a
    fiftieth: what is new to those who have seen much is rarely nothing.
    """

    extra: float

    def threshold(self, learned_ns: int, share: float = 1.0, fades: int = 2) -> float:
        """What a score is divided by, with a detector that needs so much of the caution."""
        return 1.0 + share * self.extra * min(1.0, (_DAY_NS / max(learned_ns, 1)) ** fades)
