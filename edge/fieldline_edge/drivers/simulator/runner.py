"""A plant in real time: steps it, answers Modbus, publishes MQTT, takes commands, writes the truth of the faults."""

import asyncio
import logging
import resource
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fieldline.errors import ConfigError
from fieldline_edge.drivers.simulator.bank import Bank
from fieldline_edge.drivers.simulator.control_server import ControlServer
from fieldline_edge.drivers.simulator.faults import Change, FaultEvent
from fieldline_edge.drivers.simulator.kinds import FaultKind
from fieldline_edge.drivers.simulator.machine import Machine
from fieldline_edge.drivers.simulator.modbus_server import ModbusListener
from fieldline_edge.drivers.simulator.mqtt_publisher import MqttPublisher
from fieldline_edge.drivers.simulator.plant import Plant
from fieldline_edge.drivers.simulator.record import unix_ms
from fieldline_edge.drivers.simulator.serial_line import SerialLine
from fieldline_edge.drivers.simulator.serving_settings import split_address
from fieldline_edge.drivers.simulator.settings import PlantSettings
from fieldline_edge.drivers.simulator.trace_files import load_traces, new_plant
from fieldline_edge.drivers.simulator.truth_file import TruthFile

__all__ = ["PlantRunner"]

_log = logging.getLogger(__name__)
_CATCH_UP_STEPS_MIN = 20
_CATCH_UP_S = 0.25  # how much of real time may be caught up; what a longer pause took is skipped
_STEPS_A_TURN = 50  # after so many steps in a row the clients get a turn
_SLEEP_S_MIN = 0.001  # below this a sleep costs more than it gives: several steps are taken at once
_PORT_MAX = 65_535
_FILES_BESIDE = 256  # for clients, the truth, the broker
_EPSILON_S = 1e-9  # step sums carry binary dust; without this a message could come one step late


@dataclass(slots=True)
class _Turn:
    """When an MQTT machine has to publish next, in plant time, and which waveform it published last."""

    machine: Machine
    period_s: float
    due_s: float
    waveform: int = 0


class PlantRunner:
    """A running plant. Construct, `async with` (opens everything), `run` until cancelled or for a duration.

    `steps_skipped` counts steps that a busy computer left no time for: plant time then falls behind the
    clock. `folder` is where recorded traces lie, `clock_ns` gives Unix time; a plant with a `start` or a `time_scale`
    of its own stamps with plant time, and one that shares a `clock` by that clock, however far it is behind itself.
    """

    def __init__(
        self,
        settings: PlantSettings,
        *,
        truth: Path | None = None,
        folder: Path = Path(),
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        shared = settings.shared_clock
        self._clock_ns = clock_ns if shared is None else lambda: shared.at(clock_ns())
        self._scale = settings.time_scale if shared is None else shared.scale
        self.plant = new_plant(settings, load_traces(settings, folder), start_s=self._clock_ns() / 1e9)
        self.listeners: list[ModbusListener] = []
        self.serial_lines: list[SerialLine] = []
        self.publisher: MqttPublisher | None = None
        self.control: ControlServer | None = None
        self.steps_skipped = 0
        self._settings = settings
        self._own_time = settings.start is not None or settings.time_scale != 1.0
        self._truth_path = truth or settings.truth
        self._truth: TruthFile | None = None
        self._turns = _turns(self.plant)
        self._alone: dict[str, ModbusListener] = {}
        self._stack = AsyncExitStack()
        self._plan_modbus()
        if settings.control is not None:
            self.control = ControlServer(*split_address(settings.control), self.plant)

    async def __aenter__(self) -> Self:
        """Open the truth file, the listeners and the broker connection; FieldlineError if one cannot be."""
        async with AsyncExitStack() as stack:
            if self._truth_path is not None:
                self._truth = stack.enter_context(self._new_truth(self._truth_path))
            _allow_files(2 * len(self.listeners) + _FILES_BESIDE)
            for listener in self.listeners:
                await stack.enter_async_context(listener)
            for line in self.serial_lines:
                await stack.enter_async_context(line)
            if self.control is not None:
                await stack.enter_async_context(self.control)
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
        """Step the plant at its pace, until cancelled or for `duration_s` seconds of real time."""
        loop = asyncio.get_running_loop()
        pace_s = self._settings.step_s / self._scale
        catch_up = max(_CATCH_UP_STEPS_MIN, int(_CATCH_UP_S / pace_s))
        started_s = loop.time()
        stop_s = None if duration_s is None else started_s + duration_s
        steps = 0  # counted from started_s, skipped ones too
        while stop_s is None or loop.time() < stop_s:
            due = int((loop.time() - started_s) / pace_s) - steps
            if due > catch_up:
                self._skip(due - catch_up)
                steps += due - catch_up
                due = catch_up
            for number in range(1, due + 1):
                self.tick()
                if number % _STEPS_A_TURN == 0:
                    await asyncio.sleep(0)
            steps += due
            wake_s = started_s + (steps + 1) * pace_s
            wait_s = max(wake_s - loop.time(), _SLEEP_S_MIN if pace_s < _SLEEP_S_MIN else 0.0)
            await asyncio.sleep(wait_s if stop_s is None else max(min(wait_s, stop_s - loop.time()), 0.0))

    def tick(self) -> None:
        """One step: move the plant, publish what is due, write down faults."""
        self.plant.step(self._settings.step_s)
        for turn in self._turns:
            if self.plant.time_s + _EPSILON_S >= turn.due_s:
                turn.due_s = max(turn.due_s + turn.period_s, self.plant.time_s)
                self._publish(turn)
        for event in self.plant.drain_events():
            self._note(event)

    def _stamp_ms(self) -> int:
        return unix_ms(self.plant.now_s) if self._own_time else self._clock_ns() // 1_000_000

    def _publish(self, turn: _Turn) -> None:
        machine, publisher = turn.machine, self.publisher
        if not machine.answering or publisher is None:
            return
        publisher.publish(machine.area, machine.name, self._stamp_ms(), machine.values)
        if machine.waveforms > turn.waveform:
            turn.waveform = machine.waveforms
            monitor = machine.placed.monitor
            assert monitor is not None
            if monitor.samples:
                publisher.publish_waveform(
                    machine.area, machine.name, self._stamp_ms(), machine.waveform, monitor.rate_hz
                )

    def _note(self, event: FaultEvent) -> None:
        if self._truth is not None:
            self._truth.note(event)
        if event.fault.kind is FaultKind.REBOOT and event.change is Change.START and event.machine in self._alone:
            self._alone[event.machine].reset()

    def _new_truth(self, path: Path) -> TruthFile:
        settings = self._settings
        return TruthFile(path, self.plant, seed=settings.seed, step_ms=settings.step_ms, stamp_ms=self._stamp_ms)

    def _plan_modbus(self) -> None:
        """One listener for each number in use, and the serial lines; ConfigError if the ports run out."""
        settings = self._settings.modbus
        banks: dict[int, dict[int, Bank]] = {}
        for machine in self.plant.machines.values():
            place = machine.placed.place
            if place is not None:
                banks.setdefault(place.listener, {})[place.unit] = Bank(machine)
        host, port = split_address(settings.listen)
        if port and banks and port + max(banks) > _PORT_MAX:
            raise ConfigError(f"modbus.listen: {max(banks) + 1} listeners from port {port} pass 65535; start lower")
        made = {
            number: ModbusListener(host, port + number if port else 0, banks[number], framing=settings.framing)
            for number in sorted(banks)
        }
        self.listeners = list(made.values())
        self.serial_lines = [
            SerialLine(line.device, banks[line.listener], baud=line.baud, parity=line.parity)
            for line in settings.serial
        ]
        for machine in self.plant.machines.values():
            place = machine.placed.place
            if place is not None and len(banks[place.listener]) == 1:
                self._alone[machine.name] = made[place.listener]

    def _skip(self, steps: int) -> None:
        if not self.steps_skipped:
            cure = "raise step_ms" if self._scale == 1.0 else "raise step_ms or lower time_scale"
            _log.warning("too slow for step_ms=%d, steps are skipped; %s", self._settings.step_ms, cure)
        self.steps_skipped += steps


def _allow_files(count: int) -> None:
    """Lift the soft limit on open files as far as it has to be and may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _turns(plant: Plant) -> list[_Turn]:
    """MQTT machines with their first times, spread over their periods: not all publish at once."""
    machines = [machine for machine in plant.machines.values() if machine.placed.place is None]
    turns = []
    for number, machine in enumerate(machines):
        period_s = machine.placed.period_ms / 1000.0
        turns.append(_Turn(machine, period_s, period_s * (number + 1) / len(machines)))
    return turns
