"""A device that stands still, or has just begun to turn, is not looked at."""

from fieldline.model import Quality
from fieldline.wire.readings import Series
from fieldline_cloud.agents.anomaly.learned.rest import Rest, RestSpec, Roles

S = 1_000_000_000
SPEC = RestSpec(settle_ns=60 * S)


def frame(second: int, **values: float | bool | str) -> list[Series]:
    return [Series(tag, [second * S], [value]) for tag, value in values.items()]


def test_a_device_that_says_it_stands_is_not_looked_at() -> None:
    rest = Rest(Roles(SPEC))
    assert not rest.pauses(frame(1, running=True, power=5.0))
    assert rest.pauses(frame(2, running=False, power=5.0))
    assert rest.pauses(frame(3, power=5.0))  # a frame that says nothing of it


def test_after_a_start_it_has_time_to_settle() -> None:
    rest = Rest(Roles(SPEC))
    assert rest.pauses(frame(1, running=False))
    assert rest.pauses(frame(2, running=True))
    assert rest.pauses(frame(61, running=True))
    assert not rest.pauses(frame(62, running=True))


def test_without_such_a_tag_the_effort_of_the_motor_says_it() -> None:
    rest = Rest(Roles(SPEC))
    assert not rest.pauses(frame(1, power=100.0, speed=1480.0))
    assert not rest.pauses(frame(2, power=4.0, speed=1480.0))
    assert rest.pauses(frame(3, power=0.1, speed=0.0))


def test_a_running_tag_has_the_last_word() -> None:
    rest = Rest(Roles(SPEC))
    assert not rest.pauses(frame(1, running=True, power=100.0))
    assert not rest.pauses(frame(2, power=0.0))


def test_a_device_with_neither_is_always_looked_at() -> None:
    rest = Rest(Roles(SPEC))
    assert not rest.pauses(frame(1, temperature=20.0))
    assert not rest.pauses([])


def test_a_bad_value_of_the_running_tag_changes_nothing() -> None:
    rest = Rest(Roles(SPEC))
    assert not rest.pauses(frame(1, running=True))
    assert not rest.pauses([Series("running", [2 * S], [False], [Quality.BAD])])
    assert not rest.pauses(frame(3, running="maybe"))


def test_a_clock_that_was_set_back_does_not_settle_for_ever() -> None:
    rest = Rest(Roles(SPEC))
    rest.pauses(frame(10_000, running=False))
    assert rest.pauses(frame(10_001, running=True))
    assert not rest.pauses(frame(5, running=True))


def test_a_snapshot_goes_on_where_it_was_taken() -> None:
    one, other = Rest(Roles(SPEC)), Rest(Roles(SPEC))
    one.pauses(frame(1, running=False))
    other.restore(one.snapshot())
    assert other.stands
    assert other.pauses(frame(2, power=5.0))
