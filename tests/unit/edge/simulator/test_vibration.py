"""Claims about the vibration monitor: bands add up, bearings follow geometry, faults show where they must."""

import cmath
from math import pi, sqrt

import pytest

from fieldline.config import loads
from fieldline_edge.drivers.simulator.bank import Bank
from fieldline_edge.drivers.simulator.machines import Parts
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.registers import Kind
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.drivers.simulator.vibration import Bearing, bands


def plant(faults: str = "", *, monitor: str = ", monitor: {}") -> Plant:
    text = f"kind: plant\nmachines: [{{name: a, model: pump, serve: modbus, load_swing: 0{monitor}}}]\n{faults}"
    return Plant(loads(text, PlantSettings, name="plant.yaml", environment={}))


def told(made: Plant, seconds: int) -> dict[str, float]:
    for _ in range(seconds):
        made.step(1.0)
    return {name: float(value) for name, value in made.machines["a"].values.items()}


def test_bearing_frequencies_are_those_of_a_known_bearing() -> None:
    # SKF 6205 as published with the bearing data of Case Western Reserve University: 3.585 and 5.415 times the shaft.
    bearing = Bearing(balls=9, ball_mm=7.94, pitch_mm=39.04)

    assert bearing.outer_hz(1.0) == pytest.approx(3.585, abs=0.001)
    assert bearing.inner_hz(1.0) == pytest.approx(5.415, abs=0.001)


def test_the_bands_add_up_to_the_parts() -> None:
    parts = Parts(shaft_hz=25, shaft=2, imbalance=3, misalignment=1, bearing=4, cavitation=2, wear=0.4)

    assert bands(parts).overall == pytest.approx(sqrt(4 + 9 + 1 + 16 + 4))


def test_a_monitor_changes_nothing_else() -> None:
    with_it, without = told(plant(), 30), told(plant(monitor=""), 30)

    assert {name: with_it[name] for name in without} == without
    assert len(with_it) == len(without) + 8


@pytest.mark.parametrize(
    ("kind", "signal", "other"),
    [
        ("imbalance", "vibration_1x", "vibration_2x"),
        ("misalignment", "vibration_2x", "vibration_bpfo"),
        ("bearing_wear", "vibration_bpfo", "vibration_1x"),
        ("cavitation", "vibration_peak", "vibration_bpfo"),
    ],
)
def test_a_fault_shows_in_its_band(kind: str, signal: str, other: str) -> None:
    sane = told(plant(), 30)
    ill = told(plant(f"faults: [{{kind: {kind}, machine: a, at_s: 1, grow_s: 5}}]"), 30)

    assert ill[signal] > 1.5 * sane[signal] + 0.3
    assert ill[other] == pytest.approx(sane[other], abs=0.5)


def test_early_wear_is_sharp_before_it_is_strong() -> None:
    ill = told(plant("faults: [{kind: bearing_wear, machine: a, at_s: 0, grow_s: 100}]"), 60)

    assert ill["vibration"] < 4.5
    assert ill["vibration_kurtosis"] > 4


def test_a_waveform_holds_the_shaft_and_the_overall_value() -> None:
    made = plant("faults: [{kind: imbalance, machine: a, at_s: 0, grow_s: 0}]")
    speed = told(made, 9)["speed"]
    told(made, 1)
    values = {name: float(value) for name, value in made.machines["a"].values.items()}

    wave = [sample * 0.01 for sample in made.machines["a"].waveform]

    rms = sqrt(sum(each * each for each in wave) / len(wave))
    at = speed / 60.0 / 2560.0
    first = abs(sum(each * cmath.exp(-2j * pi * at * n) for n, each in enumerate(wave))) * sqrt(2) / len(wave)
    assert rms == pytest.approx(values["vibration"], rel=0.1)
    assert first == pytest.approx(values["vibration_1x"], rel=0.1)


def test_a_waveform_stays_until_the_next_and_is_read_in_parts() -> None:
    made = plant()
    told(made, 11)
    bank = Bank(made.machines["a"])
    first = bank.read(Kind.INPUT, 1000, 125)

    told(made, 3)
    second, end = bank.read(Kind.INPUT, 1000, 125), bank.read(Kind.INPUT, 1000 + 1023, 1)
    told(made, 7)

    assert first == second
    assert end is not None
    assert bank.read(Kind.INPUT, 1000, 125) != first
    assert bank.read(Kind.INPUT, 1000 + 1023, 2) is None
