import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.model import Quality
from fieldline_edge.drivers.scaling import scaler


@pytest.mark.parametrize(
    ("raw", "scale", "offset", "value"),
    [
        (214, 0.1, 0, 21.4),  # 214 * 0.1 is 21.400000000000002
        (3, 0.01, 0, 0.03),
        (7, 0.025, 0, 0.175),
        (10, 2, 1, 21.0),
        (10, -0.1, 0, -1.0),
        (10, 0.3, 0, 3.0),
        (5, 1, 0.5, 5.5),
    ],
)
def test_a_value_is_what_the_maker_meant(raw: int, scale: float, offset: float, value: float) -> None:
    assert scaler(scale=scale, offset=offset)(raw) == (value, Quality.GOOD)


@given(raw=st.integers(-(2**31), 2**31), digits=st.integers(1, 6))
def test_a_decimal_scale_gives_the_nearest_decimal(raw: int, digits: int) -> None:
    value, _ = scaler(scale=float(f"1e-{digits}"))(raw)
    assert value == float(f"{raw}e-{digits}")


def test_an_int_without_scale_stays_an_int() -> None:
    value, _ = scaler(minimum=0)(7)
    assert value == 7
    assert type(value) is int


def test_an_int_with_scale_becomes_a_float() -> None:
    value, _ = scaler(scale=2)(7)
    assert type(value) is float


@pytest.mark.parametrize(
    ("raw", "quality"),
    [
        (-1, Quality.BAD_RANGE),
        (0, Quality.GOOD),
        (100, Quality.GOOD),
        (101, Quality.BAD_RANGE),
    ],
)
def test_limits_are_inclusive_and_keep_the_value(raw: int, quality: Quality) -> None:
    assert scaler(minimum=0, maximum=100)(raw) == (raw, quality)


def test_limits_are_in_units_of_the_value() -> None:
    assert scaler(scale=0.1, maximum=50)(600) == (60.0, Quality.BAD_RANGE)


@pytest.mark.parametrize("raw", [math.nan, math.inf, -math.inf])
def test_no_sensor_measures_nan_or_infinity(raw: float) -> None:
    value, quality = scaler()(raw)
    assert quality is Quality.BAD_RANGE
    assert math.isnan(value) == math.isnan(raw)


def test_an_int_beyond_int64_becomes_a_float() -> None:
    assert scaler()(2**63 - 1) == (2**63 - 1, Quality.GOOD)
    value, quality = scaler()(2**64 - 1)
    assert type(value) is float
    assert (value, quality) == (2.0**64, Quality.GOOD)
