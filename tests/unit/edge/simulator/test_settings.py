"""Claims about the plant file: what it makes, and that each mistake is told with its line and its cure."""

from pathlib import Path

import pytest

from fieldline.config import load, loads
from fieldline.errors import ConfigError
from fieldline.scaled_clock import ScaledClock
from fieldline_edge.drivers.simulator.settings import ModbusPlace, PlantSettings

DEMO = Path(__file__).parents[4] / "config/demo/plant.yaml"
PUMP = "{name: p, model: pump, serve: modbus}"


def settings(*machines: str, more: str = "") -> PlantSettings:
    lines = ["kind: plant", "machines:", *(f"  - {machine}" for machine in machines)]
    return loads("\n".join(lines) + "\n" + more, PlantSettings, name="plant.yaml", environment={})


def problem(*machines: str, more: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        settings(*machines, more=more)
    return str(caught.value)


def test_the_demo_plant_loads_and_serves_both_ways() -> None:
    demo = load(DEMO, PlantSettings, environment={})

    machines = {each.name: each for each in demo.placed()}

    assert demo.modbus.listen == "127.0.0.1:5020"
    assert len(machines) == 8
    assert {name for name, each in machines.items() if each.place is None} == {"env-1", "env-2"}
    assert [each.place.unit for each in machines.values() if each.place] == [1, 2, 3, 4, 5, 6]


def test_count_fills_units_and_then_the_next_listener() -> None:
    made = settings("{name: d, model: registers50, serve: modbus, count: 300}").placed()

    assert [made[0].name, made[-1].name] == ["d-001", "d-300"]
    assert made[246].place == ModbusPlace(0, 247)
    assert made[247].place == ModbusPlace(1, 1)


def test_one_unit_per_listener_gives_every_machine_its_port() -> None:
    more = "modbus: {units_per_listener: 1}"
    made = settings("{name: d, model: registers50, serve: modbus, count: 3}", PUMP, more=more).placed()

    assert [each.place for each in made] == [ModbusPlace(number, 1) for number in range(4)]


def test_a_machine_without_a_unit_gets_the_next_free_one() -> None:
    made = settings("{name: a, model: pump, serve: modbus, unit: 9}", PUMP).placed()

    assert made[1].place == ModbusPlace(0, 10)


@pytest.mark.parametrize(
    ("machines", "more", "expected"),
    [
        (["{name: p, model: pumpe, serve: modbus}"], "", "plant.yaml:3: machines[0].model: 'pumpe'"),
        ([], "", "plant.yaml:2: machines"),
        (["{name: p, model: pump}"], "", "plant.yaml:3: machines[0]"),
        (["{name: p, model: pump, serve: modbus, perod_ms: 5}"], "", "perod_ms: is not a known key"),
        ([PUMP, PUMP], "", "plant.yaml:4: machines[1].name: 'p' is already the name"),
        (
            [
                "{name: a, model: pump, serve: modbus, unit: 1}",
                "{name: b, model: fan, serve: modbus, unit: 1}",
            ],
            "",
            "plant.yaml:4: machines[1].unit: unit 1 on listener 0 is already a; choose another",
        ),
        (
            ["{name: p, model: pump, serve: modbus, unit: 5}"],
            "modbus: {units_per_listener: 2}",
            "machines[0].unit: 5 is more than modbus.units_per_listener (2); lower it",
        ),
        (
            ["{name: d, model: fan, serve: modbus, count: 2000}"],
            "modbus: {units_per_listener: 1}",
            "over 1023; raise modbus.units_per_listener or lower count",
        ),
        (
            ["{name: m, model: meter, serve: modbus, feeds: [q]}", PUMP],
            "",
            "plant.yaml:3: machines[0].feeds: 'q' is no machine with a motor; choose from: p",
        ),
        (["{name: p, model: pump, serve: modbus, feeds: [p]}"], "", "only a meter measures other machines"),
        ([PUMP], "faults: [{kind: leak, machine: q, at_s: 1}]", "faults[0].machine: there is no machine 'q'"),
        (
            [PUMP, "{name: f, model: fan, serve: modbus}"],
            "faults:\n  - {kind: leak, machine: f, at_s: 1}",
            "plant.yaml:6: faults[0].kind: leak cannot happen to a fan; it can to: pump, compressor",
        ),
        (
            [PUMP],
            "faults: [{kind: stuck, machine: p, at_s: 1}]",
            "stuck needs a signal; set signal: to one of load",
        ),
        (
            [PUMP],
            "faults: [{kind: spike, machine: p, at_s: 1, signal: co2}]",
            "plant.yaml:4: faults[0].signal: spike cannot be on 'co2' of a pump; set signal: to one of",
        ),
        (
            [PUMP],
            "modbus: {listen: here}",
            "modbus.listen: 'here' is not an address; write it like 127.0.0.1:5020",
        ),
        ([PUMP], "mqtt: {broker: 'x:70000'}", "mqtt.broker: 'x:70000' is not an address"),
    ],
)
def test_a_mistake_is_told_with_place_and_cure(machines: list[str], more: str, expected: str) -> None:
    assert expected in problem(*machines, more=more)


def test_a_shared_clock_takes_the_place_of_start_and_time_scale() -> None:
    assert settings(PUMP).shared_clock is None
    assert settings(PUMP, more='clock: "10,20,60"').shared_clock == ScaledClock(10, 20, 60.0)
    assert "remove start and time_scale" in problem(PUMP, more='clock: "10,20,60"\ntime_scale: 2')
    assert "is no clock" in problem(PUMP, more="clock: noon")
