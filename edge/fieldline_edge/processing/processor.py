"""Stands between the drivers and the intake: what a driver hands over goes through the pipeline of its device.

A device whose settings ask for nothing has no pipeline, and costs one look into a table.
"""

import asyncio
import contextlib
import heapq
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from fieldline.model import Alert, AlertState, DeviceId, Reading
from fieldline_edge.drivers.base import Clock
from fieldline_edge.drivers.settings import DeviceSettings
from fieldline_edge.processing.alarms import forgotten
from fieldline_edge.processing.alert_store import load_alerts, save_alerts
from fieldline_edge.processing.expressions.compiler import Reason
from fieldline_edge.processing.stage import ProcessingStats
from fieldline_edge.processing.waveform.speeds import Speeds
from fieldline_edge.processing.window import Window

if TYPE_CHECKING:
    from fieldline_edge.processing.anomaly import Unusual
    from fieldline_edge.processing.learned_keeper import LearnedKeeper
    from fieldline_edge.processing.pipeline import Pipeline, Timer

__all__ = ["Downstream", "Processor"]

log = logging.getLogger(__name__)

_TICKS_PER_SLICE: Final = 200
_SAVE_AGAIN_S: Final = 10.0


class Downstream(Protocol):
    """What takes readings and alerts from here: the intake."""

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        """Take readings of one device."""
        ...

    def alert(self, alert: Alert) -> None:
        """Take an alert, ahead of everything."""
        ...

    def hurry(self, device: DeviceId) -> None:
        """Let what waits of this device go at once."""
        ...


class Processor:
    """The sink of all drivers where readings are processed. `run` does what must happen although nothing comes in.

    An alert goes first, then the readings that led to it, at once and not after the linger of their batch. Alerts
    that are raised are kept in the file `alerts_path`: after a restart they are neither raised again nor forgotten.
    What was learned is kept beside it, in a file that ends in .learned.
    """

    def __init__(
        self, devices: Sequence[DeviceSettings], *, site: str, sink: Downstream, clock: Clock, alerts_path: Path
    ) -> None:
        self.stats = ProcessingStats()
        self.raised: dict[str, Alert] = {}  # by fingerprint
        self._sink = sink
        self._clock = clock
        self._alerts_path = alerts_path
        self._pipelines: dict[DeviceId, Pipeline] = {}
        self._settings: dict[DeviceId, DeviceSettings] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._timers_made = 0
        self._sleeps_until_s = float("-inf")
        self._wake = asyncio.Event()
        self._save = asyncio.Event()
        self._save_fails = False
        self._speeds = Speeds()
        self._keeper: LearnedKeeper | None = None  # made for the first device of which anything is learned
        self._learns = asyncio.Event()
        self._failures_before: dict[Reason, int] = dict.fromkeys(Reason, 0)
        self.configure(devices, site=site)

    @property
    def windows_held(self) -> int:
        """Aggregation windows open now."""
        stages = (stage for each in self._pipelines.values() for way in each.ways.values() for stage in way.stages)
        return sum(stage.held for stage in stages if isinstance(stage, Window))

    @property
    def learners(self) -> "dict[tuple[DeviceId, str], Unusual]":
        """What learns a tag, by device and tag."""
        return {
            (device, tag): learner for device, pipeline in self._pipelines.items() for tag, learner in pipeline.learners
        }

    @property
    def failures(self) -> dict[Reason, int]:
        """Derived readings that had no value, by reason."""
        total = dict(self._failures_before)
        for pipeline in self._pipelines.values():
            if pipeline.derived is not None:
                for reason, count in pipeline.derived.failures.items():
                    total[reason] += count
        return total

    def configure(self, devices: Sequence[DeviceSettings], *, site: str) -> None:
        """Process these devices from now on. One whose settings are the same goes on untouched; of the others, what
        was held goes out, and what was raised stays raised where it is still watched.
        """
        wanted = {settings.device_id(site): settings for settings in devices}
        self._speeds.want(_shafts(wanted))
        now_s = self._clock.monotonic()
        for device in [each for each, settings in self._settings.items() if wanted.get(each) != settings]:
            self._remove(device, now_s)
        for device, settings in wanted.items():
            if device in self._settings:
                continue
            self._settings[device] = settings
            if settings.is_processed:
                self._add(device, settings, site, now_s)
        if self._keeper is not None:
            self._keeper.forget()
        self._forget()

    def _add(self, device: DeviceId, settings: DeviceSettings, site: str, now_s: float) -> None:
        from fieldline_edge.processing.build import build_pipeline  # memory for those alone who process something

        pipeline = build_pipeline(settings, site=site, stats=self.stats, now_s=now_s, speeds=self._speeds)
        if pipeline is not None:
            self._pipelines[device] = pipeline
            pipeline.restore(self.raised)
            if pipeline.learners:
                self._learn(pipeline)
            self._plan(pipeline)

    def _learn(self, pipeline: "Pipeline") -> None:
        if self._keeper is None:
            from fieldline_edge.processing.learned_keeper import LearnedKeeper  # memory for those alone who learn

            self._keeper = LearnedKeeper(self._alerts_path.with_suffix(".learned"), lambda: self.learners)
            self._learns.set()
        self._keeper.hand_over({(pipeline.device, tag): learner for tag, learner in pipeline.learners})

    def open(self) -> None:
        """Read which alerts were raised, and what had been learned, when the gateway ended. Touches the disk; never
        raises.
        """
        if self._keeper is not None:
            self._keeper.open()
        if not any(way.watchers for each in self._pipelines.values() for way in each.ways.values()) and (
            not self._alerts_path.exists()
        ):
            return
        self.raised = {alert.fingerprint: alert for alert in load_alerts(self._alerts_path)}
        for pipeline in self._pipelines.values():
            pipeline.restore(self.raised)
            self._plan(pipeline)
        self._forget()

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        """Take readings of one device. Never blocks, never raises."""
        if device in self._speeds.devices:
            self._speeds.see(device, readings)
        pipeline = self._pipelines.get(device)
        if pipeline is None:
            self._sink.put(device, readings)
            return
        try:
            pipeline.put(readings, self._clock.monotonic())
        except Exception:  # noqa: BLE001  # a fault of ours, logged, must not cost readings: they go on as they came
            self._fault(pipeline)
            self._sink.put(device, readings)
            return
        self._hand_on(pipeline)

    async def run(self) -> None:
        """Tick what is due and save what is raised and learned, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_saved())
            group.create_task(self._keep_learned())
            group.create_task(self._keep_time())

    def flush(self) -> None:
        """Let out everything that is held, windows that are not over included: at the end."""
        now_s = self._clock.monotonic()
        for pipeline in self._pipelines.values():
            pipeline.flush(now_s)
            self._hand_on(pipeline)

    def save(self) -> None:
        """Write down what is raised, if that has changed, and what was learned: at the end."""
        if self._keeper is not None:
            self._keeper.save()
        if self._save.is_set():
            self._save.clear()
            self._write(list(self.raised.values()))

    async def _keep_time(self) -> None:
        while True:
            now_s = self._clock.monotonic()
            for _ in range(_TICKS_PER_SLICE):
                if not self._tick_one(now_s):
                    await self._until_due(now_s)
                    break
            else:
                await asyncio.sleep(0)

    async def _keep_saved(self) -> None:
        while True:
            await self._save.wait()
            self._save.clear()
            if not await asyncio.to_thread(self._write, list(self.raised.values())):
                await asyncio.sleep(_SAVE_AGAIN_S)
                self._save.set()

    async def _keep_learned(self) -> None:
        await self._learns.wait()
        assert self._keeper is not None, "made before anything learns"
        await self._keeper.run()

    def _tick_one(self, now_s: float) -> bool:
        """Serve the first timer if its time has come; False if none is due."""
        if not self._timers or self._timers[0][0] > now_s:
            return False
        planned_s, _, timer = heapq.heappop(self._timers)
        if planned_s != timer.planned_s:
            return True  # it was planned again, earlier
        timer.planned_s = float("inf")
        pipeline = timer.pipeline
        try:
            if self._pipelines.get(pipeline.device) is pipeline:
                pipeline.tick(timer, now_s, self._clock.time_ns())
        except Exception:  # noqa: BLE001  # a fault of ours, logged, must not stop the clock of all other tags
            self._fault(pipeline)
        self._hand_on(pipeline)
        return True

    async def _until_due(self, now_s: float) -> None:
        self._wake.clear()
        self._sleeps_until_s = self._timers[0][0] if self._timers else float("inf")
        wait_s = self._sleeps_until_s - now_s if self._timers else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        self._sleeps_until_s = float("-inf")

    def _hand_on(self, pipeline: "Pipeline") -> None:
        if pipeline.due:
            self._plan(pipeline)
        alerts, readings = pipeline.alerts, pipeline.readings
        if alerts:
            pipeline.alerts = []
            for alert in alerts:
                self._alert(alert)
        if readings:
            pipeline.readings = []
            self._sink.put(pipeline.device, readings)
        if alerts:
            self._sink.hurry(pipeline.device)

    def _alert(self, alert: Alert) -> None:
        self.stats.alerts += 1
        if alert.state is AlertState.RAISED:
            self.raised[alert.fingerprint] = alert
        else:
            self.raised.pop(alert.fingerprint, None)
        self._save.set()
        self._sink.alert(alert)

    def _plan(self, pipeline: "Pipeline") -> None:
        for timer in pipeline.due:
            timer.planned_s = timer.item.due_at_s
            self._timers_made += 1
            heapq.heappush(self._timers, (timer.planned_s, self._timers_made, timer))
        pipeline.due.clear()
        if self._timers and self._timers[0][0] < self._sleeps_until_s:
            self._wake.set()

    def _remove(self, device: DeviceId, now_s: float) -> None:
        del self._settings[device]
        pipeline = self._pipelines.pop(device, None)
        if pipeline is not None:
            if self._keeper is not None:
                self._keeper.keep({(device, tag): learner for tag, learner in pipeline.learners})
            pipeline.flush(now_s)
            pipeline.due.clear()
            self._hand_on(pipeline)
            if pipeline.derived is not None:
                for reason, count in pipeline.derived.failures.items():
                    self._failures_before[reason] += count

    def _forget(self) -> None:
        """Clear alerts whose alarm is no longer configured."""
        watched = {
            fingerprint
            for pipeline in self._pipelines.values()
            for way in pipeline.ways.values()
            for watcher in way.watchers
            for fingerprint in watcher.fingerprints
        }
        for fingerprint in [each for each in self.raised if each not in watched]:
            self._alert(forgotten(self.raised[fingerprint], self._clock.time_ns()))

    def _fault(self, pipeline: "Pipeline") -> None:
        if not self.stats.errors:
            log.exception("processing failed (said once)", extra={"device": str(pipeline.device)})
        self.stats.errors += 1
        pipeline.readings, pipeline.alerts, pipeline.due = [], [], []

    def _write(self, alerts: list[Alert]) -> bool:
        try:
            save_alerts(self._alerts_path, alerts)
        except OSError as error:
            if not self._save_fails:
                log.warning("raised alerts cannot be saved: %s", error, extra={"path": str(self._alerts_path)})
            self._save_fails = True
            return False
        self._save_fails = False
        return True


def _shafts(devices: Mapping[DeviceId, DeviceSettings]) -> Iterator[tuple[DeviceId, str]]:
    """(device, tag) of all tags by which waveforms are told how fast a shaft turns."""
    for device, settings in devices.items():
        for waveform in settings.waveforms:
            from fieldline_edge.processing.build import shaft_of  # memory for those alone who have waveforms

            spec = shaft_of(waveform, device)
            if spec is not None:
                yield spec.device, spec.tag
