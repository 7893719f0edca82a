"""Claims about machines of the user's own making: laws, registers of every type, and mistakes."""

import struct
from pathlib import Path

import pytest

from fieldline.config import load, loads
from fieldline.errors import ConfigError
from fieldline_edge.drivers.simulator.bank import Bank
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.registers import TYPES, Kind, Register
from fieldline_edge.drivers.simulator.settings import PlantSettings

SHOWCASE = Path(__file__).parents[4] / "config/plants/showcase.yaml"


def plant(signals: str, more: str = "") -> Plant:
    machine = f"{{name: a, model: custom, serve: modbus, load: 0.5, load_swing: 0, signals: {signals}}}"
    return Plant(loads(f"kind: plant\nmachines: [{machine}]\n{more}", PlantSettings, name="p.yaml", environment={}))


def told(made: Plant, steps: int = 1) -> dict[str, object]:
    for _ in range(steps):
        made.step(1.0)
    return dict(made.machines["a"].values)


def test_the_showcase_has_every_type_every_kind_and_every_order() -> None:
    made = Plant(load(SHOWCASE, PlantSettings, environment={}))
    registers = made.machines["dryer"].blueprint.registers

    assert {each.type for each in registers} == set(TYPES)
    assert {each.kind for each in registers} == set(Kind)
    assert {each.order for each in registers} == {"ABCD", "CDAB", "BADC", "DCBA"}


def test_the_showcase_tells_each_type_as_its_name_says() -> None:
    made = Plant(load(SHOWCASE, PlantSettings, environment={}))
    made.step(0.1)
    bank, values = Bank(made.machines["dryer"]), made.machines["dryer"].values

    def words(kind: Kind, address: int, count: int) -> bytes:
        found = bank.read_bytes(kind, address, count)
        assert found is not None
        return found

    assert words(Kind.HOLDING, 1, 6) == b"DRY-0042".ljust(12, b"\0")
    assert words(Kind.HOLDING, 0, 1) == bytes([2 * bool(values["heating"]), 1])  # bits 9 and 0
    assert words(Kind.INPUT, 30, 1).hex() == "0027"
    assert words(Kind.INPUT, 31, 2).hex() == "01052026"  # BCD, the low word first
    assert words(Kind.INPUT, 33, 4).hex() == "1234567890123456"
    assert struct.unpack("<q", words(Kind.INPUT, 6, 4)) == (-1234567890123,)
    assert struct.unpack(">Q", words(Kind.INPUT, 10, 4))[0] == values["energy"]
    assert struct.unpack(">e", words(Kind.INPUT, 14, 1))[0] == pytest.approx(values["ratio"], rel=1e-3)
    assert struct.unpack("<d", words(Kind.INPUT, 17, 4))[0] == values["pressure"]


def test_signals_follow_load_and_each_other() -> None:
    values = told(plant("{x: {base: 10, load: 20}, y: {base: 1, follows: {x: 2}}}"), 5)

    assert values["x"] == pytest.approx(20, abs=1.5)
    assert values["y"] == pytest.approx(1 + 2 * float(str(values["x"])))


def test_inertia_takes_its_time() -> None:
    made = plant("{running: {}, x: {load: 100, inertia_s: 10}}")
    made.machines["a"].switch(running=False)
    before = float(str(told(made, 0)["x"]))

    assert float(str(told(made, 10)["x"])) == pytest.approx(before * 0.368, rel=0.05)


def test_a_counter_adds_up_and_a_reboot_sets_it_to_zero() -> None:
    made = plant("{x: {counter: true, base: 100, load: 4}}", "faults: [{kind: reboot, machine: a, at_s: 11}]")

    assert float(str(told(made, 10)["x"])) == pytest.approx(120, abs=3)
    assert float(str(told(made, 1)["x"])) < 5


def test_wear_moves_what_names_it_and_what_follows_that() -> None:
    signals = "{x: {on_fault: {leak: 5}}, y: {follows: {x: 1}}, z: {base: 1}}"
    made = plant(signals, "faults: [{kind: leak, machine: a, at_s: 1, grow_s: 0}]")
    values = told(made, 2)

    fault = made.machines["a"].faults[0]

    assert (values["x"], values["y"], values["z"]) == (5.0, 5.0, 1.0)
    assert fault.signals == ("x", "y")


@pytest.mark.parametrize(("type_", "beyond"), [("uint16", [0, 0xFFFF]), ("int16", [0x8000, 0x7FFF])])
def test_a_value_beyond_the_type_is_the_nearest_that_fits(type_: str, beyond: list[int]) -> None:
    register = Register("x", Kind.INPUT, 0, type_)

    assert [register.pack(-1e9)[0], register.pack(1e9)[0]] == beyond


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        ("{y: {follows: {x: 1}}, x: {}}", "signals.y.follows: 'x' does not stand above y; those are: none"),
        ("{x: {modbus: {address: 0}}, y: {modbus: {address: 1}}}", "y and x both want holding 1; move one of them"),
        ("{x: {modbus: {address: 65535}}}", "a float32 at 65535 passes address 65535"),
        ("{x: {modbus: {address: 0, kind: coil}}}", "a coil holds a bool and no float32"),
        ("{x: {modbus: {address: 0, type: string}}}", "a text needs a register of type string"),
        ("{x: {on_fault: {stuck: 1}}}", "stuck is no wear; use one of bearing_wear"),
        ("{x: {low: 5, high: 5}}", "low 5 is not below high 5"),
        ("{x: {modbus: {address: 0, type: bool, bit: 3}}, y: {modbus: {address: 0, type: bool, bit: 3}}}", "is taken"),
    ],
)
def test_a_mistake_is_told_with_its_cure(signals: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plant(signals)

    assert expected in str(caught.value)


def test_a_fault_that_a_custom_machine_does_not_know_is_refused_with_the_cure() -> None:
    with pytest.raises(ConfigError, match=r"leak cannot happen to a custom; give a signal on_fault: \{leak: 5\}"):
        plant("{x: {}}", "faults: [{kind: leak, machine: a, at_s: 1}]")
