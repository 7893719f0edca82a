"""The detectors an agent can be told to use, by name, and how their alarms come and go as shipped. Pure."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Final

from fieldline_cloud.agents.anomaly.learned.banks import Bank, Detector, OneByOne
from fieldline_cloud.agents.anomaly.learned.signs import Manner
from fieldline_cloud.agents.anomaly.learned.together import JointMaker
from fieldline_cloud.detectors import DETECTORS, SurpriseBank
from fieldline_cloud.detectors.duty import Duty
from fieldline_cloud.detectors.joint import Joint

__all__ = ["JOINT", "MANNERS", "banks_of", "rule_of"]

_S: Final = 1_000_000_000
_BANKS: Final[Mapping[str, Callable[[], Bank]]] = MappingProxyType({"surprise": SurpriseBank})

JOINT: Final[Mapping[str, JointMaker]] = MappingProxyType({"duty": Duty, "joint": Joint})
"""By name: the detectors of tags that belong together."""

MANNERS: Final[Mapping[str, Manner]] = MappingProxyType(
    {
        "surprise": Manner(0, 900 * _S, threshold=2.0),
        "surprise_spread": Manner(0, 900 * _S, threshold=2.0),
        "joint": Manner(60 * _S, 600 * _S, caution=0.3, caution_fades=4),
    }
)
"""By rule. A detector that cries once and then calls it the new normal has no on-delay and a long off-delay.

Of thousands of tags, each surprising once in 2,000 readings at 1.0, too many speak; at 1.5 it is less than once a year.
The detector of a device knows at which duty it has not seen it: it needs a third of the caution, and not for long.
"""


def rule_of(name: str) -> str:
    """What the alerts of a detector are called: its name, or of `package.module:Class` the class in small letters."""
    return name.rpartition(":")[2].lower()


def banks_of(names: Iterable[str]) -> dict[str, Callable[[], Bank]]:
    """What makes a bank of each, by its rule; ValueError for a name that is no detector's.

    A name is that of a bank, that of one of DETECTORS, or `package.module:Class` for a class of one's own.
    """
    return {rule_of(name): _BANKS[name] if name in _BANKS else partial(OneByOne, _class_of(name)) for name in names}


def _class_of(name: str) -> Callable[[], Detector]:
    if name in DETECTORS:
        found: Callable[[], Detector] = DETECTORS[name]
        return found
    module, _, attribute = name.partition(":")
    if not attribute:
        known = ", ".join(sorted(_BANKS.keys() | DETECTORS.keys()))
        raise ValueError(f"detector {name!r} is not known; known are {known}, or write package.module:Class")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"detector {name!r} cannot be imported: {error}; is its folder in PYTHONPATH?") from error
    if not callable(getattr(found, "update", None)):
        raise ValueError(f"detector {name!r} has no update(times, values); see docs/how-to/write-a-detector.md")
    return found
