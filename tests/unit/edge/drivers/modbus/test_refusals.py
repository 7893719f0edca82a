import math
import random
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.modbus.plan import Limits, Range, Span, plan
from fieldline_edge.drivers.modbus.refusals import Refusals, search
from fieldline_edge.drivers.modbus.settings import RegisterKind

Device = Callable[[Range], bool]


def refusals(*configured: Range) -> Refusals:
    return Refusals(configured, source=random.Random(1))


def device(bad: list[Range], *, longest: int = 125) -> Device:
    """Answers what holds none of the bad ranges and is not too long."""
    return lambda asked: asked.end - asked.start <= longest and not any(asked.holds(each) for each in bad)


def around(values: list[Range], first: int, last: int) -> Range:
    return Range("holding", values[first].start, max(each.end for each in values[first : last + 1]))


def searched(values: list[Range], answers: Device) -> tuple[list[Range], list[Range]]:
    """What the search finds, and what it asked for."""
    found: list[tuple[int, int]] = []
    steps = search(len(values), found)
    asked: list[Range] = []
    step = next(steps, None)
    while step is not None:
        asked.append(around(values, *step))
        try:
            step = steps.send(answers(asked[-1]))
        except StopIteration:
            step = None
    return [around(values, *pair) for pair in found], asked


def registers(count: int, step: int = 1) -> list[Range]:
    return [Range("holding", n * step, n * step + 1) for n in range(count)]


@given(
    st.sets(st.integers(0, 60), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 4)), min_size=1, max_size=4),
    st.integers(3, 125),
)
def test_what_is_found_explains_the_refusal_and_every_readable_value_is_read(
    addresses: set[int], bad: list[tuple[int, int]], longest: int
) -> None:
    values = [Range("holding", address, address + 1) for address in sorted(addresses)]
    answers = device([Range("holding", start, start + length) for start, length in bad], longest=longest)
    whole = around(values, 0, len(values) - 1)
    if answers(whole):
        return

    found, asked = searched(values, answers)

    assert found
    for each in found:
        assert not answers(each)
        inside = [value for value in values if each.holds(value)]
        if len(inside) > 1:
            assert answers(around(inside, 1, len(inside) - 1)), "one value less at the front is answered"
            assert answers(around(inside, 0, len(inside) - 2)), "and one less at the end"
    for value in values:
        assert not answers(value) or any(each.holds(value) and answers(each) for each in asked)


@given(st.integers(2, 125), st.data())
def test_one_hole_is_found_with_two_requests_per_halving(count: int, data: st.DataObject) -> None:
    hole = 2 * data.draw(st.integers(0, count - 2)) + 1
    found, asked = searched(registers(count, step=2), device([Range("holding", hole, hole + 1)]))
    assert found == [Range("holding", hole - 1, hole + 2)]
    assert len(asked) <= 2 * math.ceil(math.log2(count)) + 1


@given(st.integers(1, 125), st.data())
def test_one_register_that_does_not_exist_is_found_with_two_requests_per_halving(
    count: int, data: st.DataObject
) -> None:
    missing = data.draw(st.integers(0, count - 1))
    found, asked = searched(registers(count), device([Range("holding", missing, missing + 1)]))
    assert found == [Range("holding", missing, missing + 1)]
    assert len(asked) <= 2 * math.ceil(math.log2(count)) if count > 1 else not asked


def test_a_device_that_takes_only_short_requests_is_found_out() -> None:
    found, asked = searched(registers(120), device([], longest=70))
    assert [each.end - each.start for each in found] == [71]
    assert len(asked) <= 20


@given(
    st.sets(st.integers(0, 300), min_size=2, max_size=60),
    st.sets(st.integers(0, 300), max_size=6),
    st.integers(10, 125),
)
def test_plans_converge_to_requests_that_are_all_answered(addresses: set[int], missing: set[int], longest: int) -> None:
    spans = [Span(RegisterKind.HOLDING, address, 1) for address in sorted(addresses)]
    answers = device([Range("holding", address, address + 1) for address in missing], longest=longest)
    known = refusals()

    for _ in range(200):
        refused = [b for b in plan(spans, Limits(gap_max=16), known) if not known.hit(b.range) and not answers(b.range)]
        if not refused:
            break
        for block in refused:
            for each in searched([spans[i].range for i in block.spans], answers)[0]:
                known.learn(each, 0)
    else:
        raise AssertionError("does not converge")

    given_up = {block.address for block in plan(spans, Limits(gap_max=16), known) if known.hit(block.range)}
    assert given_up == addresses & missing, "only what does not exist is not read"


def test_a_refused_range_is_tried_again_ever_more_rarely_up_to_an_hour() -> None:
    known, hole = refusals(), Range("holding", 5, 6)
    known.learn(hole, 0)
    tries = []
    for now_s in range(86_400):
        if known.due(now_s, lambda _: True):
            tries.append(now_s)
            known.still_refused(hole, now_s)
    assert 5 <= tries[0] <= 10
    assert 24 <= len(tries) <= 24 * 2 + 10


def test_when_one_is_answered_again_the_others_are_tried_at_once() -> None:
    known = refusals()
    for start in range(40):
        known.learn(Range("holding", start, start + 1), 0)
    assert len(known.due(10, lambda _: True)) == 1
    known.answered(known.due(10, lambda _: True)[0])
    assert len(known.due(10, lambda _: True)) == 16
    known.still_refused(known.learnt[0], 10)
    assert len(known.due(10, lambda _: True)) == 1


def test_a_shorter_refused_range_replaces_a_longer_one() -> None:
    known = refusals()
    known.learn(Range("holding", 1, 9), 0)
    known.learn(Range("holding", 3, 4), 0)
    assert known.learnt == [Range("holding", 3, 4)]


def test_configured_holes_are_never_tried() -> None:
    hole = Range("holding", 100, 121)
    known = refusals(hole)
    assert list(known) == [hole]
    assert known.due(1e9, lambda _: True) == []
    assert not known.hit(hole)


def test_ranges_read_as_people_write_them() -> None:
    assert [str(Range("holding", 100, 121)), str(Range("coil", 7, 8))] == ["holding 100-120", "coil 7"]
