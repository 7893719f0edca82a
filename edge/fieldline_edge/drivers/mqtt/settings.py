"""Settings of an MQTT device, checked before any broker is asked."""

from enum import Enum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from fieldline.config import Settings
from fieldline_edge.drivers.settings import DeviceSettings, Host, TagSettings, check_unique_names

__all__ = [
    "BrokerSettings",
    "JsonType",
    "MqttDeviceSettings",
    "MqttTagSettings",
    "TimeUnit",
    "TimestampSettings",
]

_FILTER_BYTES_MAX = 1024


def _topic_filter(value: str) -> str:
    """MQTT's own rules (3.1.1, section 4.7). Empty levels are allowed: other people's topics have them."""
    levels = value.split("/")
    if not 0 < len(value.encode()) <= _FILTER_BYTES_MAX or not value.isprintable():
        raise ValueError(f"{value[:80]!r} must be 1 to {_FILTER_BYTES_MAX} bytes without control characters")
    if "#" in value.removesuffix("#") or (value.endswith("#") and levels[-1] != "#"):
        raise ValueError(f"{value!r}: '#' must be the whole last level, as in 'plant/hall-b/#'")
    if any("+" in level and level != "+" for level in levels):
        raise ValueError(f"{value!r}: '+' must be a whole level, as in 'plant/+/env-1'")
    if levels[0] == "$share":
        raise ValueError(f"{value!r}: shared subscriptions are not supported; leave out '$share/<group>/'")
    return value


def _json_path(value: str) -> str:
    # Imported here, so that a gateway without MQTT does not load it.
    from fieldline_edge.drivers.mqtt.extract import compile_path

    compile_path(value)
    return value


JsonPath = Annotated[str, Field(max_length=256), AfterValidator(_json_path)]


class JsonType(Enum):
    """What a JSON value must be to be taken."""

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    STRING = "string"


class TimeUnit(Enum):
    """How a payload writes time: seconds, milliseconds or nanoseconds since 1970, or ISO 8601."""

    S = "s"
    MS = "ms"
    NS = "ns"
    ISO = "iso"


class BrokerSettings(Settings):
    """Where the broker is. Devices with the same broker settings share one client."""

    host: Host
    """Host name or IP address of the broker."""
    port: int = Field(default=1883, ge=1, le=65_535)
    """TCP port."""
    username: str | None = None
    """User name, if the broker wants one."""
    password: SecretStr | None = None
    """Password; write ${NAME} to take it from the environment."""
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    """A dead connection is noticed within one and a half times this."""
    client_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Client id; left out, a random one. Two clients with the same id throw each other out."""
    backoff_ms_max: int = Field(default=30_000, ge=1000, le=3_600_000)
    """Longest pause between two tries to reach the broker."""
    queue_messages_max: int = Field(default=10_000, ge=1, le=1_000_000)
    """Messages that may wait to be read; when full, the oldest is dropped and counted."""

    @model_validator(mode="after")
    def _password_has_a_user(self) -> "BrokerSettings":
        if self.password is not None and self.username is None:
            raise ValueError("password: needs a username beside it; add one")
        return self


class TimestampSettings(Settings):
    """Where a payload says when it was measured."""

    path: JsonPath
    """JSON path of the time, like $.ts."""
    unit: TimeUnit = TimeUnit.MS
    """s, ms or ns since 1970, or iso for ISO 8601 (without a zone it is taken as UTC)."""


class MqttTagSettings(TagSettings):
    """One value in the payload of a device."""

    path: JsonPath
    """JSON path of the value, like $.temp or $.values[0].v; it must lead to exactly one value."""
    type: JsonType = JsonType.FLOAT
    """float, int, bool or string. A value of another type is refused and its reading marked BAD_PARSE."""

    @model_validator(mode="after")
    def _only_numbers_scale(self) -> "MqttTagSettings":
        if self.type in (JsonType.BOOL, JsonType.STRING) and self.is_scaled:
            raise ValueError(f"type: {self.type.value} has no scale, offset, min or max; remove them")
        return self


class MqttDeviceSettings(DeviceSettings):
    """One sensor that publishes JSON."""

    driver: Literal["mqtt"]
    """Says that this is an MQTT device."""
    broker: BrokerSettings
    """Where the broker is."""
    topic: Annotated[str, AfterValidator(_topic_filter)]
    """MQTT topic, or filter with + and #, whose messages are this device's."""
    qos: Literal[0, 1, 2] = 1
    """Quality of service asked of the broker: 1 repeats what got lost on the way."""
    payload_bytes_max: int = Field(default=65_536, ge=16, le=1 << 20)
    """Longer payloads are refused."""
    timestamp: TimestampSettings | None = None
    """Where the payload says when it was measured; left out, the time of arrival counts."""
    tags: Annotated[tuple[MqttTagSettings, ...], Field(min_length=1)]
    """The values to read."""

    @model_validator(mode="after")
    def _tags_are_right(self) -> "MqttDeviceSettings":
        check_unique_names(self.tags)
        return self
