"""Any storage engine against a list in memory: whatever is done in whatever order, readers are given the same."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.core.policies import TopicPolicies, TopicPolicy
from fieldline_cloud.hub.engines.base import Append, Engine, IncomingFrame, ProducerKey, RetentionRules
from fieldline_cloud.hub.engines.segments import SegmentEngine

ALL = 1 << 40
PRODUCER = ProducerKey("p", 1)
TOPICS = [f"{kind}/{n}" for kind in ("plain", "own", "last", "long") for n in (1, 2)]


def segments(size: int, folder: Path, clock: Callable[[], int]) -> Engine:
    return SegmentEngine(folder, segment_bytes=size, now_ms=clock)


ENGINES: dict[str, Callable[[Path, Callable[[], int]], Engine]] = {
    f"segments of {size}": partial(segments, size) for size in (1, 1_500, 20_000)
}

policies = st.builds(
    lambda own, last, long: (own, last, long),
    st.builds(
        TopicPolicy,
        filter=st.just("own/#"),
        age_ms_max=st.sampled_from([None, 50, 400]),
        bytes_max=st.sampled_from([None, 300, 2_000]),
        frames_max=st.sampled_from([None, 1, 4, 20]),
        last_value=st.booleans(),
    ),
    st.just(TopicPolicy("last/#", last_value=True)),
    st.builds(TopicPolicy, filter=st.just("long/#"), age_ms_max=st.sampled_from([1_000, 5_000])),
)
rules = st.builds(
    lambda bytes_max, age_ms_max, given: RetentionRules(bytes_max, age_ms_max, TopicPolicies(given)),
    st.sampled_from([ALL, ALL, 1_000, 8_000]),
    st.sampled_from([100, 500, ALL]),
    st.one_of(st.just(()), policies),
)


@dataclass(frozen=True)
class Stored:
    offset: int
    topic: str
    size: int
    stored_ms: int
    sequence: int


class EngineMachine(RuleBasedStateMachine):
    make: Callable[[Path, Callable[[], int]], Engine]

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.now_ms = self.latest_ms = 10_000
        self.stored: list[Stored] = []
        self.seen: dict[int, Stored] = {}  # what readers must be given
        self.maybe: dict[int, Stored] = {}  # hidden, but what a restart may bring back
        self.engine = self._open()

    def _open(self) -> Engine:
        return type(self).make(Path(self._folder.name), lambda: self.now_ms)

    def teardown(self) -> None:
        self.engine.close()
        self._folder.cleanup()

    @initialize(given=rules)
    def begin(self, given: RetentionRules) -> None:
        self.bounds = given

    @rule(topic=st.sampled_from(TOPICS), frames=st.integers(1, 6), size=st.sampled_from([0, 40, 300]))
    def append_one_topic(self, topic: str, frames: int, size: int) -> None:
        self._append([topic] * frames, size)

    @rule(topics=st.lists(st.sampled_from(TOPICS), min_size=1, max_size=12), size=st.sampled_from([0, 40]))
    def append_mixed(self, topics: list[str], size: int) -> None:
        self._append(topics, size)

    def _append(self, topics: list[str], size: int) -> None:
        frames = []
        for sequence, topic in enumerate(topics, len(self.stored) + 1):
            data = hub_pb2.Frame(topic=topic, sequence=sequence, body=bytes(size)).SerializeToString()
            frames.append(IncomingFrame(sequence, 0, topic, 1, data))
        (appended,) = self.engine.commit([Append(PRODUCER, frames)], {})
        for frame, record in zip(frames, appended.records, strict=True):
            assert record.offset == len(self.stored)
            stored_ms = hub_pb2.Delivery.FromString(record.delivery).stored_at_ms
            assert max(self.now_ms, *(one.stored_ms for one in self.stored[-1:]), 0) <= stored_ms <= self.latest_ms
            one = Stored(record.offset, record.topic, len(record.delivery), stored_ms, frame.sequence)
            self.stored.append(one)
            self.seen[one.offset] = one

    @rule(ms=st.sampled_from([1, 30, 200, 1_000, -40]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms
        self.latest_ms = max(self.latest_ms, self.now_ms)

    @rule(topics=st.sets(st.sampled_from(TOPICS)), share=st.floats(0, 1.2))
    def purge(self, topics: set[str], share: float) -> None:
        below = int(len(self.stored) * share)
        self.engine.purge(topics.__contains__, below)
        for where in (self.seen, self.maybe):
            for one in list(where.values()):
                if one.topic in topics and one.offset < below:
                    del where[one.offset]

    @rule(share=st.one_of(st.none(), st.floats(0, 1)))
    def retain(self, share: float | None) -> None:
        hold = None if share is None else int(len(self.stored) * share)
        file_bytes = self.engine.statistics().file_bytes
        self.engine.retain(self.bounds, now_ms=self.now_ms, hold_offset=hold)
        gone = self._over_exact_bounds(len(self.stored) if hold is None else hold)
        found = set(self._read_all())
        assert found <= self.seen.keys() - gone
        by_bytes = self.seen.keys() - gone - found
        if by_bytes:
            assert file_bytes > self.bounds.bytes_max
            self._check_what_went_by_bytes(by_bytes, found, hold)
        for offset in gone | by_bytes:
            one = self.seen.pop(offset)
            if not self.bounds.policies.of(one.topic).keeps_its_own:
                self.maybe[offset] = one

    def _over_exact_bounds(self, hold: int) -> set[int]:
        gone: set[int] = set()
        for topic in TOPICS:
            frames = sorted((one for one in self.seen.values() if one.topic == topic), key=lambda one: one.offset)
            policy = self.bounds.policies.of(topic)
            age_ms_max = self.bounds.age_ms_max if policy.age_ms_max is None else policy.age_ms_max
            count = size = 0
            newest = max((one.offset for one in self.stored if one.topic == topic), default=-1)
            for one in reversed(frames):
                count, size = count + 1, size + one.size
                over = (
                    one.stored_ms < self.now_ms - age_ms_max
                    or count > (policy.frames_max or ALL)
                    or size > (policy.bytes_max or ALL)
                )
                if over and one.offset < hold and not (policy.last_value and one.offset == newest):
                    gone.add(one.offset)
        return gone

    def _check_what_went_by_bytes(self, gone: set[int], found: set[int], hold: int | None) -> None:
        def lasts(one: Stored) -> bool:
            return (self.bounds.policies.of(one.topic).age_ms_max or 0) > self.bounds.age_ms_max

        def counts(one: Stored) -> bool:
            policy = self.bounds.policies.of(one.topic)
            newest = max(other.offset for other in self.stored if other.topic == one.topic)
            return policy.bytes_max is None and not (policy.last_value and one.offset == newest)

        assert all(counts(self.stored[offset]) for offset in gone)
        assert hold is None or max(gone) < hold
        kept = [self.stored[offset] for offset in found if counts(self.stored[offset])]
        for lasting in (False, True):
            went = [offset for offset in gone if lasts(self.stored[offset]) is lasting]
            stayed = [one.offset for one in kept if lasts(one) is lasting]
            assert max(went, default=-1) < min(stayed, default=ALL)
        if any(lasts(self.stored[offset]) for offset in gone) and hold is None:
            assert all(lasts(one) for one in kept)
        if hold is None:
            assert sum(one.size for one in kept) <= self.bounds.bytes_max

    @rule(given=rules)
    def restart(self, given: RetentionRules) -> None:
        self.engine.close()
        self.engine = self._open()
        self.bounds = given
        found = set(self._read_all())
        assert self.seen.keys() <= found <= self.seen.keys() | self.maybe.keys()
        self.seen = {offset: self.stored[offset] for offset in found}
        self.maybe = {}

    def _read_all(self, start: int = 0, wanted: Callable[[str], bool] = lambda _: True) -> list[int]:
        found: list[int] = []
        while start < len(self.stored):
            chunk = self.engine.read(start, wanted, bytes_max=700)
            for record in chunk.records:
                assert record.topic == self.stored[record.offset].topic
                sent = hub_pb2.Delivery.FromString(record.delivery)
                assert sent.frame.sequence == self.stored[record.offset].sequence
                assert sent.stored_at_ms == self.stored[record.offset].stored_ms
            found += [record.offset for record in chunk.records]
            if chunk.next_offset == start:
                break
            start = chunk.next_offset
        assert found == sorted(set(found))
        return found

    @rule(share=st.floats(0, 1), topics=st.sets(st.sampled_from(TOPICS), min_size=1))
    def read_from_anywhere(self, share: float, topics: set[str]) -> None:
        start = int(len(self.stored) * share)
        expected = sorted(one.offset for one in self.seen.values() if one.topic in topics and one.offset >= start)
        assert self._read_all(start, topics.__contains__) == expected

    @rule(offsets=st.sets(st.integers(0, 150), max_size=20))
    def fetch(self, offsets: set[int]) -> None:
        assert [one.offset for one in self.engine.fetch(sorted(offsets))] == sorted(offsets & self.seen.keys())

    @rule(topics=st.sets(st.sampled_from(TOPICS)))
    def last_values(self, topics: set[str]) -> None:
        newest = {one.topic: one.offset for one in self.stored}
        expected = sorted(offset for topic, offset in newest.items() if topic in topics and offset in self.seen)
        assert [one.offset for one in self.engine.last_values(topics.__contains__)] == expected

    @rule(back_ms=st.integers(-10, 2_000))
    def offset_since(self, back_ms: int) -> None:
        time_ms = self.now_ms - back_ms
        since = self.engine.offset_since(time_ms)
        assert all((one.stored_ms >= time_ms) == (one.offset >= since) for one in self.seen.values())
        assert since <= len(self.stored)

    @invariant()
    def readers_are_given_what_they_must(self) -> None:
        assert self._read_all() == sorted(self.seen)
        assert self.engine.statistics().next_offset == len(self.stored)


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_is_a_list_with_rules(name: str) -> None:
    class Machine(EngineMachine):
        make = staticmethod(ENGINES[name])

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
