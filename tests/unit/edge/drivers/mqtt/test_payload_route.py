from typing import Any

from fieldline.model import DeviceId, Quality, Reading
from fieldline_edge.drivers.mqtt.payload_route import PayloadRoute
from fieldline_edge.drivers.mqtt.routes import Counts, Received
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings

NOW_NS = 1_800_000_000_000_000_000


class Desk:
    """A route and its counts."""

    def __init__(self, **options: Any) -> None:
        given = {"driver": "mqtt", "name": "entry", "area": "hall", "broker": {"host": "h"}, "payload": "plain"}
        self.counts = Counts()
        self.route = PayloadRoute(MqttDeviceSettings.model_validate({**given, **options}), "s", self.counts)

    def say(self, topic: str, payload: bytes = b"1") -> Received:
        assert self.route.wants(topic)
        return self.route.receive(topic, payload, arrived_ns=NOW_NS, retained=False, now_s=0.0)


def test_one_entry_serves_every_sensor_its_topic_names() -> None:
    desk = Desk(topic="plant/{area}/{device}/{tag}", other_tags={}, tags=[{"name": "temp", "scale": 0.1}])
    assert desk.say("plant/b/env-1/temp", b"214").puts == [
        (DeviceId("s", "b", "env-1"), [Reading("temp", NOW_NS, 21.4)])
    ]
    assert desk.say("plant/c/env-1/hum", b"40").puts == [(DeviceId("s", "c", "env-1"), [Reading("hum", NOW_NS, 40.0)])]
    assert desk.counts.devices_found == 2
    assert dict(desk.route.marks(Quality.BAD_NOT_CONNECTED, 5)) == {
        DeviceId("s", "b", "env-1"): [Reading("temp", 5, None, Quality.BAD_NOT_CONNECTED)],
        DeviceId("s", "c", "env-1"): [Reading("hum", 5, None, Quality.BAD_NOT_CONNECTED)],
    }


def test_a_topic_may_name_the_site() -> None:
    desk = Desk(topic="{site}/{device}", tags=[{"name": "v"}])
    assert desk.say("north/env-1").puts[0][0] == DeviceId("north", "hall", "env-1")


def test_over_the_bound_new_devices_are_refused_and_counted_and_known_ones_go_on() -> None:
    desk = Desk(topic="p/{device}", tags=[{"name": "v"}], devices_max=2)
    for device in ("a", "b", "c", "d", "a"):
        desk.say(f"p/{device}")
    assert (desk.counts.devices_found, desk.counts.names_refused) == (2, 2)
    assert desk.say("p/a").puts


def test_two_names_that_would_become_one_are_not_mixed() -> None:
    desk = Desk(topic="p/{device}", tags=[{"name": "v"}])
    assert desk.say("p/env 1").puts[0][0].device == "env_1"
    refused = desk.say("p/env+1".replace("+", "!"))
    assert refused.puts == []
    assert refused.problems
    assert desk.counts.names_refused == 1


def test_tags_that_are_not_listed_are_refused_unless_others_are_welcome() -> None:
    listed = Desk(topic="p/{tag}", tags=[{"name": "temp"}])
    assert listed.say("p/temp").puts
    assert listed.say("p/other").puts == []
    bounded = Desk(topic="p/{tag}", other_tags={"type": "string"}, tags_max=1)
    assert bounded.say("p/a").puts
    assert bounded.say("p/b").puts == []
    assert (listed.counts.names_refused, bounded.counts.names_refused) == (1, 1)


def test_a_level_no_name_can_be_made_of_is_refused() -> None:
    desk = Desk(topic="p/{device}", tags=[{"name": "v"}])
    assert desk.say("p/").puts == []
    assert desk.say("p/..").puts == []
    assert desk.counts.names_refused == 2


def test_bad_payloads_are_counted() -> None:
    desk = Desk(topic="p", tags=[{"name": "v"}])
    desk.say("p", b"hot")
    desk.say("p", b"\xff")
    assert (desk.counts.values_refused, desk.counts.messages_refused) == (1, 1)
