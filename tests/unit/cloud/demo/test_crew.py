"""What the technicians of the mill say next."""

import pytest

from fieldline.model import DeviceId, Severity, Task, TaskState
from fieldline_cloud.demo.crew import next_order


def task(state: TaskState, *, start_ns: int = 1_000) -> Task:
    return Task(
        id="t1",
        device=DeviceId("mill", "hall-c", "pump-7"),
        cause="bearing_wear",
        severity=Severity.WARNING,
        state=state,
        title="",
        instructions="",
        skill="bearings",
        technician="Nadia",
        created_at_ns=1,
        due_at_ns=5_000,
        alert_ids=(),
        planned_start_ns=start_ns,
        planned_end_ns=2_000,
    )


@pytest.mark.parametrize(
    ("state", "now_ns", "said"),
    [
        (TaskState.ASSIGNED, 10, "accept"),
        (TaskState.ACCEPTED, 999, None),
        (TaskState.ACCEPTED, 1_000, "start"),
        (TaskState.IN_PROGRESS, 1_999, None),
        (TaskState.IN_PROGRESS, 2_000, "done"),
        (TaskState.PLANNED, 3_000, None),
        (TaskState.DONE, 3_000, None),
        (TaskState.VERIFIED, 3_000, None),
    ],
)
def test_work_is_accepted_at_once_begun_in_its_slot_and_done_at_its_end(
    state: TaskState, now_ns: int, said: str | None
) -> None:
    assert next_order(task(state), now_ns) == said


def test_nobody_accepts_work_without_a_slot() -> None:
    assert next_order(task(TaskState.ASSIGNED, start_ns=0), 10) is None
