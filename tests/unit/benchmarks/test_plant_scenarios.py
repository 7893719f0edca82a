"""The simulated plants that the agent is scored on."""

import pytest

from benchmarks.plant.machines import MODELS, able
from benchmarks.plant.scenarios import HELD_OUT, SCENARIOS, TRAIN, Scenario
from benchmarks.plant.watching import core_of, watch
from fieldline_edge.drivers.simulator.kinds import SILENT_KINDS, FaultKind
from fieldline_edge.drivers.simulator.settings import PlantSettings


def test_seeds_to_train_on_and_seeds_to_judge_by_are_different() -> None:
    assert set(TRAIN).isdisjoint(HELD_OUT)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_seed_always_gives_the_same_plant(name: str) -> None:
    assert SCENARIOS[name](3, quick=False) == SCENARIOS[name](3, quick=False)
    assert SCENARIOS[name](3, quick=False) != SCENARIOS[name](4, quick=False)


@pytest.mark.parametrize("name", ["single", "fast"])
@pytest.mark.parametrize("seed", TRAIN)
def test_every_kind_of_fault_happens_to_a_machine_of_its_own_and_ends_within_the_run(name: str, seed: int) -> None:
    scenario = SCENARIOS[name](seed, quick=False)
    faults = scenario.settings.faults

    assert [fault.kind for fault in faults] == list(FaultKind)
    assert len({fault.machine for fault in faults}) == len(faults)
    for fault in faults:
        assert fault.duration_s is not None
        assert fault.at_s + fault.duration_s < scenario.duration_s
        assert fault.duration_s >= 240.0 or fault.kind not in SILENT_KINDS


def test_healthy_plants_have_no_fault_and_motors_that_are_stopped_by_hand() -> None:
    scenario = SCENARIOS["healthy"](1, quick=False)

    assert not scenario.settings.faults
    assert scenario.settings.campaign is None
    assert {switch.running for switch in scenario.switches} == {True, False}


def test_every_kind_can_happen_to_some_model_and_sensor_faults_to_all() -> None:
    assert all(able(kind) for kind in FaultKind)
    assert able(FaultKind.DRIFT) == MODELS


def test_a_run_finds_silences_with_the_rules_as_they_are_shipped_and_raises_nothing_else() -> None:
    settings = PlantSettings.model_validate(
        {
            "kind": "plant",
            "machines": [{"name": f"climate-{number}", "model": "climate", "serve": "mqtt"} for number in (1, 2)],
            "faults": [{"kind": "dropout", "machine": "climate-1", "at_s": 300, "duration_s": 120}],
        }
    )
    scenario = Scenario("by hand", 7, settings, every_s=10.0, duration_s=900.0)

    run = watch(scenario, {"shipped": core_of("shipped", scenario)})["shipped"]

    (outcome,) = run.score.outcomes
    assert outcome.delay_s == pytest.approx(30.0, abs=10.0)
    assert outcome.repeats == 0
    assert run.score.false == ()
    assert run.readings == 3 * (90 + 90 - 12)
