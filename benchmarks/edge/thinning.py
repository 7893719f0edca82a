"""How much deadband and door leave out of recorded traces, and by how much the classical door breaks its bound.

    python -m benchmarks.edge.thinning [--data FOLDER] [--readings N]

For each trace, every numeric tag that moves is thinned with a bound in percent of its span (largest minus smallest
value of the trace). `kept` is the share of readings that travel; `error` is the largest distance, in bounds, between
a reading and what a reader makes of those that travel: the straight line between two of them for the doors, the last
one for the deadband. `bytes` is what travels, encoded by the product in batches of 1,000, as a share of the bytes of
the whole trace. Heartbeats are off, so that the algorithms alone are compared.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.codec.traces import GOALS, TRACES_DEFAULT, load
from fieldline.model import Quality, Reading
from fieldline.wire.readings import ReadingEncoder
from fieldline_edge.processing.deadband import Deadband
from fieldline_edge.processing.door import Door
from fieldline_edge.processing.stage import ProcessingStats, Stage

Series = list[Reading]
Thinner = Callable[[Series, float], Series]

_NEVER_NS = 1 << 62
_BATCH = 1_000
_LONGER_THAN_A_BOUND = 1 + 1e-9


def classical(series: Series, bound: float) -> Series:
    """The swinging door of US patent 4669097: pivots a bound above and below the last kept point."""
    kept = [series[0]]
    anchor = previous = series[0]
    steepest, flattest = float("-inf"), float("inf")
    for reading in series[1:]:
        passed = reading.at_ns - anchor.at_ns
        steepest = max(steepest, (_number(reading) - _number(anchor) - bound) / passed)
        flattest = min(flattest, (_number(reading) - _number(anchor) + bound) / passed)
        if steepest > flattest:  # the doors stand wider than parallel
            kept.append(previous)
            anchor = previous
            passed = reading.at_ns - anchor.at_ns
            steepest = (_number(reading) - _number(anchor) - bound) / passed
            flattest = (_number(reading) - _number(anchor) + bound) / passed
        previous = reading
    if kept[-1] is not previous:
        kept.append(previous)
    return kept


def swing(series: Series, bound: float) -> Series:
    """The swing filter (Elmeleegy and others, VLDB 2009): segments end at computed points, and share them."""
    kept = [series[0]]
    at_ns, value = series[0].at_ns, _number(series[0])
    low, high = float("-inf"), float("inf")
    previous = series[0]
    for reading in series[1:]:
        passed = reading.at_ns - at_ns
        one, other = (_number(reading) - bound - value) / passed, (_number(reading) + bound - value) / passed
        if max(low, one) > min(high, other):
            value += (low + high) / 2 * (previous.at_ns - at_ns)
            at_ns = previous.at_ns
            kept.append(Reading(previous.tag, at_ns, value))
            passed = reading.at_ns - at_ns
            low, high = (_number(reading) - bound - value) / passed, (_number(reading) + bound - value) / passed
        else:
            low, high = max(low, one), min(high, other)
        previous = reading
    if len(series) > 1:
        kept.append(Reading(previous.tag, previous.at_ns, value + (low + high) / 2 * (previous.at_ns - at_ns)))
    return kept


def cone(series: Series, bound: float) -> Series:
    """The door of the product."""
    kept: Series = []
    stats = ProcessingStats()
    stage = Door(
        bound, report_ns_max=_NEVER_NS, hold_s_max=float("inf"), emit=lambda one, now_s: kept.append(one), stats=stats
    )
    return _through(stage, series, kept)


def deadband(series: Series, bound: float) -> Series:
    """The deadband of the product."""
    kept: Series = []
    stats = ProcessingStats()
    stage = Deadband(bound, report_ns_max=_NEVER_NS, emit=lambda one, now_s: kept.append(one), stats=stats)
    return _through(stage, series, kept)


def _through(stage: Stage, series: Series, kept: Series) -> Series:
    for reading in series:
        stage.put(reading, 0.0)
    stage.flush(0.0)
    return kept


def _number(reading: Reading) -> float:
    assert isinstance(reading.value, int | float)
    return float(reading.value)


def line_error(series: Series, kept: Series) -> float:
    """Largest distance of a reading to the straight line between the kept ones around it."""
    worst, place = 0.0, 0
    for reading in series:
        while place + 1 < len(kept) and kept[place + 1].at_ns < reading.at_ns:
            place += 1
        first, last = kept[place], kept[min(place + 1, len(kept) - 1)]
        rise = _number(last) - _number(first)
        share = (reading.at_ns - first.at_ns) / max(1, last.at_ns - first.at_ns)
        worst = max(worst, abs(_number(first) + rise * share - _number(reading)))
    return worst


def step_error(series: Series, kept: Series) -> float:
    """Largest distance of a reading to the last kept one."""
    worst, place = 0.0, 0
    for reading in series:
        while place + 1 < len(kept) and kept[place + 1].at_ns <= reading.at_ns:
            place += 1
        worst = max(worst, abs(_number(kept[place]) - _number(reading)))
    return worst


THINNERS: dict[str, tuple[Thinner, Callable[[Series, Series], float]]] = {
    "deadband": (deadband, step_error),
    "classical": (classical, line_error),
    "classical at half the bound": (lambda series, bound: classical(series, bound / 2), line_error),
    "cone": (cone, line_error),
    "swing": (swing, line_error),
}


def moving_tags(readings: Sequence[Reading]) -> dict[str, Series]:
    """Good numbers by tag, times growing; tags that never move are left out."""
    found: dict[str, Series] = defaultdict(list)
    for reading in readings:
        series = found[reading.tag]
        is_number = type(reading.value) in (int, float) and reading.quality is Quality.GOOD
        if is_number and (not series or reading.at_ns > series[-1].at_ns):
            series.append(reading)
    return {tag: series for tag, series in found.items() if len({one.value for one in series}) > 1}


def encoded_bytes(series: Sequence[Series]) -> int:
    """Bytes of all readings, interleaved by time, in batches of the product's codec."""
    readings = sorted((one for each in series for one in each), key=lambda one: one.at_ns)
    encoder = ReadingEncoder(level=3)
    batches = (readings[start : start + _BATCH] for start in range(0, len(readings), _BATCH))
    return sum(len(encoder.encode(tuple(batch))) for batch in batches)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, default=TRACES_DEFAULT)
    options.add_argument("--readings", type=int, default=1_000_000)
    options.add_argument("--percent", type=float, nargs="+", default=[0.1, 0.5, 2.0])
    chosen = options.parse_args()
    print("| trace | bound | " + " | ".join(f"{name}: kept, error, bytes" for name in THINNERS) + " |")
    print("|---|---" + "|---" * len(THINNERS) + "|")
    for trace in sorted(GOALS):
        tags = moving_tags(load(trace, chosen.data, chosen.readings).readings)
        whole = encoded_bytes([*tags.values()])
        for percent in chosen.percent:
            print(f"| {trace} | {percent:g} % | " + " | ".join(_cells(tags, percent, whole)) + " |", flush=True)


def _cells(tags: dict[str, Series], percent: float, whole: int) -> list[str]:
    count = sum(len(series) for series in tags.values())
    cells = []
    for thin, error in THINNERS.values():
        worst, out = 0.0, []
        for series in tags.values():
            values = [_number(one) for one in series]
            bound = (max(values) - min(values)) * percent / 100
            kept = thin(series, bound)
            worst = max(worst, error(series, kept) / bound)
            out.append(kept)
        share = sum(len(kept) for kept in out) / count
        held = "" if worst <= _LONGER_THAN_A_BOUND else " **broken**"
        cells.append(f"{share:.1%}, {worst:.2f}{held}, {encoded_bytes(out) / whole:.0%}")
    return cells


if __name__ == "__main__":
    main()
