"""The route of devices that publish payloads: whose a message is, by its topic. Pure."""

from fieldline.model import DeviceId, Quality
from fieldline_edge.drivers.mqtt.extract import Extractor
from fieldline_edge.drivers.mqtt.routes import Counts, Puts, Received
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings
from fieldline_edge.drivers.mqtt.topics import Places, TopicPattern, clean_name

__all__ = ["PayloadRoute"]


class PayloadRoute:
    """A device that publishes payloads, or all devices whose topics fit a pattern.

    Names in topics become names of ours (`clean_name`). Two different names that would become the same one are not
    mixed: the first keeps it. Over `devices_max` and `tags_max` new ones are refused. Both are counted.
    """

    def __init__(self, settings: MqttDeviceSettings, site: str, counts: Counts) -> None:
        self.id = settings.device_id(site)
        self.pattern: TopicPattern = settings.pattern
        self.subscriptions = {self.pattern.subscription: settings.qos}
        self.exact_topics = (self.pattern.exact_topic,) if self.pattern.is_exact else None
        self._extractor = Extractor(settings)
        self._counts = counts
        self._devices_max, self._tags_max = settings.devices_max, settings.tags_max
        self._names_devices = bool(self.pattern.places.keys() - {"tag"})
        self._names_tags = "tag" in self.pattern.places
        self._devices: dict[tuple[str | None, ...], DeviceId] = {}
        self._tags: dict[DeviceId, dict[str, str]] = {}
        if not self._names_devices:
            self._tags[self.id] = {}

    def wants(self, topic: str) -> bool:
        """Whether the pattern fits."""
        return self.pattern.match(topic) is not None

    def receive(self, topic: str, payload: bytes, *, arrived_ns: int, retained: bool, now_s: float) -> Received:
        """The readings of one payload."""
        places = self.pattern.match(topic)
        assert places is not None, "asked for a topic it does not want"
        device = self._device(places)
        if device is None:
            return self._refused(f"no device can be made of topic {topic!r:.100}, or there are {self._devices_max}")
        tag = self._tag(device, places.tag) if self._names_tags else None
        if self._names_tags and tag is None:
            return self._refused(f"tag {places.tag!r:.70} of {device} is not known, or there are {self._tags_max}")
        found = self._extractor.read(payload, arrived_ns=arrived_ns, repeated=retained, tag=tag)
        if found.refused:
            self._counts.messages_refused += 1
        else:
            self._counts.values_refused += found.faults
        return Received([(device, found.readings)], problems=found.problems)

    def connected(self, now_s: float, now_ms: int) -> Received:
        """Nothing to say: messages come by themselves."""
        return Received()

    def marks(self, quality: Quality, at_ns: int) -> Puts:
        """For every device met so far."""
        return [
            (device, self._extractor.marks(quality, at_ns, list(tags.values()) if self._names_tags else None))
            for device, tags in self._tags.items()
        ]

    def tick(self, now_s: float) -> Received:
        """Nothing is ever due."""
        return Received()

    def _refused(self, why: str) -> Received:
        self._counts.names_refused += 1
        return Received(problems=(why,))

    def _device(self, places: Places) -> DeviceId | None:
        if not self._names_devices:
            return self.id
        key = (places.site, places.area, places.device)
        known = self._devices.get(key)
        if known is not None or len(self._devices) >= self._devices_max:
            return known
        names = [
            mine if given is None else clean_name(given)
            for mine, given in zip((self.id.site, self.id.area, self.id.device), key, strict=True)
        ]
        if not all(names):
            return None
        device = DeviceId(*names)
        if device in self._tags:
            return None
        self._devices[key] = device
        self._tags[device] = {}
        self._counts.devices_found += 1
        return device

    def _tag(self, device: DeviceId, level: str | None) -> str | None:
        assert level is not None, "the pattern has a {tag}"
        tags = self._tags[device]
        known = tags.get(level)
        if known is not None or len(tags) >= self._tags_max:
            return known
        name = clean_name(level)
        if not name or name in tags.values() or not self._extractor.knows(name):
            return None
        tags[level] = name
        return name
