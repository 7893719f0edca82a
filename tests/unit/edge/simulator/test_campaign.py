"""Claims about campaigns and records: random faults are the seed's, their truth can be scored, runs repeat."""

import json
from collections import Counter
from pathlib import Path

import pytest

from fieldline.config import load, loads
from fieldline_edge.drivers.simulator.faults import FaultEvent
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.record import Sample, simulate
from fieldline_edge.drivers.simulator.recorder import record
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.drivers.simulator.truth import Growth, read_truth

LINE = Path(__file__).parents[4] / "config/plants/pump-line.yaml"
DAY_S = 86_400.0


def settings(count: int, *, seed: int = 1, rate: float = 1.0, more: str = "") -> PlantSettings:
    text = f"""kind: plant
seed: {seed}
step_ms: 60000
machines: [{{name: p, model: pump, serve: modbus, count: {count}}}]
campaign: {{faults_per_machine_day: {rate}, days: 20, quiet_s: 3600{more}}}
"""
    return loads(text, PlantSettings, name="plant.yaml", environment={})


def faults(made: PlantSettings) -> dict[str, list[tuple[str, float]]]:
    plant = Plant(made)
    return {name: [(each.kind.value, each.start_s) for each in m.faults] for name, m in plant.machines.items()}


def test_the_same_seed_gives_the_same_faults_and_another_seed_others() -> None:
    assert faults(settings(5)) == faults(settings(5))
    assert faults(settings(5)) != faults(settings(5, seed=2))


def test_more_machines_leave_the_faults_of_the_others_alone() -> None:
    few, many = faults(settings(3)), faults(settings(9))

    assert {name: many[name] for name in few} == few


def test_the_rate_is_that_of_healthy_days_and_every_kind_comes() -> None:
    found = faults(settings(100, rate=0.1, more=", rest_s: 0, grow_s: [0, 0], lasting_s: [1, 1]"))
    kinds = Counter(kind for each in found.values() for kind, _ in each)

    assert 150 < kinds.total() < 250  # 100 machines, 20 days, 0.1 a day
    assert len(kinds) == 12


def test_a_machine_has_one_fault_at_a_time() -> None:
    plant = Plant(settings(20, rate=5))

    for machine in plant.machines.values():
        for one, two in zip(machine.faults, machine.faults[1:], strict=False):
            assert one.stop_s is not None
            assert one.stop_s + 3600 <= two.start_s


def test_two_records_of_one_plant_are_the_same_bit_for_bit(tmp_path: Path) -> None:
    made = load(LINE, PlantSettings, environment={})
    for name in ("one", "two"):
        truth = tmp_path / f"{name}.truth"
        record(made, tmp_path / f"{name}.csv", duration_s=1800, every_s=60, truth=truth)

    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert (tmp_path / "one.truth").read_bytes() == (tmp_path / "two.truth").read_bytes()


def test_how_often_is_read_changes_nothing_that_is_read(tmp_path: Path) -> None:
    made = settings(2)

    often = simulate(Plant(made), step_s=60, duration_s=3 * DAY_S)
    seldom = simulate(Plant(made), step_s=60, duration_s=3 * DAY_S, every_s=3600)

    wanted = [each for each in often if isinstance(each, Sample) and each.at_s % 3600 == 0]
    assert wanted == [each for each in seldom if isinstance(each, Sample)]


def test_faults_come_before_the_samples_of_their_moment() -> None:
    run = simulate(Plant(settings(2)), step_s=60, duration_s=5 * DAY_S)
    last_s = 0.0

    for each in run:
        assert each.at_s >= last_s if isinstance(each, Sample) else each.at_s > last_s
        last_s = each.at_s if isinstance(each, Sample) else last_s


def test_the_truth_is_enough_to_score_with(tmp_path: Path) -> None:
    made = settings(10, more=", kinds: [bearing_wear, imbalance]")
    path = tmp_path / "truth.jsonl"
    record(made, tmp_path / "out.jsonl", duration_s=20 * DAY_S, every_s=DAY_S, truth=path)

    truth = read_truth(path.read_text().splitlines())
    worn = next(each for each in truth.faults if each.kind == "bearing_wear" and each.stop_s is not None)

    assert truth.machine_days == pytest.approx(200)
    assert truth.machines["p-001"] == ("hall-a", "pump")
    assert worn.growth is Growth.EXPONENTIAL
    assert worn.failure_s is not None
    middle_s = (worn.start_s + worn.failure_s) / 2
    assert worn.severity_at(worn.start_s - 1) == 0
    assert 0 < worn.severity_at(middle_s) < 0.2
    assert worn.severity_at(worn.failure_s) == pytest.approx(worn.severity, rel=0.02)
    assert worn.remaining_s(middle_s) == pytest.approx(middle_s - worn.start_s)
    assert worn.severity_at(worn.stop_s or 0) == 0


def test_a_record_holds_what_the_machines_told(tmp_path: Path) -> None:
    text = "kind: plant\nmachines: [{name: p, model: pump, serve: modbus}, {name: c, model: climate, serve: mqtt}]"
    made = loads(text, PlantSettings, name="plant.yaml", environment={})
    count = record(made, tmp_path / "out.jsonl", duration_s=1)
    record(made, tmp_path / "out.csv", duration_s=1)

    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    plant = Plant(made)
    plant.step(0.05)

    assert lines[0] == {"ts": 1767571200050, "area": "hall-a", "machine": "p", **plant.machines["p"].values}
    assert count == sum(len(line) - 3 for line in lines)
    assert (tmp_path / "out.csv").read_text().splitlines()[2].startswith("1767571200050,hall-a,c,,,")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "line 1 of the truth is not understood"),
        ('{"event": "plant", "schema": 2}', "schema 2 is not 1"),
        ('{"event": "hat"}', "event 'hat' is not known"),
        ('{"event": "start"}', "'id'"),
    ],
)
def test_a_truth_that_is_none_is_refused_with_its_line(line: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read_truth([line])


def test_wear_that_fails_ends_in_a_machine_that_stands() -> None:
    text = """kind: plant
machines: [{name: p, model: pump, serve: modbus}]
faults: [{kind: bearing_wear, machine: p, at_s: 10, grow_s: 20, fails: true, duration_s: 60}]"""
    plant = Plant(loads(text, PlantSettings, name="plant.yaml", environment={}))
    events, speeds = [], []

    for each in simulate(plant, step_s=1, duration_s=90):
        if isinstance(each, FaultEvent):
            events.append((each.change.value, each.at_s))
        else:
            speeds.append(float(each.values["speed"]))

    assert events == [("start", 10), ("failure", 30), ("stop", 70)]
    assert speeds[28] > 2000
    assert speeds[35] < 5
    assert speeds[-1] > 2000
