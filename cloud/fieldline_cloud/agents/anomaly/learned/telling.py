"""Signs of what is not one tag's own score: of tags together, and of sensors. Pure."""

import math
from typing import Final

from fieldline.model import Band, Contribution, Severity
from fieldline_cloud.agents.anomaly.learned import words
from fieldline_cloud.agents.anomaly.learned.signs import Manner, Sign
from fieldline_cloud.agents.anomaly.learned.together import Judged
from fieldline_cloud.agents.anomaly.learned.tracks import Track

__all__ = ["joint_sign", "sensor_sign"]

_CONTRIBUTIONS_MAX: Final = 8


def joint_sign(track: Track, judged: Judged, rule: str, score: float, manner: Manner) -> Sign:
    """What a judged row says, in the name of the tag that fits the others least."""
    lead = judged.channels[0] if judged.channels else (track.tag, 1.0, 0.0, math.nan, math.nan)
    _, _, value, low, high = lead
    band = Band(low, high) if math.isfinite(low) and math.isfinite(high) else None
    spec = track.spec
    return Sign(
        track.device,
        track.tag,
        rule,
        judged.at_ns,
        score,
        value,
        spec.cause,
        spec.severity,
        manner,
        words.belongs(track.tag, value, band, spec.unit),
        band,
        tuple(
            Contribution(tag, min(max(share, 0.0), 1.0), value, (low + high) / 2.0)
            for tag, share, value, low, high in judged.channels[:_CONTRIBUTIONS_MAX]
        ),
        shadow=spec.shadow,
    )


def sensor_sign(
    track: Track, rule: str, cause: str, at_ns: int, score: float, value: float, message: str, manner: Manner
) -> Sign:
    """What is wrong with a sensor rather than with its machine."""
    severity, shadow = Severity.WARNING, track.spec.shadow
    return Sign(track.device, track.tag, rule, at_ns, score, value, cause, severity, manner, message, shadow=shadow)
