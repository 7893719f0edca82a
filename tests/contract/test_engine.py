"""What every storage engine must do: storing, reading, resuming. One suite for all of tests/contract/engines.py."""

import threading
from itertools import pairwise

import pytest

from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.core.marks import DurableMark, DurableSettings, Redelivery
from fieldline_cloud.hub.core.record import VOLATILE
from fieldline_cloud.hub.engines.base import Append, IncomingFrame, ProducerKey, StorageError
from tests.contract.engines import (
    ALL,
    PRODUCER,
    Bench,
    append,
    caught,
    data,
    log_sizes,
    marks,
    offsets,
    sequences,
)


def test_what_is_appended_is_numbered_from_0_without_holes_and_read_back(bench: Bench) -> None:
    appended = bench.append(1, 2, 3, topic="a/b", producer=ProducerKey("gateway", 7))
    assert (appended.acked_sequence, appended.messages, appended.duplicates, appended.gap_expected) == (3, 6, 0, None)
    bench.append(1, producer=ProducerKey("other", 7))

    records = bench.read_all()
    assert offsets(records) == [0, 1, 2, 3]
    assert list(appended.records) == records[:3]
    delivery = hub_pb2.Delivery.FromString(records[1].delivery)
    assert (delivery.offset, delivery.producer, delivery.epoch) == (1, "gateway", 7)
    assert delivery.frame.SerializeToString() == data(2, "a/b")
    assert records[1].topic == delivery.frame.topic


def test_an_empty_log_reads_as_nothing(bench: Bench) -> None:
    assert bench.engine.read(0, lambda _: True, bytes_max=ALL).records == []
    assert bench.engine.commit([], {}) == []
    statistics = bench.engine.statistics()
    assert (statistics.first_offset, statistics.next_offset, statistics.frames_bytes) == (0, 0, 0)


def test_reading_from_any_offset_gives_exactly_what_follows(bench: Bench) -> None:
    for begin in range(1, 101, 7):
        bench.append(*range(begin, min(begin + 7, 101)))
    for start in (0, 1, 6, 7, 8, 50, 98, 99):
        assert offsets(bench.read_all(start)) == list(range(start, 100))
    for start in (100, 101, 5_000):
        chunk = bench.engine.read(start, lambda _: True, bytes_max=ALL)
        assert (list(chunk.records), chunk.next_offset) == ([], start)


def test_only_wanted_topics_are_given(bench: Bench) -> None:
    for n in range(1, 61):
        bench.append(n, topic=f"t/{n % 6}")
    records = bench.read_all(wanted=lambda topic: topic in ("t/2", "t/5"))
    assert offsets(records) == [n - 1 for n in range(1, 61) if n % 6 in (2, 5)]
    assert {one.topic for one in records} == {"t/2", "t/5"}
    assert bench.read_all(wanted=lambda _: False) == []


def test_wanted_and_other_topics_of_one_group_are_told_apart(bench: Bench) -> None:
    bench.engine.commit([append(n, topic=f"t/{n % 5}") for n in range(1, 21)], {})
    for wanted in range(5):
        found = bench.read_all(wanted=f"t/{wanted}".__eq__)
        assert [one.topic for one in found] == [f"t/{wanted}"] * 4


def test_a_read_ends_near_its_bytes_and_says_where_to_go_on(bench: Bench) -> None:
    for n in range(1, 51):
        bench.append(n, size=1000)
    start, rounds, found = 0, 0, 0
    while start < 50:
        chunk = bench.engine.read(start, lambda _: True, bytes_max=5_000)
        assert chunk.next_offset > start
        assert sum(len(one.delivery) for one in chunk.records[:-1]) < 6_100
        found += len(chunk.records)
        start, rounds = chunk.next_offset, rounds + 1
    assert (found, rounds > 5) == (50, True)


def test_a_great_group_is_stored_and_read_whole(bench: Bench) -> None:
    assert bench.append(*range(1, 41), size=100_000).acked_sequence == 40
    assert sequences(bench.read_all()) == list(range(1, 41))
    assert offsets(bench.read_all(17)) == list(range(17, 40))


def test_a_frame_that_comes_again_is_acknowledged_and_not_stored(bench: Bench) -> None:
    bench.append(1, 2, 3)
    again = bench.append(2, 3, 4)
    assert (again.acked_sequence, again.duplicates, offsets(again.records)) == (4, 2, [3])
    nothing_new = bench.append(1)
    assert (nothing_new.acked_sequence, nothing_new.duplicates, list(nothing_new.records)) == (4, 1, [])
    assert sequences(bench.read_all()) == [1, 2, 3, 4]


def test_a_frame_that_comes_again_in_the_same_group_is_stored_once(bench: Bench) -> None:
    first, second, third = bench.engine.commit([append(1, 2), append(2, 3), append(1, 2, 3)], {})
    assert [one.duplicates for one in (first, second, third)] == [0, 1, 3]
    assert sequences(bench.read_all()) == [1, 2, 3]


def test_a_gap_stops_the_frames_behind_it_and_names_what_is_missing(bench: Bench) -> None:
    bench.append(1)
    appended = bench.append(2, 4, 5)
    assert (appended.acked_sequence, appended.gap_expected, len(appended.records)) == (2, 3, 1)
    assert bench.engine.last_sequence(PRODUCER) == 2
    assert sequences(bench.read_all()) == [1, 2]


def test_frames_skipped_on_purpose_leave_no_gap(bench: Bench) -> None:
    bench.append(1)
    assert bench.append(10, skipped=8).gap_expected is None
    assert bench.append(20, skipped=8).gap_expected == 11
    assert bench.append(20, skipped=15).acked_sequence == 20


def test_an_unknown_producer_may_begin_anywhere_and_a_known_one_goes_on(bench: Bench) -> None:
    assert bench.engine.last_sequence(PRODUCER) == 0
    assert bench.append(1000).acked_sequence == 1000
    assert bench.append(1002).gap_expected == 1001
    assert bench.engine.last_sequence(PRODUCER._replace(epoch=2)) == 0


def test_the_greatest_numbers_that_fit_are_kept(bench: Bench) -> None:
    greatest = (1 << 63) - 1
    producer = ProducerKey("p" * 64, greatest)
    bench.append(greatest, producer=producer)
    bench.reopen()
    assert bench.engine.last_sequence(producer) == greatest


def test_numbers_that_do_not_fit_are_a_storage_error_and_leave_nothing(bench: Bench) -> None:
    for wrong in (append(1 << 63, producer=ProducerKey("q", 1)), append(1, producer=ProducerKey("p", 1 << 63))):
        with pytest.raises(StorageError):
            bench.engine.commit([append(1, 2), wrong], marks(d=1))
    assert bench.engine.cursors() == {}
    assert bench.append(1).duplicates == 0


def test_everything_is_there_after_a_restart(bench: Bench) -> None:
    bench.append(1, 2, topic="a")
    bench.append(3, topic="b")
    bench.engine.commit([], marks(d=2, e=0))
    before = bench.read_all()
    statistics = bench.engine.statistics()

    bench.reopen()

    assert bench.read_all() == before
    assert bench.engine.last_sequence(PRODUCER) == 3
    assert bench.engine.cursors() == {"d": 2, "e": 0}
    assert sorted(bench.engine.topics()) == ["a", "b"]
    after = bench.engine.statistics()
    assert (after.first_offset, after.next_offset, after.frames_bytes) == (0, 3, statistics.frames_bytes)
    assert bench.append(2, 3, 4, topic="c").duplicates == 2
    assert offsets(bench.read_all()) == [0, 1, 2, 3]
    assert [one.topic for one in bench.read_all()] == ["a", "a", "b", "c"]


def test_every_topic_is_known_with_its_newest_frame_also_after_a_restart(bench: Bench) -> None:
    bench.append(1, 2, topic="a")
    bench.append(3, topic="b")
    bench.append(4, topic="a")
    for _ in range(2):
        assert dict(bench.engine.topics()) == {"a": 3, "b": 2}
        bench.reopen()


def test_cursors_never_move_back(bench: Bench) -> None:
    assert bench.engine.cursor("d") is None
    for offset, kept in ((5, 5), (3, 5), (5, 5), (9, 9), (0, 9)):
        bench.engine.commit([], marks(d=offset))
        assert bench.engine.cursor("d") == kept
    bench.reopen()
    assert bench.engine.cursors() == {"d": 9}


def test_the_whole_state_of_a_durable_comes_back(bench: Bench) -> None:
    settings = DurableSettings(
        filters=("a/#", "b"),
        group=True,
        ack_wait_ms=30_000,
        deliveries_max=5,
        backoff_ms=(10, 200),
        hold=True,
        pending_max=7,
        created_ms=12,
    )
    mark = DurableMark(
        "d",
        4,
        done=(6, 8, 9, 10),
        redeliveries=(Redelivery(5, 2, (0, 3), "no room"), Redelivery(8, 1, replay=True)),
        settings=settings,
        buried_below=2,
        buried=(3, 4),
    )
    bench.engine.commit([], {"d": mark})
    bench.reopen()
    assert bench.engine.durables() == {"d": mark}


def test_a_mark_without_settings_leaves_them_as_they_are(bench: Bench) -> None:
    settings = DurableSettings(filters=("t",), group=True)
    bench.engine.commit([], {"d": DurableMark("d", 1, settings=settings)})
    bench.engine.commit([], {"d": DurableMark("d", 2, done=(3, 4))})
    bench.reopen()
    assert bench.engine.durables() == {"d": DurableMark("d", 2, done=(3, 4), settings=settings)}


def test_a_deleted_durable_is_gone_and_may_begin_anew(bench: Bench) -> None:
    bench.engine.commit([], marks(d=5))
    bench.engine.commit([], {"d": DurableMark("d", 0, deleted=True)})
    bench.reopen()
    assert bench.engine.durables() == {}
    bench.engine.commit([], marks(d=2))
    bench.reopen()
    assert bench.engine.cursors() == {"d": 2}


def test_a_mark_that_says_nothing_new_is_not_written(bench: Bench) -> None:
    bench.engine.commit([], marks(d=5))
    before = log_sizes(bench)
    bench.engine.commit([], marks(d=5))
    assert log_sizes(bench) == before


def test_single_frames_are_fetched_by_their_offsets(bench: Bench) -> None:
    for n in range(1, 101):
        bench.append(n, topic=f"t/{n % 3}")
    wanted = [0, 1, 7, 50, 51, 98, 99]
    records = bench.engine.fetch(wanted)
    assert offsets(records) == wanted
    assert sequences(records) == [offset + 1 for offset in wanted]
    assert offsets(bench.engine.fetch([99, 100, 5_000])) == [99]
    assert bench.engine.fetch([]) == []
    bench.retain(bytes_max=bench.engine.statistics().frames_bytes // 2)
    first = bench.engine.statistics().first_offset
    assert offsets(bench.engine.fetch([0, first - 1, first, 99])) == [first, 99]


def test_key_and_expiry_come_back_with_the_frame(bench: Bench) -> None:
    frames = [
        IncomingFrame(1, 0, "t", 1, data(1, "t"), key="k", ttl_ms=500),
        IncomingFrame(2, 0, "t", 1, data(2, "t")),
        IncomingFrame(3, 0, "t", 1, data(3, "t"), ttl_ms=70),
    ]
    appended = bench.engine.commit([Append(PRODUCER, frames)], {})[0]
    expected = [("k", 1_500), ("", 0), ("", 1_070)]
    assert [(one.key, one.expires_ms) for one in appended.records] == expected
    bench.reopen()
    assert [(one.key, one.expires_ms) for one in bench.read_all()] == expected
    assert [hub_pb2.Delivery.FromString(one.delivery).stored_at_ms for one in bench.read_all()] == [1_000] * 3


def test_frames_that_are_not_durable_are_numbered_and_not_kept(bench: Bench) -> None:
    before = log_sizes(bench)
    fleeting = [IncomingFrame(n, 0, "v", 1, data(n, "v"), durable=False) for n in (1, 2)]
    appended = bench.engine.commit([Append(PRODUCER, fleeting)], {})[0]
    assert (appended.acked_sequence, offsets(appended.records)) == (2, [VOLATILE, VOLATILE])
    delivery = hub_pb2.Delivery.FromString(appended.records[0].delivery)
    assert (delivery.volatile, delivery.producer, delivery.frame.sequence) == (True, "p", 1)
    assert log_sizes(bench) == before

    mixed = Append(PRODUCER, [*fleeting, fleeting[0]._replace(sequence=3), IncomingFrame(4, 0, "t", 1, data(4, "t"))])
    appended = bench.engine.commit([mixed], {})[0]
    assert (appended.acked_sequence, appended.duplicates, offsets(appended.records)) == (4, 2, [VOLATILE, 0])
    bench.reopen()
    assert bench.engine.last_sequence(PRODUCER) == 4
    assert sequences(bench.read_all()) == [4]


def test_a_producer_that_was_told_more_than_is_known_goes_on_behind_it(bench: Bench) -> None:
    bench.append(1, 2)
    bench.engine.adopt(PRODUCER, 7)
    bench.engine.adopt(PRODUCER, 5)
    assert bench.engine.last_sequence(PRODUCER) == 7
    assert bench.append(9).gap_expected == 8
    bench.append(8)
    bench.reopen()
    assert bench.engine.last_sequence(PRODUCER) == 8


def test_a_failed_group_leaves_nothing_behind(bench: Bench) -> None:
    bench.append(1)
    bench.engine.commit([], marks(d=1))
    before = log_sizes(bench)
    broken = append(1, topic="new/topic", producer=ProducerKey("q", 1 << 63))  # noticed when all else is written

    with pytest.raises(StorageError):
        bench.engine.commit([append(2, 3, topic="other"), broken], marks(d=7))

    for _ in range(2):
        assert log_sizes(bench) == before
        assert bench.engine.cursors() == {"d": 1}
        assert bench.engine.last_sequence(PRODUCER) == 1
        assert list(bench.engine.topics()) == ["t"]
        assert sequences(bench.read_all()) == [1]
        bench.reopen()
    assert offsets(bench.append(2, 3, topic="other").records) == [1, 2]


def test_readers_see_whole_groups_in_order_while_others_are_written(bench: Bench) -> None:
    done = threading.Event()
    failures: list[str] = []

    def read() -> None:
        start = 0
        topics: dict[int, str] = {}
        while True:
            last = done.is_set()
            chunk = bench.engine.read(start, lambda _: True, bytes_max=20_000)
            for one in chunk.records:
                topics[one.offset] = one.topic
            start = chunk.next_offset
            if last and not chunk.records:
                break
        if list(topics) != list(range(900)):
            failures.append(f"{len(topics)} records, holes at {[a for a, b in pairwise(topics) if b != a + 1][:5]}")
        if any(topic != f"t/{offset // 3}" for offset, topic in topics.items()):
            failures.append("a topic is wrong")

    readers = [threading.Thread(target=caught, args=(read, failures)) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(1, 900, 3):
        bench.append(n, n + 1, n + 2, topic=f"t/{n // 3}")
        bench.engine.commit([], marks(d=n))
    done.set()
    for reader in readers:
        reader.join(timeout=30)
    assert failures == []


def test_stored_times_do_not_fall_when_the_clock_does(bench: Bench) -> None:
    bench.clock.now_ms = 5_000
    bench.append(1)
    bench.clock.now_ms = 3_000
    bench.append(2)
    bench.reopen()
    bench.append(3)
    bench.clock.now_ms = 6_000
    bench.append(4)
    stored = [hub_pb2.Delivery.FromString(one.delivery).stored_at_ms for one in bench.read_all()]
    assert stored == [5_000, 5_000, 5_000, 6_000]
    assert bench.engine.offset_since(5_001) == 3
