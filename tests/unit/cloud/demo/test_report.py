"""What a run has shown, and whether it is what was promised."""

import json
from typing import Any

import pytest

from fieldline.model import Alert, AlertState, DeviceId, Reading, Severity, Task, TaskState
from fieldline_cloud.demo.ledger import Ledger
from fieldline_cloud.demo.report import build, verdict
from fieldline_cloud.demo.story import Story
from fieldline_cloud.demo.truth import TrueFault

DEVICE = DeviceId("demo", "hall-a", "pump-2")
ALERT = Alert(DEVICE, "vibration", "range.hi", "bearing_wear", Severity.CRITICAL, AlertState.RAISED, 10**18, "9 mm/s")
TASK = Task(
    id="0123456789ab",
    device=DEVICE,
    cause="bearing_wear",
    severity=Severity.CRITICAL,
    state=TaskState.ASSIGNED,
    title="Change the bearing of pump-2",
    instructions="",
    skill="bearings",
    technician="Ada",
    created_at_ns=10**18,
    due_at_ns=10**18 + 3600 * 10**9,
    alert_ids=(ALERT.id,),
)
FAULT = TrueFault("bearing_wear", "hall-a/pump-2")


def ledger_of(readings: int, *, again: int = 0) -> Ledger:
    ledger = Ledger()
    for sequence in [*range(1, readings + 1), *range(1, again + 1)]:
        ledger.note_frame(
            ("gateway-1", 1),
            sequence,
            [Reading("t", 10**18, 1.0)],
            device="demo/hall-a/pump-2",
            frame_bytes=5,
            skipped_frames=0,
            skipped_count=0,
            now_ns=10**18 + 2_500_000,
            now_s=0.0,
        )
    ledger.note_alert(ALERT)
    ledger.note_task(TASK)
    return ledger


def report_of(
    ledger: Ledger, *, polled: int = 10, faults: tuple[TrueFault, ...] = (FAULT,), duration_s: float = 12.3456
) -> dict[str, Any]:
    spools = [{"readings_polled": polled, "readings_acked": 10}, {"readings_polled": 0, "readings_acked": 0}]
    return build(ledger, spools, faults, Story("mill/hall-c/pump-7"), duration_s=duration_s)


def test_a_good_run_has_every_promised_number_and_no_problem() -> None:
    report = report_of(ledger_of(10))

    assert report["readings"] == {"polled": 10, "published": 10, "stored": 10, "lost": 0, "duplicated": 0}
    assert report["bytes_per_reading"] == 5.0
    assert report["latency_ms"] == {"p50": 2.5, "p99": 2.5}
    assert report["duration_s"] == 12.35
    assert report["faults"] == [{"kind": "bearing_wear", "device": "hall-a/pump-2"}]
    assert verdict(report) == []


def test_a_run_of_some_length_must_tell_the_story_of_the_mill() -> None:
    report = report_of(ledger_of(10), duration_s=30.0)

    assert verdict(report) == ["the bearing of mill/hall-c/pump-7 did not begin to wear; give it at least 30 s"]
    assert (report["found_before_failure_h"], report["technician"], report["verified"]) == (None, None, False)


def test_readings_are_counted_over_all_gateways() -> None:
    spools = [{"readings_polled": 4, "readings_acked": 4}, {"readings_polled": 6, "readings_acked": 6}]

    report = build(ledger_of(10), spools, (FAULT,), Story("mill/hall-c/pump-7"), duration_s=1.0)

    assert report["readings"]["polled"] == report["readings"]["stored"] == 10


def test_alerts_and_tasks_say_who_what_where_and_when() -> None:
    report = report_of(ledger_of(10))

    (alert,) = report["alerts"]
    (task,) = report["tasks"]
    assert alert["id"] == ALERT.id
    assert (alert["device"], alert["cause"], alert["severity"]) == ("demo/hall-a/pump-2", "bearing_wear", "critical")
    assert alert["raised_at"] == "2001-09-09T01:46:40.000Z"
    assert task["alerts"] == [ALERT.id]
    assert (task["id"], task["technician"], task["due"]) == ("0123456789ab", "Ada", "2001-09-09T02:46:40.000Z")


def test_a_report_is_plain_json() -> None:
    report = report_of(Ledger(), polled=0, faults=())

    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["latency_ms"] == {"p50": None, "p99": None}


def test_a_run_without_readings_has_failed() -> None:
    assert "no reading was polled" in verdict(report_of(Ledger(), polled=0))


def test_lost_readings_are_polled_ones_that_are_not_in_the_log() -> None:
    report = report_of(ledger_of(7))

    assert report["readings"]["lost"] == 3
    assert verdict(report) == ["3 readings were lost"]


def test_readings_that_nobody_polled_are_as_wrong_as_lost_ones() -> None:
    assert verdict(report_of(ledger_of(12))) == ["-2 readings were lost"]


def test_duplicated_readings_fail_the_run() -> None:
    assert verdict(report_of(ledger_of(10, again=2))) == ["2 readings are in the log twice"]


def test_a_run_that_was_too_short_says_how_long_it_must_be() -> None:
    report = report_of(ledger_of(10), faults=())

    assert verdict(report) == ["the run ended before a fault was injected; give it at least 30 s"]


@pytest.mark.parametrize(
    "change",
    [{"technician": ""}, {"cause": "overheating"}, {"device": "demo/hall-b/pump-2"}, {"device": "demo/a/pump-22"}],
)
def test_a_fault_without_its_own_assigned_task_fails_the_run(change: dict[str, str]) -> None:
    report = report_of(ledger_of(10))
    report["tasks"][0] |= change

    assert verdict(report) == ["the injected bearing_wear on hall-a/pump-2 did not become anybody's task"]


def test_each_fault_needs_its_own_task() -> None:
    other = TrueFault("overheating", "hall-b/fan-1")

    problems = verdict(report_of(ledger_of(10), faults=(FAULT, other)))

    assert problems == ["the injected overheating on hall-b/fan-1 did not become anybody's task"]
