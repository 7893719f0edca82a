"""A jump by a known factor that stays looks like another unit of measurement."""

import pytest

from fieldline_cloud.agents.anomaly.learned.units import looks_like


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (4.2, 4_200.0, "x to 1000 x"),
        (4_200.0, 4.2, "1000 x to x"),
        (3.1, 44.96, "bar to psi"),
        (65.0, 149.0, "degC to degF"),
        (149.0, 65.0, "degF to degC"),
        (65.0, 338.15, "degC to K"),
    ],
)
def test_a_known_conversion_is_named(before: float, after: float, text: str) -> None:
    spread = before / 200.0
    found = looks_like(before, after, spread, spread * after / before if "deg" not in text else spread)
    assert found is not None
    assert found.text == text


@pytest.mark.parametrize(
    ("before", "after", "spread", "spread_after"),
    [
        (4.2, 5.4, 0.1, 0.1),  # no factor of any unit
        (0.01, 10.0, 0.1, 0.1),  # around zero every factor fits
        (4.2, 4_200.0, 0.05, 0.05),  # a spread that did not grow with it
        (4.2, 4.2, 0.1, 0.1),
        (float("nan"), 1.0, 0.1, 0.1),
    ],
)
def test_a_fault_is_not_taken_for_a_unit(before: float, after: float, spread: float, spread_after: float) -> None:
    assert looks_like(before, after, spread, spread_after) is None
