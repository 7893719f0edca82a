from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import DeviceId, Reading
from fieldline_edge.batcher import Batch, Batcher, estimated_bytes

PUMP, FAN = DeviceId("demo", "hall", "pump"), DeviceId("demo", "hall", "fan")


def readings(count: int, *, first: int = 0) -> list[Reading]:
    return [Reading("t", first + number, float(number)) for number in range(count)]


def batcher(**changed: float) -> Batcher:
    settings = {"linger_s": 1.0, "readings_max": 10, "bytes_max": 1000, "waiting_readings_max": 50, **changed}
    return Batcher(**settings)  # type: ignore[arg-type]  # each setting holds its own type


def all_due(subject: Batcher, now_s: float) -> list[Batch]:
    found = []
    while batch := subject.pop_due(now_s):
        found.append(batch)
    return found


def test_readings_wait_for_others_until_linger_is_over() -> None:
    subject = batcher()

    subject.add(PUMP, readings(2), 100.0)
    subject.add(PUMP, readings(1), 100.9)

    assert subject.due_at_s() == 101.0
    assert subject.pop_due(100.99) is None
    assert [len(batch.readings) for batch in all_due(subject, 101.0)] == [3]
    assert subject.due_at_s() is None
    assert subject.waiting == 0


def test_a_full_batch_is_due_at_once() -> None:
    subject = batcher(readings_max=3)

    subject.add(PUMP, readings(2), 0.0)
    subject.add(PUMP, readings(2, first=2), 0.0)

    assert subject.due_at_s() == float("-inf")
    (first,) = all_due(subject, 0.0)
    assert len(first.readings) == 2  # two polls are not torn apart to fill a batch
    assert subject.waiting == 2


def test_a_poll_larger_than_a_batch_is_cut_in_order() -> None:
    subject = batcher(readings_max=4)

    subject.add(PUMP, readings(10), 0.0)

    found = all_due(subject, 1.0)
    assert [len(batch.readings) for batch in found] == [4, 4, 2]
    assert [reading.at_ns for batch in found for reading in batch.readings] == list(range(10))


def test_long_texts_fill_a_batch_by_bytes() -> None:
    subject = batcher(bytes_max=1000)

    subject.add(PUMP, [Reading("note", number, "x" * 600) for number in range(3)], 0.0)

    assert [len(batch.readings) for batch in all_due(subject, 1.0)] == [1, 1, 1]


def test_devices_never_share_a_batch() -> None:
    subject = batcher()

    subject.add(PUMP, readings(1), 0.0)
    subject.add(FAN, readings(2), 0.5)
    subject.add(PUMP, readings(1), 0.6)

    assert [(batch.device, len(batch.readings)) for batch in all_due(subject, 1.2)] == [(PUMP, 2)]
    assert [(batch.device, len(batch.readings)) for batch in all_due(subject, 1.5)] == [(FAN, 2)]


def test_over_its_bound_the_oldest_readings_are_dropped_and_counted() -> None:
    subject = batcher(waiting_readings_max=20)

    for second in range(5):
        subject.add(PUMP, readings(10, first=10 * second), float(second))

    assert subject.dropped == 30
    assert subject.waiting == 20
    kept = [reading.at_ns for batch in all_due(subject, 9.0) for reading in batch.readings]
    assert kept == list(range(30, 50))


def test_the_end_takes_what_is_not_due() -> None:
    subject = batcher()
    subject.add(PUMP, readings(1), 0.0)
    subject.add(FAN, readings(1), 0.0)

    found = [subject.pop(), subject.pop(), subject.pop()]

    assert [batch and batch.device for batch in found] == [PUMP, FAN, None]


def test_nothing_is_not_a_batch() -> None:
    subject = batcher()

    subject.add(PUMP, [], 0.0)

    assert subject.due_at_s() is None
    assert subject.pop() is None


def test_texts_cost_their_length() -> None:
    assert estimated_bytes([Reading("a", 0, "abcd"), Reading("a", 0, 1.0)]) == 2 * 12 + 4


@given(
    st.lists(
        st.tuples(st.sampled_from([PUMP, FAN]), st.lists(st.sampled_from(["", "x" * 90]), max_size=25)),
        max_size=20,
    )
)
def test_every_reading_leaves_once_in_order_and_within_bounds(polls: list[tuple[DeviceId, list[str]]]) -> None:
    subject = batcher(readings_max=7, bytes_max=300, waiting_readings_max=10_000)
    number = 0
    for now_s, (device, values) in enumerate(polls):
        taken = []
        for value in values:
            taken.append(Reading("t", number, value))
            number += 1
        subject.add(device, taken, float(now_s))

    found = []
    while batch := subject.pop():
        found.append(batch)

    for device in (PUMP, FAN):
        came = [value.at_ns for batch in found if batch.device == device for value in batch.readings]
        assert came == sorted(came)
    assert sorted(value.at_ns for batch in found for value in batch.readings) == list(range(number))
    for batch in found:
        assert len(batch.readings) <= 7
        assert estimated_bytes(batch.readings) <= 300


def test_a_device_in_a_hurry_does_not_wait_for_its_linger() -> None:
    subject = batcher()
    subject.add(PUMP, readings(2), 0.0)
    subject.add(FAN, readings(2), 0.0)

    subject.hurry(PUMP)
    subject.hurry(DeviceId("demo", "hall", "unknown"))

    batch = subject.pop_due(0.0)
    assert batch is not None
    assert batch.device == PUMP
    assert subject.pop_due(0.0) is None


@given(st.lists(st.tuples(st.sampled_from([PUMP, FAN, None]), st.integers(1, 25)), max_size=60))
def test_what_is_settled_has_left(story: list[tuple[DeviceId | None, int]]) -> None:
    """`settled` never counts a reading that waits, and counts all once nothing waits."""
    subject = batcher(waiting_readings_max=1000)
    number, waiting = 0, set[int]()
    for step, (device, count) in enumerate(story):
        if device is not None:
            subject.add(device, readings(count, first=number), float(step))
            waiting |= set(range(number, number + count))
            number += count
        elif batch := subject.pop():
            waiting -= {reading.at_ns for reading in batch.readings}
        assert subject.settled <= min(waiting, default=number)
    while subject.pop():
        pass
    assert subject.settled == subject.added == number
