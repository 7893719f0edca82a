"""A plant as fast as the computer can: simulated time without serving, for benchmarks and recordings. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fieldline_edge.drivers.simulator.faults import FaultEvent
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.signals import SignalValue

__all__ = ["Sample", "simulate", "unix_ms"]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one machine tells at one moment of plant time (`at_s` since the start, `at_ms` as Unix time)."""

    at_s: float
    at_ms: int
    machine: str
    area: str
    values: Mapping[str, SignalValue]


def simulate(
    plant: Plant, *, step_s: float, duration_s: float, every_s: float | None = None
) -> Iterator[Sample | FaultEvent]:
    """Run `plant` for `duration_s` and yield what its machines tell every `every_s` (default: at each step).

    Faults are yielded as they happen, before the samples of that moment. A machine in a dropout tells nothing. The
    samples of one plant file and seed are the same in every run, bit for bit.
    """
    stride = max(round((every_s or step_s) / step_s), 1)
    machines = list(plant.machines.values())
    for number in range(1, round(duration_s / step_s) + 1):
        plant.step(step_s)
        yield from plant.drain_events()
        if number % stride == 0:
            at_s, at_ms = round(plant.time_s, 6), unix_ms(plant.now_s)
            for machine in machines:
                if machine.answering:
                    yield Sample(at_s, at_ms, machine.name, machine.area, machine.values)


def unix_ms(at_s: float) -> int:
    """Seconds of Unix time as whole milliseconds."""
    return int(at_s * 1000.0 + 0.5)
