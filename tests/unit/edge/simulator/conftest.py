"""Plants to try things on."""

from collections.abc import Callable

import pytest

from fieldline.config import loads
from fieldline_edge.drivers.simulator.machine import Machine
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.settings import PlantSettings

MakePlant = Callable[..., Plant]


@pytest.fixture
def make_plant() -> MakePlant:
    """`make_plant("pump", faults=["{kind: ..., ...}"], load=0.5)`: a plant with one machine called `a`."""

    def make(model: str, *, faults: tuple[str, ...] = (), seed: int = 7, **options: object) -> Plant:
        extra = "".join(f", {key}: {value}" for key, value in options.items())
        lines = [
            "kind: plant",
            f"seed: {seed}",
            f"machines: [{{name: a, model: {model}, serve: modbus{extra}}}]",
        ]
        if faults:
            lines += ["faults:", *(f"  - {fault}" for fault in faults)]
        return Plant(loads("\n".join(lines), PlantSettings, name="plant.yaml", environment={}))

    return make


def numbers(machine: Machine) -> dict[str, float]:
    """What the sensors of a built-in machine tell: numbers, and yes or no."""
    told = {}
    for name, value in machine.values.items():
        assert not isinstance(value, str)
        told[name] = value
    return told
