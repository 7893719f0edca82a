"""Claims about the register maps: what they hold, how it is laid out, and that the README shows it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fieldline.config import load
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings
from fieldline_edge.drivers.simulator import registers as room
from fieldline_edge.drivers.simulator.bank import Bank
from fieldline_edge.drivers.simulator.machines import MODELS
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.registers import REGISTERS, Kind, Register, register_table
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.settings import GatewaySettings

MakePlant = Callable[..., Plant]
DEMO = Path(__file__).parents[4] / "config/demo"
README = Path(room.__file__).with_name("README.md")


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("ABCD", [0x3FC0, 0x0102]),
        ("CDAB", [0x0102, 0x3FC0]),
        ("BADC", [0xC03F, 0x0201]),
        ("DCBA", [0x0201, 0xC03F]),
    ],
)
def test_byte_orders_are_those_of_their_names(order: str, words: list[int]) -> None:
    register = Register("x", Kind.INPUT, 0, "uint32", order)

    assert list(register.pack(0x3FC00102)) == words


def test_a_long_value_is_turned_round_word_by_word() -> None:
    register = Register("x", Kind.INPUT, 0, "int64", "CDAB")

    assert list(register.pack(0x0001_0002_0003_0004)) == [4, 3, 2, 1]
    assert register.words == 4


def test_negative_and_scaled_values_keep_their_meaning() -> None:
    register = Register("x", Kind.INPUT, 0, "int16", scale=0.1)

    assert list(register.pack(-12.3)) == [0x10000 - 123]


@pytest.mark.parametrize("model", MODELS)
def test_every_signal_has_a_register_and_none_overlaps(model: str) -> None:
    taken = [(each.kind, each.address + offset) for each in REGISTERS[model] for offset in range(each.words)]

    assert {each.signal for each in REGISTERS[model]} == {signal.name for signal in MODELS[model].SIGNALS}
    assert len(taken) == len(set(taken))
    for kind in {each.kind for each in REGISTERS[model]}:
        addresses = sorted(address for found, address in taken if found is kind)
        assert addresses == list(range(addresses[0], addresses[-1] + 1))


@pytest.mark.parametrize("model", MODELS)
def test_the_whole_range_of_every_sensor_fits_its_register(model: str) -> None:
    signals = {signal.name: signal for signal in MODELS[model].SIGNALS}

    for register in REGISTERS[model]:
        signal = signals[register.signal]
        for extreme in (signal.low, signal.high):
            told = float(signal.tell(extreme))
            words = list(register.pack(told))
            if register.type.startswith(("int", "uint")):
                words = words[::-1] if register.order == "CDAB" else words
                raw = b"".join(word.to_bytes(2, "big") for word in words)
                number = int.from_bytes(raw, "big", signed=register.type.startswith("int"))
                assert number * register.scale == pytest.approx(told), register.signal


def test_all_four_kinds_appear_in_a_pump() -> None:
    assert {each.kind for each in REGISTERS["pump"]} == set(Kind)


def test_a_bank_answers_with_the_values_of_the_moment(make_plant: MakePlant) -> None:
    plant = make_plant("pump")
    bank = Bank(plant.machines["a"])
    for _ in range(3):
        plant.step(1.0)
        values = plant.machines["a"].values

        speed, temperature = bank.read(Kind.INPUT, 0, 2) or [0, 0]

        assert (speed, temperature) == (values["speed"], round(float(values["temperature"]) * 10))


@pytest.mark.parametrize(
    ("kind", "address", "count"),
    [(Kind.INPUT, 0, 7), (Kind.INPUT, 6, 1), (Kind.COIL, 1, 1), (Kind.HOLDING, 9, 1)],
)
def test_addresses_beyond_the_map_are_refused(make_plant: MakePlant, kind: Kind, address: int, count: int) -> None:
    bank = Bank(make_plant("pump").machines["a"])

    assert bank.read(kind, address, count) is None


def test_the_running_coil_stops_the_machine_at_once(make_plant: MakePlant) -> None:
    plant = make_plant("pump")
    bank = Bank(plant.machines["a"])

    assert bank.write(Kind.COIL, 0, [False])

    assert bank.read(Kind.COIL, 0, 1) == [0]
    assert not bank.write(Kind.HOLDING, 0, [1])


@pytest.mark.parametrize("model", [name for name in MODELS if name != "registers50"])
def test_the_readme_shows_the_map(model: str) -> None:
    assert register_table(model) in README.read_text(encoding="utf-8")


def test_the_demo_gateway_reads_every_register_of_the_demo_plant() -> None:
    gateway = load(DEMO / "gateway.yaml", GatewaySettings, environment={})
    plant = load(DEMO / "plant.yaml", PlantSettings, environment={})
    devices = {device.name: device for device in gateway.devices}

    assert devices.keys() == {machine.name for machine in plant.placed()}
    for machine in plant.placed():
        device = devices[machine.name]
        units = {signal.name: signal.unit for signal in MODELS[machine.model].SIGNALS}
        assert device.area == machine.area
        assert {tag.name: tag.unit for tag in device.tags} == units
        if isinstance(device, ModbusDeviceSettings):
            assert machine.place is not None
            assert (device.unit, machine.place.listener) == (machine.place.unit, 0)
            tags = {
                Register(
                    tag.name,
                    Kind(tag.kind.value),
                    tag.address,
                    tag.type.value,
                    (tag.order or device.order).value,
                    tag.scale,
                )
                for tag in device.tags
            }
            assert tags == set(REGISTERS[machine.model])
        else:
            assert isinstance(device, MqttDeviceSettings)
            assert device.topic == f"{plant.mqtt.topic_root}/{machine.area}/{machine.name}"
            assert {tag.path for tag in device.tags} == {f"$.{name}" for name in units}
