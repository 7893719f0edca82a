"""What one member of a group leaves to the next of a device: rules, alarms, episodes, and what was not yet told. Pure.

It travels as two messages, so that the alarms of many devices are quickly read by everybody, and what was learned,
which is larger, only by the one who needs it.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fieldline.errors import BadName, DecodeError
from fieldline.model import Alert, DeviceId
from fieldline.wire.plant import decode_alert, encode_alert
from fieldline_cloud.agents.anomaly.tag import TagState

__all__ = ["HandedOver", "SeenByDevice", "device_of", "learned_topic", "state_topic"]

_VERSION: Final = 1
PRODUCERS_MAX: Final = 16
"""Producers of one device that are remembered; past that the one heard longest ago is forgotten."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The state of one device as `member` left it. `alerts` may not have been published when it was written."""

    member: str
    device: DeviceId
    tags: tuple[TagState, ...]
    seen: tuple[tuple[str, int, int], ...]
    """The last frame judged of each (producer, epoch)."""
    alerts: tuple[Alert, ...] = ()
    has_learned: bool = False
    """Whether what was learned is to be had as well."""

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps(
            {
                "version": _VERSION,
                "member": self.member,
                "device": str(self.device),
                "tags": [[state.tag, state.last_at_ns, state.rules] for state in self.tags],
                "seen": self.seen,
                "alerts": [b64encode(encode_alert(alert)).decode() for alert in self.alerts],
                "has_learned": self.has_learned,
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def decode(cls, content: bytes) -> "HandedOver":
        """The state in `content`; ValueError if it is none, or of another version."""
        try:
            plain = json.loads(content)
            if plain["version"] != _VERSION:
                raise ValueError(f"state of version {plain['version']}; this agent reads version {_VERSION}")
            device = DeviceId(*plain["device"].split("/"))
            return cls(
                str(plain["member"]),
                device,
                tuple(TagState(device, str(tag), int(at_ns), dict(rules)) for tag, at_ns, rules in plain["tags"]),
                tuple((str(producer), int(epoch), int(sequence)) for producer, epoch, sequence in plain["seen"]),
                tuple(decode_alert(b64decode(alert)) for alert in plain["alerts"]),
                bool(plain["has_learned"]),
            )
        except (KeyError, TypeError, AttributeError, BadName, DecodeError) as error:
            raise ValueError(f"not the state of a device: {error!r}") from error


class SeenByDevice:
    """Which frames of each device have been judged: a redelivered one is known, whoever judged it."""

    def __init__(self) -> None:
        self._last: dict[DeviceId, dict[tuple[str, int], int]] = {}

    def is_new(self, device: DeviceId, producer: str, epoch: int, sequence: int) -> bool:
        """Note a frame; False if it, or a later one of its producer, was noted for the device before."""
        last = self._last.setdefault(device, {})
        before = last.pop((producer, epoch), 0)  # and in again at the end: the order is that of the last word
        last[producer, epoch] = max(before, sequence)
        if len(last) > PRODUCERS_MAX:
            del last[next(iter(last))]
        return sequence > before

    def of(self, device: DeviceId) -> tuple[tuple[str, int, int], ...]:
        """(producer, epoch, last sequence) of a device."""
        last = self._last.get(device, {})
        return tuple((producer, epoch, sequence) for (producer, epoch), sequence in last.items())

    def forget(self, device: DeviceId) -> None:
        """It is another member's matter."""
        self._last.pop(device, None)


def state_topic(group: str, device: DeviceId) -> str:
    """Where the state of a device is left: its last value counts."""
    return f"state/{group}/{device}"


def learned_topic(group: str, device: DeviceId) -> str:
    """Where what was learned of it is left."""
    return f"state/{group}/{device}/learned"


def device_of(topic: str) -> DeviceId | None:
    """The device a state topic speaks of; None for another topic."""
    levels: Sequence[Any] = topic.split("/")
    try:
        return DeviceId(*levels[2:]) if len(levels) == 5 else None
    except BadName:
        return None
