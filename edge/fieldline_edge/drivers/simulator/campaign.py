"""Fault campaigns: faults drawn at random from the seed, at a rate per machine and day. Pure.

Each machine draws from numbers of its own: adding or removing machines leaves the faults of the others as they were.
"""

from collections.abc import Iterable, Mapping
from random import Random

from fieldline_edge.drivers.simulator.blueprint import Blueprint, moved_signals
from fieldline_edge.drivers.simulator.fault_settings import CampaignSettings, FaultSettings
from fieldline_edge.drivers.simulator.kinds import SENSOR_KINDS, SILENT_KINDS, FaultKind
from fieldline_edge.drivers.simulator.signals import Form

__all__ = ["draw_faults"]

_DAY_S = 86_400.0
_FAULTS_MAX = 1_000
_SILENT_S = (10.0, 600.0)


def draw_faults(
    settings: CampaignSettings, blueprints: Mapping[str, Blueprint], *, seed: int
) -> Iterable[FaultSettings]:
    """The faults of all machines, given by name; one machine has one at a time and rests in between."""
    for name, blueprint in blueprints.items():
        if settings.machines is None or name in settings.machines:
            yield from _on_one(settings, name, blueprint, Random(f"{seed}/campaign/{name}"))


def _on_one(settings: CampaignSettings, name: str, blueprint: Blueprint, random: Random) -> Iterable[FaultSettings]:
    kinds = [kind for kind in settings.kinds or tuple(FaultKind) if _possible(kind, blueprint)]
    if not kinds or not settings.faults_per_machine_day:
        return
    at_s = settings.quiet_s
    for _ in range(_FAULTS_MAX):
        at_s += random.expovariate(settings.faults_per_machine_day / _DAY_S)
        if at_s >= settings.days * _DAY_S:
            return
        fault = _one(settings, name, blueprint, random, random.choice(kinds), at_s)
        yield fault
        assert fault.duration_s is not None
        at_s += fault.duration_s + settings.rest_s


def _one(
    settings: CampaignSettings, name: str, blueprint: Blueprint, random: Random, kind: FaultKind, at_s: float
) -> FaultSettings:
    grow_s, lasting_s = random.uniform(*settings.grow_s), random.uniform(*settings.lasting_s)
    if kind in SILENT_KINDS:
        grow_s, lasting_s = 0.0, random.uniform(*_SILENT_S)
    return FaultSettings(
        kind=kind,
        machine=name,
        at_s=round(at_s, 3),
        grow_s=round(grow_s, 3),
        duration_s=round(grow_s + lasting_s, 3),
        severity=round(random.uniform(*settings.severity), 3),
        signal=random.choice(_numbers(blueprint)) if kind in SENSOR_KINDS else None,
        every_s=settings.spike_every_s,
        fails=kind is FaultKind.BEARING_WEAR and settings.to_failure and _can_fail(blueprint),
    )


def _possible(kind: FaultKind, blueprint: Blueprint) -> bool:
    try:
        moved_signals(kind, blueprint, next(iter(_numbers(blueprint)), None) if kind in SENSOR_KINDS else None)
    except ValueError:
        return False
    return True


def _numbers(blueprint: Blueprint) -> list[str]:
    return [signal.name for signal in blueprint.signals if signal.form in (Form.FLOAT, Form.INT)]


def _can_fail(blueprint: Blueprint) -> bool:
    return any(signal.name == "running" for signal in blueprint.signals)
