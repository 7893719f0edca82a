"""Priorities, due dates, crews, consequences and parts: the small pure rules."""

from dataclasses import replace
from datetime import UTC, date

from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import DeviceId, Part, RemainingLife, Severity
from fieldline_cloud.agents.maintenance.crew import Absence, Crew, DaysOff, Technician
from fieldline_cloud.agents.maintenance.inhibit import Inhibition, InhibitRule, Where
from fieldline_cloud.agents.maintenance.machines import Criticality, Machine, Machines
from fieldline_cloud.agents.maintenance.priority import priority_of
from fieldline_cloud.agents.maintenance.shifts import Shift, without
from fieldline_cloud.agents.maintenance.stock import Shelf, Stock, StockItem
from tests.unit.cloud.agents.doubles import PUMP
from tests.unit.cloud.agents.maintenance.workshop import DAY, MONDAY_8, H

EARLY = Shift(frozenset(range(7)), 360, 840)
AMIRA = Technician("Amira", frozenset({"bearings"}), (EARLY,))
lives = st.none() | st.floats(0, 1e6).map(lambda hours: RemainingLife(hours, hours, hours))


@given(st.sampled_from(Severity), st.sampled_from(Criticality), lives)
def test_a_priority_is_from_0_to_100_and_less_life_is_more_urgent(
    severity: Severity, criticality: Criticality, life: RemainingLife | None
) -> None:
    priority = priority_of(severity, criticality, life)
    assert 0 <= priority <= 100
    if life is not None:
        half = replace(life, p10_h=life.p10_h / 2)
        assert priority_of(severity, criticality, half) >= priority


@given(st.sampled_from(Criticality), lives, lives)
def test_a_worse_severity_comes_first_on_machines_of_a_kind(
    criticality: Criticality, one: RemainingLife | None, other: RemainingLife | None
) -> None:
    found = [
        priority_of(severity, criticality, life)
        for severity, life in zip(sorted(Severity), (one, other, None), strict=True)
    ]
    assert found == sorted(found)


spans = st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30)).map(lambda s: (s[0], s[0] + s[1])), max_size=6)


@given(spans, spans)
def test_what_is_left_of_spans_is_what_was_there_less_the_gaps(
    whole: list[tuple[int, int]], gaps: list[tuple[int, int]]
) -> None:
    def moments(parts: list[tuple[int, int]]) -> set[int]:
        return {moment for start, end in parts for moment in range(start, end)}

    assert moments(without(whole, gaps)) == moments(whole) - moments(gaps)


def test_days_off_and_absences_are_no_working_hours() -> None:
    crew = Crew([replace(AMIRA, days_off=(DaysOff(date(2026, 3, 3), date(2026, 3, 4)),))], UTC)
    away = Absence("Amira", MONDAY_8 + H, MONDAY_8 + 2 * H)
    hours = crew.hours("Amira", [away], MONDAY_8, 4)
    assert hours[:3] == [
        (MONDAY_8 - 2 * H, MONDAY_8 + H),
        (MONDAY_8 + 2 * H, MONDAY_8 + 6 * H),
        (MONDAY_8 + 3 * DAY - 2 * H, MONDAY_8 + 3 * DAY + 6 * H),
    ]


def test_shifts_that_touch_are_one() -> None:
    crew = Crew([replace(AMIRA, shifts=(EARLY, Shift(frozenset(range(7)), 840, 1320)))], UTC)
    assert crew.hours("Amira", [], MONDAY_8, 2)[0] == (MONDAY_8 - 2 * H, MONDAY_8 + 14 * H)


def test_two_causes_that_silence_each_other_leave_one() -> None:
    rules = [
        InhibitRule("a", frozenset({"b"}), Where.SAME_AREA),
        InhibitRule("b", frozenset({"a"}), Where.SAME_AREA),
    ]
    inhibition = Inhibition(rules, lambda device: frozenset())
    other = DeviceId("demo", "hall-a", "pump-3")
    assert inhibition.held_by(PUMP, "a", [(other, "b")]) == ""
    assert inhibition.held_by(other, "b", [(PUMP, "a")]) == f"a at {PUMP}"


def test_the_first_entry_that_says_something_of_a_machine_counts() -> None:
    entries = [
        Machine("demo/hall-a/pump-2", place="pit"),
        Machine("+/+/pump-2", criticality=Criticality.VITAL, place="elsewhere"),
        Machine("#", criticality=Criticality.LOW),
    ]
    machines = Machines(entries, UTC)
    assert (machines.place(PUMP), machines.criticality(PUMP)) == ("pit", Criticality.VITAL)
    assert Machines([], UTC).place(PUMP) == "hall-a"


def test_parts_come_from_stock_unless_others_take_them() -> None:
    stock = Stock({"seal": StockItem(2, 5.0), "bolt": StockItem(0, 1.0)})
    seal, bolt = Part("seal", 2), Part("bolt", 1)
    assert stock.missing([seal, Part("unlisted", 9)], {}) == ()
    assert stock.missing([seal, seal], {}) == ("seal",)
    assert stock.missing([seal, bolt], {"seal": 1}) == ("bolt", "seal")
    assert stock.lead_ns(["bolt", "seal", "unlisted"], MONDAY_8) == MONDAY_8 + 5 * DAY
    assert stock.lead_ns(["unlisted"], MONDAY_8) == MONDAY_8


def test_a_changed_number_in_the_file_is_a_new_count_and_the_same_is_not() -> None:
    items = {"seal": StockItem(2, 5.0), "bolt": StockItem(0, 1.0)}
    stock = Stock(items, {"seal": Shelf(1, 2), "bolt": Shelf(7, 3)})
    assert (stock.on_hand("seal"), stock.on_hand("bolt")) == (1, 7)
    assert stock.counted_anew() == {"bolt": Shelf(0, 0)}
    assert Stock(items).counted_anew() == {"seal": Shelf(2, 2), "bolt": Shelf(0, 0)}
