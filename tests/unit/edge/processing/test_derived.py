from collections.abc import Sequence

import pytest

from fieldline.model import Quality, Reading, Value
from fieldline_edge.processing.derived import Derived, DerivedProblem, DerivedTag, order_of
from fieldline_edge.processing.expressions.compiler import Reason
from fieldline_edge.processing.expressions.parser import parse

S = 1_000_000_000


def derived(read: str, **formulas: str) -> Derived:
    return Derived(read.split(), [DerivedTag(name, parse(text)) for name, text in formulas.items()])


def at(at_s: float, **values: Value) -> list[Reading]:
    return [Reading(tag, round(at_s * S), value) for tag, value in values.items()]


def run(subject: Derived, *looks: Sequence[Reading], tag: str) -> list[Value]:
    return [one.value for look in looks for one in subject.extend(look) if one.tag == tag]


def test_a_derived_tag_follows_the_readings_it_is_computed_from() -> None:
    subject = derived("u i", power="u * i")

    out = subject.extend([Reading("u", 5, 230.0), Reading("i", 7, 2.0)])

    assert out == [Reading("u", 5, 230.0), Reading("i", 7, 2.0), Reading("power", 7, 460.0)]


def test_it_is_computed_when_one_of_its_tags_is_new_and_not_otherwise() -> None:
    subject = derived("u i other", power="u * i")

    found = run(subject, at(0, u=2), at(1, i=3), at(2, other=1), at(3, u=4), tag="power")

    assert found == [6, 12]


def test_a_tag_that_comes_twice_at_once_is_looked_at_twice() -> None:
    subject = derived("a b", double="a * 2")

    out = subject.extend([*at(0, a=1), *at(1, a=2), *at(1, b=0)])

    assert [one.value for one in out if one.tag == "double"] == [2, 4]


def test_derived_tags_are_computed_after_those_they_need_whatever_their_order() -> None:
    subject = derived("a", third="second + 1", second="first + 1", first="a + 1")

    out = subject.extend(at(0, a=0))

    assert [(one.tag, one.value) for one in out] == [("a", 0), ("first", 1), ("second", 2), ("third", 3)]


def test_a_result_without_an_answer_is_bad_and_counted_by_reason() -> None:
    subject = derived("a", inverse="1 / a")

    out = subject.extend(at(0, a=0))

    assert out[1] == Reading("inverse", 0, None, Quality.BAD_CALCULATION)
    assert subject.failures[Reason.DIVISION_BY_ZERO] == 1


def test_a_result_outside_its_range_is_marked_and_kept() -> None:
    subject = Derived(["a"], [DerivedTag("d", parse("a"), minimum=0, maximum=10)])

    out = subject.extend(at(0, a=11))

    assert out[1] == Reading("d", 0, 11, Quality.BAD_RANGE)


def test_delta_is_what_was_added_since_the_reading_before() -> None:
    subject = derived("n", more="delta(n)", wrapped="delta(n, 100)")
    looks = [at(second, n=value) for second, value in enumerate([90, 95, 3])]

    assert run(subject, *looks, tag="more") == [5, -92]
    assert run(derived("n", wrapped="delta(n, 100)"), *looks, tag="wrapped") == [5, 8]


def test_rate_is_per_second_whatever_the_period() -> None:
    subject = derived("n", speed="rate(n)")

    assert run(subject, at(0, n=0), at(0.5, n=10), at(10.5, n=30), at(10.5, n=40), at(11.5, n=41), tag="speed") == [
        20.0,
        2.0,
        1.0,
    ]


def test_integral_is_an_area_with_a_hole_where_readings_were_bad() -> None:
    subject = derived("p", energy="integral(p)")
    bad = [Reading("p", 20 * S, None, Quality.BAD_TIMEOUT)]

    out = run(subject, at(0, p=10.0), at(10, p=20.0), bad, at(30, p=20.0), at(31, p=20.0), tag="energy")

    assert out == [0.0, 150.0, None, 150.0, 170.0]


def test_a_chain_of_a_thousand_derived_tags_is_no_deep_recursion() -> None:
    formulas = {f"d{number}": f"d{number + 1} + 1" for number in range(1000)} | {"d1000": "a"}

    out = derived("a", **formulas).extend(at(0, a=5))

    assert out[-1] == Reading("d0", 0, 1005)


@pytest.mark.parametrize(
    ("formulas", "complaint"),
    [
        ({"d": "temprature + 1"}, "character 1 ('temprature') is no tag of this device; did you mean 'temperature'?"),
        ({"d": "1 + 1"}, "names no tag, so there is no moment to compute it"),
        ({"d": "d + 1"}, "goes round in a circle: d needs d"),
        ({"a": "b", "b": "c", "c": "a + temperature"}, "goes round in a circle: a needs b needs c needs a"),
    ],
)
def test_what_cannot_be_computed_is_found_before_anything_runs(formulas: dict[str, str], complaint: str) -> None:
    with pytest.raises(DerivedProblem) as refused:
        order_of(["temperature"], [(name, parse(text)) for name, text in formulas.items()])

    assert complaint in str(refused.value)
