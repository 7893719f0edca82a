"""The kinds of faults, by family, and what each moves on the built-in models. Pure."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

__all__ = ["CONDITIONS", "MOVED", "SENSOR_KINDS", "SILENT_KINDS", "FaultKind"]


class FaultKind(Enum):
    """What can be asked for in the `faults:` of a plant."""

    BEARING_WEAR = "bearing_wear"
    IMBALANCE = "imbalance"
    MISALIGNMENT = "misalignment"
    CAVITATION = "cavitation"
    LEAK = "leak"
    CLOGGED_FILTER = "clogged_filter"
    STUCK = "stuck"
    SPIKE = "spike"
    DRIFT = "drift"
    NOISE = "noise"
    DROPOUT = "dropout"
    REBOOT = "reboot"


SENSOR_KINDS = frozenset({FaultKind.STUCK, FaultKind.SPIKE, FaultKind.DRIFT, FaultKind.NOISE})
"""Change what one sensor tells, and leave the truth alone."""

SILENT_KINDS = frozenset({FaultKind.DROPOUT, FaultKind.REBOOT})
"""Take the whole device off the line."""

CONDITIONS: Mapping[FaultKind, str] = MappingProxyType(
    {
        FaultKind.BEARING_WEAR: "wear",
        FaultKind.IMBALANCE: "imbalance",
        FaultKind.MISALIGNMENT: "misalignment",
        FaultKind.CAVITATION: "cavitation",
        FaultKind.LEAK: "leak",
        FaultKind.CLOGGED_FILTER: "clog",
    }
)
"""The field of a machine's condition that each kind of wear writes."""

_FLOW = ("pressure", "flow", "power", "current", "temperature")
_WEAR = ("vibration", "bearing_temperature", "alarm")
_IMBALANCE = ("vibration", "alarm")
_CAVITATION = (*_FLOW, "vibration", "alarm")
_EVERYTHING = ("speed", *_FLOW, "bearing_temperature", "vibration", "alarm")
_TURNING = ("pump", "fan", "compressor")

MOVED: Mapping[FaultKind, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        FaultKind.BEARING_WEAR: dict.fromkeys(_TURNING, _WEAR),
        FaultKind.IMBALANCE: dict.fromkeys(_TURNING, _IMBALANCE),
        FaultKind.MISALIGNMENT: dict.fromkeys(_TURNING, _WEAR),
        FaultKind.CAVITATION: {"pump": _CAVITATION},
        FaultKind.LEAK: {"pump": _FLOW, "compressor": _EVERYTHING},
        FaultKind.CLOGGED_FILTER: {"pump": _FLOW, "fan": _FLOW},
    }
)
"""What each kind of wear moves on each built-in model it can happen to."""
