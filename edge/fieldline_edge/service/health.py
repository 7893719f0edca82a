"""How healthy a gateway is, and why. Pure: what the parts say is handed in, a judgement comes out.

`failed`: readings are lost or about to be, and a restart or a person must help. `degraded`: something is away or
wrong that the gateway copes with. A hub that is away is the second: that is what the spool is for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

__all__ = ["Grade", "PartHealth", "Signs", "judge", "page"]

LOOP_SILENT_S_MAX = 10.0


class Grade(IntEnum):
    """How well a part does; the worst one is the gateway's."""

    OK = 0
    DEGRADED = 1
    FAILED = 2


@dataclass(frozen=True, slots=True)
class PartHealth:
    """One part; `reason` says what is wrong, or what is there if nothing is."""

    name: str
    grade: Grade
    reason: str


@dataclass(frozen=True, slots=True)
class Signs:
    """What the parts say at one moment."""

    spool_failing: str
    spool_held_readings: int
    backlog_frames: int
    loop_silent_s: float
    hub_connected: bool
    hub_error: str
    drivers: int
    driver_troubles: Sequence[str]
    devices: int
    devices_down: Sequence[str]
    clock_trusted: bool
    clock_synchronised: bool
    config_problems: Sequence[str]


def judge(signs: Signs) -> list[PartHealth]:
    """Every part with its grade, in a fixed order."""
    return [
        _spool(signs),
        _loop(signs),
        _drivers(signs),
        _devices(signs),
        _hub(signs),
        _clock(signs),
        _config(signs),
    ]


def page(parts: Sequence[PartHealth]) -> dict[str, Any]:
    """What /healthz answers; `ok` is false, and the status 503, only if a part has failed."""
    worst = max((part.grade for part in parts), default=Grade.OK)
    return {
        "ok": worst < Grade.FAILED,
        "state": worst.name.lower(),
        "parts": {part.name: {"state": part.grade.name.lower(), "reason": part.reason} for part in parts},
    }


def _spool(signs: Signs) -> PartHealth:
    if signs.spool_failing:
        held = f"{signs.spool_held_readings} readings wait in memory"
        return PartHealth("spool", Grade.FAILED, f"cannot be written: {signs.spool_failing}; {held}")
    return PartHealth("spool", Grade.OK, f"{signs.backlog_frames} frames wait for the hub")


def _loop(signs: Signs) -> PartHealth:
    if signs.loop_silent_s > LOOP_SILENT_S_MAX:
        return PartHealth("loop", Grade.FAILED, f"nothing has moved for {signs.loop_silent_s:.0f} s")
    return PartHealth("loop", Grade.OK, "turns")


def _drivers(signs: Signs) -> PartHealth:
    troubles = signs.driver_troubles
    if not troubles:
        return PartHealth("drivers", Grade.OK, f"{signs.drivers} run")
    grade = Grade.FAILED if len(troubles) >= signs.drivers else Grade.DEGRADED
    return PartHealth("drivers", grade, f"{len(troubles)} of {signs.drivers} wait for a restart: {troubles[0]}")


def _devices(signs: Signs) -> PartHealth:
    down = signs.devices_down
    if not down:
        return PartHealth("devices", Grade.OK, f"{signs.devices} configured, none down")
    some = ", ".join(down[:5]) + (" ..." if len(down) > 5 else "")
    return PartHealth("devices", Grade.DEGRADED, f"{len(down)} of {signs.devices} down: {some}")


def _hub(signs: Signs) -> PartHealth:
    if signs.hub_connected:
        return PartHealth("hub", Grade.OK, "connected")
    why = signs.hub_error or "not connected yet"
    return PartHealth("hub", Grade.DEGRADED, f"away, readings are kept in the spool: {why}")


def _clock(signs: Signs) -> PartHealth:
    if not signs.clock_trusted:
        return PartHealth("clock", Grade.DEGRADED, "not synchronised: readings are marked until it is")
    if not signs.clock_synchronised:
        return PartHealth("clock", Grade.OK, "was synchronised, and goes on without its time service")
    return PartHealth("clock", Grade.OK, "trusted")


def _config(signs: Signs) -> PartHealth:
    problems = signs.config_problems
    if problems:
        return PartHealth("config", Grade.DEGRADED, f"the file was refused, the old one is in force: {problems[0]}")
    return PartHealth("config", Grade.OK, "in force")
