"""How a prognosis travels: as readings of a few tags beside the one it speaks of.

A prognosis for `vibration` is five readings of one moment: `vibration.remaining_h.p10`, `.p50` and `.p90` (hours),
`.since` (Unix nanoseconds) and `.trend` (text). It is withdrawn, because the machine was repaired or got well,
by readings of the same tags without a value.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fieldline.model import DeviceId, Quality, Reading, Value

__all__ = ["MARK", "Prognosis", "prognosis_readings", "prognosis_topic", "read_prognosis"]

MARK: Final = ".remaining_h."
"""Stands between the tag and the part of its prognosis."""
_P10, _P50, _P90, _SINCE, _TREND = _PARTS = ("p10", "p50", "p90", "since", "trend")
_REQUIRED: Final = frozenset((_P10, _P50, _P90))


@dataclass(frozen=True, slots=True)
class Prognosis:
    """How long a tag has until its failure limit: the life ends before `p10_h` with probability 0.1, and so on.

    Hours count from `at_ns`. `since_ns` says when the degradation began (0: not known), `trend` describes it for a
    person. 0 <= p10_h <= p50_h <= p90_h, all finite.
    """

    p10_h: float
    p50_h: float
    p90_h: float
    since_ns: int = 0
    trend: str = ""
    at_ns: int = 0


def prognosis_topic(device: DeviceId) -> str:
    """`prognoses/<site>/<area>/<device>`."""
    return f"prognoses/{device}"


def prognosis_readings(tag: str, prognosis: Prognosis | None, at_ns: int) -> list[Reading]:
    """The readings that say `prognosis` of `tag`, or, with None, that there is none any more."""
    if prognosis is None:
        return [Reading(f"{tag}{MARK}{part}", at_ns, None, Quality.BAD) for part in _PARTS]
    values: dict[str, Value] = {
        _P10: prognosis.p10_h,
        _P50: prognosis.p50_h,
        _P90: prognosis.p90_h,
        _SINCE: prognosis.since_ns,
        _TREND: prognosis.trend,
    }
    return [Reading(f"{tag}{MARK}{part}", at_ns, value) for part, value in values.items()]


def read_prognosis(readings: Iterable[Reading]) -> dict[str, Prognosis | None]:
    """The newest prognosis of each tag in `readings`; None where it was withdrawn. Anything else is passed over.

    `readings` are those of one device, in any order. A tag whose quantiles are incomplete, not finite, negative or
    not in order has no entry.
    """
    newest: dict[str, tuple[int, dict[str, Reading]]] = {}
    for reading in readings:
        tag, mark, part = reading.tag.rpartition(MARK)
        if not mark or not tag or part not in _PARTS:
            continue
        at_ns, parts = newest.get(tag, (reading.at_ns, {}))
        if reading.at_ns > at_ns:
            at_ns, parts = reading.at_ns, {}
        if reading.at_ns == at_ns:
            newest[tag] = at_ns, {**parts, part: reading}
    found: dict[str, Prognosis | None] = {}
    for tag, (at_ns, parts) in newest.items():
        if not parts.keys() >= _REQUIRED:
            continue
        if all(parts[part].value is None for part in _REQUIRED):
            found[tag] = None
        elif (prognosis := _prognosis(parts, at_ns)) is not None:
            found[tag] = prognosis
    return found


def _prognosis(parts: dict[str, Reading], at_ns: int) -> Prognosis | None:
    hours = [_hours(parts[part]) for part in (_P10, _P50, _P90)]
    p10_h, p50_h, p90_h = hours
    if not 0.0 <= p10_h <= p50_h <= p90_h < math.inf:  # false for NaN as well
        return None
    since = parts[_SINCE].value if _SINCE in parts else 0
    trend = parts[_TREND].value if _TREND in parts else ""
    return Prognosis(
        p10_h,
        p50_h,
        p90_h,
        since_ns=since if isinstance(since, int) and not isinstance(since, bool) and since >= 0 else 0,
        trend=trend if isinstance(trend, str) else "",
        at_ns=at_ns,
    )


def _hours(reading: Reading) -> float:
    value = reading.value
    if not reading.quality.is_good or isinstance(value, bool) or not isinstance(value, float | int):
        return math.nan
    return float(value)
