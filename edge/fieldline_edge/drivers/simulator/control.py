"""Commands to a running plant: what each line says and does, one JSON object a line, one answer a line. Pure.

    {"do": "fault", "machine": "pump-2", "kind": "bearing_wear", "grow_s": 60}   -> {"ok": true, "id": 3, "at_s": 12.3}
    {"do": "clear", "machine": "pump-2"}                                         -> {"ok": true, "cleared": 1}
    {"do": "switch", "machine": "pump-2", "running": false}                      -> {"ok": true}
    {"do": "status"}                                          -> {"ok": true, "at_s": 12.3, "machines": [...], ...}

A command that cannot be done is answered {"ok": false, "error": "..."}, with the cure.
"""

import json
from collections.abc import Mapping
from typing import Any

import pydantic

from fieldline_edge.drivers.simulator.fault_settings import FaultSettings
from fieldline_edge.drivers.simulator.kinds import FaultKind
from fieldline_edge.drivers.simulator.machine import Machine
from fieldline_edge.drivers.simulator.plant import Plant

__all__ = ["LINE_BYTES_MAX", "obey"]

LINE_BYTES_MAX = 4096
_COMMANDS = ("fault", "clear", "switch", "status")
_FAULTS_MAX = 10_000


def obey(plant: Plant, line: bytes) -> dict[str, Any]:
    """Do what `line` says; the answer. Never raises for what a line says."""
    try:
        command = json.loads(line)
        if not isinstance(command, dict):
            raise ValueError('a command is a JSON object like {"do": "status"}')
        return {"ok": True, **_do(plant, command)}
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        return {"ok": False, "error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}
    except RecursionError:
        return {"ok": False, "error": "is nested too deep; a command is a flat JSON object"}
    except ValueError as error:
        return {"ok": False, "error": str(error)}


def _do(plant: Plant, command: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(command)
    do = rest.pop("do", None)
    if do == "fault":
        return _fault(plant, rest)
    if do == "clear":
        machine = _machine(plant, rest.get("machine"))
        return {"cleared": machine.clear(_kind(rest.get("kind")), plant.time_s)}
    if do == "switch":
        running = rest.get("running")
        if not isinstance(running, bool):
            raise ValueError("switch needs running: true or false")
        _machine(plant, rest.get("machine")).switch(running=running)
        return {}
    if do == "status":
        return _status(plant)
    raise ValueError(f"{do!r} is no command; use one of {', '.join(_COMMANDS)}")


def _fault(plant: Plant, rest: dict[str, Any]) -> dict[str, Any]:
    after_s = rest.pop("after_s", 0.0)
    if not isinstance(after_s, int | float) or not 0.0 <= after_s < float("inf"):
        raise ValueError(f"after_s: {after_s!r} is no time; give seconds from now")
    if rest.pop("at_s", None) is not None:
        raise ValueError("at_s: a command says after_s, seconds from now")
    machine = _machine(plant, rest.get("machine"))
    if len(machine.faults) >= _FAULTS_MAX:
        raise ValueError(f"{machine.name} has {_FAULTS_MAX} faults already; clear some")
    _kind(rest.get("kind"))
    fault = FaultSettings.model_validate({**rest, "at_s": plant.time_s + after_s})
    number = plant.inject(fault)
    return {"id": number, "at_s": round(fault.at_s, 6)}


def _kind(name: Any) -> FaultKind | None:
    try:
        return None if name is None else FaultKind(name)
    except ValueError:
        known = ", ".join(each.value for each in FaultKind)
        raise ValueError(f"{str(name)[:40]!r} is no kind of fault; use one of {known}") from None


def _machine(plant: Plant, name: Any) -> Machine:
    machine = plant.machines.get(name) if isinstance(name, str) else None
    if machine is None:
        known = ", ".join(list(plant.machines)[:8])
        raise ValueError(f"there is no machine {str(name)[:40]!r}; machines: {known}")
    return machine


def _status(plant: Plant) -> dict[str, Any]:
    faults = [
        {"id": fault.number, "machine": machine.name, "kind": fault.kind.value, "active": fault.active}
        for machine in plant.machines.values()
        for fault in machine.faults
    ]
    return {"at_s": round(plant.time_s, 6), "machines": list(plant.machines), "faults": faults}
