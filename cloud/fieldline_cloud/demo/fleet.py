"""A made-up fleet of pumps that wear out, to try learned remaining life with; the same at every call.

    python -m fieldline_cloud.demo.fleet histories/pumps
    python -m fieldline_cloud.demo.fleet --replay 127.0.0.1:50051

The first writes the histories of 30 pumps from new to failure, one row an hour. The second publishes the readings of
another pump, demo/hall-a/pump-9, that will fail in 24 hours.
"""

import argparse
import asyncio
import csv
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fieldline.model import DeviceId, Reading

__all__ = ["LEFT_H", "STRANGER", "TAGS", "main", "pump", "readings_of", "write_histories"]

TAGS: Final = ("vibration", "temperature", "current")
STRANGER: Final = DeviceId("demo", "hall-a", "pump-9")
LEFT_H: Final = 24
"""Hours that the pump of the replay has left."""
_PUMPS: Final = 30
_HOUR_NS: Final = 3_600 * 10**9


def pump(seed: int) -> NDArray[np.float64]:
    """(hours, tags) of a pump whose wear begins after one to three days and takes four, give or take a fifth."""
    chance = np.random.default_rng(seed)
    onset, wear_h = int(chance.integers(24, 72)), 96 * chance.uniform(0.8, 1.2)
    hours = np.arange(onset + round(wear_h))
    wear = np.maximum(hours - onset, 0) / wear_h
    vibration = chance.normal(2.0, 0.2) + 5.0 * wear**2 + chance.normal(0, 0.15, len(hours))
    temperature = chance.normal(50.0, 3.0) + 25.0 * wear + chance.normal(0, 1.0, len(hours))
    current = chance.normal(12.0, 0.5) + 1.5 * wear + chance.normal(0, 0.2, len(hours))
    return np.column_stack([vibration, temperature, current])


def write_histories(folder: Path, pumps: int = _PUMPS) -> None:
    """One CSV file for each of `pumps` pumps that failed, as `models[].histories` wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, pumps + 1):
        with (folder / f"pump-{number:02}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(TAGS)
            rows.writerows([f"{value:.3f}" for value in row] for row in pump(number).tolist())


def readings_of(history: Iterable[Iterable[float]], begin_ns: int) -> list[Reading]:
    """The rows of a history as readings, one an hour from `begin_ns` on."""
    return [
        Reading(tag, begin_ns + hour * _HOUR_NS, value)
        for hour, row in enumerate(history)
        for tag, value in zip(TAGS, row, strict=True)
    ]


async def _replay(address: str) -> None:
    from fieldline import Runtime

    history = pump(1_000)[: -LEFT_H + 1]
    now_ns = time.time_ns()
    begin_ns = (now_ns // _HOUR_NS - len(history) + 1) * _HOUR_NS
    async with Runtime(address, name="fleet-replay") as runtime:
        readings = readings_of(history.tolist(), begin_ns)
        await runtime.publish_readings(STRANGER.readings_topic, readings, key=STRANGER.device, stored=True)


def main() -> None:
    """Write the histories, or replay a pump to a hub."""
    options = argparse.ArgumentParser(prog="python -m fieldline_cloud.demo.fleet", description="Pumps that wear out.")
    options.add_argument("folder", nargs="?", type=Path, help="where to write the histories of 30 pumps that failed")
    options.add_argument("--replay", metavar="HUB", help="publish the readings of another pump to this hub")
    given = options.parse_args()
    if given.folder is None and given.replay is None:
        options.error("say a folder for the histories, or --replay with the address of a hub")
    if given.folder is not None:
        write_histories(given.folder)
        print(f"{_PUMPS} histories written to {given.folder}")
    if given.replay is not None:
        asyncio.run(_replay(given.replay))
        print(f"readings of {STRANGER} published; it fails in {LEFT_H} hours")


if __name__ == "__main__":
    main()
