"""What kind of signal a tag is, by its values."""

from collections.abc import Iterable

import numpy as np
import pytest

from fieldline_cloud.agents.anomaly.learned.natures import Natures
from fieldline_cloud.agents.anomaly.learned.stretches import Told

S = 1_000_000_000


def counters(natures: Natures, values: Iterable[float]) -> list[int]:
    natures.reserve(1)
    row, one = np.zeros(1, np.int64), np.ones(1, np.int64)
    found: list[int] = []
    for place, value in enumerate(values):
        told = Told(row, np.array([place * 10 * S]), np.array([value]), np.array([np.nan]), one)
        found += natures.counters(told).tolist()
    return found


def test_what_rises_in_most_stretches_and_never_falls_is_a_counter() -> None:
    natures = Natures()

    assert counters(natures, np.arange(300.0)) == [0]
    assert not natures.is_coarse(0)


@pytest.mark.parametrize("stretches_each", [3, 10, 15, 40])
def test_what_rises_seldom_and_never_falls_is_a_coarse_counter(stretches_each: int) -> None:
    natures = Natures()

    assert counters(natures, np.arange(900) // stretches_each) == [0]
    assert natures.is_coarse(0)


def test_what_falls_as_well_is_none() -> None:
    assert counters(Natures(), np.sin(np.arange(900) / 40.0)) == []
