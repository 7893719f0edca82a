"""Settings of an MQTT device, checked before any broker is asked."""

from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fieldline.config import Settings
from fieldline_edge.drivers.modbus.tag_settings import Order
from fieldline_edge.drivers.mqtt.broker_settings import BrokerSettings
from fieldline_edge.drivers.mqtt.topics import TopicPattern
from fieldline_edge.drivers.settings import DeviceSettings, Name, TagSettings, check_unique_names

__all__ = [
    "BrokerSettings",
    "CsvSettings",
    "MqttDeviceSettings",
    "MqttTagSettings",
    "PayloadKind",
    "TimeUnit",
    "TimestampSettings",
    "ValueSettings",
    "ValueType",
]

_PAYLOAD_BYTES_MAX = 1 << 20


def _topic(value: str) -> str:
    TopicPattern(value).check()
    return value


def _json_path(value: str) -> str:
    # Imported here, so that a gateway without JSON from MQTT does not load it.
    from fieldline_edge.drivers.mqtt.formats.json_format import compile_path

    compile_path(value)
    return value


JsonPath = Annotated[str, Field(max_length=256), AfterValidator(_json_path)]
Column = Annotated[int, Field(ge=1, le=1024)] | Annotated[str, Field(min_length=1, max_length=128)]
Position = Annotated[int, Field(ge=0, lt=_PAYLOAD_BYTES_MAX)]


class PayloadKind(Enum):
    """How a message is written."""

    JSON = "json"
    PLAIN = "plain"
    CSV = "csv"
    BINARY = "binary"


class ValueType(Enum):
    """What a value must be to be taken: the first four for text and JSON, the others (and bool, string) for binary."""

    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    STRING = "string"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT16 = "float16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"

    @property
    def width_bytes(self) -> int:
        """Bytes a number takes; 0 for float, int and string, which have no fixed width."""
        if self is ValueType.BOOL:
            return 1
        digits = self.value.lstrip("uintfloa")
        return int(digits) // 8 if digits.isdigit() else 0

    @property
    def is_number(self) -> bool:
        """Whether scale, offset and limits mean anything."""
        return self not in (ValueType.BOOL, ValueType.STRING)


class TimeUnit(Enum):
    """How a payload writes time: seconds, milli-, micro- or nanoseconds since 1970, or ISO 8601."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"
    ISO = "iso"


class CsvSettings(Settings):
    """How lines are cut into cells (RFC 4180)."""

    delimiter: Literal[",", ";", "\t", "|", " "] = ","
    """Between two cells."""
    header: bool = False
    """Whether the first line of each message names the columns."""
    columns: tuple[str, ...] = ()
    """Names of the columns, where messages have no header."""
    decimal_comma: bool = False
    """Whether numbers are written 21,5 and not 21.5; then the delimiter cannot be a comma."""

    @model_validator(mode="after")
    def _parts_fit(self) -> "CsvSettings":
        if self.header and self.columns:
            raise ValueError("columns: the header names them already; remove one of the two")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("columns: a name stands twice; rename one")
        if self.decimal_comma and self.delimiter == ",":
            raise ValueError("decimal_comma: the comma cannot be the delimiter as well; write 'delimiter: \";\"'")
        return self


class ValueSettings(Settings):
    """Where a value stands in a payload; each kind of payload uses its own key."""

    path: JsonPath | None = None
    """For json: path of the value, like $.temp or $.values[0].v; it must lead to exactly one value."""
    column: Column | None = None
    """For csv: number of the column, from 1, or its name."""
    at: Position | None = None
    """For binary: first byte of the value, from 0."""
    order: Order = Order.ABCD
    """For binary: byte order: ABCD (big-endian), DCBA (little-endian), CDAB (words swapped), BADC (bytes swapped)."""

    @property
    def locator(self) -> str:
        """Which of the keys is there: path, column, at, or empty."""
        there = [key for key in ("path", "column", "at") if getattr(self, key) is not None]
        return " and ".join(there)


class TimestampSettings(ValueSettings):
    """Where a payload says when it was measured."""

    type: ValueType | None = None
    """For binary: the type of the number, like uint32."""
    unit: TimeUnit = TimeUnit.MS
    """s, ms, us or ns since 1970, or iso for ISO 8601 (without a zone it is taken as UTC)."""

    @model_validator(mode="after")
    def _is_read_somewhere(self) -> "TimestampSettings":
        if self.at is not None and (self.type is None or not self.type.is_number or not self.type.width_bytes):
            raise ValueError("type: the time in a binary payload needs its type, like 'type: uint32'; add it")
        if self.at is not None and self.unit is TimeUnit.ISO:
            raise ValueError("unit: a binary payload has no ISO time; write s, ms, us or ns")
        return self


class OtherTagSettings(TagSettings, ValueSettings):
    """How a value is read whose tag is named by the topic alone."""

    name: Name = "other"
    """Not used: the topic names the tag."""
    type: ValueType = ValueType.FLOAT
    """float, int, bool or string; for binary bool, string, int8 to int64, uint8 to uint64, float16 to float64. A value
    of another type is refused and its reading marked BAD_PARSE."""
    bit: int | None = Field(default=None, ge=0, le=7)
    """For binary: bit of the byte that a bool is read from; 0 is the least significant."""
    bytes: int | None = Field(default=None, ge=1, le=256)
    """For binary: length of a string; it ends earlier at a zero byte."""

    @model_validator(mode="after")
    def _only_numbers_scale(self) -> "OtherTagSettings":
        if not self.type.is_number and self.is_scaled:
            raise ValueError(f"type: {self.type.value} has no scale, offset, min or max; remove them")
        if not self.type.is_number and self.anomaly is not None:
            raise ValueError(f"anomaly: learns numbers, and type {self.type.value} is none; remove it")
        return self


class MqttTagSettings(OtherTagSettings):
    """One value in the payload of a device."""

    name: Name
    """Name of the tag, 1 to 64 of A-Z a-z 0-9 _ . - and unique in its device."""


_LOCATORS = {PayloadKind.JSON: "path", PayloadKind.PLAIN: "", PayloadKind.CSV: "column", PayloadKind.BINARY: "at"}


class MqttDeviceSettings(DeviceSettings):
    """One sensor that publishes, or many of one kind whose topics name them."""

    driver: Literal["mqtt"]
    """Says that this is an MQTT device."""
    broker: BrokerSettings
    """Where the broker is."""
    topic: Annotated[str, AfterValidator(_topic)]
    """MQTT topic, or filter with + and #, whose messages are this device's. Whole levels may be {site}, {area},
    {device} or {tag}, which then stand for the gateway's site, `area`, `name` and the tag; $share/<group>/ in front
    shares the messages with other clients."""
    qos: Literal[0, 1, 2] = 1
    """Quality of service asked of the broker: 1 repeats what got lost on the way, 2 does so without duplicates."""
    payload: PayloadKind = PayloadKind.JSON
    """json, plain (one value as text), csv or binary."""
    payload_bytes_max: int = Field(default=65_536, ge=1, le=_PAYLOAD_BYTES_MAX)
    """Longer payloads are refused."""
    records: JsonPath | None = None
    """For json: path of an array; each of its items is read for itself, with its own time."""
    record_bytes: int | None = Field(default=None, ge=1, le=_PAYLOAD_BYTES_MAX)
    """For binary: a payload holds several records, each of this many bytes."""
    values_every_ms: float | None = Field(default=None, gt=0, le=86_400_000)
    """For json: a tag whose value is an array gives one reading for each item, this far apart. The first is at the
    payload's time; without `timestamp` the last is at the time of arrival."""
    csv: CsvSettings = Field(default_factory=CsvSettings)
    """For csv: how lines are cut into cells."""
    timestamp: TimestampSettings | None = None
    """Where the payload says when it was measured; left out, the time of arrival counts."""
    tags: tuple[MqttTagSettings, ...] = ()
    """The values to read; with {tag} in the topic, what is known about single tags."""
    other_tags: OtherTagSettings | None = None
    """With {tag} in the topic: how tags are read that are not in `tags`; left out, they are not taken."""
    devices_max: int = Field(default=1000, ge=1, le=100_000)
    """With {device}, {area} or {site} in the topic: most devices this entry may find; others are refused and counted.
    """
    tags_max: int = Field(default=256, ge=1, le=10_000)
    """With {tag} in the topic: most tags a device may have; others are refused and counted."""

    @property
    def pattern(self) -> TopicPattern:
        """The topic, taken apart."""
        return TopicPattern(self.topic)

    @property
    def is_many(self) -> bool:
        """Whether names of devices or areas stand in the topic."""
        return not self.pattern.places.keys().isdisjoint(("area", "device"))

    @model_validator(mode="after")
    def _tags_are_right(self) -> "MqttDeviceSettings":
        check_unique_names(self.tags)
        by_topic = "tag" in self.pattern.places
        if not self.tags and not (by_topic and self.other_tags):
            raise ValueError("tags: should have at least 1 item, or, with {tag} in the topic, 'other_tags'")
        if self.other_tags is not None and not by_topic:
            raise ValueError("other_tags: belongs to a topic with {tag}; add that level, or list the tags")
        if self.payload is PayloadKind.PLAIN and not by_topic and len(self.tags) > 1:
            raise ValueError("tags: a plain payload holds one value; keep one tag, or put {tag} into the topic")
        return self

    @model_validator(mode="after")
    def _payload_is_described(self) -> "MqttDeviceSettings":
        wanted = _LOCATORS[self.payload]
        for what, value in self._values():
            if value.locator != wanted:
                cure = f"needs '{wanted}' to say where it stands" if wanted else "is one value: nothing says where"
                instead = f", not '{value.locator}'" if value.locator else ""
                raise ValueError(f"{what}: a {self.payload.value} payload {cure}{instead}; change it")
        if self.payload is PayloadKind.PLAIN and self.timestamp:
            raise ValueError("timestamp: a plain payload has none; remove it")
        for key, kind in (
            ("records", PayloadKind.JSON),
            ("values_every_ms", PayloadKind.JSON),
            ("record_bytes", PayloadKind.BINARY),
        ):
            if getattr(self, key) is not None and self.payload is not kind:
                raise ValueError(f"{key}: belongs to 'payload: {kind.value}'; remove it")
        return self

    @model_validator(mode="after")
    def _types_fit(self) -> "MqttDeviceSettings":
        for tag in self._all_tags():
            fixed = tag.type.width_bytes > 0 and tag.type is not ValueType.BOOL
            if self.payload is not PayloadKind.BINARY and fixed:
                raise ValueError(f"tag {tag.name!r}: type {tag.type.value} belongs to 'payload: binary'; write float")
            if self.payload is PayloadKind.BINARY:
                _check_binary(tag)
        return self

    @model_validator(mode="after")
    def _samples_have_a_time(self) -> "MqttDeviceSettings":
        if self.payload is PayloadKind.JSON:
            for waveform in self.waveforms:
                period_ms = 1_000.0 / waveform.rate_hz
                if self.values_every_ms is None or abs(self.values_every_ms - period_ms) > 0.01 * period_ms:
                    raise ValueError(
                        f"values_every_ms: the samples of {waveform.tag!r} are {period_ms:g} ms apart by their rate_hz "
                        f"{waveform.rate_hz:g}; write {period_ms:g}, or correct rate_hz"
                    )
        return self

    @model_validator(mode="after")
    def _columns_are_known(self) -> "MqttDeviceSettings":
        for what, value in self._values():
            if isinstance(value.column, str) and not self.csv.header and value.column not in self.csv.columns:
                raise ValueError(
                    f"{what}: column {value.column!r} is not known; write 'csv: {{header: true}}', name it in "
                    "'csv: {columns: [...]}', or give its number"
                )
        return self

    def _all_tags(self) -> list[OtherTagSettings]:
        return [*self.tags, *([self.other_tags] if self.other_tags else [])]

    def _values(self) -> Iterator[tuple[str, ValueSettings]]:
        for tag in self._all_tags():
            yield f"tag {tag.name!r}", tag
        if self.timestamp is not None and self.payload is not PayloadKind.PLAIN:
            yield "timestamp", self.timestamp


def _check_binary(tag: OtherTagSettings) -> None:
    if tag.type in (ValueType.FLOAT, ValueType.INT):
        raise ValueError(f"tag {tag.name!r}: a binary payload needs a width; write float32, int16 or the like")
    if (tag.type is ValueType.BOOL) != (tag.bit is not None):
        raise ValueError(f"tag {tag.name!r}: 'bit' and 'type: bool' go together; change one of them")
    if (tag.type is ValueType.STRING) != (tag.bytes is not None):
        raise ValueError(f"tag {tag.name!r}: 'bytes' and 'type: string' go together; change one of them")
