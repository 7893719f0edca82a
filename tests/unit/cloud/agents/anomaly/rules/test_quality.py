"""Bad quality for too long, and in too large a share."""

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Quality, Severity
from fieldline_cloud.agents.anomaly.rules.quality import QualityRule, QualityWatch
from fieldline_cloud.agents.anomaly.state import Change

S = 1_000_000_000
GOOD, UNCERTAIN, BAD = Quality.GOOD, Quality.UNCERTAIN, Quality.BAD_TIMEOUT


def quality(*, for_s: float | None = 30, share: float | None = 0.2, worst: Quality = UNCERTAIN) -> QualityWatch:
    for_ns = None if for_s is None else int(for_s * S)
    return QualityRule(for_ns, share, 60 * S, 20, worst, Severity.WARNING, "sensor_quality").watch()


def feed(watch: QualityWatch, qualities: Iterable[Quality], *, from_s: int = 0) -> list[tuple[int, str, Change]]:
    return [
        (second, transition.rule, transition.change)
        for second, one in enumerate(qualities, from_s)
        for transition in watch.update(second * S, one, usable=True) or ()
    ]


def test_bad_for_too_long_is_raised_and_one_good_reading_clears() -> None:
    watch = quality(share=None)
    assert feed(watch, [GOOD, *[BAD] * 40, GOOD]) == [
        (31, "quality_long", Change.RAISED),
        (41, "quality_long", Change.CLEARED),
    ]


def test_the_words_name_the_last_quality() -> None:
    watch = quality(share=None)
    feed(watch, [BAD] * 30)
    (raised,) = watch.update(30 * S, BAD, usable=False) or ()
    assert raised.text == "has had no good quality for 30 s; the last was BAD_TIMEOUT"


def test_too_large_a_share_is_raised_and_clears_at_half_of_it() -> None:
    watch = quality(for_s=None)
    assert feed(watch, [GOOD] * 60) == []
    raised = feed(watch, [BAD, GOOD, GOOD] * 20, from_s=60)
    cleared = feed(watch, [GOOD] * 100, from_s=120)
    assert [one[1:] for one in raised] == [("quality_share", Change.RAISED)]
    assert [one[1:] for one in cleared] == [("quality_share", Change.CLEARED)]
    assert cleared[0][0] > 150


def test_a_few_readings_are_no_share() -> None:
    assert feed(quality(for_s=None), [BAD] * 19) == []


def test_uncertain_readings_count_where_that_is_wanted() -> None:
    assert feed(quality(share=None), [UNCERTAIN] * 40) != []
    assert feed(quality(share=None, worst=Quality.BAD), [UNCERTAIN] * 40) == []


def test_a_good_reading_without_a_usable_value_is_not_good() -> None:
    watch = quality(share=None)
    found = [one for second in range(40) for one in watch.update(second * S, GOOD, usable=False) or ()]
    assert [one.rule for one in found] == ["quality_long"]


def test_late_readings_count_for_nothing_and_a_clock_set_back_begins_anew() -> None:
    watch = quality(share=None)
    feed(watch, [BAD] * 10, from_s=1_000)
    assert watch.update(990 * S, GOOD, usable=True) is None
    assert feed(watch, [BAD] * 30, from_s=0) == []
    assert feed(watch, [BAD] * 2, from_s=30) == [(30, "quality_long", Change.RAISED)]


def test_a_restart_neither_repeats_nor_forgets() -> None:
    watch = quality()
    feed(watch, [BAD] * 40)
    following = quality()
    following.restore(json.loads(json.dumps(watch.snapshot())))
    assert feed(following, [BAD] * 5, from_s=40) == []
    assert (45, "quality_long", Change.CLEARED) in feed(following, [GOOD], from_s=45)


@given(st.lists(st.tuples(st.integers(-100, 100), st.sampled_from(Quality), st.booleans()), max_size=80))
def test_counts_never_drift_and_memory_is_bounded(steps: list[tuple[int, Quality, bool]]) -> None:
    watch, at_ns = quality(), 10**6 * S
    for wait_s, one, usable in steps:
        at_ns += wait_s * S
        watch.update(at_ns, one, usable=usable)
    kept: dict[str, Any] = watch.snapshot()
    assert watch._count == sum(count for _, count, _ in kept["slices"])
    assert watch._bad == sum(bad for _, _, bad in kept["slices"])
    assert len(kept["slices"]) <= 13
