import random

from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.modbus.patience import Patience


def patience(units: int, seed: int = 1) -> Patience:
    return Patience(units, source=random.Random(seed))


@given(st.integers(2, 8), st.data(), st.floats(0.1, 5), st.integers(0, 1000))
def test_lost_units_take_less_than_a_twentieth_of_the_time_in_the_long_run_however_many_they_are(
    units: int, data: st.DataObject, cost_s: float, seed: int
) -> None:
    it = patience(units, seed)
    dead = data.draw(st.integers(1, units - 1))
    now_s, held_s = 0.0, 0.0
    while now_s < 600 * cost_s:
        for unit in range(dead):
            if it.may_ask(now_s):
                now_s += cost_s
                held_s += cost_s
                it.asked_in_vain(str(unit), now_s, cost_s=cost_s)
        now_s += cost_s / 3
    assert held_s < now_s / 20 + 6 + dead * cost_s


def test_a_unit_that_is_only_restarted_is_looked_for_at_once() -> None:
    it = patience(2)
    asked = 0
    for now_s in range(10):
        if it.may_ask(now_s):
            asked += 1
            it.asked_in_vain("a", now_s, cost_s=1)
    assert asked >= 5


def test_every_lost_unit_gets_its_turn() -> None:
    it = patience(4)
    turns = dict.fromkeys("abc", 0)
    for tick in range(12_000):  # each is due once a second, always at the same moment of it
        unit = "abc"[tick % 3]
        if it.may_ask(tick / 3):
            turns[unit] += 1
            it.asked_in_vain(unit, tick / 3 + 1, cost_s=1)
    assert min(turns.values()) >= 0.5 * max(turns.values())


def test_a_line_on_which_nobody_answers_is_not_spared() -> None:
    it = patience(2)
    it.asked_in_vain("a", 0, cost_s=10)
    assert not it.may_ask(1)
    it.asked_in_vain("b", 1, cost_s=1)
    assert it.may_ask(1)
    it.answered("a")
    assert not it.may_ask(1)
