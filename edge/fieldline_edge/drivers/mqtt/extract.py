"""Payloads to readings, whatever their kind. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fieldline.model import Quality, Reading, Value
from fieldline_edge.drivers.mqtt.formats.values import RECORDS_MAX, Format, Unreadable
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings, OtherTagSettings, PayloadKind

__all__ = ["Extraction", "Extractor", "build_format"]

# A stamp this far ahead cannot be right: either clock may be wrong, so the value is kept and marked.
_AHEAD_NS_MAX = 86_400 * 1_000_000_000
_INT64_MAX = (1 << 63) - 1
_PROBLEMS_MAX = 8  # told of one payload; all are counted


@dataclass(slots=True)
class Extraction:
    """What a payload holds: readings for each tag and record, and what was wrong, if anything.

    `refused` says that nothing of the payload could be used; `problems` has a sentence for each of the first faults,
    and `faults` counts all.
    """

    readings: list[Reading] = field(default_factory=list)
    problems: tuple[str, ...] = ()
    refused: bool = False
    faults: int = 0

    def complain(self, problem: str) -> None:
        """Note one fault."""
        self.faults += 1
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems += (problem,)


def build_format(device: MqttDeviceSettings) -> Format:
    """What reads the payloads of a device. Each kind is loaded only if it is used."""
    if device.payload is PayloadKind.JSON:
        from fieldline_edge.drivers.mqtt.formats.json_format import JsonFormat

        return JsonFormat(device)
    if device.payload is PayloadKind.BINARY:
        from fieldline_edge.drivers.mqtt.formats.binary_format import BinaryFormat

        return BinaryFormat(device)
    from fieldline_edge.drivers.mqtt.formats.text_formats import CsvFormat, PlainFormat

    return CsvFormat(device) if device.payload is PayloadKind.CSV else PlainFormat()


class Extractor:
    """Reads the payloads of one device, or of all devices of one kind."""

    def __init__(self, device: MqttDeviceSettings) -> None:
        self._bytes_max = device.payload_bytes_max
        self._format = build_format(device)
        self._tags = {tag.name: _Tag(tag, self._format) for tag in device.tags}
        self._other = _Tag(device.other_tags, self._format) if device.other_tags else None
        self._clock = self._format.clock(device.timestamp) if device.timestamp else None
        self._every_ns = round(device.values_every_ms * 1_000_000) if device.values_every_ms else None

    def knows(self, tag: str) -> bool:
        """Whether a tag that a topic names is one to be taken."""
        return tag in self._tags or self._other is not None

    def read(self, payload: bytes, *, arrived_ns: int, repeated: bool = False, tag: str | None = None) -> Extraction:
        """The readings of all tags, or of the one that the topic names, in the order the payload has them.

        A tag that cannot be read has no value and quality BAD_PARSE. `repeated` says that the broker kept the message
        for us (a retained one): without a time of its own nobody knows how old it is, so its readings are
        UNCERTAIN_STALE.
        """
        chosen = self._chosen(tag)
        found = Extraction()
        try:
            records = self._records(payload)
        except Unreadable as error:
            found.complain(str(error))
            found.refused = True
            found.readings = _marks(chosen, Quality.BAD_PARSE, arrived_ns)
            return found
        doubt = Quality.UNCERTAIN_STALE if repeated and self._clock is None else None
        useless = 0
        for record in records:
            useless += not self._record(record, chosen, arrived_ns, doubt, found)
        found.refused = useless > 0 and useless == len(records)
        return found

    def marks(self, quality: Quality, at_ns: int, tags: Sequence[str] | None = None) -> list[Reading]:
        """One reading without a value for each tag (those given, or all), saying why there is none."""
        return [Reading(tag, at_ns, None, quality) for tag in (self._tags if tags is None else tags)]

    def _records(self, payload: bytes) -> Sequence[Any]:
        if len(payload) > self._bytes_max:
            raise Unreadable(f"payload of {len(payload)} bytes is over payload_bytes_max {self._bytes_max}")
        return self._format.records(payload)

    def _chosen(self, tag: str | None) -> Sequence[tuple[str, "_Tag"]]:
        if tag is None:
            return tuple(self._tags.items())
        chosen = self._tags.get(tag, self._other)
        assert chosen is not None, "asked for a tag that is not known"
        return ((tag, chosen),)

    def _record(
        self,
        record: Any,
        chosen: Sequence[tuple[str, "_Tag"]],
        arrived_ns: int,
        doubt: Quality | None,
        found: Extraction,
    ) -> bool:
        """Add the readings of one record; whether its time could be read."""
        at_ns = arrived_ns
        if self._clock is not None:
            try:
                at_ns = self._clock(record)
            except Unreadable as error:
                found.complain(str(error))
                found.readings += _marks(chosen, Quality.BAD_PARSE, arrived_ns)
                return False
            if at_ns > arrived_ns + _AHEAD_NS_MAX:
                doubt = Quality.UNCERTAIN_CLOCK
        for name, tag in chosen:
            self._values(name, tag, record, at_ns, arrived_ns, doubt, found)
        return True

    def _values(
        self, name: str, tag: "_Tag", record: Any, at_ns: int, arrived_ns: int, doubt: Quality | None, found: Extraction
    ) -> None:
        try:
            raw = tag.find(record)
        except Unreadable as error:
            found.complain(f"tag {name}: {error}")
            found.readings.append(Reading(name, at_ns, None, Quality.BAD_PARSE))
            return
        if self._every_ns is None or not isinstance(raw, list):
            found.readings.append(_reading(name, tag, raw, at_ns, doubt, found))
            return
        span_ns = self._every_ns * max(0, len(raw) - 1)
        first_ns = at_ns if self._clock is not None else at_ns - span_ns
        if len(raw) > RECORDS_MAX or first_ns <= 0 or first_ns + span_ns > _INT64_MAX:
            found.complain(
                f"tag {name}: {len(raw)} values; {RECORDS_MAX} are allowed, and none before 1970 or after 2262"
            )
            found.readings.append(Reading(name, min(at_ns, arrived_ns), None, Quality.BAD_PARSE))
            return
        for position, item in enumerate(raw):
            found.readings.append(_reading(name, tag, item, first_ns + position * self._every_ns, doubt, found))


class _Tag:
    def __init__(self, tag: OtherTagSettings, payloads: Format) -> None:
        self.find: Callable[[Any], Any] = payloads.finder(tag)
        self.take: Callable[[Any], tuple[Value, Quality]] = payloads.taker(tag)


def _reading(name: str, tag: _Tag, raw: Any, at_ns: int, doubt: Quality | None, found: Extraction) -> Reading:
    try:
        value, quality = tag.take(raw)
    except Unreadable as error:
        found.complain(f"tag {name}: {error}")
        return Reading(name, at_ns, None, Quality.BAD_PARSE)
    return Reading(name, at_ns, value, doubt if doubt is not None and quality.is_good else quality)


def _marks(chosen: Sequence[tuple[str, _Tag]], quality: Quality, at_ns: int) -> list[Reading]:
    return [Reading(name, at_ns, None, quality) for name, _ in chosen]
