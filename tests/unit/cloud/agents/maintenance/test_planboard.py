"""Between tasks and planner: what a search has found holds as far as nothing has changed meanwhile."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from fieldline.model import Severity, Task, TaskState
from fieldline_cloud.agents.maintenance.book import Changes
from fieldline_cloud.agents.maintenance.crew import Absence
from fieldline_cloud.agents.maintenance.lifecycle import Move
from fieldline_cloud.agents.maintenance.work import Work, moved
from fieldline_cloud.planning.improve import improve
from fieldline_cloud.planning.model import Job, Plan, Problem, Visit
from tests.unit.cloud.agents.maintenance.workshop import (
    AMIRA,
    DAY,
    JONAS,
    LUCA,
    MINUTE,
    MONDAY_8,
    TEMPLATES,
    ZOE,
    H,
    Workshop,
    alert,
    configured,
    pump,
    workshop,
)

NS = 1_000_000_000
TRAVEL = TEMPLATES + ("plan:\n  travel_min: 20\n  travel_minutes: [{start: hall-a, end: hall-b, minutes: 40}]\n")
HOMES = "".join(person.replace("{name", "{home: hall-a, name") for person in (AMIRA, ZOE, LUCA))


def busy(count: int = 8) -> Workshop:
    shop = workshop(configured(HOMES + JONAS, TRAVEL))
    shop.take(*(alert(device=pump(number, "hall-" + "ab"[number % 2])) for number in range(count)))
    return shop


def searched(shop: Workshop, between: Changes | None = None) -> list[Task]:
    """Search, let `between` have happened meanwhile, adopt."""
    search = shop.book.board.search(list(shop.book.works.values()), shop.book.absences, shop.now_ns)
    assert search is not None
    steps = iter(range(150))
    found = improve(
        search.problem, search.plan, settings=search.settings, expired=lambda: next(steps, None) is None, seed=1
    )
    if between is not None:
        shop.book.take(alert(device=pump(99), severity=Severity.CRITICAL), between, shop.now_ns)
        shop.book.set_absences([Absence("Zoe", shop.now_ns, shop.now_ns + 9 * DAY)], between, shop.now_ns)
    count = len(shop.changes.revisions)
    shop.book.adopt(search, found, shop.changes, shop.now_ns)
    return shop.revisions[count:]


def clashes(works: list[Work]) -> list[tuple[str, str]]:
    """Tasks of one technician that overlap."""
    slots = sorted(
        (w.task.technician, w.task.planned_start_ns, w.task.planned_end_ns, w.task.id) for w in works if w.has_slot
    )
    return [(one[3], other[3]) for one, other in pairwise(slots) if one[0] == other[0] and other[1] < one[2]]


def test_every_task_has_a_slot_and_nobody_is_at_two_places() -> None:
    shop = busy()
    searched(shop)
    assert all(work.has_slot for work in shop.book.works.values())
    assert clashes(list(shop.book.works.values())) == []


def test_what_changed_while_it_was_searched_for_stays_changed() -> None:
    shop = busy()
    searched(shop, Changes())
    works = list(shop.book.works.values())
    assert len(works) == 9
    assert all(work.has_slot and work.task.technician != "Zoe" for work in works)
    assert clashes(works) == []


def test_what_is_near_is_not_moved_by_a_search() -> None:
    shop = busy()
    near = {
        task.id: (task.technician, task.planned_start_ns)
        for task in shop.tasks
        if task.planned_start_ns <= MONDAY_8 + 2 * H
    }
    searched(shop)
    after = {task.id: (task.technician, task.planned_start_ns) for task in shop.tasks if task.id in near}
    assert near
    assert after == near


def test_a_plan_that_is_good_is_left_alone() -> None:
    shop = workshop(configured(AMIRA))
    shop.take(alert(device=pump(1)), alert(device=pump(2)))
    assert searched(shop) == []


def test_a_critical_alert_finds_a_gap_in_the_frozen_horizon() -> None:
    shop = workshop(configured(AMIRA))
    shop.take(alert(device=pump(1)))
    shop.take(alert(device=pump(2), severity=Severity.CRITICAL))
    urgent = next(task for task in shop.tasks if task.device == pump(2))
    assert urgent.planned_start_ns == MONDAY_8 + H


def test_words_name_the_constraint_that_cannot_hold() -> None:
    night = "machines: [{match: '#', windows: [{start: '23:00', end: '02:00'}]}]\n"
    long = TEMPLATES.replace("work_min: 60", "work_min: 900")
    stands = TEMPLATES.replace("work_min: 60", "work_min: 60, downtime_min: 60")
    said = []
    for people, more in ((JONAS, TEMPLATES), (AMIRA, long), (AMIRA, stands + night)):
        shop = workshop(configured(people, more))
        shop.take(alert())
        said.append(shop.task.reason)
    assert said == [
        "nobody has the skill bearings",
        "no shift of those with the skill bearings is long enough for 900 min of work and the way",
        "nobody with the skill bearings is at work while the machine may stand still for 60 min",
    ]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_nobody_is_at_two_places_and_nothing_is_lost(seed: int) -> None:
    random, shop = Random(seed), busy(4)
    for step in range(10):
        shop.now_ns += random.choice((MINUTE, 20 * MINUTE, 3 * H))
        works = list(shop.book.works.values())
        work = random.choice(works)
        match random.randrange(5):
            case 0:
                shop.take(alert(device=pump(100 + step), severity=random.choice(list(Severity))))
            case 1 if not any(w.is_begun and w.task.technician == work.task.technician for w in works):
                if work.task.state in (TaskState.PLANNED, TaskState.ASSIGNED, TaskState.ACCEPTED):
                    begun = moved(work, Move.START, shop.now_ns)
                    end_ns = shop.now_ns + work.task.work_s * 10**9
                    task = replace(begun.task, planned_start_ns=shop.now_ns, planned_end_ns=end_ns)
                    draft = replace(begun, task=task)
                    shop.book.settle({work.task.id: draft}, draft, shop.changes, shop.now_ns)
            case 2:
                away = Absence(random.choice(("Amira", "Zoe", "Luca")), shop.now_ns, shop.now_ns + DAY)
                shop.book.set_absences([away], shop.changes, shop.now_ns)
            case 3 if work.is_begun:
                shop.book.settle({work.task.id: moved(work, Move.FINISH, shop.now_ns)}, None, shop.changes, shop.now_ns)
            case _:
                searched(shop)
        live = [w for w in shop.book.works.values() if w.task.state is not TaskState.DONE and not w.is_begun]
        assert clashes(live) == []
        assert all(w.has_slot or w.task.reason for w in live)
    revisions: dict[str, int] = {}
    for task in shop.revisions:
        assert task.revision == revisions.get(task.id, 0) + 1
        revisions[task.id] = task.revision


def test_among_equals_it_goes_to_whoever_can_begin_soonest() -> None:
    shop = workshop(configured(AMIRA + LUCA + ZOE))
    shop.now_ns = MONDAY_8 + 7 * H  # 15:00: only Luca is at work
    shop.take(alert(device=pump(1)))
    first = shop.task.technician
    shop = workshop(configured(AMIRA + LUCA + ZOE))
    shop.take(alert(device=pump(2)), alert(device=pump(3)))
    assert [first, *(task.technician for task in shop.tasks)] == ["Luca", "Amira", "Zoe"]


def test_a_second_later_nothing_but_the_new_task_has_changed() -> None:
    shop = busy(6)
    count = len(shop.changes.revisions)

    shop.now_ns += MINUTE // 60
    shop.take(alert(device=pump(99)))

    assert [task.device for task in shop.revisions[count:]] == [pump(99)]


@pytest.mark.parametrize(("hold_min", "others"), [(60, 0), (0, 2)])
def test_a_task_that_is_cancelled_leaves_the_times_of_the_others(hold_min: int, others: int) -> None:
    shop = workshop(configured(AMIRA, TEMPLATES + f"plan: {{hold_min: {hold_min}}}\n"))
    shop.take(*(alert(device=pump(number)) for number in range(6)))
    works = sorted(shop.book.works.values(), key=lambda work: work.task.planned_start_ns)
    gone = next(work for work in works if work.task.planned_start_ns > MONDAY_8 + 2 * H)
    count = len(shop.changes.revisions)

    shop.book.settle({gone.task.id: moved(gone, Move.CANCEL, MONDAY_8)}, None, shop.changes, MONDAY_8)

    assert len(shop.revisions[count:]) == 1 + others


@pytest.mark.parametrize(("longer_s", "revised"), [(0, 0), (600, 0), (601, 1)])
def test_a_way_that_is_about_as_long_is_no_revision(longer_s: int, revised: int) -> None:
    shop = workshop(configured(AMIRA))
    shop.take(alert())
    visit = Visit(shop.task.id, "Amira", shop.task.planned_start_ns // NS, shop.task.planned_end_ns // NS, longer_s)
    problem = Problem((Job(shop.task.id, frozenset(), 3_600, shop.task.place, 0, 0),), ())

    changed = shop.book.board.adopt([shop.work], problem, Plan((visit,)), shop.now_ns)

    assert len(changed) == revised
