"""Means of several tags taken in one go make the rows that one by one they would."""

import math

from hypothesis import given
from hypothesis import strategies as st

from fieldline_cloud.agents.anomaly.learned.together import Together
from tests.unit.cloud.agents.anomaly.learned import standins

EVERY_NS = 10
_SPREAD = st.floats(0.0, 1.0) | st.just(math.nan)
_MEAN = st.tuples(st.integers(0, 60), st.sampled_from("abc"), st.floats(0.0, 9.0), _SPREAD)


@given(batches=st.lists(st.lists(_MEAN, min_size=1, max_size=6), max_size=12))
def test_in_one_go_or_one_by_one_is_the_same(batches: list[list[tuple[int, str, float, float]]]) -> None:
    one_by_one, in_one_go = (Together(standins.Together, EVERY_NS) for _ in range(2))
    for batch in batches:
        for mean in batch:
            one_by_one.take(*mean)
        in_one_go.take_all(*zip(*batch, strict=True))
        assert in_one_go.snapshot() == one_by_one.snapshot()


@given(offsets=st.lists(st.integers(0, 9), min_size=1, max_size=5), before=st.booleans())
def test_a_whole_stretch_in_one_go_is_the_same(offsets: list[int], before: bool) -> None:
    one_by_one, in_one_go = (Together(standins.Together, EVERY_NS) for _ in range(2))
    for together in (one_by_one, in_one_go):
        together.take(25 if before else 15, "z", 1.0)
    means = [(20 + offset, f"tag-{place}", float(place), 0.1 * place) for place, offset in enumerate(offsets)]
    for mean in means:
        one_by_one.take(*mean)
    in_one_go.take_all(*zip(*means, strict=True))
    assert in_one_go.snapshot() == one_by_one.snapshot()
