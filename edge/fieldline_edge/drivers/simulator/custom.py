"""A machine described by its user: each signal is a base, what moves it, its inertia and its noise. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from fieldline_edge.drivers.simulator.blueprint import Blueprint
from fieldline_edge.drivers.simulator.kinds import CONDITIONS, FaultKind
from fieldline_edge.drivers.simulator.machines import Condition, Make, Model
from fieldline_edge.drivers.simulator.registers import Register
from fieldline_edge.drivers.simulator.signals import Form, Signal, Wander, approach

__all__ = ["Law", "custom_blueprint"]

_SPEED_TAU_S = 2.0


@dataclass(frozen=True, slots=True)
class Law:
    """What makes the true value of one signal.

    base + load x the machine's load (0 to 1) + speed x its speed (0 to 1) + ambient x the weather + sum of follows x
    those signals + sum of on_fault x severity + wander, on the way there by `inertia_s`; a counter adds that up per
    second instead.
    """

    signal: Signal
    base: float = 0.0
    load: float = 0.0
    speed: float = 0.0
    ambient: float = 0.0
    follows: tuple[tuple[str, float], ...] = ()
    on_fault: tuple[tuple[FaultKind, float], ...] = ()
    inertia_s: float = 0.0
    wander: float = 0.0
    wander_s: float = 20.0
    counter: bool = False


class Custom(Model):
    """A machine that obeys its laws in the order they are written down."""

    def __init__(self, make: Make, random: Random, *, laws: Sequence[Law]) -> None:
        super().__init__(make, random)
        self._laws = laws
        self._wanders = [Wander(random, tau_s=law.wander_s) if law.wander else None for law in laws]
        self._speed = 0.0
        self._settle()
        for law in laws:
            if law.counter:
                self.truth[law.signal.name] = law.base

    def advance(self, dt_s: float, condition: Condition) -> None:
        """Move the truth `dt_s` seconds on."""
        on = self.running and self.load_factor > 0.0 and not condition.seized
        load = self._demand(dt_s) if on else self._demand(dt_s) * 0.0
        self._speed = approach(self._speed, 0.6 + 0.4 * load if on else 0.0, dt_s, _SPEED_TAU_S)
        truth = self.truth
        for law, wander in zip(self._laws, self._wanders, strict=True):
            signal = law.signal
            if signal.form is Form.TEXT:
                truth[signal.name] = 0.0
            elif signal.form is Form.BOOL and signal.name == "running":
                truth[signal.name] = float(on)
            else:
                self._obey(law, wander, load, dt_s, condition)

    def restart(self) -> None:
        """Counters begin at zero."""
        for law in self._laws:
            if law.counter:
                self.truth[law.signal.name] = 0.0

    def _obey(self, law: Law, wander: Wander | None, load: float, dt_s: float, condition: Condition) -> None:
        truth, name = self.truth, law.signal.name
        target = (0.0 if law.counter else law.base) + law.load * load + law.speed * self._speed
        target += law.ambient * self.warmer_c
        for other, share in law.follows:
            target += share * truth[other]
        for kind, share in law.on_fault:
            target += share * getattr(condition, CONDITIONS[kind])
        if wander is not None:
            target += law.wander * wander.step(dt_s)
        if law.counter:
            truth[name] = truth.get(name, law.base) + max(target, 0.0) * dt_s
        elif law.inertia_s:
            truth[name] = approach(truth.get(name, target), target, dt_s, law.inertia_s)
        else:
            truth[name] = target


def custom_blueprint(laws: Sequence[Law], registers: Sequence[Register]) -> Blueprint:
    """The kind of machine that obeys `laws` and is read by `registers`."""
    return Blueprint(
        model="custom",
        signals=tuple(law.signal for law in laws),
        registers=tuple(registers),
        build=partial(Custom, laws=tuple(laws)),
        moved=_moved(laws),
    )


def _moved(laws: Sequence[Law]) -> Mapping[FaultKind, tuple[str, ...]]:
    """What each kind of wear moves: the signals that name it, and those that follow one of them."""
    found: dict[FaultKind, tuple[str, ...]] = {}
    for kind in CONDITIONS:
        moved: list[str] = []
        for law in laws:
            touched = any(each is kind for each, _ in law.on_fault)
            if touched or any(name in moved for name, _ in law.follows):
                moved.append(law.signal.name)
        if moved:
            found[kind] = tuple(moved)
    return found
