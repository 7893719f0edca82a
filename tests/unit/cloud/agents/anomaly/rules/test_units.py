"""A leap that looks like another unit is said in words; an ordinary one is not."""

import pytest

from fieldline.model import Severity
from fieldline_cloud.agents.anomaly.rules.limits import Level, Range
from fieldline_cloud.agents.anomaly.rules.units import unit_change

S = 1_000_000_000


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (2.5, 2_500.0, "1000 times"),
        (2_510.0, 2.5, "1/1000 of"),
        (0.5, 50.2, "100 times"),
        (3.0, 43.5, "14.5038 times"),
        (60.0, 140.0, "degC to degF"),
        (140.0, 60.0, "degF to degC"),
        (60.0, 333.2, "degC to K"),
        (10.0, 254.0, "in to mm"),
    ],
)
def test_known_factors_are_named(before: float, after: float, said: str) -> None:
    assert said in unit_change(before, after)


@pytest.mark.parametrize(
    ("before", "after"), [(2.5, 5.0), (4.4, 4.6), (0.0, 5.0), (5.0, 0.0), (2.5, 25.0), (1.0, -1.0)]
)
def test_an_ordinary_leap_is_no_change_of_unit(before: float, after: float) -> None:
    assert unit_change(before, after) == ""


def test_the_alert_says_so_where_a_limit_is_crossed_in_one_leap() -> None:
    watch = Range((Level("hi", 10.0, True, Severity.WARNING),), 0.0, 2 * S, 0, "pressure", "bar").watch()
    watch.update(S, 2.5)
    watch.update(2 * S, 2_500.0)
    watch.update(3 * S, 2_501.0)
    (raised,) = watch.update(4 * S, 2_502.0) or ()
    assert raised.text.startswith("2502 bar is above the hi limit 10 bar; just before it was 2.5, and 1000 times")
