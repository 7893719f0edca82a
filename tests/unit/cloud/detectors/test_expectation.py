"""What is expected of channels, and of which nothing is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldline_cloud.detectors.drivers import Drivers
from fieldline_cloud.detectors.expectation import Expectation, LearningSettings, learn

Rows = NDArray[np.float64]
NAMES = ("load", "speed", "power", "vibration", "code")


def among(*names: str) -> Drivers:
    return Drivers.among(names, efforts=("*load*", "*speed*"), draws=("*power*",), never=("*factor*",))


def steady(drivers: Drivers, values: Rows) -> Rows:
    """Rows of a device whose slow means are its values, at midnight: features, values, no roughness."""
    features = np.zeros((len(values), drivers.count))
    now = drivers.put(features, values, np.zeros(len(values), np.int64))
    features[:, : 3 * now.shape[1]] = np.tile(now, 3)
    return np.concatenate([features, values, np.zeros_like(values)], axis=1)


def taught(values: Rows, drivers: Drivers) -> Expectation:
    largest = np.full_like(values, np.nan)
    return learn(steady(drivers, values), largest, drivers, LearningSettings(), until_ns=1, with_hours=False)


def plant(count: int = 300) -> Rows:
    random = np.random.default_rng(1)
    load = random.uniform(0.4, 0.8, count)
    speed = 600.0 + 400.0 * load + random.normal(0.0, 1.0, count)
    power = 5.0 * load**2 + random.normal(0.0, 0.01, count)
    vibration = 1.0 + 2.0 * load**2 + random.normal(0.0, 0.02, count)
    return np.column_stack([load, speed, power, vibration, np.full(count, 3.0)])


def test_efforts_come_first_then_what_is_drawn_and_small_devices_drive_themselves() -> None:
    assert among("power", "flow", "line/speed", "load", "power_factor").channels == (2, 3, 0)
    assert among("power", "load").efforts == (1,)
    assert among("co2", "humidity").channels == (0, 1)
    assert among("co2", "humidity").is_mutual
    assert among(*(f"tag{number}" for number in range(9))).channels == ()


def test_nothing_explains_itself() -> None:
    drivers = among(*NAMES)
    assert drivers.choices(0) == [(), (1,), (1, 2)]
    assert drivers.choices(3) == [(), (0, 1), (0, 1, 2)]
    assert among("co2", "humidity").choices(0) == [(), (1,)]


def test_channels_are_what_their_drivers_make_them() -> None:
    drivers, values = among(*NAMES), plant()
    expected = taught(values, drivers)
    rows = steady(drivers, plant(50))[:, : drivers.count]

    off = expected.values(rows) - plant(50)

    assert np.abs(off[:, 3]).max() < 0.1
    assert 0.03 < expected.usual[3] < 0.12
    assert np.abs(off[:, 1]).max() < 6.0
    assert np.isnan(expected.usual[4])  # it never moved


def test_the_leverage_is_low_where_it_was_and_high_where_it_never_was() -> None:
    drivers = among(*NAMES)
    expected = taught(plant(), drivers)
    usual, strange = plant(1), plant(1)
    strange[0, :3] = [1.4, 1_160.0, 9.8]

    low, high = (expected.leverages(steady(drivers, each)[:, : drivers.count])[0, 3] for each in (usual, strange))

    assert low < 0.2
    assert high > 3.0


def test_a_load_that_nothing_explains_is_work_and_not_judged() -> None:
    values = np.random.default_rng(2).uniform(0.2, 0.9, (200, 1))
    assert np.isnan(taught(values, among("load")).usual[0])


def test_values_that_are_missing_teach_nothing_and_too_few_expect_nothing() -> None:
    drivers, values = among(*NAMES), plant()
    holes = values.copy()
    holes[::3, 3] = np.nan
    holes[15:, 2] = np.nan

    expected = taught(holes, among("load", "speed", "torque", "vibration", "code"))

    assert expected.usual[3] == pytest.approx(taught(values, drivers).usual[3], rel=0.5)
    assert np.isnan(expected.usual[2])
