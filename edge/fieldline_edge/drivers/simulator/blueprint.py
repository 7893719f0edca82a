"""What every machine of one kind has in common: its signals, its registers, its physics, what faults move. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random

from fieldline_edge.drivers.simulator import vibration
from fieldline_edge.drivers.simulator.kinds import MOVED, SENSOR_KINDS, SILENT_KINDS, FaultKind
from fieldline_edge.drivers.simulator.machines import MODELS, Make, Model
from fieldline_edge.drivers.simulator.registers import REGISTERS, Register
from fieldline_edge.drivers.simulator.signals import Form, Signal

__all__ = ["BLUEPRINTS", "Blueprint", "moved_signals", "with_monitor"]

_TRIPPING = ("vibration", "temperature")
_MONITORED: Mapping[FaultKind, tuple[str, ...]] = {
    FaultKind.BEARING_WEAR: tuple(f"vibration_{band}" for band in ("bpfo", "bpfi", "peak", "crest", "kurtosis")),
    FaultKind.IMBALANCE: ("vibration_1x", "vibration_peak"),
    FaultKind.MISALIGNMENT: ("vibration_1x", "vibration_2x", "vibration_3x", "vibration_peak"),
    FaultKind.CAVITATION: ("vibration_peak",),
}


@dataclass(frozen=True, slots=True)
class Blueprint:
    """One kind of machine. `build` makes the physics of one of them; `moved` says what each kind of wear moves."""

    model: str
    signals: tuple[Signal, ...]
    registers: tuple[Register, ...]
    build: Callable[[Make, Random], Model]
    moved: Mapping[FaultKind, tuple[str, ...]]
    monitored: bool = False


BLUEPRINTS: Mapping[str, Blueprint] = {
    name: Blueprint(
        model=name,
        signals=model.SIGNALS,
        registers=REGISTERS[name],
        build=model,
        moved={kind: models[name] for kind, models in MOVED.items() if name in models},
    )
    for name, model in MODELS.items()
}
"""The built-in models."""


def with_monitor(blueprint: Blueprint) -> Blueprint:
    """`blueprint` with a vibration monitor: further signals and registers, and what faults move among them.

    A compressor's speed follows its pressure, so a leak moves all of them there, as it moves the vibration.
    """
    names = tuple(signal.name for signal in vibration.SIGNALS)
    bands = tuple(name for name in names if name not in ("vibration_crest", "vibration_kurtosis"))
    moved = {}
    for kind, before in blueprint.moved.items():
        more = _MONITORED.get(kind, bands if "speed" in before else ())
        moved[kind] = (*before, *more)
    return replace(
        blueprint,
        signals=(*blueprint.signals, *vibration.SIGNALS),
        registers=(*blueprint.registers, *vibration.REGISTERS),
        moved=moved,
        monitored=True,
    )


def moved_signals(kind: FaultKind, blueprint: Blueprint, signal: str | None, *, fails: bool = False) -> tuple[str, ...]:
    """What `kind` moves on such a machine: the ground truth of a detector. `signal` for sensor faults.

    A dropout or a reboot takes all signals away, so it names them all, and so does a machine that fails in the end.
    ValueError, with the cure, if the fault cannot happen to that model or signal.
    """
    signals = {each.name: each for each in blueprint.signals}
    if fails and (kind is not FaultKind.BEARING_WEAR or kind not in blueprint.moved or "running" not in signals):
        raise ValueError(f"{kind.value} of a {blueprint.model} does not end in a failure; remove fails:")
    if kind in SILENT_KINDS or fails:
        return tuple(signals)
    if kind not in SENSOR_KINDS:
        return _worn_signals(kind, blueprint)
    numbers = [name for name, each in signals.items() if each.form in (Form.FLOAT, Form.INT)]
    if signal not in numbers:
        what = "needs a signal" if signal is None else f"cannot be on {signal!r} of a {blueprint.model}"
        raise ValueError(f"{kind.value} {what}; set signal: to one of {', '.join(numbers)}")
    return (signal, "alarm") if "alarm" in signals and signal in _TRIPPING else (signal,)


def _worn_signals(kind: FaultKind, blueprint: Blueprint) -> tuple[str, ...]:
    found = blueprint.moved.get(kind)
    if found is None:
        possible = MOVED[kind]
        known = f"it can to: {', '.join(possible)}"
        if blueprint.model == "custom":
            known = f"give a signal on_fault: {{{kind.value}: 5}}"
        raise ValueError(f"{kind.value} cannot happen to a {blueprint.model}; {known}")
    return found
