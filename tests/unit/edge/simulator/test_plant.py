"""Claims about the machines: deterministic, coupled, inert, healthy when nothing is wrong."""

from collections.abc import Callable
from statistics import fmean

import pytest

from fieldline.config import loads
from fieldline_edge.drivers.simulator.machines import MODELS
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.settings import PlantSettings
from tests.unit.edge.simulator.conftest import numbers

MakePlant = Callable[..., Plant]
STEP_S = 0.05
ROTATING = ["pump", "fan", "compressor"]


def run(plant: Plant, seconds: float, machine: str = "a") -> list[dict[str, float]]:
    """The values of `machine` after each step."""
    rows = []
    for _ in range(round(seconds / STEP_S)):
        plant.step(STEP_S)
        rows.append(numbers(plant.machines[machine]))
    return rows


def mean(rows: list[dict[str, float]], signal: str) -> float:
    return fmean(row[signal] for row in rows)


@pytest.mark.parametrize("model", MODELS)
def test_the_same_seed_gives_the_same_run(make_plant: MakePlant, model: str) -> None:
    first, second = make_plant(model), make_plant(model)

    assert run(first, 5) == run(second, 5)


@pytest.mark.parametrize("model", MODELS)
def test_another_seed_gives_another_run(make_plant: MakePlant, model: str) -> None:
    first, second = make_plant(model, seed=1), make_plant(model, seed=2)

    assert run(first, 5) != run(second, 5)


@pytest.mark.parametrize("model", MODELS)
def test_reading_often_changes_nothing(make_plant: MakePlant, model: str) -> None:
    read, unread = make_plant(model), make_plant(model)

    rows = run(read, 5)
    for _ in range(100):
        unread.step(STEP_S)

    assert unread.machines["a"].values == rows[-1]


def test_machines_of_one_entry_do_not_move_in_step(make_plant: MakePlant) -> None:
    plant = make_plant("pump", count=3)

    plant.step(STEP_S)

    assert list(plant.machines) == ["a-001", "a-002", "a-003"]
    assert len({machine.values["pressure"] for machine in plant.machines.values()}) == 3


@pytest.mark.parametrize("model", ROTATING)
def test_more_load_draws_more_power_and_heats(make_plant: MakePlant, model: str) -> None:
    easy = run(make_plant(model, load=0.4, load_swing=0), 5)
    hard = run(make_plant(model, load=0.9, load_swing=0), 5)

    for signal in ("speed", "power", "current", "temperature", "bearing_temperature", "vibration", "flow"):
        assert mean(hard, signal) > 1.05 * mean(easy, signal), signal


def test_a_pump_follows_the_affinity_laws(make_plant: MakePlant) -> None:
    plant = make_plant("pump", load=0.8, load_swing=0)
    rows = run(plant, 5)
    plant.machines["a"].switch(running=False)
    slowing = run(plant, 2)[-1]

    share = slowing["speed"] / mean(rows, "speed")

    assert 0.2 < share < 0.6
    assert slowing["flow"] / mean(rows, "flow") == pytest.approx(share, rel=0.1)
    assert slowing["pressure"] / mean(rows, "pressure") == pytest.approx(share**2, rel=0.1)


def test_speed_and_temperature_have_inertia(make_plant: MakePlant) -> None:
    plant = make_plant("pump", load_swing=0)
    before = run(plant, 1)[-1]
    plant.machines["a"].switch(running=False)

    rows = run(plant, 120)

    assert rows[0]["speed"] > 0.95 * before["speed"]
    assert rows[40]["speed"] == pytest.approx(before["speed"] * 0.36, rel=0.1)  # after one time constant, 2 s
    assert rows[-1]["speed"] < 10
    assert rows[40]["temperature"] > before["temperature"] - 3
    assert 22 < rows[-1]["temperature"] < before["temperature"] - 10
    assert rows[-1]["running"] is False


@pytest.mark.parametrize("model", ROTATING)
def test_a_run_starts_warm_and_stays_there(make_plant: MakePlant, model: str) -> None:
    rows = run(make_plant(model, load_swing=0), 60)

    for signal in ("temperature", "bearing_temperature", "pressure", "speed"):
        assert rows[-1][signal] == pytest.approx(rows[0][signal], rel=0.06), signal


@pytest.mark.parametrize("model", ROTATING)
def test_healthy_machines_stay_well_below_the_alert_limits(make_plant: MakePlant, model: str) -> None:
    for seed in range(5):
        rows = run(make_plant(model, seed=seed), 120)

        assert 1.2 < mean(rows, "vibration") < 2.6
        assert max(row["vibration"] for row in rows) < 3.5
        assert max(row["bearing_temperature"] for row in rows) < 60
        assert not any(row["alarm"] for row in rows)


def test_a_meter_measures_what_its_machines_draw() -> None:
    text = """kind: plant
machines:
  - {name: meter, model: meter, serve: modbus, rated_kw: 2, load: 0.5, load_swing: 0, feeds: [p, f]}
  - {name: p, model: pump, serve: modbus}
  - {name: f, model: fan, serve: modbus}
"""
    plant = Plant(loads(text, PlantSettings, name="plant.yaml", environment={}))
    before = numbers(plant.machines["meter"])["energy"]
    rows = run(plant, 60, "meter")

    drawn = sum(numbers(plant.machines[name])["power"] for name in ("p", "f"))

    assert rows[-1]["power"] == pytest.approx(drawn + 1.0, abs=0.3)
    assert rows[-1]["energy"] - before == pytest.approx(mean(rows, "power") * 1000 / 60, rel=0.03)


def test_values_stay_on_the_steps_of_the_sensor(make_plant: MakePlant) -> None:
    for row in run(make_plant("pump"), 3):
        assert row["temperature"] == round(row["temperature"], 1)
        assert row["vibration"] == round(row["vibration"], 2)


@pytest.mark.parametrize("model", MODELS)
def test_values_stay_in_the_range_of_the_sensor(make_plant: MakePlant, model: str) -> None:
    signals = {signal.name: signal for signal in MODELS[model].SIGNALS}

    for row in run(make_plant(model), 10):
        assert row.keys() == signals.keys()
        assert all(signals[name].low <= value <= signals[name].high for name, value in row.items())


def test_registers50_move_slowly(make_plant: MakePlant) -> None:
    rows = run(make_plant("registers50"), 20)

    assert len(rows[0]) == 50
    assert all(isinstance(value, int) for value in rows[0].values())
    changes = [abs(now[name] - then[name]) for then, now in zip(rows, rows[20:], strict=False) for name in now]
    assert max(changes) <= 60  # in one second
    assert sum(changes) > 0
