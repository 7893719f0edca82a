"""How the learned layer works, for all tags alike. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fieldline_cloud.agents.anomaly.learned.banks import Bank
from fieldline_cloud.agents.anomaly.learned.rest import RestSpec
from fieldline_cloud.agents.anomaly.learned.signs import Manner
from fieldline_cloud.agents.anomaly.learned.spec import Caution, LearnBook
from fieldline_cloud.agents.anomaly.learned.together import JointMaker

__all__ = ["LearnedSettings"]


@dataclass(frozen=True, slots=True)
class LearnedSettings:
    """How the layer works, for all tags alike; `book` says what is different for some.

    `detectors` are those of single tags by name, `spreads` the names of those that also watch how much a tag moves
    within a stretch; `manners` says how the alarms of each come and go, for tags that the book gives no delays.
    """

    book: LearnBook
    detectors: Mapping[str, Callable[[], Bank]]
    joint: JointMaker | None
    every_ns: int = 10 * 1_000_000_000
    spreads: frozenset[str] = frozenset()
    manners: Mapping[str, Manner] = field(default_factory=dict)
    rest: RestSpec = field(default_factory=RestSpec)
    caution: Caution = field(default_factory=lambda: Caution(0.0))
    tags_max: int = 100_000
