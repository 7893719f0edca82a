"""Claims about answers: each function code does what the standard says, and what cannot be done is refused."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.config import loads
from fieldline_edge.drivers.simulator.answers import answer
from fieldline_edge.drivers.simulator.bank import Bank
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.settings import PlantSettings

MakePlant = Callable[..., Plant]


def asked(plant: Plant, request: str) -> str | None:
    told = answer({1: Bank(plant.machines["a"])}, 1, bytes.fromhex(request))
    return None if told is None else told.hex()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("0100000001", "010101"),  # coil running
        ("0200000001", "020100"),  # discrete alarm
        ("0100000000", "8103"),  # none asked for
        ("0400000007", "8402"),  # one beyond the map
        ("040000007e", "8403"),  # 126 words
        ("0500001234", "8503"),  # neither on nor off
        ("050000ff00", "050000ff00"),
        ("0600000005", "8602"),
        ("0f0000000101" + "00", "0f00000001"),
        ("0f0000000102" + "00", "8f03"),  # a wrong byte count
        ("100000000102" + "0001", "9002"),
        ("16000000ff0000", "9602"),
        ("1700000001000000010200" + "01", "9702"),
        ("2b0e0100", "ab01"),  # a function nobody has
        ("03", "8303"),  # cut short
    ],
)
def test_each_function_is_answered_as_the_standard_says(make_plant: MakePlant, request_: str, expected: str) -> None:
    assert asked(make_plant("pump"), request_) == expected


def test_words_come_as_the_machine_tells_them(make_plant: MakePlant) -> None:
    plant = make_plant("registers50")
    values = plant.machines["a"].values

    assert asked(plant, "0300000002") == f"0304{values['r00']:04x}{values['r01']:04x}"


def test_a_write_to_all_units_is_done_and_answered_by_none(make_plant: MakePlant) -> None:
    plant = make_plant("pump")

    told = answer({1: Bank(plant.machines["a"])}, 0, bytes.fromhex("0500000000"))

    assert told is None
    assert plant.machines["a"].values["running"] is False


def test_addresses_between_two_registers_are_refused() -> None:
    text = """kind: plant
machines:
  - name: a
    model: custom
    serve: modbus
    signals: {x: {base: 1, modbus: {address: 0}}, y: {base: 2, modbus: {address: 10}}}
"""
    plant = Plant(loads(text, PlantSettings, name="plant.yaml", environment={}))

    assert asked(plant, "0300000002") == "03043f800000"
    assert asked(plant, "03000a0002") == "030440000000"
    assert asked(plant, "0300000004") == "8302"
    assert asked(plant, "0300020001") == "8302"


@given(st.binary(min_size=1, max_size=253))
def test_no_request_makes_a_device_fall_over(data: bytes) -> None:
    text = "kind: plant\nmachines: [{name: a, model: pump, serve: modbus}]"
    plant = Plant(loads(text, PlantSettings, name="plant.yaml", environment={}))

    told = answer({1: Bank(plant.machines["a"])}, 1, data)

    assert told is not None
    assert len(told) <= 253
