"""Claims about commands: each does what it says, and what cannot be done is refused with the cure."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.config import loads
from fieldline_edge.drivers.simulator.control import obey
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.settings import PlantSettings

MakePlant = Callable[..., Plant]


def do(plant: Plant, **command: Any) -> dict[str, Any]:
    return obey(plant, json.dumps(command).encode())


def test_a_fault_begins_when_told_and_ends_when_cleared(make_plant: MakePlant) -> None:
    plant = make_plant("pump")
    plant.step(1.0)

    begun = do(plant, do="fault", machine="a", kind="bearing_wear", grow_s=2, after_s=1)
    for _ in range(5):
        plant.step(1.0)
    worn = plant.machines["a"].values["vibration"]
    cleared = do(plant, do="clear", machine="a", kind="bearing_wear")
    plant.step(1.0)

    assert begun == {"ok": True, "id": 1, "at_s": 2.0}
    assert cleared == {"ok": True, "cleared": 1}
    assert float(worn) > 7.1 > float(plant.machines["a"].values["vibration"])
    assert [event.change.value for event in plant.drain_events()] == ["start", "stop"]


def test_switch_and_status_do_what_they_say(make_plant: MakePlant) -> None:
    plant = make_plant("pump")

    switched = do(plant, do="switch", machine="a", running=False)
    do(plant, do="fault", machine="a", kind="leak", after_s=5)

    assert switched == {"ok": True}
    assert plant.machines["a"].values["running"] is False
    assert do(plant, do="status")["faults"] == [{"id": 1, "machine": "a", "kind": "leak", "active": False}]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ({}, "None is no command; use one of fault, clear, switch, status"),
        ({"do": "fault", "machine": "b", "kind": "leak"}, "there is no machine 'b'; machines: a"),
        ({"do": "fault", "machine": "a", "kind": "hiccup"}, "'hiccup' is no kind of fault; use one of bearing_wear"),
        ({"do": "fault", "machine": "a", "kind": "stuck"}, "stuck needs a signal; set signal: to one of"),
        ({"do": "fault", "machine": "a", "kind": "leak", "grow_s": -1}, "grow_s: "),
        ({"do": "fault", "machine": "a", "kind": "leak", "at_s": 5}, "a command says after_s"),
        ({"do": "switch", "machine": "a"}, "switch needs running: true or false"),
    ],
)
def test_what_cannot_be_done_is_refused(make_plant: MakePlant, command: dict[str, Any], expected: str) -> None:
    answer = do(make_plant("pump"), **command)

    assert answer["ok"] is False
    assert expected in answer["error"]


PLANT = Plant(
    loads(
        "kind: plant\nmachines: [{name: a, model: pump, serve: modbus}]", PlantSettings, name="p.yaml", environment={}
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["a", "leak", "clear", "status"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["do", "machine", "kind", "after_s"]), inner, max_size=4)
    ),
)


@given(st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_line_makes_a_plant_fall_over(line: bytes) -> None:
    assert isinstance(obey(PLANT, line)["ok"], bool)
