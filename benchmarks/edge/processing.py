"""What processing costs at the edge: CPU time for each reading through the Processor, the best of many short runs.

    python -m benchmarks.edge.processing

A poll is 50 tags of one device that drift at random; CPU time and not wall time, because the machine may be shared.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from fieldline.config import loads
from fieldline.model import Alert, DeviceId, Reading
from fieldline_edge.drivers.base import SystemClock
from fieldline_edge.processing.processor import Processor
from fieldline_edge.settings import GatewaySettings

_TAGS = 50
_POLLS = 300
_RUNS = 30
_DEVICE = DeviceId("demo", "hall", "pump")
_HEAD = """\
kind: gateway
name: gw
site: demo
hub: 127.0.0.1:9
spool: {path: spool.db}
devices:
  - driver: modbus
    name: pump
    area: hall
    host: h
    tags:
"""
_RATE_HZ = 12_800
_WAVEFORM = """\
    waveforms:
      - tag: t0
        samples: {samples}
        rate_hz: {rate_hz}
        rpm: 1480
        bearing: {{balls: 9, ball_mm: 7.94, pitch_mm: 39.04}}
"""
_LONG = "report_ms_max: 100000000"
_EVERY_TAG = {
    "nothing": "",
    "deadband": f", process: {{deadband: {{absolute: 3, {_LONG}}}}}",
    "door": f", process: {{door: {{absolute: 3, {_LONG}}}}}",
    "rate_limit": ", process: {rate_limit: {period_ms: 10000}}",
    "aggregate": ", process: {aggregate: {period_ms: 60000}}",
    "alarms, nothing wrong": ", alarms: {hi: 1000000, lo: -1000000, missing_ms: 60000}",
    "anomaly: true, means of 10 s": ", anomaly: true",
    "anomaly, every reading judged": ", anomaly: {every_ms: 0, caution: 0}",
}


class _Nowhere:
    """Takes everything."""

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        pass

    def alert(self, alert: Alert) -> None:
        pass

    def hurry(self, device: DeviceId) -> None:
        pass


def _polls() -> list[list[Reading]]:
    chance = random.Random(1)
    values = [0.0] * _TAGS
    polls = []
    for second in range(_POLLS):
        values = [value + chance.gauss(0, 1) for value in values]
        polls.append([Reading(f"t{tag}", second * 1_000_000_000, value) for tag, value in enumerate(values)])
    return polls


async def _best_us(polls: list[list[Reading]], *, tag: str = "", rest: str = "") -> float:
    """Microseconds of CPU for one reading."""
    tags = "".join(f"      - {{name: t{n}, address: {n}, type: int16{tag}}}\n" for n in range(_TAGS))
    settings = loads(_HEAD + tags + rest, GatewaySettings, name="bench.yaml")
    best_s = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(_RUNS):
            path = Path(folder) / "spool.alerts"
            subject = Processor(settings.devices, site="demo", sink=_Nowhere(), clock=SystemClock(), alerts_path=path)
            started_s = time.process_time()
            for poll in polls:
                subject.put(_DEVICE, poll)
            best_s = min(best_s, time.process_time() - started_s)
    return best_s / (_POLLS * _TAGS) * 1e6


async def _waveform_us(samples: int) -> float:
    """Microseconds of CPU for one sample of a capture, bearing and envelope included."""
    chance = random.Random(2)
    capture = [Reading("t0", round(place * 1e9 / _RATE_HZ) + 1, chance.gauss(0, 1)) for place in range(samples)]
    text = _HEAD + "      - {name: t0, address: 0, type: int16}\n" + _WAVEFORM.format(samples=samples, rate_hz=_RATE_HZ)
    settings = loads(text, GatewaySettings, name="bench.yaml")
    best_s = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool.alerts"
        subject = Processor(settings.devices, site="demo", sink=_Nowhere(), clock=SystemClock(), alerts_path=path)
        for _ in range(_RUNS):
            started_s = time.process_time()
            subject.put(_DEVICE, capture)
            best_s = min(best_s, time.process_time() - started_s)
        assert subject.stats.waveforms == _RUNS
    return best_s / samples * 1e6


async def main() -> None:
    """Print the table."""
    polls = _polls()
    print("| every tag has | us a reading |")
    print("|---|---|")
    for name, tag in _EVERY_TAG.items():
        print(f"| {name} | {await _best_us(polls, tag=tag):.2f} |")
    for samples in (1_024, 4_096, 5_000):
        print(f"| a waveform, {samples:,} samples a capture | {await _waveform_us(samples):.2f} |")
    other = "      - {name: x, address: 99, type: int16, process: {deadband: {absolute: 1}}}\n"
    print(f"| nothing, beside a tag that has something | {await _best_us(polls, rest=other):.2f} |")
    formulas = "".join(f"      - {{name: d{n}, expression: t{n} * t{(n + 1) % _TAGS} / 1000}}\n" for n in range(_TAGS))
    print(f"| a derived tag of two inputs | {await _best_us(polls, rest='    derived:' + chr(10) + formulas):.2f} |")


if __name__ == "__main__":
    asyncio.run(main())
