"""A Sparkplug group as a route: messages of its nodes become readings. Pure."""

import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from fieldline.model import DeviceId, Quality, Reading, Value
from fieldline_edge.drivers.mqtt.formats.values import scale_of
from fieldline_edge.drivers.mqtt.routes import Counts, Outgoing, Puts, Received
from fieldline_edge.drivers.mqtt.sparkplug.node import Found, Kind, Node, NodeNews
from fieldline_edge.drivers.mqtt.sparkplug.payload import (
    BAD_DATATYPE,
    Message,
    Metric,
    Unreadable,
    parse,
    rebirth_request,
    value_of,
)
from fieldline_edge.drivers.mqtt.sparkplug.settings import SparkplugDeviceSettings
from fieldline_edge.drivers.mqtt.topics import clean_name
from fieldline_edge.drivers.scaling import Scaler, scaler

__all__ = ["SparkplugRoute", "state_message", "tag_name"]

_SPACE = "spBv1.0"
_CONTROLS = ("Node Control/", "Device Control/", "Node Info/")
_AHEAD_MS_MAX = 86_400_000
_MS_MAX = ((1 << 63) - 1) // 1_000_000


def tag_name(metric: str) -> str:
    """A metric's name as a tag: `/` becomes `.`, other strange characters `_`; see `clean_name`. May be empty."""
    return clean_name(metric.strip("/").replace("/", "."))


def state_message(host_id: str, *, online: bool, at_ms: int) -> Outgoing:
    """What a primary host says of itself (STATE): retained, QoS 1, JSON."""
    body = json.dumps({"online": online, "timestamp": at_ms}, separators=(",", ":"))
    return Outgoing(f"{_SPACE}/STATE/{host_id}", body.encode(), qos=1, retain=True)


@dataclass(slots=True)
class _Place:
    """Where the metrics of a node or a device go: their tags by metric name; None for one that is not taken."""

    id: DeviceId
    tags: dict[str, str | None] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)


class SparkplugRoute:
    """The nodes of one group, found by their messages or named by the settings."""

    def __init__(self, settings: SparkplugDeviceSettings, site: str, counts: Counts) -> None:
        self.id = settings.device_id(site)
        self.exact_topics = None
        self._settings = settings
        self._site = site
        self._counts = counts
        group = settings.group
        filters = [f"{_SPACE}/{group}/+/{node}/#" for node in settings.nodes] or [f"{_SPACE}/{group}/#"]
        self.subscriptions = dict.fromkeys(filters, settings.qos)
        self._nodes: dict[str, Node] = {}
        self._places: dict[tuple[str, str], _Place] = {}
        self._taken: set[DeviceId] = set()
        self._scales: dict[str, Scaler] = {tag.name: scale_of(tag) for tag in settings.tags}
        self._plain = scaler()
        self._now_ms = 0

    def wants(self, topic: str) -> bool:
        """Whether the topic is of a node of this group, as far as the settings name them."""
        levels = topic.split("/", 4)
        return (
            len(levels) >= 4
            and levels[0] == _SPACE
            and levels[1] == self._settings.group
            and (not self._settings.nodes or levels[3] in self._settings.nodes)
        )

    def receive(self, topic: str, payload: bytes, *, arrived_ns: int, retained: bool, now_s: float) -> Received:
        """The readings of one message, and a rebirth request if something is missing."""
        levels = topic.split("/")
        self._now_ms = arrived_ns // 1_000_000
        kind = Kind.__members__.get(levels[2])
        if kind is None:  # commands: those of others, and our own
            return Received()
        device = levels[4] if len(levels) == 5 else ""
        if len(levels) > 5 or bool(device) != (kind.value[0] == "D"):
            return self._refused(f"no topic of Sparkplug B: {topic!r:.100}")
        if len(payload) > self._settings.payload_bytes_max:
            return self._refused(
                f"payload of {len(payload)} bytes is over payload_bytes_max {self._settings.payload_bytes_max}"
            )
        try:
            message = parse(payload)
        except Unreadable as error:
            return self._refused(str(error))
        node = self._node(levels[3])
        if node is None:
            self._counts.names_refused += 1
            return Received(problems=(f"node {levels[3]!r:.70}: there are {self._settings.devices_max} already",))
        news = node.receive(kind, device, message, now_s)
        return self._received(levels[3], node, news, message, arrived_ns, now_s)

    def connected(self, now_s: float, now_ms: int) -> Received:
        """The link is up: what happened meanwhile only the nodes can say."""
        self._now_ms = now_ms
        received = Received()
        for name in self._settings.nodes:
            self._node(name)
        for name, node in self._nodes.items():
            node.doubt()
            self._ask(name, node, now_s, received)
        return received

    def marks(self, quality: Quality, at_ns: int) -> Puts:
        """For every tag known so far."""
        return [(place.id, self._stale(place, quality, at_ns)) for place in self._places.values()]

    def tick(self, now_s: float) -> Received:
        """Devices that were not born again, and requests that are due again."""
        received = Received()
        for name, node in self._nodes.items():
            for death in node.tick(now_s):
                self._bury(name, death.device, self._now_ms * 1_000_000, received)
            self._ask(name, node, now_s, received)
        return received

    def _refused(self, why: str) -> Received:
        self._counts.messages_refused += 1
        return Received(problems=(why,))

    def _node(self, name: str) -> Node | None:
        node = self._nodes.get(name)
        if node is None and len(self._nodes) < self._settings.devices_max:
            node = self._nodes[name] = Node(rebirth_s_min=self._settings.rebirth_s_min)
        return node

    def _received(
        self, name: str, node: Node, news: NodeNews, message: Message, arrived_ns: int, now_s: float
    ) -> Received:
        received = Received()
        self._counts.sequence_gaps += news.gap
        self._counts.messages_repeated += news.repeated
        self._counts.metrics_skipped += news.skipped
        if news.why:
            received.problems = (f"node {name}: {news.why}",)
        for death in news.deaths:
            self._bury(name, death.device, arrived_ns, received)
        self._take(name, news.found, message, arrived_ns, received)
        if news.wants_rebirth:
            self._ask(name, node, now_s, received)
        return received

    def _ask(self, name: str, node: Node, now_s: float, received: Received) -> None:
        if node.ask(now_s):
            self._counts.rebirths_asked += 1
            topic = f"{_SPACE}/{self._settings.group}/NCMD/{name}"
            received.outgoing.append(Outgoing(topic, rebirth_request(self._now_ms)))

    def _bury(self, node: str, device: str, at_ns: int, received: Received) -> None:
        place = self._places.get((node, device))
        if place is not None:
            received.puts.append((place.id, self._stale(place, Quality.BAD_STALE, at_ns)))

    @staticmethod
    def _stale(place: _Place, quality: Quality, at_ns: int) -> list[Reading]:
        return [Reading(tag, at_ns, None, quality) for tag in place.tags.values() if tag is not None]

    def _take(self, node: str, found: list[Found], message: Message, arrived_ns: int, received: Received) -> None:
        readings: list[Reading] = []
        place: _Place | None = None
        for each in found:
            if each.known.name == "bdSeq" or each.known.name.startswith(_CONTROLS):
                continue
            place = place or self._place(node, each.known.device)
            if place is None:
                received.problems += (f"no device can be made of {node!r:.70} and {each.known.device!r:.70}",)
                return
            tag = self._tag(place, each.known.name, received)
            if tag is not None and (reading := self._reading(tag, each, message, arrived_ns, received)):
                readings.append(reading)
        if place is not None and readings:
            received.puts.append((place.id, readings))

    def _reading(self, tag: str, found: Found, message: Message, arrived_ns: int, received: Received) -> Reading | None:
        metric = found.metric
        at_ns, doubt = self._time(metric, message, arrived_ns)
        if metric.is_null:
            return Reading(tag, at_ns, None, Quality.BAD)
        try:
            value = value_of(metric, metric.datatype or found.known.datatype)
        except Unreadable as error:
            received.problems += (f"metric {found.known.name!r:.80}: {error}",)
            if BAD_DATATYPE in str(error):
                self._counts.metrics_skipped += 1
                return None
            self._counts.values_refused += 1
            return Reading(tag, at_ns, None, Quality.BAD_PARSE)
        value, quality = self._scaled(tag, value)
        if quality.is_good:
            quality = metric.quality if metric.quality is not Quality.GOOD else doubt
        return Reading(tag, at_ns, value, quality)

    def _scaled(self, tag: str, value: Value) -> tuple[Value, Quality]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value, Quality.GOOD
        return self._scales.get(tag, self._plain)(value)

    @staticmethod
    def _time(metric: Metric, message: Message, arrived_ns: int) -> tuple[int, Quality]:
        at_ms = metric.at_ms or message.at_ms
        if not at_ms or at_ms > _MS_MAX:
            return arrived_ns, Quality.GOOD if not at_ms else Quality.UNCERTAIN_CLOCK
        ahead = at_ms > arrived_ns // 1_000_000 + _AHEAD_MS_MAX
        return at_ms * 1_000_000, Quality.UNCERTAIN_CLOCK if ahead else Quality.GOOD

    def _place(self, node: str, device: str) -> _Place | None:
        place = self._places.get((node, device))
        if place is not None:
            return place
        area, name = (
            self._name(pattern, node, device) for pattern in (self._settings.as_area, self._settings.as_device)
        )
        full = len(self._places) >= self._settings.devices_max
        if full or not area or not name or DeviceId(self._site, area, name) in self._taken:
            self._counts.names_refused += 1
            return None
        place = self._places[(node, device)] = _Place(DeviceId(self._site, area, name))
        self._taken.add(place.id)
        self._counts.devices_found += 1
        return place

    def _name(self, pattern: str, node: str, device: str) -> str:
        text = pattern.replace("{group}", self._settings.group).replace("{node}", node).replace("{device}", device)
        return clean_name(text.strip(".-_") if not device else text)

    def _tag(self, place: _Place, metric: str, received: Received) -> str | None:
        if metric in place.tags:
            return place.tags[metric]
        tag: str | None = None
        if self._is_wanted(metric):
            tag = tag_name(metric) or None
            if tag is None or tag in place.used or len(place.used) >= self._settings.tags_max:
                self._counts.names_refused += 1
                received.problems += (f"metric {metric!r:.80}: no tag of its own can be made of it",)
                tag = None
        # What is not taken is remembered too, within bounds.
        if tag is not None or len(place.tags) < 2 * self._settings.tags_max:
            place.tags[metric] = tag
        if tag is not None:
            place.used.add(tag)
        return tag

    def _is_wanted(self, metric: str) -> bool:
        settings = self._settings
        return any(fnmatchcase(metric, glob) for glob in settings.metrics) and not any(
            fnmatchcase(metric, glob) for glob in settings.metrics_not
        )
