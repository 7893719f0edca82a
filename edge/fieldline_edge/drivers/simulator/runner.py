"""A plant in real time: steps it, answers Modbus, publishes MQTT, writes the ground truth of the faults."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from fieldline.errors import ConfigError
from fieldline_edge.drivers.simulator.faults import FaultEvent
from fieldline_edge.drivers.simulator.modbus_server import ModbusListener
from fieldline_edge.drivers.simulator.mqtt_publisher import MqttPublisher
from fieldline_edge.drivers.simulator.plant import Machine, Plant
from fieldline_edge.drivers.simulator.registers import Bank
from fieldline_edge.drivers.simulator.settings import PlantSettings, split_address

__all__ = ["PlantRunner"]

_log = logging.getLogger(__name__)
_CATCH_UP_STEPS_MAX = 20
_PORT_MAX = 65_535
_EPSILON_S = 1e-9  # step sums carry binary dust; without this a message could come one step late


@dataclass(slots=True)
class _Turn:
    """When an MQTT machine has to publish next, in plant time."""

    machine: Machine
    period_s: float
    due_s: float


class PlantRunner:
    """A running plant. Construct, `async with` (opens everything), `run` until cancelled or for a duration.

    `steps_skipped` counts steps that a busy computer left no time for: plant time then falls behind the
    clock. `clock_ns` gives Unix time for time stamps.
    """

    def __init__(
        self,
        settings: PlantSettings,
        *,
        truth: Path | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.plant = Plant(settings)
        self.listeners: list[ModbusListener] = _listeners(settings, self.plant)
        self.publisher: MqttPublisher | None = None
        self.steps_skipped = 0
        self._settings = settings
        self._clock_ns = clock_ns
        self._truth_path = truth or settings.truth
        self._truth: IO[str] | None = None
        self._turns = _turns(self.plant)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the truth file, the listeners and the broker connection; FieldlineError if one cannot be."""
        async with AsyncExitStack() as stack:
            if self._truth_path is not None:
                self._truth = stack.enter_context(_open_truth(self._truth_path))
            for listener in self.listeners:
                await stack.enter_async_context(listener)
            if self._turns:
                mqtt = self._settings.mqtt
                host, port = split_address(mqtt.broker)
                publisher = MqttPublisher(host, port, topic_root=mqtt.topic_root, queue_max=mqtt.queue_max)
                self.publisher = await stack.enter_async_context(publisher)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all that was opened, the last first."""
        await self._stack.__aexit__(kind, error, trace)

    async def run(self, *, duration_s: float | None = None) -> None:
        """Step the plant at its pace, until cancelled or for `duration_s` seconds."""
        loop = asyncio.get_running_loop()
        step_s = self._settings.step_s
        started_s = loop.time()
        stop_s = None if duration_s is None else started_s + duration_s
        steps = 0  # counted from started_s, skipped ones too
        while stop_s is None or loop.time() < stop_s:
            due = int((loop.time() - started_s) / step_s) - steps
            if due > _CATCH_UP_STEPS_MAX:
                self._skip(due - _CATCH_UP_STEPS_MAX)
                steps += due - _CATCH_UP_STEPS_MAX
                due = _CATCH_UP_STEPS_MAX
            for _ in range(due):
                self.tick()
            steps += due
            wake_s = started_s + (steps + 1) * step_s
            await asyncio.sleep(max((wake_s if stop_s is None else min(wake_s, stop_s)) - loop.time(), 0.0))

    def tick(self) -> None:
        """One step: move the plant, publish what is due, write down faults."""
        self.plant.step(self._settings.step_s)
        for turn in self._turns:
            if self.plant.time_s + _EPSILON_S >= turn.due_s:
                turn.due_s = max(turn.due_s + turn.period_s, self.plant.time_s)
                self._publish(turn.machine)
        for event in self.plant.drain_events():
            self._write(event)

    def _publish(self, machine: Machine) -> None:
        if machine.answering and self.publisher is not None:
            self.publisher.publish(machine.area, machine.name, self._clock_ns() // 1_000_000, machine.values)

    def _write(self, event: FaultEvent) -> None:
        if self._truth is None:
            return
        line = {
            "event": event.event,
            "kind": event.kind.value,
            "machine": event.machine,
            "area": event.area,
            "at_s": event.at_s,
            "at_ms": self._clock_ns() // 1_000_000,
            "grow_s": event.grow_s,
            "severity": event.severity,
            "signals": event.signals,
        }
        self._truth.write(json.dumps(line) + "\n")

    def _skip(self, steps: int) -> None:
        if not self.steps_skipped:
            _log.warning("too slow for step_ms=%d, steps are skipped; raise step_ms", self._settings.step_ms)
        self.steps_skipped += steps


def _open_truth(path: Path) -> IO[str]:
    try:
        return path.open("w", buffering=1, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: truth cannot be written: {error.strerror}; choose another file") from error


def _listeners(settings: PlantSettings, plant: Plant) -> list[ModbusListener]:
    """One listener for each number in use; ConfigError if the ports run out."""
    banks: dict[int, dict[int, Bank]] = {}
    for machine in plant.machines.values():
        place = machine.placed.place
        if place is not None:
            banks.setdefault(place.listener, {})[place.unit] = Bank(machine)
    host, port = split_address(settings.modbus.listen)
    if port and banks and port + max(banks) > _PORT_MAX:
        raise ConfigError(f"modbus.listen: {max(banks) + 1} listeners from port {port} pass 65535; start lower")
    return [ModbusListener(host, port + number if port else 0, banks[number]) for number in sorted(banks)]


def _turns(plant: Plant) -> list[_Turn]:
    """MQTT machines with their first times, spread over their periods: not all publish at once."""
    machines = [machine for machine in plant.machines.values() if machine.placed.place is None]
    turns = []
    for number, machine in enumerate(machines):
        period_s = machine.placed.period_ms / 1000.0
        turns.append(_Turn(machine, period_s, period_s * (number + 1) / len(machines)))
    return turns
