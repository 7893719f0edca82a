"""What people order: done once, refused with code and cure, planned anew."""

import json
from dataclasses import replace
from typing import Any

import pytest

from fieldline.model import Severity, TaskState, VerdictKind
from fieldline.wire.plant import decode_verdict
from fieldline_cloud.agents.maintenance.book import Changes
from fieldline_cloud.agents.maintenance.desk import Desk
from fieldline_cloud.agents.maintenance.orders import Refusal, parse_order
from tests.unit.cloud.agents.doubles import PUMP
from tests.unit.cloud.agents.maintenance.workshop import (
    AMIRA,
    DAY,
    MONDAY_8,
    ZOE,
    H,
    Workshop,
    alert,
    configured,
    pump,
    workshop,
)


class Office:
    """A desk with a task on it, and somebody who gives orders."""

    def __init__(self, shop: Workshop | None = None) -> None:
        self.shop = shop or workshop(configured(AMIRA + ZOE))
        self.desk = Desk(self.shop.book)
        if shop is None:
            self.shop.take(alert())
        self.id = self.shop.tasks[0].id
        self.count = 0

    def say(self, do: str, **more: Any) -> dict[str, Any]:
        self.count += 1
        order = {"do": do, "id": f"o{self.count}", **more}
        if do not in ("absent", "back", "plan", "receive", "stocktake") and "task" not in more:
            order["task"] = self.id
        parsed = parse_order(json.dumps(order).encode())
        known = self.desk.known(parsed)
        return known or self.desk.carry_out(parsed, "console", self.shop.changes, self.shop.now_ns)

    def refused(self, do: str, **more: Any) -> Refusal:
        with pytest.raises(Refusal) as caught:
            self.say(do, **more)
        return caught.value


def test_a_task_goes_its_way_from_accepted_to_done() -> None:
    office = Office()
    states = [office.say(do)["task"]["state"] for do in ("accept", "travel", "start", "done")]
    assert states == ["accepted", "travelling", "in_progress", "done"]
    assert [task.revision for task in office.shop.revisions] == [1, 2, 3, 4, 5]
    assert office.shop.revisions[-1].by == "console"


def test_the_same_order_again_has_the_same_answer_and_does_nothing() -> None:
    office = Office()
    first = office.say("accept", id="x1")
    again = office.say("accept", id="x1")
    assert again == {**first, "repeated": True}
    assert len(office.shop.revisions) == 2


def test_an_id_that_was_used_for_something_else_is_refused() -> None:
    office = Office()
    office.say("accept", id="x1")
    assert office.refused("start", id="x1").code == "id_reused"


def test_orders_that_contradict_each_other_are_refused_with_what_is_possible() -> None:
    office = Office()
    office.say("done")
    refusal = office.refused("start")
    assert (refusal.code, refusal.message) == (
        "not_possible",
        "a task that is done cannot take 'start'; possible: reopen, verify",
    )


@pytest.mark.parametrize(
    ("do", "more", "code"),
    [
        ("accept", {"task": "nonsense"}, "unknown_task"),
        ("accept", {"technician": "Nobody"}, "unknown_technician"),
        ("accept", {"technician": "Zoe"}, "not_yours"),
        ("assign", {"technician": "Nobody"}, "unknown_technician"),
        ("assign", {"technician": "Zoe", "start": 1}, "wrong_value"),
        ("note", {}, "wrong_value"),
        ("absent", {"technician": "Zoe", "until": 1}, "wrong_value"),
        ("absent", {"technician": "Zoe", "until": "2999-01-01T00:00Z"}, "wrong_value"),
        ("back", {"technician": "Nobody"}, "unknown_technician"),
        ("done", {"verdict": "confirmed", "cause": "two words"}, "wrong_value"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(do: str, more: dict[str, Any], code: str) -> None:
    office = Office()
    before = office.shop.work
    office.shop.changes = Changes()
    assert office.refused(do, **more).code == code
    assert office.shop.work == before
    assert not office.shop.changes.revisions


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"do": "fly"}',
        b'{"do": "accept", "id": "1"}',
        b'{"do": "accept", "task": "x"}',
        b'{"do": "accept", "id": "1", "task": "x", "colour": "red"}',
        b'{"do": "accept", "id": "two words", "task": "x"}',
        b'{"do": "absent", "id": "1", "technician": "A", "until": "2026-01-01T00:00"}',
        b'{"do": "absent", "id": "1", "technician": "A", "until": NaN}',
        b'{"do": "note", "id": "1", "task": "x", "note": "\\ud800"}',
        b'{"do": "list"' + b" " * 20_000 + b"}",
        b"[" * 10_000,
    ],
)
def test_what_is_no_order_is_refused(content: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        parse_order(content)
    assert caught.value.code == "bad_request"


def test_a_rejected_task_goes_to_somebody_else() -> None:
    office = Office()
    answer = office.say("reject", technician="Amira", reason="no permit")
    assert (answer["task"]["technician"], answer["task"]["state"]) == ("Zoe", "assigned")
    assert [(task.state, task.technician) for task in office.shop.revisions[1:]] == [
        (TaskState.REJECTED, "Amira"),
        (TaskState.ASSIGNED, "Zoe"),
    ]


def test_a_task_that_everybody_rejects_says_so() -> None:
    office = Office()
    office.say("reject")
    answer = office.say("reject")
    assert answer["task"]["state"] == "open"
    assert answer["task"]["reason"] == ("everybody with the skill bearings has declined or not accepted it: Amira, Zoe")


def test_a_pinned_task_stays_where_a_person_put_it() -> None:
    office = Office()
    office.say("assign", technician="Zoe", start="2026-03-03T09:00+00:00")
    office.shop.take(alert("range_hi_hi", Severity.CRITICAL))
    task = office.shop.task
    assert (task.technician, task.planned_start_ns, task.pinned) == ("Zoe", MONDAY_8 + DAY + H, True)


def test_a_pin_that_cannot_hold_is_said_in_words() -> None:
    office = Office()
    answer = office.say("assign", technician="Zoe", start="2026-03-03T23:00+00:00")
    assert answer["task"]["state"] == "open"
    assert answer["task"]["reason"].startswith("it is pinned to Zoe at 2026-03-03 23:00, which")
    assert office.say("unpin")["task"]["state"] == "assigned"


def test_somebody_who_is_away_hands_over_and_comes_back() -> None:
    office = Office()
    away = office.say("absent", technician="Amira", until="2026-03-09T00:00+00:00", note="ill")
    assert office.shop.task.technician == "Zoe"
    assert [slot["task"] for slot in away["plan"]["technicians"]["Zoe"]] == [office.id]
    office.say("absent", technician="Zoe", until="2026-03-04T00:00+00:00")
    assert office.shop.task.planned_start_ns == MONDAY_8 + 2 * DAY - 2 * H
    office.say("back", technician="Amira")
    assert office.shop.changes.absences is not None
    assert [absence.technician for absence in office.shop.changes.absences] == ["Zoe"]


def test_an_accepted_task_of_somebody_who_disappears_is_planned_anew() -> None:
    office = Office()
    office.say("accept")
    office.say("absent", technician="Amira", until="2026-03-09T00:00+00:00")
    assert (office.shop.task.technician, office.shop.task.state) == ("Zoe", TaskState.ASSIGNED)


def test_waiting_for_parts_plans_it_for_when_they_come() -> None:
    office = Office()
    office.say("start")
    answer = office.say("wait_for_parts", until="2026-03-04T07:00+00:00", note="seal broken")
    task = office.shop.task
    assert (answer["task"]["state"], task.technician) == ("waiting_for_parts", "Amira")
    assert task.planned_start_ns == MONDAY_8 + 2 * DAY - H


def test_a_verdict_goes_out_with_the_work_for_every_alert() -> None:
    office = Office()
    office.shop.take(alert("rate"))
    office.say("done", verdict="false_alarm", note="a forklift", by="Amira")
    verdicts = [decode_verdict(content) for topic, content in office.shop.changes.outgoing]
    assert {verdict.alert_id for verdict in verdicts} == {alert().id, alert("rate").id}
    assert {verdict.fingerprint for verdict in verdicts} == {alert().fingerprint, alert("rate").fingerprint}
    assert {(one.kind, one.by, one.device, one.task_id) for one in verdicts} == {
        (VerdictKind.FALSE_ALARM, "Amira", PUMP, office.id)
    }


def test_a_cancelled_task_leaves_the_book_and_a_new_alert_opens_another() -> None:
    office = Office()
    office.say("cancel", reason="scrapped")
    office.shop.take(alert(raised_at_ns=MONDAY_8 + H))
    assert office.shop.task.id != office.id


def test_starting_early_moves_what_else_was_planned() -> None:
    shop = workshop(configured(AMIRA))
    shop.take(alert(device=pump(1)), alert(device=pump(2)))
    first, second = sorted(shop.tasks, key=lambda task: task.planned_start_ns)
    office = Office(shop)
    office.say("start", task=second.id)
    moved = next(task for task in shop.tasks if task.id == first.id)
    begun = next(task for task in shop.tasks if task.id == second.id)
    assert begun.planned_start_ns == MONDAY_8
    assert moved.planned_start_ns >= begun.planned_end_ns


def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one() -> None:
    office = Office()
    assert office.say("accept", task=office.id[:5])["task"]["task"] == office.id


def test_an_order_of_an_alert_that_vanished_still_works() -> None:
    shop = workshop(configured(AMIRA))
    shop.take(alert())
    forgotten = replace(shop.work, raised={}, marks={})
    office = Office(workshop(configured(AMIRA), works=[forgotten]))
    assert office.say("done", verdict="confirmed")["task"]["state"] == "done"
    assert office.shop.changes.outgoing == []


def test_begun_work_of_somebody_who_left_the_file_is_planned_anew() -> None:
    office = Office()
    office.say("start")
    shop = workshop(configured(ZOE), works=[office.shop.work])
    shop.book.revisit(shop.changes, MONDAY_8 + H)
    assert (shop.task.technician, shop.task.state) == ("Zoe", TaskState.ASSIGNED)
