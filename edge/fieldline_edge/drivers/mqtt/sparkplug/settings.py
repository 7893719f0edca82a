"""Settings of a Sparkplug B group, checked before any broker is asked."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fieldline_edge.drivers.mqtt.broker_settings import BrokerSettings
from fieldline_edge.drivers.settings import DeviceSettings, TagSettings, check_unique_names

__all__ = ["SparkplugDeviceSettings"]

_PLACES = ("{group}", "{node}", "{device}")


def _level(value: str) -> str:
    if not value or len(value) > 128 or not value.isprintable() or set(value) & set("+#/"):
        raise ValueError(f"{value[:80]!r} must be one topic level of up to 128 characters without + and #")
    return value


def _name_pattern(value: str) -> str:
    rest = value
    for place in _PLACES:
        rest = rest.replace(place, "")
    if not value or len(value) > 64 or set(rest) & set("{}/+#"):
        raise ValueError(f"{value[:80]!r} must be made of letters, digits, '.', '-', '_' and {', '.join(_PLACES)}")
    return value


Level = Annotated[str, AfterValidator(_level)]
NamePattern = Annotated[str, AfterValidator(_name_pattern)]
Glob = Annotated[str, Field(min_length=1, max_length=256)]


class SparkplugDeviceSettings(DeviceSettings):
    """The edge nodes of one Sparkplug group, with their devices: tags come from their births."""

    driver: Literal["sparkplug"]
    """Says that these are Sparkplug B edge nodes. `name` and `area` of this entry are for the log alone."""
    broker: BrokerSettings
    """Where the broker is."""
    group: Level
    """Group id: second level of the topics, as in spBv1.0/<group>/NDATA/<node>."""
    nodes: tuple[Level, ...] = ()
    """Edge nodes to read; left out, all of the group."""
    host_id: Level | None = None
    """With it the gateway says that it is there, as a primary host does: retained on spBv1.0/STATE/<host_id>."""
    as_area: NamePattern = "{group}"
    """Area of the readings, made of {group}, {node} and {device}."""
    as_device: NamePattern = "{node}.{device}"
    """Device of the readings; for the metrics of a node itself {device} is empty."""
    metrics: tuple[Glob, ...] = ("*",)
    """Which metrics to take, as they are called in births; * stands for any characters, ? for one."""
    metrics_not: tuple[Glob, ...] = ()
    """Which of these to leave out."""
    tags: tuple[TagSettings, ...] = ()
    """What is known about single tags (scale, offset, limits), by the name they get here."""
    qos: Literal[0, 1] = 1
    """Quality of service asked of the broker."""
    payload_bytes_max: int = Field(default=1 << 20, ge=64, le=1 << 24)
    """Longer payloads are refused."""
    devices_max: int = Field(default=1000, ge=1, le=100_000)
    """Most nodes and devices together; others are refused and counted."""
    tags_max: int = Field(default=1000, ge=1, le=100_000)
    """Most tags of one node or device; others are refused and counted."""
    rebirth_s_min: float = Field(default=10.0, ge=1, le=3600)
    """Shortest time between two requests to one node to say again what it has; it doubles while they do not help."""

    @model_validator(mode="after")
    def _tags_are_right(self) -> "SparkplugDeviceSettings":
        check_unique_names(self.tags)
        return self

    @property
    def is_many(self) -> bool:
        """Nodes and devices are learnt from their births."""
        return True
