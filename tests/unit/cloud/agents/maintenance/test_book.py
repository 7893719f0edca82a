"""From alert to work: joining, pulling in, giving out, putting aside, silencing, clearing."""

from collections import Counter
from dataclasses import replace

import pytest

from fieldline.model import Alert, AlertState, DeviceId, RemainingLife, Severity, TaskState, task_id
from fieldline.wire.plant import ALERT_IDS_MAX, encode_task
from tests.unit.cloud.agents.doubles import PUMP
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
    alert,
    aside,
    cleared,
    configured,
    pump,
    workshop,
)

INHIBIT = TEMPLATES + "inhibit:\n  - {cause: power_loss, silences: [no_data, bearing_wear], where: same_area}\n"


def test_an_alert_opens_a_task_for_somebody_at_work() -> None:
    shop = workshop()
    shop.take(alert())
    task = shop.task
    assert task.id == task_id(alert().id, "bearing_wear")
    assert (task.state, task.technician, task.revision) == (TaskState.ASSIGNED, "Amira", 1)
    assert (task.title, task.instructions, task.skill) == ("Check pump-2", "too high!", "bearings")
    assert task.due_at_ns == MONDAY_8 + 24 * H
    assert (task.planned_start_ns, task.planned_end_ns) == (MONDAY_8, MONDAY_8 + H)
    assert task.alert_ids == (alert().id,)
    assert shop.told() == [("assigned", "Amira")]


def test_a_second_alert_of_the_same_cause_joins_the_task() -> None:
    shop = workshop()
    shop.take(alert(), alert("rate"))
    assert shop.task.alert_ids == (alert().id, alert("rate").id)
    assert (shop.task.revision, shop.task.due_at_ns) == (2, MONDAY_8 + 24 * H)


def test_a_worse_alert_pulls_the_due_date_in_and_a_milder_one_does_not_push_it_out() -> None:
    shop = workshop()
    shop.take(alert(), alert("range_hi_hi", Severity.CRITICAL), alert("rate", Severity.INFO))
    task = shop.task
    assert (task.severity, task.due_at_ns, task.revision) == (Severity.CRITICAL, MONDAY_8 + 4 * H, 3)


def test_a_worse_alert_never_gives_more_time_than_there_was() -> None:
    shop = workshop()
    shop.take(alert())
    shop.now_ns += 23 * H
    shop.take(alert("range_hi_hi", Severity.CRITICAL))
    assert shop.task.due_at_ns == MONDAY_8 + 24 * H


def test_the_condition_has_cleared_when_the_last_alert_has() -> None:
    first, second = alert(), alert("range_hi_hi", Severity.CRITICAL)
    shop = workshop()
    shop.take(first, second, cleared(second))
    assert (shop.task.condition_cleared, shop.task.revision) == (False, 2)
    shop.take(cleared(first))
    assert (shop.task.condition_cleared, shop.task.revision) == (True, 3)
    assert shop.task.state is TaskState.ASSIGNED


def test_what_returned_to_normal_and_latches_has_cleared_for_the_task() -> None:
    shop = workshop()
    shop.take(alert(), replace(cleared(alert()), state=AlertState.RETURNED))
    assert shop.task.condition_cleared


def test_a_relapse_takes_the_all_clear_back() -> None:
    shop = workshop()
    shop.take(alert(), cleared(alert()), alert(raised_at_ns=MONDAY_8 + H))
    assert (shop.task.condition_cleared, shop.task.revision, len(shop.task.alert_ids)) == (False, 3, 2)


def test_the_all_clear_of_an_older_raising_does_not_clear_a_newer_one() -> None:
    shop = workshop()
    shop.take(alert(), alert(raised_at_ns=MONDAY_8 + H), cleared(alert()))
    assert not shop.task.condition_cleared


@pytest.mark.parametrize(
    "said",
    [cleared(alert()), *(aside(alert(), state) for state in AlertState if state.is_aside)],
    ids=lambda said: said.state.value,
)
def test_only_a_condition_that_shows_opens_work(said: Alert) -> None:
    shop = workshop()
    shop.take(said)
    assert shop.tasks == []


def test_an_alert_that_was_acknowledged_before_it_was_heard_opens_work() -> None:
    shop = workshop()
    shop.take(replace(alert(), state=AlertState.ACKNOWLEDGED, by="console"))
    assert shop.task.state is TaskState.ASSIGNED


def test_work_whose_alerts_are_put_aside_waits_and_comes_back_with_them() -> None:
    shop = workshop()
    shop.take(alert(), aside(alert(), AlertState.SHELVED))
    waiting = shop.task
    shop.take(replace(alert(), changed_at_ns=MONDAY_8 + 3 * H))
    assert (waiting.state, waiting.technician, waiting.reason) == (TaskState.OPEN, "", "its alerts are shelved")
    assert (shop.task.state, shop.task.technician, shop.task.revision) == (TaskState.ASSIGNED, "Amira", 3)
    assert ("withdrawn", "Amira") in shop.told()


def test_an_unknown_cause_gets_the_default_template() -> None:
    shop = workshop(configured(JONAS))
    shop.take(alert(cause="gremlins"))
    assert (shop.task.title, shop.task.technician) == ("Inspect pump-2: gremlins", "Jonas")


def test_a_task_nobody_can_do_stays_open_and_says_why() -> None:
    shop = workshop(configured(JONAS))
    shop.take(alert())
    assert (shop.task.state, shop.task.technician) == (TaskState.OPEN, "")
    assert shop.task.reason == "nobody has the skill bearings"
    assert shop.told() == [("unplanned", "")]


def test_a_task_nobody_could_do_goes_to_the_first_who_can() -> None:
    stuck = workshop(configured(JONAS))
    stuck.take(alert())
    shop = workshop(configured(AMIRA), works=[stuck.work])
    shop.book.revisit(shop.changes, MONDAY_8)
    assert (shop.task.state, shop.task.technician, shop.task.reason) == (TaskState.ASSIGNED, "Amira", "")


def test_work_that_became_urgent_goes_to_whoever_is_in_time() -> None:
    shop = workshop()
    shop.now_ns += 7 * H  # 15:00, Amira is gone until tomorrow at six
    shop.take(alert(severity=Severity.CRITICAL))
    assert shop.task.technician == "Luca"


def test_a_worse_alert_moves_work_that_would_come_too_late() -> None:
    alone, both = workshop(configured(LUCA)), configured(AMIRA + LUCA)
    alone.take(alert())
    planned = alone.work
    shop = workshop(both, works=[planned])
    shop.take(alert("range_hi_hi", Severity.CRITICAL))
    assert planned.task.technician == "Luca"
    assert (shop.task.technician, shop.task.planned_start_ns) == ("Amira", MONDAY_8)


def test_the_list_of_alerts_keeps_the_first_and_the_newest() -> None:
    shop = workshop()
    alerts = [alert(raised_at_ns=MONDAY_8 + number) for number in range(400)]
    shop.take(*alerts)
    assert len(shop.task.alert_ids) == ALERT_IDS_MAX == len(shop.work.marks)
    assert (shop.task.alert_ids[0], shop.task.alert_ids[-1]) == (alerts[0].id, alerts[-1].id)
    assert encode_task(shop.task)


def test_the_book_knows_what_it_has_dealt_with() -> None:
    shop = workshop()
    shop.take(alert(), alert(), cleared(alert()), cleared(alert()))
    assert [task.revision for task in shop.revisions] == [1, 2]
    assert shop.book.stats.alerts_repeated == 2


def test_work_is_spread_over_those_who_are_there() -> None:
    shop = workshop(configured(AMIRA + ZOE))
    shop.take(*(alert(device=pump(number), severity=Severity.CRITICAL) for number in range(8)))
    assert Counter(task.technician for task in shop.tasks) == {"Amira": 4, "Zoe": 4}


def test_more_open_tasks_than_allowed_are_refused_and_may_come_later() -> None:
    shop = workshop(open_tasks_max=1)
    shop.take(alert(), alert("stale", cause="other"), alert("rate"))
    assert (shop.book.stats.alerts_refused, len(shop.changes.handled)) == (1, 2)


def test_a_technician_who_left_hands_over_at_the_next_start() -> None:
    before = workshop(configured(AMIRA))
    before.take(alert())
    shop = workshop(configured(ZOE), works=[before.work])
    shop.book.revisit(shop.changes, MONDAY_8)
    shop.book.revisit(shop.changes, MONDAY_8)
    (task,) = shop.revisions
    assert (task.technician, task.revision, task.state) == ("Zoe", 2, TaskState.ASSIGNED)


def test_a_cause_silences_its_consequences_while_it_lasts() -> None:
    shop = workshop(configured(more=INHIBIT))
    loss, silent = alert("loss", cause="power_loss", device=pump(9)), alert("stale", cause="no_data")
    shop.take(loss, silent, alert("stale", cause="no_data", device=pump(1, "hall-b")))
    held = {(task.cause, task.device.area) for task in shop.tasks}
    shop.take(cleared(loss))
    assert held == {("power_loss", "hall-a"), ("no_data", "hall-b")}
    assert {(task.cause, task.device.area) for task in shop.tasks} == {*held, ("no_data", "hall-a")}
    assert shop.book.stats.alerts_silenced == 1


def test_a_consequence_that_clears_before_its_cause_never_becomes_work() -> None:
    shop = workshop(configured(more=INHIBIT))
    loss, silent = alert("loss", cause="power_loss", device=pump(9)), alert("stale", cause="no_data")
    shop.take(loss, silent, cleared(silent), cleared(loss))
    assert [task.cause for task in shop.tasks] == ["power_loss"]
    assert shop.changes.silenced == {silent.fingerprint: None}


def test_a_consequence_that_came_first_waits_for_its_cause() -> None:
    shop = workshop(configured(more=INHIBIT))
    loss = alert("loss", cause="power_loss", device=pump(9))
    shop.take(alert("stale", cause="no_data"), loss)
    waiting = next(task for task in shop.tasks if task.cause == "no_data")
    shop.take(cleared(loss))
    going = next(task for task in shop.tasks if task.cause == "no_data")
    assert (waiting.state, waiting.reason) == (TaskState.OPEN, "follows from power_loss at demo/hall-a/pump-9")
    assert going.state is TaskState.ASSIGNED


def test_a_cause_reaches_what_it_feeds() -> None:
    feeds = INHIBIT.replace("same_area", "fed_by") + (
        "machines:\n  - {match: '+/+/pump-2', fed_by: [demo/hall-c/panel-1]}\n"
        "  - {match: demo/hall-c/panel-1, fed_by: [demo/grid/transformer-1, demo/hall-a/pump-2]}\n"  # a ring
    )
    shop = workshop(configured(more=feeds))
    shop.take(alert("loss", cause="power_loss", device=DeviceId("demo", "grid", "transformer-1")))
    shop.take(alert("stale", cause="no_data"), alert("stale", cause="no_data", device=pump(3)))
    assert {str(task.device) for task in shop.tasks} == {"demo/grid/transformer-1", "demo/hall-a/pump-3"}


def test_the_life_left_moves_the_due_date_and_the_priority() -> None:
    shop = workshop()
    shop.take(alert())
    before = shop.task
    shop.book.prognosis(str(PUMP), "vibration", RemainingLife(200.0, 300.0, 400.0), shop.changes, MONDAY_8)
    assert before.due_at_ns == MONDAY_8 + 24 * H
    assert shop.task.due_at_ns == MONDAY_8 + 100 * H
    assert shop.task.priority > before.priority


def test_a_life_known_before_the_alert_counts_and_small_changes_do_not_move_the_task() -> None:
    shop = workshop()
    shop.book.prognosis(str(PUMP), "vibration", RemainingLife(200.0, 300.0, 400.0), shop.changes, MONDAY_8)
    shop.take(alert())
    shop.book.prognosis(str(PUMP), "vibration", RemainingLife(195.0, 300.0, 400.0), shop.changes, MONDAY_8 + 5 * H)
    assert (shop.task.due_at_ns, shop.task.revision) == (MONDAY_8 + 100 * H, 1)


def test_a_life_never_gives_a_critical_alert_more_time() -> None:
    shop = workshop()
    shop.book.prognosis(str(PUMP), "vibration", RemainingLife(200.0, 300.0, 400.0), shop.changes, MONDAY_8)
    shop.take(alert(severity=Severity.CRITICAL))
    assert shop.task.due_at_ns == MONDAY_8 + 4 * H


def test_parts_out_of_stock_put_the_work_off_until_they_come() -> None:
    more = (
        'templates:\n  bearing_wear: {title: T, skill: bearings, parts: [{name: "6205", count: 2}]}\n'
        'parts: [{name: "6205", stock: 3, lead_days: 3}]\n'
    )
    shop = workshop(configured(more=more))
    shop.take(alert(device=pump(1)), alert(device=pump(2)))
    first, second = shop.tasks
    assert first.planned_start_ns == MONDAY_8
    assert second.planned_start_ns >= MONDAY_8 + 3 * DAY
    assert second.state is TaskState.PLANNED


def test_a_machine_is_worked_on_only_while_it_may_stand_still() -> None:
    more = (
        "templates:\n  bearing_wear: {title: T, skill: bearings, downtime_min: 30}\n"
        "machines: [{match: '+/+/pump-2', windows: [{days: [wed], start: '10:00', end: '12:00'}]}]\n"
    )
    shop = workshop(configured(more=more))
    shop.take(alert())
    assert MONDAY_8 + 2 * DAY + 2 * H <= shop.task.planned_start_ns <= MONDAY_8 + 2 * DAY + 3 * H


def test_one_incident_has_one_timeline() -> None:
    shop = workshop()
    shop.take(alert(), alert("rate"), cleared(alert()))
    assert {(event.device, event.cause) for event in shop.changes.events} == {(str(PUMP), "bearing_wear")}
    assert [event.kind.value for event in shop.changes.events] == ["alert", "task", "alert", "task", "alert"]


def test_a_flood_of_alerts_is_planned_by_urgency() -> None:
    shop = workshop(configured(more=TEMPLATES + "plan: {jobs_max: 5}\n"))
    shop.take(*(alert(device=pump(number)) for number in range(7)))
    shop.take(alert(device=pump(99), severity=Severity.CRITICAL))
    waiting = [task for task in shop.tasks if not task.technician]
    assert len(waiting) == 3
    assert all(task.reason == "5 more urgent tasks are planned first" for task in waiting)
    assert next(task for task in shop.tasks if task.device == pump(99)).technician


def test_an_alert_from_the_future_or_the_past_does_no_harm() -> None:
    shop = workshop()
    shop.take(alert(raised_at_ns=1), alert("rate", raised_at_ns=(1 << 63) - 1))
    shop.now_ns -= 365 * DAY
    shop.take(cleared(alert(raised_at_ns=1)))
    assert shop.task.state is TaskState.ASSIGNED
    assert shop.now_ns + MINUTE < MONDAY_8
