"""Where known devices have something: the first places to look at in an unknown one. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from fieldline_edge.drivers.modbus.settings import RegisterKind
from fieldline_edge.profiles.requests import requests_of
from fieldline_edge.profiles.settings import ProfileSettings

__all__ = ["CUSTOMARY", "landmarks"]

CUSTOMARY = (1000, 2000, 3000, 4000, 4096, 5000, 8192, 10_000, 20_000, 30_000, 30_001, 40_000, 40_001)
"""Addresses at which makers like to begin, read as one register each."""


def landmarks(profiles: Iterable[ProfileSettings]) -> Mapping[RegisterKind, Sequence[tuple[int, int]]]:
    """(address, count) for each kind: where the requests of a profile begin, what tells it, then the customary ones."""
    found: dict[RegisterKind, dict[tuple[int, int], None]] = {kind: {} for kind in RegisterKind}
    for profile in profiles:
        for one in profile.recognise.words:
            found[one.kind][one.address, len(one.words)] = None
        for block in requests_of(profile):
            found[block.kind][block.address, profile.tags[block.spans[0]].width] = None
    for kind in (RegisterKind.HOLDING, RegisterKind.INPUT):
        found[kind] |= {(address, 1): None for address in CUSTOMARY}
    return {kind: tuple(places) for kind, places in found.items()}
