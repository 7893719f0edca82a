"""What time alone brings about: told in time, reminded, handed on, planned anew, verified or opened again."""

from dataclasses import replace
from datetime import UTC

import pytest

from fieldline.model import Severity, TaskState
from fieldline_cloud.agents.maintenance.lifecycle import Move
from fieldline_cloud.agents.maintenance.nightly import Nightly
from fieldline_cloud.agents.maintenance.upkeep import Upkeep
from fieldline_cloud.agents.maintenance.work import moved
from tests.unit.cloud.agents.maintenance.workshop import (
    AMIRA,
    DAY,
    MINUTE,
    MONDAY_8,
    TEMPLATES,
    ZOE,
    H,
    Workshop,
    alert,
    cleared,
    configured,
    workshop,
)


def wait(shop: Workshop, ns: int) -> None:
    """Let time pass, looking every ten minutes."""
    upkeep = Upkeep(shop.settings.steps(), 24 * H)
    end_ns = shop.now_ns + ns
    while shop.now_ns < end_ns:
        shop.now_ns = min(shop.now_ns + 10 * MINUTE, end_ns)
        upkeep.tick(shop.book, shop.changes, shop.now_ns)


def finished(shop: Workshop, verdict: str = "") -> None:
    done = moved(shop.work, Move.FINISH, shop.now_ns, by="Amira")
    shop.book.put(replace(done, verdict=verdict), shop.changes, shop.now_ns, by="Amira")


def test_a_technician_is_told_a_day_before_it_begins() -> None:
    shop = workshop(
        configured(
            AMIRA,
            TEMPLATES.replace("work_min: 60", "work_min: 60, downtime_min: 30")
            + "machines: [{match: '#', windows: [{days: [thu], start: '09:00', end: '12:00'}]}]\n",
        )
    )
    shop.take(alert())
    assert (shop.task.state, shop.told()) == (TaskState.PLANNED, [])
    wait(shop, 2 * DAY + 5 * H)
    assert shop.task.state is TaskState.ASSIGNED
    assert ("assigned", "Amira") in shop.told()


def test_whoever_does_not_accept_is_reminded_and_then_it_goes_to_the_next() -> None:
    shop = workshop(configured(AMIRA + ZOE))
    shop.take(alert(severity=Severity.CRITICAL))
    wait(shop, 25 * MINUTE)
    assert shop.told() == [("assigned", "Amira"), ("reminded", "Amira"), ("withdrawn", "Amira"), ("assigned", "Zoe")]
    assert (shop.task.technician, shop.work.declined) == ("Zoe", ("Amira",))


def test_every_reminder_is_a_message_of_its_own() -> None:
    steps = "escalation: [{do: remind, critical_min: 5}, {do: remind, critical_min: 10}]\n"
    shop = workshop(configured(AMIRA, TEMPLATES + steps))
    shop.take(alert(severity=Severity.CRITICAL))
    wait(shop, 25 * MINUTE)
    keys = [notice.key for notice in shop.changes.notices]
    assert shop.told() == [("assigned", "Amira"), ("reminded", "Amira"), ("reminded", "Amira")]
    assert len(set(keys)) == 3


def test_the_last_one_keeps_it_and_the_supervisor_is_told() -> None:
    shop = workshop(configured(AMIRA))
    shop.take(alert(severity=Severity.CRITICAL))
    wait(shop, 60 * MINUTE)
    kinds = [kind for kind, _ in shop.told()]
    assert kinds.count("escalated") == 2
    assert (shop.task.technician, shop.book.stats.escalations) == ("Amira", 3)


def test_whoever_has_accepted_is_left_alone() -> None:
    shop = workshop(configured(AMIRA + ZOE))
    shop.take(alert(severity=Severity.CRITICAL))
    shop.book.put(moved(shop.work, Move.ACCEPT, shop.now_ns), shop.changes, shop.now_ns, by="Amira")
    wait(shop, 25 * MINUTE)
    assert shop.told() == [("assigned", "Amira")]


def test_nobody_is_reminded_at_night_of_what_is_not_critical() -> None:
    shop = workshop(configured(AMIRA))
    shop.now_ns += 12 * H
    shop.take(alert())
    wait(shop, 10 * H)
    assert shop.told() == [("assigned", "Amira")]
    wait(shop, 2 * H)
    assert ("reminded", "Amira") in shop.told()


def test_what_was_not_begun_in_time_is_planned_anew() -> None:
    shop = workshop(configured(AMIRA))
    shop.take(alert())
    shop.book.put(moved(shop.work, Move.ACCEPT, shop.now_ns), shop.changes, shop.now_ns, by="Amira")
    wait(shop, 40 * MINUTE)
    assert shop.task.planned_start_ns >= MONDAY_8 + 40 * MINUTE


def test_work_that_takes_longer_keeps_its_technician_busy() -> None:
    shop = workshop(configured(AMIRA))
    shop.take(alert())
    begun = moved(shop.work, Move.START, shop.now_ns)
    shop.book.settle({begun.task.id: begun}, begun, shop.changes, shop.now_ns)
    wait(shop, 3 * H)
    shop.take(alert("stale", cause="no_data"))
    later = next(task for task in shop.tasks if task.cause == "no_data")
    assert later.planned_start_ns >= shop.now_ns


def test_a_repair_is_verified_once_the_signal_stayed_normal() -> None:
    shop = workshop()
    shop.take(alert())
    finished(shop)
    shop.now_ns += H
    shop.take(cleared(alert()))
    wait(shop, 23 * H)
    assert shop.task.state is TaskState.DONE
    wait(shop, 2 * H)
    assert shop.tasks == []
    assert (shop.revisions[-1].state, shop.revisions[-1].reason) == (TaskState.VERIFIED, "the signal stayed normal")


def test_a_signal_that_comes_back_opens_the_task_again() -> None:
    shop = workshop()
    shop.take(alert(), cleared(alert()))
    finished(shop)
    shop.now_ns += 5 * H
    shop.take(alert(raised_at_ns=shop.now_ns))
    assert (shop.task.state, shop.task.reason) == (TaskState.ASSIGNED, "not mended: too high")
    assert shop.task.due_at_ns == shop.now_ns + 24 * H
    assert "reopened" in [kind for kind, _ in shop.told()]


def test_a_signal_that_never_became_normal_opens_the_task_again() -> None:
    shop = workshop()
    shop.take(alert())
    finished(shop)
    wait(shop, 24 * H + 10 * MINUTE)
    assert shop.task.state is TaskState.ASSIGNED
    assert shop.book.stats.tasks_reopened == 1


@pytest.mark.parametrize("verdict", ["false_alarm", "planned", "sensor_fault"])
def test_what_was_no_fault_needs_no_signal(verdict: str) -> None:
    shop = workshop()
    shop.take(alert())
    finished(shop, verdict)
    wait(shop, 25 * H)
    assert shop.revisions[-1].state is TaskState.VERIFIED


def test_a_tick_that_comes_twice_changes_nothing_the_second_time() -> None:
    shop = workshop(configured(AMIRA + ZOE))
    shop.take(alert(severity=Severity.CRITICAL))
    upkeep = Upkeep(shop.settings.steps(), 24 * H)
    shop.now_ns += 21 * MINUTE
    for _ in range(5):
        upkeep.tick(shop.book, shop.changes, shop.now_ns)
    count = len(shop.changes.revisions)
    upkeep.tick(shop.book, shop.changes, shop.now_ns)
    assert len(shop.changes.revisions) == count


def test_a_clock_that_is_set_back_does_no_harm() -> None:
    shop = workshop()
    shop.take(alert())
    before = shop.work
    shop.now_ns -= 300 * DAY
    wait(shop, H)
    assert shop.work == before


def test_the_long_search_comes_once_a_night() -> None:
    nightly = Nightly(180, UTC, MONDAY_8)
    due = [hour for hour in range(49) if nightly.is_due(MONDAY_8 + hour * H)]
    assert due == [19, 43]
    assert not Nightly(None, UTC, MONDAY_8).is_due(MONDAY_8 + 10 * DAY)
