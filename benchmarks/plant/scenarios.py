"""Simulated plants to score an agent on, drawn from a seed: machines, calendars, weather, stops by hand, faults. Pure.

`single` gives one fault to each machine, every kind there is. `campaign` draws many faults for each machine. `healthy`
has none, but everything that is no fault: shifts, nights and weekends off, seasons, other loads, stops by hand. `fast`
is sampled each second and has little to learn from: minutes of health, then a fault within minutes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any, TypeVar

from benchmarks.plant.machines import CALENDARS, DRIVEN, MODELS, able, machine, numbers_of, plant
from fieldline_edge.drivers.simulator.kinds import SENSOR_KINDS, SILENT_KINDS, FaultKind
from fieldline_edge.drivers.simulator.settings import Placed, PlantSettings

__all__ = ["EVERY_S", "HELD_OUT", "SCENARIOS", "TRAIN", "Scenario", "Switch"]

TRAIN = tuple(range(1, 9))
"""Seeds to look at while something is being built."""
HELD_OUT = tuple(range(109, 117))
"""Seeds that the figures come from. Those from 101 to 108 were, until detectors were worked on with them in sight."""

EVERY_S = 30.0
"""Time between two samples in runs of days: what a bench can afford."""

_HOUR_S = 3600.0
_DAY_S = 86_400.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Switch:
    """A motor that somebody stops or starts by hand: no fault."""

    at_s: float
    machine: str
    running: bool


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run: a plant, how often it tells its values, how long, and who switches what meanwhile."""

    name: str
    seed: int
    settings: PlantSettings
    every_s: float
    duration_s: float
    switches: tuple[Switch, ...] = ()

    @property
    def fed_by(self) -> dict[str, str]:
        """The meter of each machine that has one."""
        return {fed: each.name for each in self.settings.placed() for fed in each.feeds}


def single(seed: int, *, quick: bool) -> Scenario:
    """One fault on each machine, all kinds, after days of health; wear grows for hours or days, some to a failure."""
    random = Random(f"single/{seed}")
    days, learn_s = (2.0, _DAY_S) if quick else (7.0, 2 * _DAY_S)
    kinds = _some(tuple(FaultKind), random, 4 if quick else None)
    machines = [
        machine(random, f"{random.choice(able(kind))}-{number}", calendar=random.choice(CALENDARS))
        for number, kind in enumerate(kinds, 1)
    ]
    whole = plant(seed, random, machines)
    begins_s = [random.uniform(learn_s, learn_s + 0.5 * _DAY_S) for _ in kinds]
    growth_s = (2 * _HOUR_S, 8 * _HOUR_S) if quick else (6 * _HOUR_S, 4 * _DAY_S)
    whole["faults"] = [
        _fault(
            random, placed, kind, at_s, growth_s=growth_s, lasting_s=(_HOUR_S, 4 * _HOUR_S), spike_s=(300, 2 * EVERY_S)
        )
        for placed, kind, at_s in zip(_placed(whole), kinds, begins_s, strict=True)
    ]
    return Scenario("single", seed, PlantSettings.model_validate(whole), EVERY_S, days * _DAY_S)


def campaign(seed: int, *, quick: bool) -> Scenario:
    """Half a fault on each machine and day, at random, after two days of health.

    Spikes of a campaign are half a second long and its silences may be ten: readings every 30 s do not see them. They
    are left to `single` and `fast`.
    """
    random = Random(f"campaign/{seed}")
    days = 2.0 if quick else 10.0
    models = _some(MODELS, random, 2 if quick else None)
    whole = plant(seed, random, [machine(random, f"{each}-1", calendar=random.choice(CALENDARS)) for each in models])
    whole["campaign"] = {
        "faults_per_machine_day": 2.0 if quick else 0.5,
        "days": days,
        "kinds": [kind for kind in FaultKind if kind is not FaultKind.SPIKE and kind not in SILENT_KINDS],
        "quiet_s": _DAY_S if quick else 2 * _DAY_S,
        "rest_s": 4 * _HOUR_S,
        "to_failure": random.random() < 0.5,
    }
    return Scenario("campaign", seed, PlantSettings.model_validate(whole), EVERY_S, days * _DAY_S)


def healthy(seed: int, *, quick: bool) -> Scenario:
    """No fault at all, and much that is none: stops by hand, other loads, weather."""
    random = Random(f"healthy/{seed}")
    days = 2.0 if quick else 10.0
    models = _some(MODELS, random, 2 if quick else None)
    machines = [
        machine(random, f"{model}-1", calendar=CALENDARS[(seed + place) % len(CALENDARS)])
        for place, model in enumerate(models)
    ]
    whole = plant(seed, random, machines)
    stopped = [each["name"] for each in machines if each["model"] in DRIVEN for _ in range(round(days / 2))]
    switches = [switch for name in stopped for switch in _stop(random, name, days * _DAY_S)]
    switches.sort(key=lambda each: each.at_s)
    return Scenario("healthy", seed, PlantSettings.model_validate(whole), EVERY_S, days * _DAY_S, tuple(switches))


def fast(seed: int, *, quick: bool) -> Scenario:
    """Readings each second: half an hour to an hour of health, then one fault on each machine within minutes."""
    random = Random(f"fast/{seed}")
    kinds = _some(tuple(FaultKind), random, 3 if quick else None)
    machines = [
        machine(random, f"{random.choice(able(kind))}-{number}", calendar=None) for number, kind in enumerate(kinds, 1)
    ]
    whole = plant(seed, random, machines)
    begins_s = [random.uniform(1800.0, 3600.0) for _ in kinds]
    whole["faults"] = [
        _fault(random, placed, kind, at_s, growth_s=(120.0, 1200.0), lasting_s=(300.0, 1200.0), spike_s=(60, 2))
        for placed, kind, at_s in zip(_placed(whole), kinds, begins_s, strict=True)
    ]
    return Scenario("fast", seed, PlantSettings.model_validate(whole), 1.0, 2 * _HOUR_S)


SCENARIOS: Mapping[str, Callable[..., Scenario]] = MappingProxyType(
    {"single": single, "campaign": campaign, "healthy": healthy, "fast": fast}
)
"""By name: each takes a seed and, by keyword, `quick`."""


def _fault(
    random: Random,
    placed: Placed,
    kind: FaultKind,
    at_s: float,
    *,
    growth_s: tuple[float, float],
    lasting_s: tuple[float, float],
    spike_s: tuple[float, float],
) -> dict[str, Any]:
    """A fault that the sampling of its scenario can see: silences take minutes, spikes (every, width) two samples."""
    assert placed.blueprint is not None
    grow_s, stays_s = random.uniform(*growth_s), random.uniform(*lasting_s)
    every_s, width_s = spike_s
    fault: dict[str, Any] = {
        "kind": kind,
        "machine": placed.name,
        "at_s": round(at_s),
        "severity": round(random.uniform(0.5, 1.0), 2),
        "every_s": every_s,
        "width_s": width_s,
    }
    if kind in SILENT_KINDS:
        return {**fault, "grow_s": 0.0, "duration_s": round(random.uniform(240.0, 600.0))}
    if kind in SENSOR_KINDS:
        fault["signal"] = random.choice(numbers_of(placed.blueprint))
        grow_s = min(grow_s, _DAY_S)
    elif kind is FaultKind.BEARING_WEAR:
        fault |= {"fails": True, "severity": 1.0}
    return {**fault, "grow_s": round(grow_s), "duration_s": round(grow_s + stays_s)}


def _placed(whole: Mapping[str, Any]) -> tuple[Placed, ...]:
    return PlantSettings.model_validate(whole).placed()


def _stop(random: Random, name: str, duration_s: float) -> Iterator[Switch]:
    at_s = random.uniform(0.0, duration_s)
    yield Switch(at_s, name, running=False)
    yield Switch(at_s + random.uniform(120.0, 4 * _HOUR_S), name, running=True)


def _some(every: Sequence[_T], random: Random, count: int | None) -> Sequence[_T]:
    """So many of them; all without `count`."""
    return every if count is None else random.sample(every, count)
