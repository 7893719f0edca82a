import pytest

from fieldline_cloud.planning.model import Job, Pin, Plan, Problem, Span, Travel, Visit, Worker


def job(**changes: object) -> Job:
    facts: dict[str, object] = {"skills": frozenset(), "work_s": 60, "place": "hall", "release_s": 0, "due_s": 600}
    return Job("pump", **{**facts, **changes})  # type: ignore[arg-type]  # a mapping has one type


def test_a_span_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="10 s to 10 s"):
        Span(10, 10)


def test_a_pin_pins_something() -> None:
    with pytest.raises(ValueError, match="worker, a start, or both"):
        Pin()


@pytest.mark.parametrize(("field", "value"), [("work_s", 0), ("weight", -1.0), ("weight", float("nan"))])
def test_a_job_with_an_impossible_figure_is_refused_with_its_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"job pump: {field}"):
        job(**{field: value})


def test_shifts_are_sorted_and_may_not_overlap() -> None:
    late, early = Span(100, 200), Span(0, 100)

    assert Worker("ada", frozenset(), (late, early), "gate").shifts == (early, late)
    with pytest.raises(ValueError, match="worker ada"):
        Worker("ada", frozenset(), (Span(0, 101), late), "gate")


def test_an_id_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="job pump is in the problem more than once"):
        Problem((job(), job()), ())


def test_travel_is_looked_up_both_ways_and_is_nothing_within_a_place() -> None:
    travel = Travel({("gate", "hall"): 60}, default_s=300)

    assert travel.between("hall", "gate") == 60
    assert travel.between("hall", "mill") == 300
    assert travel.between("mill", "mill") == 0


def test_travel_that_takes_less_than_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="from gate to hall takes -1 s"):
        Travel({("gate", "hall"): -1})
    with pytest.raises(ValueError, match="default_s is -5"):
        Travel(default_s=-5)


def test_a_plan_tells_where_a_job_is() -> None:
    visit = Visit("pump", "ada", 0, 60, 0)
    plan = Plan((visit,))

    assert plan.visit_of("pump") is visit
    assert plan.visit_of("drive") is None
    assert plan.of_worker("ada") == (visit,)
