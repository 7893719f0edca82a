"""Settings of what a gateway learns of a tag: `anomaly:` of a tag or of a derived one."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fieldline.config import Settings
from fieldline_edge.processing.names import TAG_NAME_MAX, Name, SeverityName

__all__ = ["Anomaly", "AnomalySettings"]

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


class AnomalySettings(Settings):
    """The tag is learned, and what is unusual for it raises an alert. `anomaly: true` takes everything as shipped."""

    threshold: float = Field(default=1.5, ge=0.5, le=20, allow_inf_nan=False)
    """Score that is worth an alert: 1 is as large as the largest deviations of the last weeks."""
    every_ms: int = Field(default=10_000, ge=0, le=_HOUR_MS)
    """The mean over such a time is judged, where more than one reading comes in it; 0 judges every reading."""
    caution: float = Field(default=6.0, ge=0, le=100, allow_inf_nan=False)
    """By how much of itself the threshold is higher on the first day of learning; a quarter of that after two days."""
    off_delay_ms: int = Field(default=900_000, ge=0, le=31 * _DAY_MS)
    """How long the score must stay below the threshold before the alert is cleared."""
    running: Name | None = None
    """Tag of this device that is true, or not 0, while the machine runs; while it stands, nothing is learned or judged.
    """
    settle_ms: int = Field(default=900_000, ge=0, le=_DAY_MS)
    """With `running`: how long after a start nothing is learned or judged yet."""
    severity: SeverityName = "warning"
    """How much it matters."""
    cause: Name = "anomaly"
    """What maintenance plans by: alerts of one device with one cause become one task."""
    message: str = Field(default="", max_length=200)
    """What a person should know; stands before the finding in the alert."""
    keep_score: bool = False
    """Whether the score travels too, as the tag <name>.anomaly: when it has moved by 0.1, and once a minute."""

    def name_for(self, tag: str) -> str | None:
        """Name of the tag that the scores of `tag` become, if they travel."""
        return f"{tag}.anomaly" if self.keep_score else None

    def check(self, tag: str) -> None:
        """Raise ValueError unless this fits a tag of that name."""
        name = self.name_for(tag)
        if name is not None and len(name) > TAG_NAME_MAX:
            raise ValueError(
                f"anomaly.keep_score: makes the tag {name!r}, which is longer than {TAG_NAME_MAX}; "
                f"shorten the tag's name by {len(name) - TAG_NAME_MAX}"
            )


def _as_shipped(value: Any) -> Any:
    """`anomaly: true` is the mapping with nothing in it."""
    if value is False:
        raise ValueError("false: leave the key out to learn nothing, or write 'anomaly: true'")
    return {} if value is True else value


Anomaly = Annotated[
    AnomalySettings, BeforeValidator(_as_shipped, json_schema_input_type=AnomalySettings | Literal[True])
]
