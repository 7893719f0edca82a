"""How the bar stands after an excursion."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_cloud.detectors.aftermath import Aftermath


def aftermath() -> Aftermath:
    return Aftermath(share=0.4, bar_max=2.0, half_life_rows=100.0)


def test_small_scores_leave_the_bar_where_it_is() -> None:
    memory = aftermath()

    assert memory.soften(np.array([0.5, 2.4, 1.1])).tolist() == [0.5, 2.4, 1.1]
    assert memory.bar == 1.0


def test_after_a_large_one_the_bar_is_higher_and_never_more_than_twice() -> None:
    memory = aftermath()

    softened = memory.soften(np.array([50.0, 1.5]))

    assert softened.tolist() == [25.0, 0.75]
    assert memory.bar == 2.0


def test_it_is_forgotten() -> None:
    memory = aftermath()
    memory.soften(np.array([5.0]))

    softened = memory.soften(np.full(200, 0.9))

    assert softened[0] == pytest.approx(0.45, rel=0.02)
    assert softened[-1] == 0.9


@given(st.lists(st.floats(0, 1e9) | st.just(float("nan")), max_size=40), st.integers(0, 40))
def test_no_score_is_ever_raised_or_more_than_halved_and_batches_do_not_matter(scores: list[float], cut: int) -> None:
    whole, parts = aftermath(), aftermath()
    given_scores = np.array(scores)

    softened = whole.soften(given_scores)

    split = np.concatenate((parts.soften(given_scores[:cut]), parts.soften(given_scores[cut:])))
    np.testing.assert_allclose(split, softened, rtol=1e-12)
    there = np.isfinite(given_scores)
    assert (softened[there] <= given_scores[there]).all()
    assert (softened[there] >= given_scores[there] / 2.0 - 1e-12).all()
