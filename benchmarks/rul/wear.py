"""Simulated wear of many shapes: does the truth lie where the quantiles say, and is a healthy machine left in peace?"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import row
from benchmarks.rul.scores import LEVELS, coverage
from fieldline_cloud.prognosis.degradation import Degradation

__all__ = ["rows"]

Array = NDArray[np.float64]
HOUR_NS: Final = 3_600 * 10**9
START_NS: Final = 1_760_000_400 * 10**9
HEALTHY, LIMIT = 2.0, 7.1
LOOKS: Final = 12
"""Prognoses asked for between onset and failure."""


def _straight(share: Array, chance: np.random.Generator) -> Array:
    return share


def _exponential(share: Array, chance: np.random.Generator) -> Array:
    rate = chance.uniform(1.0, 4.0)
    curve: Array = np.expm1(rate * share) / np.expm1(rate)
    return curve


def _power(share: Array, chance: np.random.Generator) -> Array:
    curve: Array = share ** chance.uniform(1.5, 3.0)
    return curve


def _changing_pace(share: Array, chance: np.random.Generator) -> Array:
    """Every tenth of the way at another pace."""
    paces = chance.lognormal(0.0, 0.5, 40)
    gone: Array = np.interp(share * 10, np.arange(41), np.concatenate([[0.0], np.cumsum(paces)])) / 10
    return gone


SHAPES: Final = {
    "straight": _straight,
    "exponential": _exponential,
    "power": _power,
    "changing pace": _changing_pace,
}


def rows(*, quick: bool) -> list[dict[str, Any]]:
    """For each shape, and for all of them."""
    found, everything, healthy = [], [], []
    for shape in SHAPES:
        looks = [look for seed in range(3 if quick else 15) for look in _looks(shape, seed)]
        healthy += [quantiles is not None for life_h, quantiles in looks if life_h is None]
        said = [(life_h, quantiles) for life_h, quantiles in looks if life_h is not None and quantiles is not None]
        everything += said
        found += _judged(f"wear, {shape}", said)
    found += _judged("wear, all shapes", everything)
    found.append(row("wear: prognoses before the onset, share of looks", "", float(np.mean(healthy)), None, None, None))
    return found


def _judged(what: str, said: list[tuple[float, tuple[float, ...]]]) -> list[dict[str, Any]]:
    lives, quantiles = np.array([life for life, _ in said]), np.array([each for _, each in said])
    error = float(np.median(np.abs(quantiles[:, 1] - lives) / lives))
    found = [row(f"{what}: error of p50, median", "of the life", error, None, None, None)]
    for level, share in zip(LEVELS, coverage(quantiles, lives), strict=True):
        found.append(row(f"{what}: share of lives below p{level * 100:.0f}", "", share, None, None, None))
    return found


def _looks(shape: str, seed: int) -> Iterator[tuple[float | None, tuple[float, ...] | None]]:
    """(true life in hours, quantiles) at each look; the life is None before the onset."""
    chance = np.random.default_rng(seed)
    onset, life = int(chance.integers(30, 200)), int(chance.integers(40, 400))
    hours = np.arange(onset + 4 * life)
    levels = HEALTHY + (LIMIT - HEALTHY) * SHAPES[shape](np.maximum(hours - onset, 0) / life, chance)
    end = int(np.argmax(levels >= LIMIT))
    noise = chance.uniform(0.03, 0.15) * _noise(len(hours), float(chance.choice([0.0, 0.5, 0.8])), chance)
    times, values = START_NS + hours * HOUR_NS, levels + noise
    degradation = Degradation(LIMIT)
    every = max(1, (end - onset) // LOOKS)
    for hour in range(end):
        degradation.update(times[hour : hour + 1], values[hour : hour + 1])
        if hour % 10 == 0 if hour < onset else (hour - onset) % every == every - 1:
            prognosis = degradation.remaining(int(times[hour]))
            quantiles = (prognosis.p10_h, prognosis.p50_h, prognosis.p90_h) if prognosis else None
            yield (float(end - hour) if hour >= onset else None), quantiles


def _noise(count: int, correlation: float, chance: np.random.Generator) -> Array:
    noise = chance.normal(0.0, 1.0, count)
    for i in range(1, count):
        noise[i] = correlation * noise[i - 1] + noise[i] * np.sqrt(1.0 - correlation**2)
    return noise
