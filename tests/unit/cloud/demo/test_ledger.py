"""Counting from sequence numbers: what came, what came twice, what is missing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Alert, AlertState, DeviceId, Reading, Severity, Task, TaskState
from fieldline_cloud.demo.ledger import Ledger, ProducerLedger, percentile

GATEWAY = ("gateway-1", 7)
DEVICE = DeviceId("demo", "hall-a", "pump-1")
ALERT = Alert(DEVICE, "vibration", "range.hi", "bearing_wear", Severity.WARNING, AlertState.RAISED, 10, "too much")
TASK = Task(
    id="t1",
    device=DEVICE,
    cause="bearing_wear",
    severity=Severity.WARNING,
    state=TaskState.OPEN,
    title="Look",
    instructions="",
    skill="bearings",
    technician="",
    created_at_ns=10,
    due_at_ns=20,
    alert_ids=(ALERT.id,),
)


def note(
    ledger: Ledger,
    sequence: int,
    *tags: str,
    producer: tuple[str, int] = GATEWAY,
    now_s: float = 0.0,
    skipped: tuple[int, int] = (0, 0),
) -> None:
    ledger.note_frame(
        producer,
        sequence,
        [Reading(tag, 1_000_000, 1.5) for tag in tags],
        device="demo/hall-a/pump-1",
        frame_bytes=100,
        skipped_frames=skipped[0],
        skipped_count=skipped[1],
        now_ns=3_000_000,
        now_s=now_s,
    )


def test_frames_in_order_leave_nothing_missing() -> None:
    ledger = ProducerLedger()

    assert [ledger.note(sequence, 10) for sequence in (1, 2, 3)] == [True, True, True]
    assert (ledger.readings, ledger.duplicated_readings, ledger.missing_frames) == (30, 0, 0)
    assert not ledger.beyond


def test_a_frame_that_comes_again_is_counted_as_duplicated_and_not_as_stored() -> None:
    ledger = ProducerLedger()

    came = [ledger.note(sequence, 10) for sequence in (1, 2, 2, 1, 4, 4)]

    assert came == [True, True, False, False, True, False]
    assert (ledger.readings, ledger.duplicated_readings) == (30, 30)


def test_a_hole_is_missing_until_it_is_filled() -> None:
    ledger = ProducerLedger()
    for sequence in (1, 5, 3):
        ledger.note(sequence, 1)

    assert ledger.missing_frames == 2

    ledger.note(4, 1)
    ledger.note(2, 1)

    assert ledger.missing_frames == 0
    assert ledger.contiguous == 5


def test_a_gap_the_producer_declared_is_not_missing_but_its_readings_are_known() -> None:
    ledger = ProducerLedger()
    ledger.note(1, 10)

    assert ledger.note(5, 10, skipped_frames=3, skipped_count=42)

    assert (ledger.missing_frames, ledger.declared_readings, ledger.readings) == (0, 42, 20)
    assert ledger.contiguous == 5


def test_a_declared_gap_excuses_no_more_than_it_says() -> None:
    ledger = ProducerLedger()
    ledger.note(1, 10)

    ledger.note(6, 10, skipped_frames=2, skipped_count=20)

    assert ledger.missing_frames == 2


def test_a_gap_at_the_very_beginning_is_seen() -> None:
    ledger = ProducerLedger()

    ledger.note(3, 1)

    assert ledger.missing_frames == 2


@given(st.permutations(range(1, 30)), st.lists(st.integers(1, 29), max_size=20))
def test_in_whatever_order_frames_come_each_counts_once(order: list[int], again: list[int]) -> None:
    ledger = ProducerLedger()

    for sequence in order:
        ledger.note(sequence, sequence)
    for sequence in again:
        assert not ledger.note(sequence, sequence)

    assert ledger.readings == sum(order)
    assert ledger.duplicated_readings == sum(again)
    assert (ledger.missing_frames, ledger.contiguous, ledger.beyond) == (0, 29, set())


def test_every_epoch_of_a_producer_is_counted_for_itself() -> None:
    ledger = Ledger()
    note(ledger, 1, "a")
    note(ledger, 1, "a", "b", producer=("gateway-1", 8))
    note(ledger, 3, "a", producer=("gateway-2", 7))

    assert (ledger.readings, ledger.duplicated, ledger.missing_frames) == (4, 0, 2)


def test_a_duplicate_changes_no_byte_count_latency_or_last_value() -> None:
    ledger = Ledger()
    note(ledger, 1, "a", "b")

    note(ledger, 1, "c")

    assert ledger.bytes_per_reading == 50.0
    assert list(ledger.latencies_ms) == [2.0, 2.0]
    assert set(ledger.last["demo/hall-a/pump-1"]) == {"a", "b"}
    assert ledger.duplicated == 1


def test_nothing_seen_costs_no_bytes() -> None:
    assert Ledger().bytes_per_reading == 0.0


def test_the_rate_is_that_of_the_last_five_seconds() -> None:
    ledger = Ledger()
    for second in range(10):
        note(ledger, second + 1, *"abcde", now_s=float(second))

    assert ledger.rate(9.0) == 6.0  # the window holds the seconds 4 to 9
    assert ledger.rate(100.0) == 0.0


def test_the_rate_remembers_no_more_than_its_window_even_when_nobody_asks() -> None:
    ledger = Ledger()

    for second in range(1000):
        note(ledger, second + 1, "a", now_s=float(second))

    assert len(ledger._recent) <= 6


def test_an_alert_that_clears_no_longer_stands() -> None:
    ledger = Ledger()
    later = replace(ALERT, tag="temperature", raised_at_ns=20)
    ledger.note_alert(ALERT)
    ledger.note_alert(later)
    assert ledger.raised() == [later, ALERT]

    ledger.note_alert(replace(later, state=AlertState.CLEARED, cleared_at_ns=30))

    assert ledger.raised() == [ALERT]
    assert len(ledger.alerts) == 2


def test_of_a_task_the_highest_revision_is_kept() -> None:
    ledger = Ledger()
    for revision in (1, 3, 2):
        ledger.note_task(replace(TASK, revision=revision, technician=f"r{revision}"))

    assert ledger.tasks["t1"].technician == "r3"


@pytest.mark.parametrize(
    ("values", "fraction", "expected"),
    [
        ([], 0.5, None),
        ([7.0], 0.5, 7.0),
        ([7.0], 0.99, 7.0),
        (list(range(1, 101)), 0.50, 50),
        (list(range(100, 0, -1)), 0.99, 99),
        (list(range(1, 101)), 1.0, 100),
        (list(range(1, 101)), 0.0, 1),
        ([1.0, 2.0], 0.5, 1.0),
    ],
)
def test_a_percentile_is_the_nearest_rank(values: list[float], fraction: float, expected: float | None) -> None:
    assert percentile(values, fraction) == expected
