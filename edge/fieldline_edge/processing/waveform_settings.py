"""Settings of waveforms: `waveforms:` of a device, whose features become tags."""

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field, model_validator

from fieldline.config import Settings
from fieldline_edge.processing.names import TAG_NAME_MAX, Name

if TYPE_CHECKING:
    from fieldline.detectors.bearing import Bearing
    from fieldline_edge.processing.waveform.features import FeatureSpec

__all__ = ["BearingSettings", "SpeedSettings", "WaveformSettings"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_DAY_MS: Final = 86_400_000
_SAMPLES_MAX: Final = 16_384
_NAMES_MAX: Final = 16


class SpeedSettings(Settings):
    """Which tag says how fast the shaft turns."""

    tag: Name
    """Name of the tag."""
    device: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}/[A-Za-z0-9_.-]{1,64}$")
    """Device of this gateway that has it, as area/name; left out: this one."""
    rpm_per_unit: Positive = 1.0
    """Turns per minute for one unit of the tag: 60 where it says Hz, 30 for the frequency of a four-pole motor."""
    rpm_min: Positive = 60.0
    """Slower than this the shaft stands, and what needs its speed is not told."""
    age_ms_max: int = Field(default=60_000, ge=100, le=_DAY_MS)
    """How much earlier or later than the waveform the speed may have been read."""


class BearingSettings(Settings):
    """A rolling bearing whose outer ring stands still; its data sheet has the numbers."""

    balls: int = Field(ge=3, le=200)
    """Balls or rollers in a row."""
    ball_mm: Positive
    """Diameter of a ball or roller."""
    pitch_mm: Positive
    """Diameter of the circle that their centres are on."""
    contact_deg: float = Field(default=0.0, ge=0, lt=90)
    """Contact angle."""

    @model_validator(mode="after")
    def _can_be(self) -> "BearingSettings":
        self.bearing()
        return self

    def bearing(self) -> "Bearing":
        """The bearing."""
        from fieldline.detectors.bearing import Bearing  # memory for those alone who have waveforms

        return Bearing(self.balls, self.ball_mm, self.pitch_mm, self.contact_deg)


class WaveformSettings(Settings):
    """A tag whose readings are samples; what they tell becomes the tags <tag>.rms, <tag>.bpfo and so on."""

    tag: Name
    """Tag whose readings are the samples, in the order they come."""
    samples: int = Field(ge=64, le=_SAMPLES_MAX)
    """Samples in one capture: as many as a message has, or fewer; a power of two is cheapest."""
    rate_hz: float = Field(gt=0, le=1_000_000, allow_inf_nan=False)
    """Samples in a second."""
    rpm: Positive | None = None
    """Turns of the shaft per minute, where they hardly change."""
    speed: SpeedSettings | None = None
    """Which tag says how fast the shaft turns, where they do."""
    harmonics: int = Field(default=3, ge=0, le=10)
    """With a speed: RMS at 1, 2, 3 times the shaft, as the tags <tag>.1x and so on."""
    bearing: BearingSettings | None = None
    """With a speed: how clearly damage of outer ring, inner ring, balls and cage shows: <tag>.bpfo, .bpfi, .bsf, .ftf.
    """
    orders: dict[Name, Positive] = Field(default_factory=dict, max_length=_NAMES_MAX)
    """With a speed: the same for what comes so many times a turn, like {gear: 23}, or a bearing by its maker's factors.
    """
    bands_hz: dict[Name, tuple[float, float]] = Field(default_factory=dict, max_length=_NAMES_MAX)
    """RMS between two frequencies, by name, like {high: [5000, 10000]}."""
    keep_raw: bool = False
    """Whether the samples travel too."""

    @model_validator(mode="after")
    def _fits_together(self) -> "WaveformSettings":
        if self.rpm is not None and self.speed is not None:
            raise ValueError("rpm and speed are two answers to one question; keep one of them")
        has_shaft = self.rpm is not None or self.speed is not None
        for key in ("bearing", "orders"):
            if getattr(self, key) and not has_shaft:
                raise ValueError(f"{key}: needs to know how fast the shaft turns; add 'rpm' or 'speed'")
        for name, (low_hz, high_hz) in self.bands_hz.items():
            if not 0.0 <= low_hz < high_hz <= self.rate_hz / 2.0:
                raise ValueError(
                    f"bands_hz.{name}: [{low_hz:g}, {high_hz:g}] must rise within 0 and half of rate_hz, "
                    f"{self.rate_hz / 2.0:g}"
                )
        from fieldline.detectors.bearing import Part
        from fieldline_edge.processing.waveform.features import FeatureSpec  # memory, as above

        parts = [] if self.bearing is None else [part.value for part in Part]
        named = [*parts, *self.orders, *self.bands_hz]
        taken = FeatureSpec(self.rate_hz, unit="g", harmonics=10).units
        if twice := [name for place, name in enumerate(named) if name in taken or name in named[:place]]:
            raise ValueError(f"the feature {twice[0]!r} would stand twice; rename it in 'orders' or 'bands_hz'")
        longest = max(self.feature_spec("g").units, key=len)
        if (over := len(f"{self.tag}.{longest}") - TAG_NAME_MAX) > 0:
            raise ValueError(
                f"makes the tag '{self.tag}.{longest}', which is longer than {TAG_NAME_MAX}; "
                f"shorten the tag's name by {over}"
            )
        return self

    @property
    def fault_orders(self) -> dict[str, float]:
        """Turns of the shaft are multiplied by these: the bearing's parts and the named ones."""
        parts = {} if self.bearing is None else self.bearing.bearing().frequencies_hz(1.0)
        return {part.value: order for part, order in parts.items()} | self.orders

    def feature_spec(self, unit: str) -> "FeatureSpec":
        """What is told of samples in that unit."""
        from fieldline_edge.processing.waveform.features import FeatureSpec  # memory, as above

        has_shaft = self.rpm is not None or self.speed is not None
        return FeatureSpec(
            self.rate_hz, unit, dict(self.bands_hz), self.harmonics if has_shaft else 0, self.fault_orders
        )
