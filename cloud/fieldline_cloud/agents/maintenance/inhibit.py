"""Which alerts are only the consequence of another: a cause silences what follows from it, while it lasts. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from fieldline.model import DeviceId

__all__ = ["InhibitRule", "Inhibition", "Where"]


class Where(Enum):
    """How far the cause reaches."""

    SAME_DEVICE = "same_device"
    SAME_AREA = "same_area"
    FED_BY = "fed_by"  # devices that hang on the one with the cause, and that one itself


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """While `cause` lasts at a device, alerts of the causes in `silences` are its consequence."""

    cause: str
    silences: frozenset[str]
    where: Where


class Inhibition:
    """The rules together. `feeders` gives all devices that one hangs on."""

    def __init__(self, rules: Iterable[InhibitRule], feeders: Callable[[DeviceId], frozenset[str]]) -> None:
        self._rules = tuple(rules)
        self._feeders = feeders
        self.causes = frozenset(rule.cause for rule in self._rules)
        """What can silence others."""
        self.consequences = frozenset(cause for rule in self._rules for cause in rule.silences)
        """What can be silenced."""

    def held_by(self, device: DeviceId, cause: str, lasting: Iterable[tuple[DeviceId, str]]) -> str:
        """`cause at device` of the lasting cause that this one follows from; empty where there is none.

        A cause never silences itself, nor two each other: of such a pair the one that is first in the rules counts.
        """
        if cause not in self.consequences:
            return ""
        for place, source in lasting:
            if self._follows(device, cause, place, source) and not self._is_before(cause, source, device, place):
                return f"{source} at {place}"
        return ""

    def _follows(self, device: DeviceId, cause: str, place: DeviceId, source: str) -> bool:
        return any(
            rule.cause == source and cause in rule.silences and self._reaches(rule.where, place, device)
            for rule in self._rules
        ) and (device, cause) != (place, source)

    def _is_before(self, cause: str, source: str, device: DeviceId, place: DeviceId) -> bool:
        """Whether they silence each other, and this one comes first."""
        if not self._follows(place, source, device, cause):
            return False
        order = [rule.cause for rule in self._rules]
        return (order.index(cause), str(device)) < (order.index(source), str(place))

    def _reaches(self, where: Where, place: DeviceId, device: DeviceId) -> bool:
        if place == device:
            return True
        if where is Where.SAME_AREA:
            return (place.site, place.area) == (device.site, device.area)
        return where is Where.FED_BY and str(place) in self._feeders(device)
