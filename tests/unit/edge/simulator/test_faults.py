"""Claims about faults: each moves the signals it says it moves, and leaves the others bit for bit alone."""

from collections.abc import Callable

import pytest

from fieldline_edge.drivers.simulator.blueprint import BLUEPRINTS, moved_signals
from fieldline_edge.drivers.simulator.fault_settings import FaultSettings
from fieldline_edge.drivers.simulator.faults import Change
from fieldline_edge.drivers.simulator.kinds import SENSOR_KINDS, SILENT_KINDS, FaultKind
from fieldline_edge.drivers.simulator.machines import MODELS
from fieldline_edge.drivers.simulator.plant import Plant
from tests.unit.edge.simulator.conftest import numbers

MakePlant = Callable[..., Plant]
Row = dict[str, float]
STEP_S = 0.05
AT_S, GROW_S = 2.0, 6.0


def possible() -> list[tuple[FaultKind, str, str | None]]:
    """Every kind of fault on every model it can happen to; sensor faults on three signals."""
    found: list[tuple[FaultKind, str, str | None]] = []
    for kind in FaultKind:
        for model in MODELS:
            for signal in ("vibration", "power", "temperature") if kind in SENSOR_KINDS else (None,):
                try:
                    moved_signals(kind, BLUEPRINTS[model], signal)
                except ValueError:
                    continue
                found.append((kind, model, signal))
    return found


def run(plant: Plant, seconds: float) -> list[Row]:
    rows = []
    for _ in range(round(seconds / STEP_S)):
        plant.step(STEP_S)
        rows.append(numbers(plant.machines["a"]))
    return rows


def both(make_plant: MakePlant, model: str, fault: str, seconds: float) -> tuple[list[Row], list[Row]]:
    """The same run without and with the fault."""
    return run(make_plant(model), seconds), run(make_plant(model, faults=(fault,)), seconds)


def written(kind: FaultKind, signal: str | None, more: str = "") -> str:
    extra = f", signal: {signal}" if signal else ""
    return f"{{kind: {kind.value}, machine: a, at_s: {AT_S}, grow_s: {GROW_S}{extra}{more}}}"


@pytest.mark.parametrize(("kind", "model", "signal"), possible())
def test_a_fault_moves_what_it_claims_and_nothing_else(
    make_plant: MakePlant, kind: FaultKind, model: str, signal: str | None
) -> None:
    mild = (FaultKind.IMBALANCE, FaultKind.MISALIGNMENT, FaultKind.CAVITATION)
    more = ", severity: 2" if kind in mild else ""  # enough to trip the alarm too
    healthy, faulty = both(make_plant, model, written(kind, signal, more), 30)

    moved = {name for sane, ill in zip(healthy, faulty, strict=True) for name in sane if sane[name] != ill[name]}

    claimed = set(moved_signals(kind, BLUEPRINTS[model], signal))
    # A dropout takes values away and moves none; an alarm goes on only where its limit is passed.
    counters = {"running_hours", "energy"} if kind is FaultKind.REBOOT else set()
    assert moved <= (counters if kind in SILENT_KINDS else claimed)
    assert moved | {"alarm"} >= claimed or kind in SILENT_KINDS


@pytest.mark.parametrize(("kind", "model", "signal"), possible())
def test_nothing_happens_before_the_time(
    make_plant: MakePlant, kind: FaultKind, model: str, signal: str | None
) -> None:
    healthy, faulty = both(make_plant, model, written(kind, signal), AT_S - STEP_S)

    assert faulty == healthy


@pytest.mark.parametrize("model", ["pump", "fan", "compressor"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bearing_wear_passes_the_critical_limit_while_it_grows(make_plant: MakePlant, model: str, seed: int) -> None:
    fault = written(FaultKind.BEARING_WEAR, None)
    rows = run(make_plant(model, seed=seed, faults=(fault,)), AT_S + GROW_S + 10)

    grown = round((AT_S + GROW_S) / STEP_S)
    before = [row["vibration"] for row in rows[: round(AT_S / STEP_S)]]
    after = [row["vibration"] for row in rows[grown:]]

    assert max(before) < 3.5
    assert max(row["vibration"] for row in rows[:grown]) > 7.1
    assert sum(after) / len(after) > 7.1
    assert rows[-1]["bearing_temperature"] > rows[0]["bearing_temperature"] + 5
    assert any(row["alarm"] for row in rows[grown:])


def test_half_the_severity_is_a_warning_only(make_plant: MakePlant) -> None:
    fault = written(FaultKind.BEARING_WEAR, None, ", severity: 0.5")
    rows = run(make_plant("pump", faults=(fault,)), AT_S + GROW_S + 5)

    worst = max(row["vibration"] for row in rows)

    assert 4.5 < worst < 7.1


def test_a_leak_lowers_pressure_and_flow_and_costs_power(make_plant: MakePlant) -> None:
    healthy, leaking = both(make_plant, "pump", written(FaultKind.LEAK, None), AT_S + GROW_S)

    assert leaking[-1]["pressure"] < 0.9 * healthy[-1]["pressure"]
    assert leaking[-1]["flow"] < 0.95 * healthy[-1]["flow"]
    assert leaking[-1]["power"] > 1.02 * healthy[-1]["power"]


def test_a_clogged_filter_takes_the_flow_of_a_fan(make_plant: MakePlant) -> None:
    healthy, clogged = both(make_plant, "fan", written(FaultKind.CLOGGED_FILTER, None), AT_S + GROW_S)

    assert clogged[-1]["flow"] < 0.7 * healthy[-1]["flow"]
    assert clogged[-1]["pressure"] > 1.2 * healthy[-1]["pressure"]


def test_a_stuck_sensor_repeats_its_last_value_and_recovers(make_plant: MakePlant) -> None:
    fault = written(FaultKind.STUCK, "pressure", ", duration_s: 3")
    healthy, stuck = both(make_plant, "pump", fault, 8)

    first, last = round(AT_S / STEP_S) - 1, round((AT_S + 3) / STEP_S) - 1

    assert {row["pressure"] for row in stuck[first:last]} == {healthy[first]["pressure"]}
    assert stuck[last:] == healthy[last:]


def test_spikes_come_back_and_are_short(make_plant: MakePlant) -> None:
    fault = written(FaultKind.SPIKE, "temperature", ", every_s: 2, width_s: 0.5")
    healthy, spiky = both(make_plant, "pump", fault, AT_S + 8 - STEP_S)

    off = [abs(ill["temperature"] - sane["temperature"]) for sane, ill in zip(healthy, spiky, strict=True)]

    assert sum(distance > 50 for distance in off) == 4 * 10
    assert sum(distance > 0 for distance in off) == 4 * 10


def test_a_dropout_silences_the_machine_for_its_time(make_plant: MakePlant) -> None:
    plant = make_plant("pump", faults=(written(FaultKind.DROPOUT, None, ", duration_s: 1"),))
    answering = []
    for _ in range(80):
        plant.step(STEP_S)
        answering.append(plant.machines["a"].answering)

    silent = [number for number, answers in enumerate(answering) if not answers]

    assert silent == list(range(39, 59))  # steps 40 to 59: from 2.0 s until just before 3.0 s


def test_starts_and_stops_are_told_once_with_what_they_move(make_plant: MakePlant) -> None:
    plant = make_plant("pump", faults=(written(FaultKind.IMBALANCE, None, ", duration_s: 1.5"),))

    run(plant, 5)
    events = plant.drain_events()

    assert [(event.change, event.at_s) for event in events] == [(Change.START, 2.0), (Change.STOP, 3.5)]
    assert {(event.fault.kind, event.machine, event.fault.signals) for event in events} == {
        (FaultKind.IMBALANCE, "a", ("vibration", "alarm"))
    }
    assert plant.drain_events() == []


def test_a_fault_can_be_injected_while_the_plant_runs(make_plant: MakePlant) -> None:
    plant = make_plant("fan")
    run(plant, 1)

    plant.inject(FaultSettings(kind=FaultKind.BEARING_WEAR, machine="a", at_s=plant.time_s, grow_s=1))
    rows = run(plant, 2)

    assert rows[-1]["vibration"] > 7.1
