"""What flows: values, and the names and ids derived from them."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from fieldline.errors import BadName
from fieldline.model import (
    Alert,
    AlertState,
    DeviceId,
    Evidence,
    Quality,
    Reading,
    Severity,
    Task,
    TaskState,
    task_id,
)

PUMP = DeviceId("demo", "hall-a", "pump-1")
ALERT = Alert(
    device=PUMP,
    tag="vibration",
    rule="range.hi_hi",
    cause="bearing_wear",
    severity=Severity.CRITICAL,
    state=AlertState.RAISED,
    raised_at_ns=1_700_000_000_000_000_000,
    message="vibration 9.1 mm/s is above 7.1",
    evidence=(Evidence("vibration", 1_700_000_000_000_000_000, 9.1, 7.1),),
)
TASK = Task(
    id="0123456789ab",
    device=PUMP,
    cause="bearing_wear",
    severity=Severity.CRITICAL,
    state=TaskState.ASSIGNED,
    title="Replace the bearing",
    instructions="",
    skill="bearings",
    technician="Ada",
    created_at_ns=1,
    due_at_ns=2,
    alert_ids=(ALERT.id,),
)


@pytest.mark.parametrize("value", [Reading("t", 1, 2.0), PUMP, ALERT, ALERT.evidence[0], TASK])
def test_what_flows_is_frozen_and_holds_no_more_than_it_says(value: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, "x")

    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("quality", list(Quality))
def test_a_quality_is_good_uncertain_or_bad_by_its_number(quality: Quality) -> None:
    assert quality.is_good == (quality < 64)
    assert quality.is_bad == (quality >= 128)
    assert 0 <= quality <= 255


def test_a_reading_is_good_unless_said_otherwise() -> None:
    assert Reading("t", 1, 2.0).quality is Quality.GOOD


def test_a_device_names_its_topics() -> None:
    assert str(PUMP) == "demo/hall-a/pump-1"
    assert PUMP.readings_topic == "readings/demo/hall-a/pump-1"
    assert PUMP.alerts_topic == "alerts/demo/hall-a/pump-1"


@pytest.mark.parametrize("topic", ["readings/demo/hall-a/pump-1", "alerts/demo/hall-a/pump-1"])
def test_a_device_is_found_in_its_topics(topic: str) -> None:
    assert DeviceId.from_topic(topic) == PUMP


@pytest.mark.parametrize(
    "topic", ["", "readings", "readings/a/b", "readings/a/b/c/d", "readings/a//c", "readings/a/b/#", "readings/a/../c"]
)
def test_a_topic_of_another_form_is_no_device(topic: str) -> None:
    with pytest.raises(BadName):
        DeviceId.from_topic(topic)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "x" * 65, ".", "..", "a\n", "+", "#"])
@pytest.mark.parametrize("part", ["site", "area", "device"])
def test_a_name_that_could_leave_its_folder_or_topic_is_refused_and_said_where(part: str, name: str) -> None:
    parts = {"site": "s", "area": "a", "device": "d"} | {part: name}

    with pytest.raises(BadName, match=f"^{part} .* must be 1 to 64 of the characters"):
        DeviceId(**parts)


def test_devices_sort_by_site_area_and_name() -> None:
    others = [DeviceId("b", "a", "a"), DeviceId("a", "b", "a"), DeviceId("a", "a", "b")]

    assert sorted(others) == others[::-1]


def test_an_alert_said_again_is_the_same_alert() -> None:
    cleared = replace(ALERT, state=AlertState.CLEARED, cleared_at_ns=5, message="back to normal", evidence=())

    assert cleared.id == ALERT.id
    assert len(ALERT.id) == 16
    assert int(ALERT.id, 16) >= 0


@pytest.mark.parametrize(
    "change",
    [{"tag": "speed"}, {"rule": "rate"}, {"device": DeviceId("demo", "hall-b", "pump-1")}, {"raised_at_ns": 1}],
)
def test_another_tag_rule_device_or_moment_is_another_alert(change: dict[str, Any]) -> None:
    assert replace(ALERT, **change).id != ALERT.id


def test_raising_again_keeps_the_fingerprint() -> None:
    assert replace(ALERT, raised_at_ns=1).fingerprint == ALERT.fingerprint == "demo/hall-a/pump-1:vibration:range.hi_hi"


def test_a_task_has_a_topic_in_its_area() -> None:
    assert TASK.topic == "tasks/demo/hall-a/0123456789ab"


def test_the_id_of_a_task_depends_on_the_first_alert_and_the_cause() -> None:
    ids = {task_id(ALERT.id, "bearing_wear"), task_id(ALERT.id, "no_data"), task_id("0" * 16, "bearing_wear")}

    assert len(ids) == 3
    assert all(len(one) == 12 for one in ids)
    assert task_id(ALERT.id, "bearing_wear") in ids


def test_ids_are_the_same_in_every_process_and_release() -> None:
    assert ALERT.id == "23c29396c9992300"
    assert task_id("0" * 16, "x") == "57495ed21cfd"
