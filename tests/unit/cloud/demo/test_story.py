"""The story of the mill, put together from alerts, tasks and prognoses."""

from dataclasses import replace

import pytest

from fieldline.model import Alert, AlertState, DeviceId, Reading, Severity, Task, TaskState
from fieldline_cloud.demo.story import LIFE_TAG, Story
from fieldline_cloud.demo.truth import TrueFault

HOUR_NS = 3_600 * 10**9
BEGAN_NS = 1_767_571_200 * 10**9
DEVICE = DeviceId("mill", "hall-c", "pump-7")
FAULT = TrueFault("bearing_wear", "hall-c/pump-7", BEGAN_NS, BEGAN_NS + 168 * HOUR_NS)
ALERT = Alert(
    DEVICE,
    "vibration_bpfo",
    "range_hi",
    "bearing_wear",
    Severity.WARNING,
    AlertState.RAISED,
    BEGAN_NS + 90 * HOUR_NS,
    "vibration_bpfo 1.01 mm/s is above the hi limit 1 mm/s",
)
TASK = Task(
    id="t1",
    device=DEVICE,
    cause="bearing_wear",
    severity=Severity.WARNING,
    state=TaskState.ASSIGNED,
    title="Replace the bearing of pump-7",
    instructions="",
    skill="bearings",
    technician="Nadia",
    created_at_ns=BEGAN_NS + 91 * HOUR_NS,
    due_at_ns=BEGAN_NS + 120 * HOUR_NS,
    alert_ids=(ALERT.id,),
    planned_start_ns=BEGAN_NS + 98 * HOUR_NS,
    planned_end_ns=BEGAN_NS + 101 * HOUR_NS,
)
STATES = (
    TaskState.ASSIGNED,
    TaskState.ACCEPTED,
    TaskState.IN_PROGRESS,
    TaskState.DONE,
    TaskState.VERIFIED,
)


def told(until: TaskState) -> Story:
    story = Story(str(DEVICE))
    story.fault = FAULT
    story.note_alert(ALERT)
    story.note_prognosis(str(DEVICE), [Reading(LIFE_TAG, ALERT.raised_at_ns, 72.0)])
    for revision, state in enumerate(STATES[: STATES.index(until) + 1], 1):
        at_ns = TASK.created_at_ns + revision * HOUR_NS
        story.note_task(replace(TASK, state=state, revision=revision, changed_at_ns=at_ns))
    return story


def test_the_whole_story_says_how_early_by_whom_when_and_that_it_is_verified() -> None:
    story = told(TaskState.VERIFIED)

    report = story.report()
    assert report["found_before_failure_h"] == 78.0
    assert (report["technician"], report["planned_start"]) == ("Nadia", "2026-01-09T02:00:00.000Z")
    assert report["verified"]
    assert report["remaining_life_h"] == [72.0]
    assert [line["what"].split()[0].strip(":,") for line in report["story"]] == [
        *("the", "found", "foretold", "planned", "accepted", "Nadia", "done", "verified"),
    ]
    assert story.problems() == []


@pytest.mark.parametrize("state", STATES[:-1])
def test_a_repair_that_the_signal_has_not_proved_is_a_problem(state: TaskState) -> None:
    story = told(state)

    assert not story.is_over
    assert story.problems() == [f"the repair of {DEVICE} was not verified, it is {state.value}; give it at least 30 s"]


def test_a_bearing_found_hours_before_its_failure_is_found_too_late() -> None:
    story = told(TaskState.VERIFIED)
    story.fault = replace(FAULT, failure_ns=ALERT.raised_at_ns + 7 * HOUR_NS)

    assert story.problems() == [f"the bearing of {DEVICE} was found 7.0 h before its failure, not days"]


@pytest.mark.parametrize(
    ("failure_h", "late"),
    [
        (96.0, []),
        (94.5, ["the repair of {} was done 0.5 h after its failure"]),
        (
            91.5,
            [
                "the repair of {} got its slot 0.5 h after its failure",
                "the repair of {} was done 3.5 h after its failure",
            ],
        ),
        (
            89.0,
            [
                "the bearing of {} was found 1.0 h after its failure",
                "the repair of {} got its slot 3.0 h after its failure",
                "the repair of {} was done 6.0 h after its failure",
            ],
        ),
    ],
)
def test_what_comes_only_after_the_failure_is_a_problem_and_the_story_says_that_the_machine_failed(
    failure_h: float, late: list[str]
) -> None:
    story = told(TaskState.VERIFIED)
    story.fault = replace(FAULT, failure_ns=BEGAN_NS + round(failure_h * HOUR_NS))

    assert [problem for problem in story.problems() if "after its failure" in problem] == [
        text.format(DEVICE) for text in late
    ]
    fails = [at_ns for at_ns, text in story.lines() if text.startswith(f"the bearing of {DEVICE} fails")]
    assert fails == ([story.fault.failure_ns] if late else [])


def test_a_fault_that_nobody_found_and_one_that_never_came_are_problems() -> None:
    story = Story(str(DEVICE))
    assert "did not begin" in story.problems()[0]

    story.fault = FAULT
    assert "was not found" in story.problems()[0]


def test_a_task_that_nobody_has_time_for_is_a_problem() -> None:
    story = Story(str(DEVICE))
    story.fault = FAULT
    story.note_alert(ALERT)
    story.note_task(replace(TASK, state=TaskState.OPEN, technician="", planned_start_ns=0, planned_end_ns=0))

    assert story.problems() == [f"the bearing of {DEVICE} has no slot of anybody"]


def test_what_happens_to_other_devices_is_another_story() -> None:
    story, other = Story(str(DEVICE)), DeviceId("mill", "hall-c", "pump-8")
    story.note_alert(replace(ALERT, device=other))
    story.note_task(replace(TASK, device=other))
    story.note_prognosis(str(other), [Reading(LIFE_TAG, 1, 5.0)])

    assert (story.found, story.tasks, story.lives_h) == (None, {}, [])


def test_an_older_revision_that_comes_late_changes_nothing() -> None:
    story = told(TaskState.ACCEPTED)

    story.note_task(replace(TASK, state=TaskState.OPEN, revision=1))

    assert story.tasks["t1"].state is TaskState.ACCEPTED
