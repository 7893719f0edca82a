from dataclasses import replace

import pytest

from fieldline_cloud.planning.greedy import earliest_due_date
from fieldline_cloud.planning.insert import insert
from fieldline_cloud.planning.model import Job, Pin, Plan, Problem, ReasonKind, Span, Travel, Worker
from fieldline_cloud.planning.reasons import why_not

HOUR_S = 3_600
ADA = Worker("ada", frozenset({"pumps"}), (Span(8 * HOUR_S, 16 * HOUR_S),), "gate")
BEN = Worker("ben", frozenset({"drives"}), (Span(8 * HOUR_S, 16 * HOUR_S),), "gate")
JOB = Job("J1", frozenset({"pumps"}), HOUR_S, "mill", 0, 12 * HOUR_S)
PLANT = Problem((JOB,), (ADA, BEN), Travel(default_s=HOUR_S))

CASES = [
    ("nobody at all", replace(PLANT, workers=()), JOB, ReasonKind.NO_WORKERS, "no technicians"),
    ("a skill nobody has", PLANT, replace(JOB, skills=frozenset({"lasers"})), ReasonKind.NO_SKILL, "lasers"),
    (
        "skills nobody has together",
        PLANT,
        replace(JOB, skills=frozenset({"pumps", "drives"})),
        ReasonKind.NO_SKILL,
        "no one technician has all the skills drives, pumps",
    ),
    ("the week is over", replace(PLANT, now_s=16 * HOUR_S), JOB, ReasonKind.NO_SHIFT, "ada"),
    ("longer than a day", PLANT, replace(JOB, work_s=7 * HOUR_S), ReasonKind.SHIFT_TOO_SHORT, "3600 s too long"),
    ("parts too late", PLANT, replace(JOB, release_s=15 * HOUR_S), ReasonKind.PARTS_TOO_LATE, "54000 s"),
    (
        "a window that is over",
        PLANT,
        replace(JOB, release_s=9, windows=(Span(1, 9),)),
        ReasonKind.WINDOW_OVER,
        "1 to 9 s",
    ),
    (
        "a short window",
        PLANT,
        replace(JOB, windows=(Span(36_000, 37_000),)),
        ReasonKind.WINDOW_TOO_SHORT,
        "3600 s of work",
    ),
    (
        "a window at night",
        PLANT,
        replace(JOB, windows=(Span(20 * HOUR_S, 23 * HOUR_S),)),
        ReasonKind.WINDOW_MEETS_NO_SHIFT,
        "72000 to 82800 s",
    ),
    ("pinned to a stranger", PLANT, replace(JOB, pinned=Pin("zoe")), ReasonKind.PIN_CANNOT_HOLD, "no such technician"),
    ("pinned to the unskilled", PLANT, replace(JOB, pinned=Pin("ben")), ReasonKind.PIN_CANNOT_HOLD, "skills"),
    ("pinned to the night", PLANT, replace(JOB, pinned=Pin("ada", 1)), ReasonKind.PIN_CANNOT_HOLD, "to ada at 1 s"),
]


@pytest.mark.parametrize(
    ("problem", "job", "kind", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_an_impossible_job_is_left_out_with_the_constraint_that_cannot_hold(
    problem: Problem, job: Job, kind: ReasonKind, words: str
) -> None:
    plan = insert(replace(problem, jobs=()), Plan(), job)

    assert plan.visits == ()
    assert plan.unplaced == {"J1": why_not(problem, job)}
    assert plan.unplaced["J1"].kind is kind
    assert words in str(plan.unplaced["J1"])


def test_a_job_that_others_leave_no_room_for_says_so() -> None:
    long = replace(JOB, work_s=5 * HOUR_S)
    crowded = replace(PLANT, jobs=(long, replace(long, id="J2", due_s=13 * HOUR_S)))

    plan = earliest_due_date(crowded)

    assert [visit.job for visit in plan] == ["J1"]
    assert plan.unplaced["J2"].kind is ReasonKind.NO_ROOM
