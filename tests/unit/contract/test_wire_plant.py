"""Alerts and tasks survive the wire, and nothing else gets through."""

import contextlib
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.errors import BadName, DecodeError, LimitError
from fieldline.model import (
    Alert,
    AlertState,
    Band,
    Contribution,
    DeviceId,
    Evidence,
    Part,
    Period,
    RemainingLife,
    Severity,
    Task,
    TaskState,
    Verdict,
    VerdictKind,
)
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


numbers = st.floats(allow_nan=False)
shares = st.floats(0, 1)
periods = st.tuples(moments, moments).map(sorted).map(lambda ends: Period(*ends))
bands = st.builds(Band, numbers, numbers)
contributions = st.builds(Contribution, st.text(min_size=1, max_size=60), shares, numbers, numbers)
lives = st.lists(st.floats(0, 1e9), min_size=3, max_size=3).map(sorted).map(lambda hours: RemainingLife(*hours))
parts = st.builds(Part, st.text(min_size=1, max_size=60), st.integers(1, 2**32 - 1))
seconds = st.integers(0, 2**32 - 1)


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    state = draw(st.sampled_from(AlertState))
    raised_at_ns = draw(moments)
    is_back = state in (AlertState.CLEARED, AlertState.RETURNED)
    return Alert(
        device=draw(devices),
        tag=draw(st.text(min_size=1, max_size=60)),
        rule=draw(names),
        cause=draw(names),
        severity=draw(st.sampled_from(Severity)),
        state=state,
        raised_at_ns=raised_at_ns,
        message=draw(texts),
        cleared_at_ns=draw(st.integers(raised_at_ns, 2**63 - 1)) if is_back else 0,
        evidence=tuple(draw(st.lists(evidence, max_size=4))),
        confidence=draw(st.floats(0, 1, exclude_min=True)),
        window=draw(st.none() | periods),
        band=draw(st.none() | bands),
        contributions=tuple(draw(st.lists(contributions, max_size=4))),
        changed_at_ns=draw(st.just(0) | moments),
        by=draw(texts),
        note=draw(texts),
        until_ns=draw(moments) if state is AlertState.SHELVED else 0,
    )


verdicts = st.builds(
    Verdict,
    device=devices,
    alert_id=names,
    fingerprint=st.text(min_size=1, max_size=60),
    kind=st.sampled_from(VerdictKind),
    by=st.text(min_size=1, max_size=60),
    at_ns=moments,
    cause=st.just("") | names,
    note=texts,
    task_id=st.just("") | names,
)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    skills = draw(st.lists(names, min_size=1, max_size=4))
    planned = draw(st.just(Period(0, 0)) | periods)
    return Task(
        id=draw(names),
        device=draw(devices),
        cause=draw(names),
        severity=draw(st.sampled_from(Severity)),
        state=draw(st.sampled_from(TaskState)),
        title=draw(texts),
        instructions=draw(texts),
        skill=skills[0],
        technician=draw(st.text(min_size=1, max_size=60)),
        created_at_ns=draw(moments),
        due_at_ns=draw(moments),
        alert_ids=tuple(draw(st.lists(names, min_size=1, max_size=5))),
        revision=draw(st.integers(1, 2**32 - 1)),
        condition_cleared=draw(st.booleans()),
        skills=tuple(draw(st.just([]) | st.just(skills))),
        work_s=draw(seconds),
        downtime_s=draw(seconds),
        parts=tuple(draw(st.lists(parts, max_size=3))),
        place=draw(texts),
        priority=draw(st.floats(0, 100)),
        planned_start_ns=planned.from_ns,
        planned_end_ns=planned.to_ns,
        travel_s=draw(seconds),
        pinned=draw(st.booleans()),
        remaining_life=draw(st.none() | lives),
        reason=draw(texts),
        by=draw(texts),
        changed_at_ns=draw(st.just(0) | moments),
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


@given(verdicts)
def test_every_verdict_comes_back_as_it_went(verdict: Verdict) -> None:
    assert plant.decode_verdict(plant.encode_verdict(verdict)) == verdict


def test_an_alert_that_says_nothing_of_its_confidence_is_sure() -> None:
    message = pb.Alert.FromString(plant.encode_alert(ALERT))
    message.ClearField("confidence")
    assert plant.decode_alert(message.SerializeToString()).confidence == 1.0


def test_an_alarm_that_is_put_aside_need_not_have_been_raised() -> None:
    aside = replace(ALERT, state=AlertState.SHELVED, raised_at_ns=0, until_ns=9, by="Amira Haddad")
    assert plant.decode_alert(plant.encode_alert(aside)) == aside
    with pytest.raises(LimitError, match="until_ns is 0 while shelved"):
        plant.encode_alert(replace(aside, until_ns=0))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_a_value_or_a_decode_error(content: bytes) -> None:
    for decode in (plant.decode_alert, plant.decode_task, plant.decode_verdict):
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
        ("confidence", 1.5, "confidence is 1.5"),
        ("confidence", math.nan, "confidence is nan"),
        ("until_ns", 7, "until_ns is 7 while raised"),
        ("by", "b" * 257, "257 bytes"),
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
        ("priority", 101.0, "priority is 101"),
        ("planned_end_ns", -1, "planned_end_ns"),
        ("reason", "x" * 1_025, "1025 bytes"),
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
    with pytest.raises(LimitError, match="65"):
        plant.encode_alert(replace(ALERT, contributions=(Contribution("vibration", 0.5, 5.0, 2.0),) * 65))
    with pytest.raises(LimitError, match="17"):
        plant.encode_task(replace(TASK, skills=("bearings",) * 17))
    with pytest.raises(LimitError, match="65"):
        plant.encode_task(replace(TASK, parts=(Part("bearing 6205"),) * 65))
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
    with pytest.raises(LimitError, match="rising"):
        plant.encode_task(replace(TASK, remaining_life=RemainingLife(5.0, 4.0, 9.0)))
    with pytest.raises(LimitError, match="not among its skills"):
        plant.encode_task(replace(TASK, skills=("welding",)))
    with pytest.raises(LimitError, match="share is 2"):
        plant.encode_alert(replace(ALERT, contributions=(Contribution("vibration", 2.0, 5.0, 2.0),)))
    with pytest.raises(LimitError, match="cleared_at_ns"):
        plant.encode_alert(replace(ALERT, state=AlertState.CLEARED, cleared_at_ns=5))


def test_a_field_of_a_newer_sender_is_passed_over() -> None:
    unknown = b"\xf8\x06\x01"  # field 111, varint 1
    assert plant.decode_alert(plant.encode_alert(ALERT) + unknown) == ALERT
