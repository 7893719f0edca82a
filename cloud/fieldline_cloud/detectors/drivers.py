"""Which channels of a device drive the others, and what a row says of them. Pure.

A driver is a channel that shows how hard the device works. Each gives six features: its value and the square of it, now
and as two slow means, because temperatures follow late. The hour of the day gives two more, for what the weather does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fieldline_cloud.detectors.trailing import Floats, Ints

__all__ = ["HOURS", "Drivers"]

DRIVERS_MAX: Final = 8
HOURS: Final = 2
"""Features of the hour of the day, UTC: its sine and its cosine."""
_FORMS: Final = 6
_DAY_NS: Final = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Drivers:
    """The drivers of a device, as places among its channels.

    `channels` are all of them, efforts first. `efforts` are set for the device, or nearly: load and speed. What it
    draws (current, power, torque) shows the duty too, and some faults as well. Without either, the channels of a small
    device drive one another.
    """

    channels: tuple[int, ...]
    efforts: tuple[int, ...]
    is_mutual: bool

    @classmethod
    def among(
        cls, names: Sequence[str], efforts: Sequence[str], draws: Sequence[str], never: Sequence[str]
    ) -> "Drivers":
        """Those of channels with these names, by patterns of names; `never` are patterns that no driver fits."""
        able = [place for place, name in enumerate(names) if not _fits(name, never)]
        first = [place for place in able if _fits(names[place], efforts)]
        then = [place for place in able if place not in first and _fits(names[place], draws)]
        chosen = (first + then)[:DRIVERS_MAX]
        if chosen:
            return cls(tuple(chosen), tuple(place for place in chosen if place in first), False)
        return cls(tuple(range(len(names))) if len(names) <= DRIVERS_MAX else (), (), True)

    @property
    def count(self) -> int:
        """Features of a row."""
        return _FORMS * len(self.channels) + HOURS

    def choices(self, channel: int) -> list[tuple[int, ...]]:
        """The sets of drivers that may explain a channel, the simplest first: none, the efforts, all. Never itself."""
        every = tuple(place for place in self.channels if place != channel)
        efforts = tuple(place for place in self.efforts if place != channel)
        return list(dict.fromkeys([(), efforts, every]))

    def columns(self, chosen: Sequence[int], *, with_hours: bool) -> Ints:
        """The features of these drivers, and of the hour if that is wanted."""
        width = len(self.channels)
        own = [self.channels.index(place) for place in chosen]
        places = [form * width + place for form in range(_FORMS) for place in own]
        return np.array([*places, *(range(_FORMS * width, self.count) if with_hours else ())], np.int64)

    def put(self, features: Floats, rows: Floats, at_ns: Ints) -> Floats:
        """Fill in what `features` (n, count) say of rows (n, channels) and of the hour; what they say of now.

        That is the values and squares (n, 2 drivers). Their slow means stand behind them, and are left to the caller.
        """
        width = len(self.channels)
        now, values = features[:, : 2 * width], features[:, :width]
        values[:] = rows[:, self.channels]
        np.multiply(values, values, out=now[:, width:])
        angle = (at_ns % _DAY_NS) * (2.0 * math.pi / _DAY_NS)
        np.sin(angle, out=features[:, -2])
        np.cos(angle, out=features[:, -1])
        return now

    def unknown(self, channels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of features, values and roughness (n, wide) are unknown where these channels (n, channels) are."""
        own = np.tile(channels[:, self.channels], _FORMS)
        return np.concatenate([own, np.zeros((len(channels), HOURS), np.bool_), channels, channels], axis=1)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    tag = name.rpartition("/")[2]
    return any(fnmatchcase(tag, pattern) for pattern in patterns)
