import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import DeviceId, Quality, Reading
from fieldline_edge.drivers.mqtt.routes import Counts, Received
from fieldline_edge.drivers.mqtt.sparkplug import payload_pb2 as pb
from fieldline_edge.drivers.mqtt.sparkplug.payload import parse
from fieldline_edge.drivers.mqtt.sparkplug.route import SparkplugRoute, tag_name
from fieldline_edge.drivers.mqtt.sparkplug.settings import SparkplugDeviceSettings

NOW_NS = 1_800_000_000_000_000_000
NOW_MS = NOW_NS // 1_000_000
INT8, INT16, INT32, INT64, UINT32, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING, DATE, DATASET = (
    1,
    2,
    3,
    4,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    16,
)


def metric(name: str = "", value: float | None = None, *, alias: int | None = None, **options: Any) -> pb.Metric:
    """A metric of type Double unless told otherwise."""
    made = pb.Metric(**{"datatype": DOUBLE, "timestamp": NOW_MS, **options})
    if name:
        made.name = name
    if alias is not None:
        made.alias = alias
    if value is not None:
        made.double_value = value
    return made


def body(*metrics: pb.Metric, seq: int | None = None, at_ms: int = NOW_MS) -> bytes:
    payload = pb.Payload(timestamp=at_ms, metrics=metrics)
    if seq is not None:
        payload.seq = seq
    return payload.SerializeToString()


def bd_seq(number: int) -> pb.Metric:
    return pb.Metric(name="bdSeq", datatype=INT64, long_value=number)


class Plant:
    """A route with one node, and a clock of its own."""

    def __init__(self, **options: Any) -> None:
        given = {"driver": "sparkplug", "name": "spb", "area": "a", "broker": {"host": "h"}, "group": "G"}
        self.stats = Counts()
        self.route = SparkplugRoute(SparkplugDeviceSettings.model_validate({**given, **options}), "s", self.stats)
        self.now_s = 1000.0

    def say(self, kind: str, payload: bytes, *, node: str = "n", device: str = "") -> Received:
        topic = f"spBv1.0/G/{kind}/{node}" + (f"/{device}" if device else "")
        assert self.route.wants(topic)
        return self.route.receive(topic, payload, arrived_ns=NOW_NS, retained=False, now_s=self.now_s)

    def born(self) -> None:
        """Node n with metric T (alias 1), device d with metric P (alias 2)."""
        self.say("NBIRTH", body(bd_seq(7), metric("T", 20.0, alias=1), seq=0))
        self.say("DBIRTH", body(metric("P", 1.5, alias=2), seq=1), device="d")


def readings(received: Received) -> dict[str, list[Reading]]:
    return {device.device: list(each) for device, each in received.puts}


def test_a_birth_gives_values_and_places_by_group_node_and_device() -> None:
    plant = Plant()
    node = plant.say("NBIRTH", body(bd_seq(0), metric("Inputs/Temp A", 21.5), seq=0))
    device = plant.say("DBIRTH", body(metric("P", 1.5), seq=1), device="d")
    assert node.puts == [(DeviceId("s", "G", "n"), [Reading("Inputs.Temp_A", NOW_NS, 21.5)])]
    assert device.puts == [(DeviceId("s", "G", "n.d"), [Reading("P", NOW_NS, 1.5)])]
    assert node.outgoing == device.outgoing == []


def test_data_by_alias_is_the_metric_of_the_birth() -> None:
    plant = Plant()
    plant.born()
    assert readings(plant.say("NDATA", body(metric(alias=1, value=22.0), seq=2))) == {"n": [Reading("T", NOW_NS, 22.0)]}
    assert readings(plant.say("DDATA", body(metric(alias=2, value=2.5), seq=3), device="d")) == {
        "n.d": [Reading("P", NOW_NS, 2.5)]
    }


def test_data_without_a_data_type_takes_that_of_the_birth() -> None:
    plant = Plant()
    plant.say("NBIRTH", body(pb.Metric(name="I", alias=5, datatype=INT16, int_value=3), seq=0))
    found = plant.say("NDATA", body(pb.Metric(alias=5, int_value=0xFFFE), seq=1))
    assert readings(found)["n"][0].value == -2


def test_the_number_after_255_is_0() -> None:
    plant = Plant()
    plant.say("NBIRTH", body(metric("T", 1.0, alias=1), seq=254))
    for seq in (255, 0, 1):
        assert plant.say("NDATA", body(metric(alias=1, value=float(seq)), seq=seq)).puts
    assert plant.stats.sequence_gaps == 0


def test_a_gap_asks_for_a_rebirth_and_believes_no_alias_until_then() -> None:
    plant = Plant()
    plant.born()
    plant.now_s += 60
    found = plant.say("NDATA", body(metric(alias=1, value=22.0), seq=3))
    assert found.puts == []
    (asked,) = found.outgoing
    assert asked.topic == "spBv1.0/G/NCMD/n"
    (command,) = pb.Payload.FromString(asked.payload).metrics
    assert (command.name, command.boolean_value) == ("Node Control/Rebirth", True)
    assert (plant.stats.sequence_gaps, plant.stats.metrics_skipped, plant.stats.rebirths_asked) == (1, 1, 1)

    named = plant.say("NDATA", body(metric("T", 23.0), seq=4))
    assert readings(named)["n"][0].value == 23.0  # a name cannot be mistaken
    plant.say("NBIRTH", body(bd_seq(7), metric("T", 24.0, alias=9), seq=0))
    assert readings(plant.say("NDATA", body(metric(alias=9, value=25.0), seq=1)))["n"][0].value == 25.0


def test_requests_are_limited_in_rate_and_grow_rarer() -> None:
    plant = Plant(rebirth_s_min=10)
    asked = []
    for second in range(200):
        plant.now_s = 1000.0 + second
        if plant.say("NDATA", body(metric(alias=1, value=1.0), seq=second % 256)).outgoing:
            asked.append(second)
    assert asked == [0, 10, 30, 70, 150]


def test_data_of_a_node_or_device_nobody_has_seen_born_asks_for_a_rebirth() -> None:
    plant = Plant()
    assert plant.say("NDATA", body(metric("T", 1.0), seq=5)).outgoing
    plant.say("NBIRTH", body(metric("T", 1.0), seq=0))
    plant.now_s += 60
    found = plant.say("DDATA", body(metric("P", 1.0), seq=1), device="d")
    assert found.outgoing
    assert found.puts == []


def test_a_death_makes_everything_of_the_node_stale() -> None:
    plant = Plant()
    plant.born()
    dead = plant.say("NDEATH", body(bd_seq(7)))
    assert readings(dead) == {
        "n": [Reading("T", NOW_NS, None, Quality.BAD_STALE)],
        "n.d": [Reading("P", NOW_NS, None, Quality.BAD_STALE)],
    }
    assert plant.say("NDEATH", body(bd_seq(7))).puts == []  # once
    assert plant.route.tick(plant.now_s + 1000).outgoing == []  # a dead node is not asked


def test_a_death_of_an_older_connection_is_not_believed_if_the_node_shows_life() -> None:
    plant = Plant()
    plant.born()
    plant.now_s += 60
    doubtful = plant.say("NDEATH", body(bd_seq(6)))
    assert doubtful.puts == []
    assert doubtful.outgoing
    plant.say("NDATA", body(metric("T", 3.0), seq=2))
    assert plant.route.tick(plant.now_s + 11).puts == []


def test_a_node_that_says_goodbye_with_a_wrong_number_is_dead_if_it_shows_no_life() -> None:
    plant = Plant()
    plant.born()
    plant.say("NDEATH", body(bd_seq(8)))
    assert plant.route.tick(plant.now_s + 9).puts == []
    assert set(readings(plant.route.tick(plant.now_s + 11))) == {"n", "n.d"}


def test_a_device_death_makes_the_device_stale_alone() -> None:
    plant = Plant()
    plant.born()
    dead = plant.say("DDEATH", body(seq=2), device="d")
    assert readings(dead) == {"n.d": [Reading("P", NOW_NS, None, Quality.BAD_STALE)]}
    assert readings(plant.say("NDATA", body(metric(alias=1, value=3.0), seq=3)))["n"][0].value == 3.0


def test_a_device_that_is_not_born_again_after_its_node_is_stale() -> None:
    plant = Plant()
    plant.born()
    plant.say("NBIRTH", body(bd_seq(8), metric("T", 1.0, alias=1), seq=0))
    assert plant.route.tick(plant.now_s + 5).puts == []
    late = plant.route.tick(plant.now_s + 11)
    assert readings(late) == {"n.d": [Reading("P", NOW_NS, None, Quality.BAD_STALE)]}


def test_a_repeated_message_is_no_gap_and_gives_nothing_twice() -> None:
    plant = Plant()
    plant.born()
    again = body(metric(alias=1, value=22.0), seq=2)
    assert plant.say("NDATA", again).puts
    assert plant.say("NDATA", again).puts == []
    assert (plant.stats.messages_repeated, plant.stats.sequence_gaps) == (1, 0)


def test_a_historical_value_keeps_its_time() -> None:
    plant = Plant()
    plant.born()
    old = metric(alias=1, value=5.0, is_historical=True, timestamp=NOW_MS - 3_600_000)
    assert readings(plant.say("NDATA", body(old, seq=2)))["n"] == [Reading("T", NOW_NS - 3600 * 10**9, 5.0)]


def test_null_is_bad_and_the_quality_of_the_message_is_kept() -> None:
    plant = Plant()
    plant.born()
    stale = metric(alias=1, value=5.0)
    stale.properties.keys.append("Quality")
    stale.properties.values.append(pb.PropertyValue(type=INT32, int_value=500))
    null = metric(alias=1, is_null=True)
    found = readings(plant.say("NDATA", body(null, stale, seq=2)))["n"]
    assert found == [Reading("T", NOW_NS, None, Quality.BAD), Reading("T", NOW_NS, 5.0, Quality.UNCERTAIN_STALE)]


def test_data_sets_and_templates_are_passed_over_and_counted() -> None:
    plant = Plant()
    strange = pb.Metric(name="table", datatype=DATASET, dataset_value=b"\x08\x01")
    found = plant.say("NBIRTH", body(strange, metric("T", 1.0), seq=0))
    assert [r.tag for r in readings(found)["n"]] == ["T"]
    assert plant.stats.metrics_skipped == 1


def test_controls_are_no_tags() -> None:
    plant = Plant()
    control = pb.Metric(name="Node Control/Rebirth", datatype=BOOLEAN, boolean_value=False)
    assert plant.say("NBIRTH", body(bd_seq(1), control, seq=0)).puts == []


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (pb.Metric(datatype=INT8, int_value=0xFF), -1),
        (pb.Metric(datatype=INT8, int_value=0xFFFFFFFF), -1),
        (pb.Metric(datatype=INT32, int_value=0x80000000), -(2**31)),
        (pb.Metric(datatype=INT64, long_value=2**64 - 5), -5),
        (pb.Metric(datatype=UINT32, long_value=2**32 - 1), 2**32 - 1),
        (pb.Metric(datatype=UINT64, long_value=2**64 - 1), float(2**64 - 1)),
        (pb.Metric(datatype=FLOAT, float_value=21.4), 21.4),
        (pb.Metric(datatype=BOOLEAN, boolean_value=True), True),
        (pb.Metric(datatype=STRING, string_value="run"), "run"),
        (pb.Metric(datatype=DATE, long_value=NOW_MS), NOW_MS),
        (pb.Metric(datatype=BOOLEAN, int_value=1), None),
        (pb.Metric(datatype=STRING, string_value="x" * 257), None),
    ],
)
def test_values_are_read_by_their_data_type(given: pb.Metric, value: Any) -> None:
    given.name, given.timestamp = "V", NOW_MS
    (reading,) = readings(Plant().say("NBIRTH", body(given, seq=0)))["n"]
    assert (reading.value, type(reading.value)) == (value, type(value))
    assert reading.quality is (Quality.BAD_PARSE if value is None else Quality.GOOD)


def test_nan_is_bad_range_and_listed_tags_are_scaled() -> None:
    plant = Plant(tags=[{"name": "T", "scale": 0.1}])
    found = plant.say("NBIRTH", body(metric("T", 214.0), metric("X", math.nan), seq=0))
    scaled, nan = readings(found)["n"]
    assert (scaled.value, nan.quality) == (21.4, Quality.BAD_RANGE)


def test_names_and_bounds() -> None:
    plant = Plant(metrics=["Keep/*"], metrics_not=["*/Secret"], tags_max=1, as_area="{node}", as_device="{device}")
    found = plant.say(
        "NBIRTH",
        body(metric("Keep/A", 1.0), metric("Keep/Secret", 1.0), metric("Other", 1.0), metric("Keep/B", 1.0), seq=0),
    )
    assert found.puts == []  # as_device is empty for the node itself
    plant.say("DBIRTH", body(metric("Keep/A", 1.0), seq=1), device="d")
    assert plant.stats.names_refused >= 1
    named = Plant(metrics=["Keep/*"], tags_max=1)
    found = named.say("NBIRTH", body(metric("Keep/A", 1.0), metric("Keep/B", 1.0), metric("Other", 1.0), seq=0))
    assert [r.tag for r in readings(found)["n"]] == ["Keep.A"]
    assert named.stats.names_refused == 1


def test_a_long_name_keeps_its_beginning_and_stays_its_own() -> None:
    one, two = (tag_name("Line/" + "x" * 80 + end) for end in "ab")
    assert len(one) == len(two) == 64
    assert one != two
    assert one.startswith("Line.xxx")


@pytest.mark.parametrize("payload", [b"\xff", b"not protobuf at all", b"\x12\x05\x0a\x10abc"])
def test_a_payload_that_is_not_sparkplug_is_refused_and_counted(payload: bytes) -> None:
    plant = Plant()
    found = plant.say("NDATA", payload)
    assert found.problems
    assert plant.stats.messages_refused == 1


def test_after_a_break_of_the_link_known_and_listed_nodes_are_asked() -> None:
    plant = Plant(nodes=["n", "m"])
    plant.born()
    plant.now_s += 60
    asked = plant.route.connected(plant.now_s, NOW_MS).outgoing
    assert {each.topic for each in asked} == {"spBv1.0/G/NCMD/n", "spBv1.0/G/NCMD/m"}


@given(st.binary(max_size=300), st.sampled_from(["NBIRTH", "NDATA", "NDEATH", "NCMD", "STATE"]))
def test_no_payload_raises(payload: bytes, kind: str) -> None:
    Plant().say(kind, payload)


METRICS = st.builds(
    lambda name, alias, value, at, null, kind: metric(
        name, value, alias=alias, timestamp=at, is_null=null, datatype=kind
    ),
    st.sampled_from(["", "A", "B", "A/B", "..", "\u00fc"]),
    st.none() | st.integers(0, 5),
    st.none() | st.floats(),
    st.sampled_from([0, NOW_MS, 2**64 - 1]),
    st.booleans(),
    st.integers(0, 40),
)
STEPS = st.tuples(
    st.sampled_from(["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"]),
    st.sampled_from(["d", "e"]),
    st.lists(METRICS, max_size=4),
    st.none() | st.integers(0, 300),
    st.floats(0, 30),
)


@given(st.lists(STEPS, max_size=30))
def test_any_conversation_keeps_the_rules(steps: list[Any]) -> None:
    plant = Plant(rebirth_s_min=5)
    asked: list[float] = []
    for kind, device, metrics, seq, later_s in steps:
        plant.now_s += later_s
        found = plant.say(kind, body(*metrics, seq=seq), device=device if kind[0] == "D" else "")
        if found.outgoing:
            asked.append(plant.now_s)
        for place, each in found.puts:
            assert place.site == "s"
            assert all(r.quality.is_bad for r in each) or kind not in ("NDEATH", "DDEATH")
            assert all(0 < r.at_ns < 2**63 for r in each)
    assert all(after - before >= 5 for before, after in pairwise(asked))


@given(st.lists(st.sampled_from(["birth", "data", "lost data", "death"]), min_size=1, max_size=60))
def test_an_alias_is_never_taken_for_another_metric(story: list[str]) -> None:
    """Births that shuffle their aliases, with lost data between them: no value may come under a wrong name."""
    plant = Plant()
    seq = shift = 0
    for number, what in enumerate(story):
        plant.now_s += 20
        if what == "birth":
            shift, seq = number % 3, 0
            message = body(*(metric(f"M{i}", float(i), alias=(i + shift) % 3) for i in range(3)), seq=0)
        else:
            seq = (seq + 1) % 256
            message = body(*(metric(alias=(i + shift) % 3, value=float(i)) for i in range(3)), seq=seq)
        if what == "lost data":
            continue
        kind = {"birth": "NBIRTH", "data": "NDATA", "death": "NDEATH"}[what]
        for _, each in plant.say(kind, message if what != "death" else body(bd_seq(0))).puts:
            assert all(r.tag == f"M{int(r.value)}" for r in each if isinstance(r.value, float))


def test_a_message_knows_its_bd_seq() -> None:
    assert parse(body(bd_seq(3))).bd_seq == 3
