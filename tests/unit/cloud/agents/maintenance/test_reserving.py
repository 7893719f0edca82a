"""Spare parts: counted down and up, reserved by what is planned, awaited by the rest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.model import AlertState, Severity, TaskState
from fieldline_cloud.agents.maintenance.book import Book, Changes, Known
from fieldline_cloud.agents.maintenance.orders import Refusal
from fieldline_cloud.agents.maintenance.stock import Shelf
from fieldline_cloud.agents.maintenance.views import part_view, task_view
from tests.unit.cloud.agents.maintenance.test_desk import Office
from tests.unit.cloud.agents.maintenance.workshop import (
    AMIRA,
    DAY,
    LUCA,
    MONDAY_8,
    H,
    Workshop,
    alert,
    aside,
    configured,
    pump,
    workshop,
)

MORE = """
templates:
  bearing_wear: {title: T, skill: bearings, work_min: 60, parts: [{name: "6205", count: 2}]}
  welding: {title: W, skill: welding, parts: [{name: "6205", count: 2}]}
parts: [{name: "6205", stock: 3, lead_days: 3}]
"""


def bench(*alerts_on: int, stock: int = 3, people: str = AMIRA + LUCA) -> Workshop:
    shop = workshop(configured(people, MORE.replace("stock: 3", f"stock: {stock}")))
    shop.take(*(alert(device=pump(number)) for number in alerts_on))
    return shop


def offices(shop: Workshop) -> list[Office]:
    """A desk for each task, in the order in which they were opened."""
    made = []
    for number, task in enumerate(shop.tasks):
        office = Office(shop)
        office.id, office.count = task.id, 1_000 * number
        made.append(office)
    return made


def count(shop: Workshop) -> tuple[int, int]:
    seen = part_view(shop.book, "6205")
    return seen["on_hand"], seen["reserved"]


def said(shop: Workshop) -> list[str]:
    return [event.text for event in shop.changes.events if event.kind.value == "stock"]


def test_a_planned_task_reserves_and_the_next_one_waits_and_says_so() -> None:
    shop = bench(1, 2)
    first, second = shop.tasks
    assert count(shop) == (3, 2)
    assert (first.planned_start_ns, first.reason) == (MONDAY_8, "")
    assert second.planned_start_ns >= MONDAY_8 + 3 * DAY
    assert second.reason == "waits for parts: 2 6205, expected 2026-03-05 08:00"
    assert part_view(shop.book, "6205")["waiting"] == [
        {"task": second.id, "count": 2, "expected": "2026-03-05T08:00:00+00:00"}
    ]


def test_done_work_uses_its_parts_once_however_often_the_order_comes() -> None:
    shop = bench(1)
    (office,) = offices(shop)
    office.say("done", id="d1")
    assert office.say("done", id="d1")["repeated"]
    assert count(shop) == (1, 0)
    assert shop.book.stats.parts_used == 2
    assert said(shop) == ["reserved: 2 6205", "6205: 2 used, 1 in the store"]


@pytest.mark.parametrize("verdict", ["false_alarm", "planned", "sensor_fault"])
def test_where_nothing_was_wrong_no_part_was_used(verdict: str) -> None:
    shop = bench(1)
    offices(shop)[0].say("done", verdict=verdict)
    assert count(shop) == (3, 0)


def test_a_cancelled_task_leaves_its_parts_to_whoever_waits() -> None:
    shop = bench(1, 2)
    one, other = offices(shop)
    one.say("cancel")
    assert count(shop) == (3, 2)
    assert shop.work.parts_held
    assert (shop.task.id, shop.task.reason) == (other.id, "")
    assert shop.task.planned_start_ns < MONDAY_8 + DAY  # it would have been late


def test_a_task_put_aside_releases_its_parts() -> None:
    shop = bench(1)
    shop.take(aside(alert(device=pump(1)), AlertState.SHELVED))
    assert count(shop) == (3, 0)
    assert said(shop)[-1] == "released: 2 6205"


def test_a_rejected_task_takes_its_parts_along_to_the_next_technician() -> None:
    shop = bench(1, 2)
    offices(shop)[0].say("reject", technician="Amira")
    assert count(shop) == (3, 2)
    assert shop.tasks[0].technician == "Luca"
    assert shop.book.works[shop.tasks[0].id].parts_held


def test_what_was_not_mended_needs_its_parts_once_more() -> None:
    shop = bench(1, stock=4)
    (office,) = offices(shop)
    office.say("done")
    shop.now_ns += H
    shop.take(alert("rate", device=pump(1), raised_at_ns=shop.now_ns))
    assert shop.task.state is not TaskState.DONE
    assert count(shop) == (2, 2)


def test_goods_that_come_end_the_wait_of_the_most_urgent_task() -> None:
    shop = bench(1, 2, stock=2)
    shop.take(alert("range_hi_hi", Severity.CRITICAL, device=pump(3)))
    _, usual, urgent = offices(shop)
    answer = usual.say("receive", part="6205", count=2, note="delivery 8812")
    assert (answer["part"]["on_hand"], answer["part"]["reserved"]) == (4, 4)
    works = shop.book.works
    assert works[urgent.id].parts_held
    assert works[urgent.id].task.planned_start_ns < MONDAY_8 + DAY
    assert works[usual.id].waits_for == ("6205",)
    assert "6205: 2 booked in (delivery 8812), 4 in the store" in said(shop)


def test_goods_are_booked_in_once_however_often_the_order_comes() -> None:
    shop = bench(1)
    (office,) = offices(shop)
    office.say("receive", id="r1", part="6205", count=5)
    again = office.say("receive", id="r1", part="6205", count=5)
    assert again["repeated"]
    assert count(shop) == (8, 2)


def test_a_count_that_finds_less_takes_reservations_back() -> None:
    shop = bench(1)
    (office,) = offices(shop)
    office.say("stocktake", part="6205", count=1)
    assert count(shop) == (1, 0)
    assert shop.task.planned_start_ns >= MONDAY_8 + 3 * DAY
    assert shop.task.reason.startswith("waits for parts: 2 6205")


def test_work_that_has_begun_has_its_parts_and_late_booking_puts_the_count_right() -> None:
    shop = bench(1, stock=0)
    (office,) = offices(shop)
    office.say("start")
    assert shop.work.parts_held
    office.say("done")
    assert count(shop) == (-2, 0)
    office.say("receive", part="6205", count=5)
    assert count(shop) == (3, 0)


def test_the_expected_day_does_not_slide_while_a_task_waits() -> None:
    shop = bench(1, 2)
    shop.now_ns += DAY
    shop.book.replan(shop.changes, shop.now_ns)
    second = list(shop.book.works.values())[1]
    assert second.parts_at_ns == MONDAY_8 + 3 * DAY
    assert second.task.reason == "waits for parts: 2 6205, expected 2026-03-05 08:00"


def test_a_time_that_a_technician_gave_stands() -> None:
    shop = bench(1)
    (office,) = offices(shop)
    office.say("start")
    office.say("wait_for_parts", until="2026-03-04T07:00+00:00", note="seal broken")
    shop.book.replan(shop.changes, shop.now_ns)
    assert shop.task.planned_start_ns == MONDAY_8 + 2 * DAY - H
    assert shop.task.reason == "seal broken"


def test_a_technician_who_waits_for_a_counted_part_goes_on_when_it_comes() -> None:
    shop = bench(1, stock=0)
    (office,) = offices(shop)
    office.say("start")
    office.say("wait_for_parts", until="2026-03-06T07:00+00:00")
    office.say("receive", part="6205", count=2)
    assert shop.work.parts_at_ns == 0
    office.say("start")
    assert count(shop) == (2, 2)


def test_parts_of_a_task_that_nobody_can_do_go_to_one_that_somebody_can() -> None:
    shop = workshop(configured(AMIRA, MORE))
    shop.take(alert(cause="welding", severity=Severity.CRITICAL, device=pump(1)))
    assert count(shop) == (3, 2)
    shop.take(alert(device=pump(2)))
    welding, bearing = shop.book.works.values()
    assert (bearing.parts_held, bearing.task.planned_start_ns) == (True, MONDAY_8)
    assert (welding.parts_held, welding.task.reason) == (False, "nobody has the skill welding")


def test_asked_twice_the_store_is_shared_out_the_same_and_nothing_is_published() -> None:
    shop = bench(1, 2, 3)
    shop.take(alert(cause="welding", device=pump(4)))
    before = dict(shop.book.works)
    shop.changes = Changes()
    shop.book.replan(shop.changes, shop.now_ns)
    assert shop.book.works == before
    assert not shop.changes


def test_a_part_that_is_not_listed_is_refused_with_those_that_are() -> None:
    shop = bench(1)
    refusal = offices(shop)[0].refused("receive", part="6206", count=1)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.message) == (
        "unknown_part",
        "'6206' is no part that is counted; list it under parts; known: 6205",
    )
    assert count(shop) == (3, 2)


def test_a_restart_goes_on_counting_and_a_new_number_in_the_file_is_a_count() -> None:
    shop = bench(1, 2)
    offices(shop)[0].say("done")
    known = Known(works=list(shop.book.works.values()), shelves=dict(shop.changes.shelves))
    assert known.shelves == {"6205": Shelf(1, 3)}
    for stock, on_hand, waits in ((3, 1, True), (6, 6, False)):
        more = configured(AMIRA + LUCA, MORE.replace("stock: 3", f"stock: {stock}"))
        book = Book(more.rules(), more.planboard(), more.inhibition(), open_tasks_max=10, known=known)
        changes = Changes()
        book.revisit(changes, shop.now_ns)
        assert book.stock.on_hand("6205") == on_hand
        waiting = [work for work in book.works.values() if work.waits_for]
        assert bool(waiting) is waits


def test_a_task_shows_what_it_waits_for() -> None:
    shop = bench(1, 2)
    shown = [task_view(work, shop.book.board.crew.zone) for work in shop.book.works.values()]
    assert [(one["parts_reserved"], one["waits_for"]) for one in shown] == [(True, []), (False, ["6205"])]


steps = st.lists(
    st.tuples(
        st.sampled_from(["alert", "start", "done", "cancel", "reject", "receive", "stocktake"]), st.integers(0, 5)
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_no_part_is_promised_twice_whatever_people_do(moves: list[tuple[str, int]]) -> None:
    shop = bench(0)
    office = offices(shop)[0]
    for index, (do, number) in enumerate(moves):
        shop.now_ns += H
        tasks = list(shop.book.works)
        try:
            if do == "alert":
                shop.take(alert(device=pump(number), raised_at_ns=shop.now_ns + index))
            elif do in ("receive", "stocktake"):
                office.say(do, part="6205", count=number + (do == "receive"))
            elif tasks:
                office.say(do, task=tasks[number % len(tasks)])
        except Refusal:
            continue
        works = shop.book.works.values()
        promised = sum(2 for work in works if work.parts_held and not work.is_begun)
        begun = sum(2 for work in works if work.is_begun)
        on_hand, reserved = count(shop)
        assert reserved == promised + begun
        assert not promised or promised + begun <= on_hand
        for work in works:
            if work.waits_for and work.has_slot:
                assert work.task.planned_start_ns >= work.parts_at_ns
                assert not work.parts_held
