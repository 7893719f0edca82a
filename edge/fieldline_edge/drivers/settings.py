"""What the settings of all devices have in common: names, hosts, tags."""

import re
from collections.abc import Sequence
from enum import Enum
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, model_validator

from fieldline.config import Settings
from fieldline.model import DeviceId
from fieldline.topics import check_name
from fieldline_edge.processing.anomaly_settings import Anomaly
from fieldline_edge.processing.checks import device_problems
from fieldline_edge.processing.settings import AlarmSettings, DerivedSettings, LimitSettings, ProcessSettings
from fieldline_edge.processing.waveform_settings import WaveformSettings

__all__ = ["DeviceSettings", "Host", "Name", "OutOfRange", "TagSettings", "check_unique_names"]

_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}\Z")


def _host(value: str) -> str:
    # A label over 63 characters makes the resolver raise something that is no OSError: better said here.
    if not _HOST.match(value) or any(len(label) > 63 for label in value.split(".")):
        raise ValueError(f"{value[:80]!r} is not a host name or IP address; write it like 192.168.1.20 or plc-1.lan")
    return value


Name = Annotated[str, AfterValidator(check_name)]
Host = Annotated[str, AfterValidator(_host)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class OutOfRange(Enum):
    """What becomes of a value outside `min` and `max`."""

    BAD = "bad"
    CLAMP = "clamp"


class TagSettings(Settings):
    """One value of a device."""

    name: Name
    """Name of the tag, 1 to 64 of A-Z a-z 0-9 _ . - and unique in its device."""
    unit: str = Field(default="", max_length=16)
    """Unit of measure of the scaled value, like degC, bar or mm/s."""
    scale: Finite = 1.0
    """The raw number is multiplied by this; the value is then a float."""
    offset: Finite = 0.0
    """Added after scaling."""
    min: Finite | None = None
    """Smallest value the sensor can measure, after scaling; below it the quality is BAD_RANGE."""
    max: Finite | None = None
    """Largest value the sensor can measure, after scaling; above it the quality is BAD_RANGE."""
    out_of_range: OutOfRange = OutOfRange.BAD
    """Outside min and max: bad keeps the value and says BAD_RANGE, clamp takes the nearer limit and says
    UNCERTAIN_CLAMPED."""
    process: ProcessSettings | None = None
    """What happens to the readings before they travel: deadband, door, rate limit, windows."""
    alarms: LimitSettings | None = None
    """Alarms on the value, judged at the edge; they travel ahead of all readings."""
    anomaly: Anomaly | None = None
    """Learn the value and raise an alert on what is unusual: true, or what is different from the defaults."""

    @model_validator(mode="after")
    def _range_is_right(self) -> "TagSettings":
        if self.scale == 0:
            raise ValueError("scale: 0 would make every value the same; leave it out, or write 1")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: {self.min:g} is above max: {self.max:g}; exchange them")
        if self.out_of_range is OutOfRange.CLAMP and self.min is None and self.max is None:
            raise ValueError("out_of_range: clamp needs 'min' or 'max'; add one of them")
        if self.process is not None:
            self.process.check(self.name, self.min, self.max)
        if self.anomaly is not None:
            self.anomaly.check(self.name)
        return self

    @property
    def is_scaled(self) -> bool:
        """Whether scale, offset or limits are set at all."""
        return self.scale != 1 or self.offset != 0 or self.min is not None or self.max is not None


class DeviceSettings(Settings):
    """One device: where its readings belong."""

    name: Name
    """Name of the device; its readings go to the topic readings/<site>/<area>/<name>."""
    area: Name
    """Part of the site the device stands in."""
    derived: tuple[DerivedSettings, ...] = ()
    """Tags that are computed from others of this device."""
    waveforms: tuple[WaveformSettings, ...] = ()
    """Tags whose readings are the samples of a waveform; what they tell becomes tags."""
    alarms: tuple[AlarmSettings, ...] = ()
    """Alarms on tags of this device, derived ones included; where it suits better, write them at the tag."""

    @model_validator(mode="after")
    def _processing_is_right(self) -> "DeviceSettings":
        if self.is_processed and self.is_many:
            raise ValueError(
                "process, derived, waveforms, alarms and anomaly are for a device with one name, and this entry stands "
                "for many; write the devices one by one, or leave these keys out and watch the readings at the hub"
            )
        if self.is_processed and (
            problems := device_problems(self.read_tags, self.derived, self.alarms, self.waveforms)
        ):
            raise ValidationError.from_exception_data(type(self).__name__, problems)
        return self

    @property
    def read_tags(self) -> Sequence[TagSettings]:
        """The tags that are read from the device itself."""
        tags: Sequence[TagSettings] = getattr(self, "tags", ())
        return tags

    @property
    def is_many(self) -> bool:
        """Whether the entry stands for devices whose names are learnt while the gateway runs."""
        return False

    @property
    def is_processed(self) -> bool:
        """Whether anything at all happens to readings between the driver and the batcher."""
        return bool(self.derived or self.alarms or self.waveforms) or any(
            tag.process is not None or tag.alarms is not None or tag.anomaly is not None for tag in self.read_tags
        )

    def device_id(self, site: str) -> DeviceId:
        """The device's full name in `site`."""
        return DeviceId(site, self.area, self.name)


def check_unique_names(tags: Sequence[TagSettings]) -> None:
    """Raise ValueError naming the tags whose name stands twice."""
    seen: set[str] = set()
    twice: list[str] = []
    for tag in tags:
        if tag.name in seen and tag.name not in twice:
            twice.append(tag.name)
        seen.add(tag.name)
    if twice:
        raise ValueError(f"tags: the name {', '.join(map(repr, twice[:5]))} stands more than once; rename one of each")
