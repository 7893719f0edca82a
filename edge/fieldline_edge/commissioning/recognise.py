"""Which known profiles a device may be: by what it says of itself, and by what it can be read. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from fieldline_edge.commissioning.ranges import Range
from fieldline_edge.drivers.modbus.settings import ModbusTagSettings, RegisterKind
from fieldline_edge.profiles.requests import requests_of
from fieldline_edge.profiles.settings import ProfileSettings

__all__ = ["Fit", "Found", "Seen", "best_of", "explained", "fit_of"]


class Fit(Enum):
    """How well a profile fits; the later the better."""

    NO = auto()
    RANGES = auto()  # every tag can be read, which says little
    IDENTIFIED = auto()  # and the device shows what only this type shows


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scan has seen of one unit."""

    ranges: Mapping[RegisterKind, Sequence[Range]] = field(default_factory=dict)
    words: Mapping[tuple[RegisterKind, int], int] = field(default_factory=dict)
    identification: Mapping[int, str] = field(default_factory=dict)
    """Objects of the device identification by number: 0 vendor, 1 product code, 2 revision (specification, 6.21)."""

    def has(self, tag: ModbusTagSettings) -> bool:
        """Whether all addresses of a tag are readable."""
        last = tag.address + tag.width - 1
        return any(one.first <= tag.address and last <= one.last for one in self.ranges.get(tag.kind, ()))


# A profile by ranges alone counts as recognised if it explains nearly all that is readable, and as possible from
# here on: a device that answers every address would otherwise be anything.
_EXPLAINED_SURE = 0.9
_EXPLAINED_POSSIBLE = 0.05
_POSSIBLE_MAX = 3


@dataclass(frozen=True, slots=True)
class Found:
    """What was recognised: `sure` may be used as it is, `possible` is for a person to decide, the likeliest first."""

    sure: str | None
    possible: tuple[str, ...]


def fit_of(profile: ProfileSettings, seen: Seen) -> Fit:
    """How well one profile fits."""
    if not all(seen.has(tag) for tag in profile.tags):
        return Fit.NO
    known = profile.recognise
    if known.is_empty:
        return Fit.RANGES
    vendor, product = seen.identification.get(0, ""), seen.identification.get(1, "")
    told = vendor.lower().startswith(known.vendor.lower()) and product.lower().startswith(known.product.lower())
    shown = all(
        seen.words.get((one.kind, one.address + i)) == word for one in known.words for i, word in enumerate(one.words)
    )
    return Fit.IDENTIFIED if told and shown else Fit.NO


def explained(profile: ProfileSettings, seen: Seen) -> float:
    """The share of the readable addresses that the requests of a profile read."""
    readable = sum(one.count for ranges in seen.ranges.values() for one in ranges)
    read = {(block.kind, block.address + i) for block in requests_of(profile) for i in range(block.count)}
    return len(read) / readable if readable else 0.0


def best_of(profiles: Iterable[ProfileSettings], seen: Seen) -> Found:
    """The one profile that is identified, or explains nearly all there is; otherwise those that may be it."""
    fits = [(fit_of(profile, seen), explained(profile, seen), profile.name) for profile in profiles]
    identified = [name for fit, _, name in fits if fit is Fit.IDENTIFIED]
    if len(identified) == 1:
        return Found(identified[0], ())
    ranged = sorted((-share, name) for fit, share, name in fits if fit is Fit.RANGES)
    sure = [name for share, name in ranged if -share >= _EXPLAINED_SURE]
    if len(sure) == 1 and not identified:
        return Found(sure[0], ())
    possible = identified or [name for share, name in ranged if -share >= _EXPLAINED_POSSIBLE]
    return Found(None, tuple(possible[:_POSSIBLE_MAX]))
