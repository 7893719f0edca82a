"""Which rules are for which tag. Pure. Asked once per tag; the answer is kept by the monitor."""

from dataclasses import dataclass, field, fields
from typing import Any, Final

from fieldline.model import DeviceId
from fieldline_cloud.agents.anomaly.rules.base import Rule
from fieldline_cloud.agents.anomaly.rules.deviation import Deviation
from fieldline_cloud.agents.anomaly.rules.flatline import Flatline
from fieldline_cloud.agents.anomaly.rules.limits import Range
from fieldline_cloud.agents.anomaly.rules.quality import QualityRule
from fieldline_cloud.agents.anomaly.rules.rate import Rate
from fieldline_cloud.agents.anomaly.rules.stale import Stale
from fieldline_cloud.agents.anomaly.suppression import Suppress
from fieldline_cloud.agents.tag_pattern import TagPattern

__all__ = ["KINDS", "RuleBook", "RuleEntry", "RuleSet"]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one tag, at most one of each kind, and what suppresses their alarms."""

    range: Range | None = None
    rate: Rate | None = None
    flatline: Flatline | None = None
    deviation: Deviation | None = None
    quality: QualityRule | None = None
    stale: Stale | None = None
    suppress_while: Suppress | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to watch."""
        return not self.rules()

    def rules(self) -> dict[str, Rule]:
        """The rules by their kind."""
        return {kind: rule for kind in KINDS if (rule := getattr(self, kind)) is not None}


KINDS: Final = tuple(one.name for one in fields(RuleSet) if one.name != "suppress_while")
"""Kinds of rule, in the order in which a reading meets them."""


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """One entry of the configuration."""

    pattern: TagPattern
    rules: RuleSet = field(default_factory=RuleSet)
    without: frozenset[str] = frozenset()


class RuleBook:
    """All entries, in the order of the file. For each kind the first entry that fits the tag decides."""

    def __init__(self, entries: tuple[RuleEntry, ...]) -> None:
        self._entries = entries

    def rules_for(self, device: DeviceId, tag: str) -> RuleSet:
        """The rules of a tag."""
        found: dict[str, Any] = {}
        for entry in self._entries:
            if entry.pattern.matches(device, tag):
                for kind in (*KINDS, "suppress_while"):
                    rule = getattr(entry.rules, kind)
                    if rule is not None or kind in entry.without:
                        found.setdefault(kind, rule)
        return RuleSet(**found)
