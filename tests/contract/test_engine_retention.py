"""What every storage engine must do: forgetting what it may, keeping what it must, and finding the rest by time."""

import threading

from fieldline_cloud.hub.core.policies import TopicPolicy
from fieldline_cloud.hub.engines.base import Append, IncomingFrame
from tests.contract.engines import (
    ALL,
    PRODUCER,
    Bench,
    caught,
    data,
    marks,
    offsets,
    sequences,
)


def test_trimming_by_bytes_takes_the_oldest_and_keeps_counting(bench: Bench) -> None:
    for n in range(1, 101):
        bench.append(n, size=1000)
    size = bench.engine.statistics().frames_bytes
    gone = bench.retain(bytes_max=size // 2).frames
    statistics = bench.engine.statistics()
    assert statistics.frames_bytes <= size // 2
    assert 50 <= gone <= 52
    assert (statistics.first_offset, statistics.next_offset) == (gone, 100)
    assert offsets(bench.read_all(0)) == list(range(gone, 100))
    assert offsets(bench.read_all(gone - 1)) == list(range(gone, 100))
    assert bench.retain(bytes_max=size // 2).frames == 0


def test_trimming_by_age_takes_what_was_stored_before(bench: Bench) -> None:
    bench.append(1, 2)
    bench.clock.now_ms = 2_000
    bench.append(3)
    assert bench.retain(age_ms_max=0).frames == 2
    assert sequences(bench.read_all()) == [3]


def test_a_log_trimmed_to_nothing_goes_on_where_it_was(bench: Bench) -> None:
    bench.append(1, 2, 3)
    bench.engine.commit([], marks(d=1))
    assert bench.retain(bytes_max=0).frames == 3
    for _ in range(2):
        statistics = bench.engine.statistics()
        assert (statistics.first_offset, statistics.next_offset, statistics.frames_bytes) == (3, 3, 0)
        assert bench.engine.last_sequence(PRODUCER) == 3
        assert bench.engine.cursors() == {"d": 1}
        bench.reopen()
    assert offsets(bench.append(3, 4).records) == [3]


def test_readers_survive_a_log_that_is_trimmed_under_them(bench: Bench) -> None:
    failures: list[str] = []
    done = threading.Event()

    def read() -> None:
        start = 0
        while not done.is_set():
            chunk = bench.engine.read(start, lambda _: True, bytes_max=5_000)
            found = offsets(chunk.records)
            if found != sorted(set(found)) or (found and found[0] < start):
                failures.append(str(found))
            start = chunk.next_offset

    readers = [threading.Thread(target=caught, args=(read, failures)) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(1, 301):
        bench.append(n, size=500)
        if n % 5 == 0:
            bench.retain(bytes_max=5_000)
    done.set()
    for reader in readers:
        reader.join(timeout=30)
    assert failures == []


def test_an_offset_is_found_by_time(bench: Bench) -> None:
    for n in range(1, 51):
        bench.clock.now_ms = 1_000 + n * 10
        bench.append(2 * n - 1, 2 * n, size=3_000)
    for _ in range(2):
        assert bench.engine.offset_since(0) == 0
        assert bench.engine.offset_since(1_010) == 0
        assert bench.engine.offset_since(1_011) == 2
        assert bench.engine.offset_since(1_250) == 48
        assert bench.engine.offset_since(1_500) == 98
        assert bench.engine.offset_since(1_501) == 100
        bench.reopen()
    bench.retain(age_ms_max=100)
    assert bench.engine.offset_since(0) == 78


def test_the_log_of_nothing_has_nothing_since_any_time(bench: Bench) -> None:
    assert bench.engine.offset_since(0) == 0
    bench.engine.commit([], marks(d=1))
    assert bench.engine.offset_since(0) == 0
    bench.append(1)
    assert (bench.engine.offset_since(1_000), bench.engine.offset_since(1_001)) == (0, 1)


def test_the_last_frame_of_every_topic_is_known(bench: Bench) -> None:
    for n in range(1, 31):
        bench.append(n, topic=f"t/{n % 4}")
    for _ in range(2):
        assert offsets(bench.engine.last_values(lambda _: True)) == [26, 27, 28, 29]
        assert [one.topic for one in bench.engine.last_values("t/2".__eq__)] == ["t/2"]
        assert bench.engine.last_values(lambda _: False) == []
        bench.reopen()
    bench.append(31, topic="t/2")
    assert offsets(bench.engine.last_values(lambda _: True)) == [26, 27, 28, 30]


def test_a_topic_keeps_as_many_frames_as_it_may(bench: Bench) -> None:
    for n in range(1, 41):
        bench.append(n, topic=f"t/{n % 2}")
    bench.retain(TopicPolicy("t/1", frames_max=3))
    for _ in range(2):
        assert offsets(bench.read_all(wanted="t/1".__eq__)) == [34, 36, 38]
        assert len(bench.read_all(wanted="t/0".__eq__)) == 20
        assert offsets(bench.engine.fetch([32, 33, 34])) == [33, 34]
        bench.reopen()


def test_a_topic_keeps_as_many_bytes_as_it_may(bench: Bench) -> None:
    for n in range(1, 21):
        bench.append(n, topic=f"t/{n % 2}", size=1_000)
    size = len(bench.read_all()[0].delivery)
    bench.retain(TopicPolicy("t/1", bytes_max=2 * size + 100), bytes_max=0)
    assert offsets(bench.read_all()) == [16, 18]


def test_topics_are_kept_for_as_long_as_each_may(bench: Bench) -> None:
    for n in range(1, 101):
        bench.clock.now_ms = n * 100
        bench.append(n, topic=("readings", "alerts", "other")[n % 3])
    bench.retain(TopicPolicy("readings", age_ms_max=500), TopicPolicy("alerts", age_ms_max=5_000), age_ms_max=2_000)
    found = bench.read_all()
    kept = {topic: [one.offset for one in found if one.topic == topic] for topic in ("readings", "alerts", "other")}
    assert {topic: min(given) for topic, given in kept.items()} == {"readings": 95, "alerts": 51, "other": 79}
    bench.reopen()
    assert {one.offset for one in found} <= set(offsets(bench.read_all()))
    assert offsets(bench.read_all(wanted="readings".__eq__)) == kept["readings"]


def test_what_is_kept_long_outlives_a_flood_of_what_is_not(bench: Bench) -> None:
    alerts = TopicPolicy("alerts", age_ms_max=10_000)
    for n in range(1, 201):
        bench.clock.now_ms = n * 10
        bench.append(n, topic="alerts" if n % 20 == 0 else "readings", size=500)
        bench.retain(alerts, bytes_max=12_000, age_ms_max=1_000)
    assert len(bench.read_all(wanted="alerts".__eq__)) == 10
    assert 0 < len(bench.read_all(wanted="readings".__eq__)) < 20
    assert bench.engine.statistics().file_bytes < 16_000


def test_the_last_value_stays_whatever_retention_says(bench: Bench) -> None:
    for n in range(1, 31):
        bench.append(n, topic=f"t/{n % 3}")
    bench.clock.now_ms = 100_000
    bench.retain(TopicPolicy("t/+", last_value=True, age_ms_max=10, frames_max=5), bytes_max=0, age_ms_max=10)
    for _ in range(2):
        assert offsets(bench.read_all()) == [27, 28, 29]
        assert offsets(bench.engine.last_values(lambda _: True)) == [27, 28, 29]
        bench.reopen()


def test_what_is_held_does_not_go_and_is_counted(bench: Bench) -> None:
    for n in range(1, 21):
        bench.append(n, topic=f"t/{n % 2}", size=500)
    bench.clock.now_ms = 100_000
    policy = TopicPolicy("t/1", frames_max=1)
    bench.retain(policy, bytes_max=0, age_ms_max=10, hold_offset=12)
    assert offsets(bench.read_all()) == list(range(12, 20))
    assert 4_000 < bench.engine.statistics().held_bytes < 6_000
    bench.retain(policy, bytes_max=0, age_ms_max=10)
    assert bench.read_all() == []
    assert bench.engine.statistics().held_bytes == 0


def test_what_was_purged_is_gone_for_every_reader_and_for_good(bench: Bench) -> None:
    for n in range(1, 31):
        bench.append(n, topic=f"t/{n % 3}")
    assert bench.engine.purge(lambda topic: topic != "t/2", 20) == 2
    assert bench.engine.purge("t/0".__eq__, 100) == 1
    assert bench.engine.purge("t/0".__eq__, 100) == 0
    assert bench.engine.purge("nobody".__eq__, 100) == 0
    for _ in range(3):
        assert offsets(bench.read_all(wanted="t/0".__eq__)) == []
        assert offsets(bench.read_all(wanted="t/1".__eq__)) == [21, 24, 27]
        assert len(bench.read_all(wanted="t/2".__eq__)) == 10
        assert offsets(bench.engine.fetch([0, 1, 2])) == [1]
        assert offsets(bench.engine.last_values(lambda _: True)) == [27, 28]
        bench.reopen()
        bench.retain()
    bench.append(31, topic="t/0")
    assert offsets(bench.engine.last_values("t/0".__eq__)) == [30]


def test_purging_gives_the_disk_its_space_back(bench: Bench) -> None:
    for n in range(1, 101):
        bench.append(n, topic=f"t/{n % 2}", size=1_000)
    before = bench.engine.statistics().file_bytes
    bench.engine.purge("t/0".__eq__, 100)
    assert bench.retain().frames >= 49
    assert bench.engine.statistics().file_bytes < before * 0.6
    assert len(bench.read_all()) == 50


def test_readers_miss_nothing_while_the_log_is_rewritten_under_them(bench: Bench) -> None:
    failures: list[str] = []
    done = threading.Event()
    keep = TopicPolicy("keep", age_ms_max=ALL)

    def read() -> None:
        while True:
            last = done.is_set()
            end = bench.engine.statistics().next_offset
            found = {one.offset for one in bench.read_all(wanted="keep".__eq__)}
            missing = [offset for offset in range(0, end, 4) if offset not in found]
            if missing:
                failures.append(f"{missing[:5]} of {end}")
            if last:
                break

    readers = [threading.Thread(target=caught, args=(read, failures)) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(1, 101):
        frames = [IncomingFrame(4 * n + i, 0, t, 1, data(n, t)) for i, t in enumerate(["keep", "x", "x", "x"])]
        bench.engine.commit([Append(PRODUCER, frames)], {})
        bench.clock.now_ms += 1
        if n % 5 == 0:
            bench.retain(keep, age_ms_max=0)
    done.set()
    for reader in readers:
        reader.join(timeout=30)
    assert failures == []
