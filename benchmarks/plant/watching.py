"""One run of a scenario through the pure core of the anomaly agent: no hub, no disk, no clock but the plant's."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.plant.scenarios import Scenario
from benchmarks.plant.scoring import Raised, Score, judge
from fieldline.config import load
from fieldline.model import Alert, AlertState, DeviceId, Reading
from fieldline_cloud.agents.anomaly.rule_settings import RuleSettings
from fieldline_cloud.agents.anomaly.settings import AnomalySettings
from fieldline_cloud.agents.anomaly.watch import Watch
from fieldline_edge.drivers.simulator.faults import Change, FaultEvent
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.record import Sample, simulate
from fieldline_edge.drivers.simulator.truth import FaultTruth

__all__ = ["CONFIGS", "Run", "core_of", "watch"]

CONFIGS = {"shipped": Path("config/anomaly.yaml"), "demo": Path("config/demo/anomaly.yaml")}
"""Rules to watch by: the starting point that everybody gets, and the limits made for the demo's machines."""

SETTLE_S = 1800.0
"""How long after the end of a fault its alerts are not false yet."""
TICK_S = 5.0
"""Time between two looks for silent tags, in plant time: the agent takes longer pauses for its own absence."""
FLUSH_S = 300.0
"""Readings of so much plant time are scored together. The agent does so every 10 s, which a bench of weeks cannot wait
for; scores do not depend on it, and an alert counts from the reading that raised it."""
_SITE = "bench"


@dataclass(slots=True)
class Run:
    """What one agent made of a run: its score, what it raised, how many readings it saw, and its own time."""

    score: Score = field(default_factory=Score)
    raised: list[Raised] = field(default_factory=list)
    readings: int = 0
    agent_s: float = 0.0


def core_of(config: str, scenario: Scenario) -> Watch:
    """The agent's core with the rules of one of CONFIGS.

    Limits on silence are three sampling intervals at least, as their documentation asks for.
    """
    settings = load(CONFIGS[config], AnomalySettings, environment={})
    rules = [_patient(rule, 3.0 * scenario.every_s) for rule in settings.rules]
    settings = settings.model_copy(update={"rules": rules})
    return Watch(settings)


def _patient(rule: RuleSettings, after_s: float) -> RuleSettings:
    if rule.stale is None or rule.stale.after_s >= after_s:
        return rule
    return rule.model_copy(update={"stale": rule.stale.model_copy(update={"after_s": after_s})})


def watch(scenario: Scenario, cores: Mapping[str, Watch]) -> dict[str, Run]:
    """Run `scenario` under the eyes of each of `cores`; what each made of it, by the same names."""
    plant = Plant(scenario.settings)
    begin_ns = round(plant.start_s * 1e9)
    runs = {name: Run() for name in cores}
    faults: list[FaultTruth] = []
    readings = 0
    ran_s: dict[str, list[float]] = {}
    for number, (samples, events) in enumerate(_moments(scenario, plant), 1):
        now_s = number * scenario.every_s
        faults += [_truth(event) for event in events if event.change is Change.START]
        frames = [(_device(sample), _readings(sample)) for sample in samples]
        readings += sum(len(each) for _, each in frames)
        for sample in samples:
            if sample.values.get("running", False):
                ran_s.setdefault(sample.machine, []).append(now_s)
            elif "running" in sample.values:
                ran_s.setdefault(sample.machine, [])
        is_last = now_s >= scenario.duration_s
        for name, core in cores.items():
            began_s = time.perf_counter()
            silent = _ticks(core, begin_ns, now_s - scenario.every_s, now_s)
            now_ns = begin_ns + round(now_s * 1e9)
            alerts = [alert for device, each in frames for alert in core.readings(device, each, now_ns)]
            if is_last or now_s % FLUSH_S < scenario.every_s:
                alerts += core.flush(now_ns)
            runs[name].agent_s += time.perf_counter() - began_s
            runs[name].raised += [_raised(alert, now_s) for alert in silent if alert.state is AlertState.RAISED]
            runs[name].raised += [
                _raised(alert, (alert.raised_at_ns - begin_ns) / 1e9)
                for alert in alerts
                if alert.state is AlertState.RAISED
            ]
    models = {name: each.placed.model for name, each in plant.machines.items()}
    for run in runs.values():
        run.readings = readings
        run.score = judge(
            faults,
            run.raised,
            models=models,
            end_s=scenario.duration_s,
            settle_s=SETTLE_S,
            fed_by=scenario.fed_by,
            ran_s=ran_s,
        )
    return runs


def _moments(scenario: Scenario, plant: Plant) -> Iterator[tuple[list[Sample], list[FaultEvent]]]:
    """What is told at each sampling moment, also at one where every machine is silent; motors are switched on time."""
    waiting = list(scenario.switches)
    for number in range(1, round(scenario.duration_s / scenario.every_s) + 1):
        while waiting and waiting[0].at_s < number * scenario.every_s:
            switch = waiting.pop(0)
            plant.machines[switch.machine].switch(running=switch.running)
        told = simulate(plant, step_s=scenario.every_s, duration_s=scenario.every_s)
        samples: list[Sample] = []
        events: list[FaultEvent] = []
        for each in told:
            if isinstance(each, Sample):
                samples.append(each)
            else:
                events.append(each)
        yield samples, events


def _ticks(core: Watch, begin_ns: int, from_s: float, until_s: float) -> list[Alert]:
    """The ticks after `from_s` up to `until_s`, which come before the readings of that moment."""
    alerts: list[Alert] = []
    count = max(round((until_s - from_s) / TICK_S), 1)
    for tick in range(1, count + 1):
        alerts += core.monitor.tick(begin_ns + round((from_s + tick * (until_s - from_s) / count) * 1e9), live=True)
    return alerts


def _raised(alert: Alert, at_s: float) -> Raised:
    return Raised(alert.device.device, alert.tag, alert.rule, at_s, alert.cause, alert.message)


def _device(sample: Sample) -> DeviceId:
    return DeviceId(_SITE, sample.area, sample.machine)


def _readings(sample: Sample) -> list[Reading]:
    at_ns = sample.at_ms * 1_000_000
    return [Reading(tag, at_ns, value) for tag, value in sample.values.items()]


def _truth(event: FaultEvent) -> FaultTruth:
    fault = event.fault
    return FaultTruth(
        number=fault.number,
        kind=fault.kind.value,
        machine=event.machine,
        area=event.area,
        start_s=fault.start_s,
        start_ms=0,
        grow_s=fault.grow_s,
        severity=fault.severity,
        growth=fault.growth,
        signals=fault.signals,
        failure_s=fault.failure_s,
        stop_s=fault.stop_s,
    )
