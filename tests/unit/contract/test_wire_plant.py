"""Alerts and tasks survive the wire, and nothing else gets through."""

import contextlib
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.errors import BadName, DecodeError, LimitError
from fieldline.model import Alert, AlertState, DeviceId, Evidence, Severity, Task, TaskState
from fieldline.v1 import plant_pb2 as pb
from fieldline.wire import plant

names = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
texts = st.text(max_size=60)
moments = st.integers(1, 2**63 - 1)
devices = st.builds(DeviceId, names, names, names)
evidence = st.builds(
    Evidence,
    tag=st.text(min_size=1, max_size=60),
    at_ns=st.integers(-(2**63) + 1, 2**63 - 1),
    value=st.floats(allow_nan=False),
    limit=st.floats(allow_nan=False),
)


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    raised_at_ns = draw(moments)
    state = draw(st.sampled_from(AlertState))
    return Alert(
        device=draw(devices),
        tag=draw(st.text(min_size=1, max_size=60)),
        rule=draw(names),
        cause=draw(names),
        severity=draw(st.sampled_from(Severity)),
        state=state,
        raised_at_ns=raised_at_ns,
        message=draw(texts),
        cleared_at_ns=draw(st.integers(raised_at_ns, 2**63 - 1)) if state is AlertState.CLEARED else 0,
        evidence=tuple(draw(st.lists(evidence, max_size=4))),
    )


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    state = draw(st.sampled_from(TaskState))
    return Task(
        id=draw(names),
        device=draw(devices),
        cause=draw(names),
        severity=draw(st.sampled_from(Severity)),
        state=state,
        title=draw(texts),
        instructions=draw(texts),
        skill=draw(names),
        technician=draw(st.text(min_size=1, max_size=60)) if state is TaskState.ASSIGNED else draw(texts),
        created_at_ns=draw(moments),
        due_at_ns=draw(moments),
        alert_ids=tuple(draw(st.lists(names, min_size=1, max_size=5))),
        revision=draw(st.integers(1, 2**32 - 1)),
        condition_cleared=draw(st.booleans()),
    )


ALERT = Alert(
    device=DeviceId("demo", "hall-a", "pump-2"),
    tag="vibration",
    rule="range_hi",
    cause="bearing_wear",
    severity=Severity.WARNING,
    state=AlertState.RAISED,
    raised_at_ns=1_760_000_000_000_000_000,
    message="vibration 5.1 mm/s is above the hi limit 4.5 mm/s",
    evidence=(Evidence("vibration", 1_760_000_000_000_000_000, 5.1, 4.5),),
)
TASK = Task(
    id="0123456789ab",
    device=ALERT.device,
    cause="bearing_wear",
    severity=Severity.WARNING,
    state=TaskState.ASSIGNED,
    title="Check the bearing",
    instructions="",
    skill="bearings",
    technician="Amira Haddad",
    created_at_ns=1,
    due_at_ns=2,
    alert_ids=(ALERT.id,),
)


@given(alerts())
def test_every_alert_comes_back_as_it_went(alert: Alert) -> None:
    assert plant.decode_alert(plant.encode_alert(alert)) == alert


@given(tasks())
def test_every_task_comes_back_as_it_went(task: Task) -> None:
    assert plant.decode_task(plant.encode_task(task)) == task


@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_a_value_or_a_decode_error(content: bytes) -> None:
    for decode in (plant.decode_alert, plant.decode_task):
        with contextlib.suppress(DecodeError):
            assert decode(content)


@given(st.data())
def test_a_cut_or_bent_alert_gives_a_value_or_a_decode_error(data: st.DataObject) -> None:
    content = bytearray(plant.encode_alert(ALERT))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    with contextlib.suppress(DecodeError):
        assert plant.decode_alert(bytes(content))


def test_evidence_may_be_not_a_number() -> None:
    alert = replace(ALERT, evidence=(Evidence("vibration", 1, math.nan, math.inf),))
    back = plant.decode_alert(plant.encode_alert(alert))
    assert math.isnan(back.evidence[0].value)
    assert back.evidence[0].limit == math.inf


def test_a_foreign_agent_may_leave_id_and_fingerprint_to_us() -> None:
    message = pb.Alert.FromString(plant.encode_alert(ALERT))
    message.id = message.fingerprint = ""
    assert plant.decode_alert(message.SerializeToString()) == ALERT


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("id", "0000000000000000", "id"),
        ("fingerprint", "demo/hall-a/pump-3:vibration:range_hi", "fingerprint"),
        ("severity", 9, "severity 9"),
        ("severity", 0, "severity 0"),
        ("state", 0, "state 0"),
        ("rule", "", "rule"),
        ("rule", "a/b", "rule"),
        ("cause", "..", "cause"),
        ("tag", "", "tag is empty"),
        ("tag", "t" * 257, "257 bytes"),
        ("message", "ü" * 513, "1026 bytes"),
        ("raised_at_ns", 0, "raised_at_ns"),
        ("raised_at_ns", -5, "raised_at_ns"),
        ("cleared_at_ns", 7, "cleared_at_ns"),
    ],
)
def test_a_wrong_alert_is_refused_by_the_name_of_its_field(field: str, value: object, said: str) -> None:
    message = pb.Alert.FromString(plant.encode_alert(ALERT))
    setattr(message, field, value)
    with pytest.raises(DecodeError, match=said):
        plant.decode_alert(message.SerializeToString())


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("id", "../../etc", "id"),
        ("state", 44, "state 44"),
        ("skill", "", "skill"),
        ("technician", "", "technician is empty"),
        ("revision", 0, "revision 0"),
        ("due_at_ns", 0, "due_at_ns"),
        ("instructions", "x" * 8_193, "8193 bytes"),
    ],
)
def test_a_wrong_task_is_refused_by_the_name_of_its_field(field: str, value: object, said: str) -> None:
    message = pb.Task.FromString(plant.encode_task(TASK))
    setattr(message, field, value)
    with pytest.raises(DecodeError, match=said):
        plant.decode_task(message.SerializeToString())


def test_lists_are_bounded_in_both_directions() -> None:
    crowd = replace(ALERT, evidence=ALERT.evidence * 65)
    many = replace(TASK, alert_ids=("a",) * 257)
    with pytest.raises(LimitError, match="65"):
        plant.encode_alert(crowd)
    with pytest.raises(LimitError, match="257"):
        plant.encode_task(many)
    message = pb.Task.FromString(plant.encode_task(TASK))
    message.alert_ids.extend(["a"] * 256)
    with pytest.raises(DecodeError, match="257"):
        plant.decode_task(message.SerializeToString())


def test_a_device_that_is_no_name_is_refused() -> None:
    message = pb.Alert.FromString(plant.encode_alert(ALERT))
    message.device.site = "../up"
    with pytest.raises(DecodeError, match="site"):
        plant.decode_alert(message.SerializeToString())


def test_too_many_bytes_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(DecodeError, match="at most 65536"):
        plant.decode_alert(bytes(plant.PLANT_BYTES_MAX + 1))


def test_what_no_receiver_would_take_is_not_encoded() -> None:
    with pytest.raises(LimitError, match="Unicode"):
        plant.encode_alert(replace(ALERT, message="\ud800"))
    with pytest.raises(BadName, match="cause"):
        plant.encode_alert(replace(ALERT, cause="two words"))
    with pytest.raises(LimitError, match="cleared_at_ns"):
        plant.encode_alert(replace(ALERT, state=AlertState.CLEARED, cleared_at_ns=5))


def test_a_field_of_a_newer_sender_is_passed_over() -> None:
    unknown = b"\xf8\x06\x01"  # field 111, varint 1
    assert plant.decode_alert(plant.encode_alert(ALERT) + unknown) == ALERT
