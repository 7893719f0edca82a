"""Detectors by name, and banks that run one detector over many series at once.

A detector is a class with `update(times, values) -> scores`, where a score of 1.0 is worth an alert and NaN is none,
`snapshot()`, `restore(snapshot)` and `learning`; docs/reference/detectors.md says how to write one.
"""

from typing import Any

from fieldline.detectors import Surprise
from fieldline_cloud.detectors.bank import SurpriseBank
from fieldline_cloud.detectors.joint import Joint
from fieldline_cloud.detectors.vibration import Vibration

__all__ = ["DETECTORS", "Joint", "SurpriseBank", "Vibration"]

DETECTORS: dict[str, type[Any]] = {
    "surprise": Surprise,
    "joint": Joint,
    "vibration": Vibration,
}
