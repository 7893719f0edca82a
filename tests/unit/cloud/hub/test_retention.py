"""What retention plans, from made-up segments: no file, no clock."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from fieldline_cloud.hub.core.policies import TopicPolicy
from fieldline_cloud.hub.engines.segments.retention import Books, Plan, Span, Topic, draw_up
from fieldline_cloud.hub.engines.segments.tally import Detail, OpenTally

ALL = 1 << 40
FRAME = bytes(100)
ALERTS, READINGS = 1, 2


class Log:
    """Segments given by the topic of each frame; a frame has 100 bytes and is stored at its offset, in ms."""

    def __init__(self, *segments: Sequence[int]) -> None:
        self.topics = list(segments)
        self.looked: list[int] = []

    def plan(self, own: Mapping[int, TopicPolicy] | None = None, **given: Any) -> Plan:
        spans, offset = [], 0
        ends: dict[int, int] = {}
        for topics in self.topics:
            tally = OpenTally()
            tally.add(offset, topics, [FRAME] * len(topics))
            ends |= {topic: offset + place + 1 for place, topic in enumerate(topics)}
            spans.append(Span(offset, offset + len(topics), 100 * len(topics), tally.closed() if own else None))
            offset += len(topics)
        end_offset = offset
        books = Books(
            spans=spans,
            own={topic: Topic(policy, ends[topic]) for topic, policy in (own or {}).items() if topic in ends},
            purged=given.pop("purged", {}),
            general=given.pop("general", 0),
            offset_since=lambda time_ms: max(0, min(time_ms, end_offset)),
            detail=self.detail,
            segment_bytes=given.pop("segment_bytes", 1_000),
        )
        bounds = {"bytes_max": ALL, "age_ms_max": ALL, "now_ms": end_offset} | given
        return draw_up(books, **bounds)

    def detail(self, place: int) -> Detail:
        self.looked.append(place)
        detail = Detail()
        first = sum(map(len, self.topics[:place]))
        detail.add(first, self.topics[place], [FRAME] * len(self.topics[place]))
        return detail


READINGS_ONLY = [READINGS] * 10


def test_within_its_bounds_nothing_happens_to_a_log() -> None:
    assert Log(READINGS_ONLY, READINGS_ONLY).plan() == Plan(0)


def test_age_hides_exactly_and_removes_whole_segments() -> None:
    plan = Log(READINGS_ONLY, READINGS_ONLY, READINGS_ONLY).plan(age_ms_max=15)
    assert (plan.general, plan.gone, plan.roll) == (15, [0], False)


def test_bytes_take_whole_segments_the_oldest_first() -> None:
    plan = Log(READINGS_ONLY, READINGS_ONLY, READINGS_ONLY).plan(bytes_max=1_500)
    assert (plan.general, plan.gone) == (20, [0, 1])


def test_a_floor_never_falls() -> None:
    assert Log(READINGS_ONLY, READINGS_ONLY).plan(general=12).general == 12


def test_the_newest_segment_is_closed_when_all_of_it_must_go() -> None:
    plan = Log(READINGS_ONLY, READINGS_ONLY).plan(bytes_max=0)
    assert (plan.general, plan.gone, plan.roll) == (20, [0, 1], True)


def test_an_empty_log_is_left_alone() -> None:
    assert Log([]).plan(bytes_max=0, age_ms_max=0) == Plan(0)


def test_what_is_held_stays_and_is_counted() -> None:
    plan = Log(READINGS_ONLY, READINGS_ONLY, READINGS_ONLY).plan(bytes_max=0, hold_offset=12)
    assert (plan.general, plan.gone, plan.held_bytes) == (12, [0], 2_000)


def test_topics_with_a_longer_age_go_last_when_bytes_are_over() -> None:
    own = {ALERTS: TopicPolicy(age_ms_max=ALL)}
    log = Log([ALERTS, *[READINGS] * 9], [ALERTS, *[READINGS] * 9], READINGS_ONLY)
    plan = log.plan(own, bytes_max=1_200, age_ms_max=1_000)
    assert (plan.general, plan.floors, plan.gone) == (20, {}, [])
    assert plan.rewrite == [range(1), range(1, 2)]
    assert log.plan(own, bytes_max=150, age_ms_max=1_000).floors == {ALERTS: 1}


def test_topics_with_bytes_of_their_own_do_not_count() -> None:
    plan = Log([ALERTS] * 10, READINGS_ONLY).plan({ALERTS: TopicPolicy(bytes_max=5_000)}, bytes_max=1_000)
    assert (plan.general, plan.floors) == (0, {})


def test_a_topic_keeps_its_newest_frames() -> None:
    log = Log([ALERTS, READINGS] * 5, [ALERTS, READINGS] * 5)
    assert log.plan({ALERTS: TopicPolicy(frames_max=7)}).floors == {ALERTS: 5}
    assert log.plan({ALERTS: TopicPolicy(bytes_max=250)}).floors == {ALERTS: 15}


def test_a_floor_moves_only_past_frames_that_are_there() -> None:
    log = Log([ALERTS, *[READINGS] * 9], [*[READINGS] * 9, ALERTS])
    own = {ALERTS: TopicPolicy(age_ms_max=5)}
    assert log.plan(own, now_ms=15).floors == {ALERTS: 1}
    assert log.plan(own, now_ms=15, purged={ALERTS: 1}).floors == {}


def test_the_last_value_is_below_no_floor() -> None:
    plan = Log([ALERTS] * 10, READINGS_ONLY).plan({ALERTS: TopicPolicy(last_value=True)}, bytes_max=0, age_ms_max=1)
    assert plan.floors == {ALERTS: 9}
    assert 0 not in plan.gone


def test_what_the_tallies_answer_is_not_looked_up_in_files() -> None:
    log = Log([ALERTS] * 10, READINGS_ONLY, [ALERTS] * 10, READINGS_ONLY)
    plan = log.plan({ALERTS: TopicPolicy(frames_max=10)})
    assert (plan.floors, plan.gone, log.looked) == ({ALERTS: 10}, [0], [])


def test_a_segment_is_looked_at_again_only_when_more_of_it_may_be_dead() -> None:
    log = Log([ALERTS] * 8 + [READINGS] * 2, READINGS_ONLY)
    plan = log.plan({ALERTS: TopicPolicy(frames_max=4)})
    assert plan.look == [(0, 700)]
    seen = Span(0, 10, 1_000, looked_dead_bytes=700)
    assert seen.looked_dead_bytes == plan.look[0][1]


def test_eight_small_neighbours_are_put_together_and_seven_are_not() -> None:
    own = {ALERTS: TopicPolicy(age_ms_max=ALL)}
    small = [[ALERTS] for _ in range(8)]
    assert Log(*small, READINGS_ONLY).plan(own).rewrite == [range(8)]
    assert Log(*small[:7], READINGS_ONLY).plan(own).rewrite == []


def test_details_keep_offsets_and_sizes_apart_by_topic() -> None:
    detail = Log([ALERTS, READINGS, 0, ALERTS]).detail(0)
    assert detail.of(ALERTS) == (array("Q", [0, 3]), array("I", [100, 100]))
    assert list(detail.topics()) == [ALERTS, READINGS]
