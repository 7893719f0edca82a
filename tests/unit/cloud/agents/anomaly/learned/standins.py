"""Detectors simple enough to know their scores by heart, and a layer made of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fieldline.model import DeviceId, Value
from fieldline.wire.readings import Series
from fieldline_cloud.agents.anomaly.finding import Finding
from fieldline_cloud.agents.anomaly.learned.banks import OneByOne
from fieldline_cloud.agents.anomaly.learned.layer import Learned
from fieldline_cloud.agents.anomaly.learned.layer_settings import LearnedSettings
from fieldline_cloud.agents.anomaly.learned.signs import Manner
from fieldline_cloud.agents.anomaly.learned.spec import LearnBook, LearnEntry
from fieldline_cloud.agents.anomaly.learned.stats import LearnStats, Tally
from fieldline_cloud.agents.anomaly.learned.thresholds import Thresholds
from fieldline_cloud.agents.tag_pattern import TagPattern
from tests.unit.cloud.agents.doubles import PUMP, SECOND, T0

EVERY_S = 10


class Plain:
    """Learns the first five values; a score is the distance to their mean, in tenths of it."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def update(self, times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        scores = []
        for value in values.tolist():
            if len(self.seen) < 5:
                self.seen.append(value)
                scores.append(np.nan)
            else:
                mean = sum(self.seen) / 5
                scores.append(abs(value - mean) / (abs(mean) / 10 or 1.0))
        return np.array(scores)

    def expected(self) -> tuple[float, float]:
        mean = sum(self.seen) / 5
        return 0.9 * mean, 1.1 * mean

    def snapshot(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.seen = list(snapshot["seen"])


class Together:
    """As Plain for the sum of all channels; the channel furthest from the others contributes all."""

    def __init__(self, channels: Sequence[str]) -> None:
        self.channels = list(channels)
        self.plain = Plain()
        self.last = np.zeros(len(channels))

    @property
    def learning(self) -> bool:
        return len(self.plain.seen) < 5

    def update(
        self, times: npt.ArrayLike, values: npt.ArrayLike, spreads: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.float64]:
        rows = np.asarray(values, np.float64)
        self.last = rows[-1]
        return self.plain.update(np.asarray(times, np.int64), np.nansum(rows, axis=1))

    def contributions(self) -> list[tuple[str, float]]:
        return [(self.channels[int(np.nanargmax(self.last))], 1.0)]

    def expected(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return np.zeros(len(self.channels)), np.ones(len(self.channels))

    def snapshot(self) -> dict[str, Any]:
        return self.plain.snapshot()

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.plain.restore(snapshot)


class Bench:
    """A layer, and a plant that tells it of one device, one value a tag every ten seconds unless told otherwise."""

    def __init__(self, *, joint: bool = False, entries: dict[str, dict[str, Any]] | None = None, **kwargs: Any) -> None:
        book = [
            LearnEntry(TagPattern("+/+/+", tag), tuple(changes.items())) for tag, changes in (entries or {}).items()
        ]
        settings = LearnedSettings(
            book=LearnBook((*book, LearnEntry(TagPattern("+/+/+", "*"), (("detectors", ("plain",)),)))),
            detectors={"plain": lambda: OneByOne(Plain)},
            joint=Together if joint else None,
            every_ns=EVERY_S * SECOND,
            manners={"plain": Manner(0, 60 * SECOND), "joint": Manner(0, 60 * SECOND)},
            **kwargs,
        )
        self.thresholds, self.tally, self.stats = Thresholds(), Tally(), LearnStats()
        self.layer = Learned(settings, self.thresholds, self.tally, self.stats)
        self.now_s = 0

    def say(self, **values: Value) -> list[Finding]:
        """One reading of each tag, ten seconds after the one before."""
        self.now_s += EVERY_S
        return self.tell(PUMP, self.now_s, values)

    def tell(self, device: DeviceId, at_s: int, values: Mapping[str, Value]) -> list[Finding]:
        """One reading of each tag of a device at a moment."""
        self.layer.take(device, [Series(tag, [T0 + at_s * SECOND], [value]) for tag, value in values.items()])
        return self.layer.flush(T0 + at_s * SECOND)

    def repeat(self, times: int, **values: Value) -> list[Finding]:
        return [finding for _ in range(times) for finding in self.say(**values)]
